//! One program in all languages that nexus has a runtime for, through the real binary: chains to any depth in every pair,
//! calls side by side, function values, cancelling, deaths. What one runtime does by itself is tested beside the runtimes.

mod harness;

use harness::{Program, build_languages, search_path};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const LANGUAGES: [&str; 4] = ["py", "cpp", "r", "js"];

/// The languages whose interpreter is here; the tests of the others are skipped, which is said once.
fn languages() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&str>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let is_there = |language: &&str| {
            let program = match *language {
                "py" => "python3",
                "cpp" => "c++",
                "r" => "R",
                _ => "node",
            };
            let found = Command::new(program)
                .arg("--version")
                .env("PATH", search_path())
                .output();
            if found.is_err() {
                println!("skipped: {language}, for {program} is not installed");
            }
            found.is_ok()
        };
        LANGUAGES.into_iter().filter(is_there).collect()
    })
}

/// The directory in which the programs were made, once for all tests.
fn built() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| build_languages(languages()))
}

/// The program of that name, run with a temp dir of its own.
fn program(name: &str) -> Program {
    Program::at(&built().join(name))
}

/// Every ordered pair.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let seconds = |first| languages().iter().map(move |second| (first, *second));
    languages().iter().copied().flat_map(seconds)
}

fn quoted(names: &[&str]) -> String {
    format!("[\"{}\"]", names.join("\",\""))
}

#[test]
fn a_chain_over_each_two_languages_runs_to_depth_1000() {
    let program = program("languages");
    for (first, second) in pairs() {
        let pools = quoted(&[second, first]);
        let command = format!("{first}-chain");
        program.check(&["--timeout", "40", &command, &pools, "1000"], "1000");
    }
}

#[test]
fn a_chain_over_all_languages_runs_in_a_cycle() {
    let program = program("languages");
    program.check(
        &["--timeout", "40", "py-chain", &quoted(languages()), "999"],
        "999",
    );
}

#[test]
fn a_chain_ends_clearly_where_a_language_can_go_no_deeper() {
    let program = program("languages");
    for (first, second) in pairs() {
        let pools = quoted(&[second, first]);
        let command = format!("{first}-chain");
        let ran = program.run(&["--timeout", "60", &command, &pools, "10000"]);
        let is_deep = ran.code == Some(0) && ran.stdout == "10000\n";
        println!("{first}-{second}: {}", if is_deep { "10000" } else { "less" });
        assert!(
            is_deep || ran.code == Some(1),
            "{first}-{second}: {:?} {}",
            ran.code,
            ran.stderr
        );
        program.assert_nothing_left();
    }
}

#[test]
fn calls_go_out_side_by_side() {
    let (narrow, wide) = (program("languages"), program("wide"));
    for (first, second) in pairs() {
        for program in [&narrow, &wide] {
            program.check(&[&format!("{first}-fan"), second, "25", "40"], "1640");
        }
    }
}

#[test]
fn a_slow_call_does_not_block_a_quick_one() {
    // Each call sleeps as many milliseconds as it is late, and none comes before its turn: the sum tells nothing, but that
    // all come back.
    let wide = program("wide");
    for (first, second) in pairs() {
        wide.check(&[&format!("{first}-fan"), second, "26", "8"], "36");
    }
}

#[test]
fn chains_that_need_each_others_only_worker_go_on() {
    let program = program("languages");
    for (first, second) in pairs() {
        program.check(
            &["--timeout", "40", "drive-meet", first, second, "50", "4"],
            "400",
        );
    }
}

#[test]
fn functions_pass_from_language_to_language() {
    let (narrow, wide, once) = (program("languages"), program("wide"), program("once"));
    for (first, second) in pairs() {
        // Adds 3 in `first`, 5 in `second`, applied in both, composed in both: see the program.
        narrow.check(&["drive-exchange", first, second], "[13,13,18,18,118]");
        wide.check(&["drive-exchange", first, second], "[13,13,18,18,118]");
        // A worker that would end after its call stays as long as somebody may have a function of it.
        once.check(&["drive-exchange", first, second], "[13,13,18,18,118]");
    }
}

#[test]
fn nexus_stays_small_while_large_values_pass() {
    let program = program("languages");
    for language in languages() {
        let ran = program.run(&["drive-relay_peak", language, "64"]);
        let peak_kib: u64 = ran.stdout.trim().parse().expect(&ran.stderr);
        // Its binary, which is large when it is made for tests, and the buffers of a few connections; not the value.
        assert!(peak_kib < 24 << 10, "{language}: {peak_kib} KiB");
    }
}

#[test]
fn values_of_every_type_come_back_as_they_went() {
    let program = program("languages");
    let values: [(&str, &[&str]); 8] = [
        ("echo_floats", &["[1.5,-0,1e300,\"NaN\",\"-Infinity\"]"]),
        ("echo_record", &[r#"{"name":"Zoë","age":null,"tags":["a",""]}"#]),
        (
            "echo_tuple",
            &["[true,123456789012345678901234567890,\"AP8=\",0.5]"],
        ),
        (
            "echo_lists",
            &["[-5,7]", "[255,0]", "[9007199254740991]", "[0.25]"],
        ),
        ("echo_bytes", &["\"AAEC\""]),
        ("echo_text", &["tab\tand ünï"]),
        ("echo_big", &["-99999999999999999999"]),
        (
            "tree",
            &[r#"{"value":1,"kids":[{"value":2,"kids":[]},{"value":3,"kids":[]}]}"#],
        ),
    ];
    for language in languages() {
        for (function, args) in values {
            let command = format!("{language}-{function}");
            let expected = match function {
                "tree" => "6".to_string(),
                "echo_lists" => format!("[{}]", args.join(",")),
                "echo_text" => format!("\"{}\"", args[0].replace('\t', "\\t")),
                _ => args[0].to_string(),
            };
            let words: Vec<&str> = [command.as_str()]
                .into_iter()
                .chain(args.iter().copied())
                .collect();
            program.check(&words, &expected);
        }
    }
}

#[test]
fn errors_name_the_function_and_pass_through_languages() {
    let program = program("languages");
    for (first, second) in pairs() {
        program.check_error(&[&format!("{first}-fail"), "no such star"], 1, &["no such star"]);
        program.check(&[&format!("{first}-kind_of"), second, "99", "1"], "\"protocol\"");
    }
}

#[test]
fn a_worker_that_dies_ends_its_callers_call_alone() {
    let (narrow, wide) = (program("languages"), program("wide"));
    for (first, second) in pairs() {
        narrow.check_error(&[&format!("{first}-quit"), "3"], 5, &["exited with code 3"]);
        if first != second {
            wide.check(
                &[&format!("{first}-kind_of"), second, "14", "3"],
                "\"terminated\"",
            );
        }
    }
}

#[test]
fn what_sleeps_or_computes_ends_with_its_deadline() {
    let program = program("languages");
    for language in languages() {
        for function in ["sleep", "spin"] {
            let command = format!("{language}-{function}");
            program.check_error(
                &["--timeout", "0.3", &command, "50"],
                124,
                &["did not answer in time"],
            );
        }
    }
}

#[test]
fn functions_talk_to_programs_and_commands_as_workers() {
    let program = program("languages");
    for (first, second) in pairs() {
        // What the program `sort` makes of the words, and the command of the other language of 5, and of that again.
        let command = format!("{first}-crew");
        let double = format!("{second}-double");
        program.check(
            &[&command, r#"["pear","fig","a b"]"#, &double, "5"],
            r#"[["a b","fig","pear"],20]"#,
        );
    }
    for language in languages() {
        let command = format!("{language}-mishap");
        for (argv, ms, expected) in [
            (r#"["echo","x y"]"#, "30000", "\"x y\""),
            (r#"["true"]"#, "30000", "\"end\""),
            (r#"["sh","-c","exit 3"]"#, "30000", "\"terminated\""),
            (r#"["sleep","1000"]"#, "50", "\"timeout\""),
            (r#"["/no/such"]"#, "30000", "\"spawn_failed\""),
        ] {
            program.check(&[&command, argv, ms], expected);
        }
        // The error of a worker is one of its caller's, and shows where that stands.
        let command = format!("{language}-crew");
        program.check_error(
            &[&command, "[]", &format!("{language}-quit"), "3"],
            5,
            &["exited with code 3", "crew"],
        );
    }
}

#[test]
fn prints_and_logs_reach_standard_error() {
    let program = program("languages");
    for language in languages() {
        let ran = program.run(&[&format!("{language}-say"), "well said"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("well said"), "{language}: {}", ran.stderr);
        let ran = program.run(&[&format!("{language}-note"), "info", "noted"]);
        assert!(
            ran.stderr.contains(&format!("[{language}] info: noted")),
            "{language}: {}",
            ran.stderr
        );
    }
}
