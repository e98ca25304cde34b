//! Two programs of four languages each, built from their sources and run on their real data: a tree of mice, and the carbon
//! dioxide in the air. Left out where one of the languages is missing.

mod harness;

use harness::{NEXUS, Program, finish, has};
use std::path::Path;

fn program(name: &str) -> Option<Program> {
    has(&["python3", "c++", "R", "node"]).then(|| Program::built(name))
}

/// Path of a file of the sources.
fn source(path: &str) -> String {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    programs.join(path).to_str().unwrap().to_string()
}

/// The numbers in a result.
fn numbers(text: &str) -> Vec<f64> {
    text.split(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | '-'))
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[track_caller]
fn check_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }
}

#[test]
fn mice_in_four_languages() {
    let Some(program) = program("mice") else { return };
    let names = program.run(&["sequences"]).stdout;
    assert!(names.starts_with(r#"["No305","No304","No306","#), "{names}");
    assert_eq!(names.split(',').count(), 15);
    // As R's dist.dna(woodmouse, "K80", pairwise.deletion = TRUE) has it: No305 and No304 differ at 16 of 959 places, all
    // transitions, which makes -log((1 - 2 p) sqrt(1)) / 2 with p = 16 / 959.
    let matrix = numbers(&program.run(&["matrix"]).stdout);
    assert_eq!(matrix.len(), 15 * 15);
    check_near(&matrix[..2], &[0.0, 0.0169688]);
    for row in 0..15 {
        assert!(matrix[row * 15 + row].abs() < 1e-12);
        for column in 0..row {
            let (one, other) = (matrix[row * 15 + column], matrix[column * 15 + row]);
            assert!(one > 0.0 && one < 0.03 && one == other, "{one} {other}");
        }
    }
    let bases = program.run(&["bases"]).stdout;
    assert!(bases.starts_with(r#"[{"name":"No305","a":0.30"#), "{bases}");
}

#[test]
fn a_tree_goes_from_r_to_javascript() {
    let Some(program) = program("mice") else { return };
    let drawn = program.run(&["--raw", "draw", "-w", "30"]).stdout;
    assert_eq!(
        drawn.lines().filter(|line| line.contains(" No")).count(),
        15,
        "{drawn}"
    );
    let clans = program.run(&["clans", "-k", "15"]).stdout;
    assert!(clans.contains(r#""clan":15"#), "{clans}");
}

#[test]
fn a_stack_over_the_composition() {
    let Some(program) = program("mice") else { return };
    // The first row can't be made. R, which has just begun to start, leaves nothing behind either.
    program.file("short.fasta", ">one\nACGT\n>two\nAC\n");
    let path = program.dir.join("short.fasta").to_str().unwrap().to_string();
    program.check_error(
        &["tree", "-f", &path],
        1,
        &[
            "bases are not aligned",
            "cpp  distances",
            "distance.cpp:",
            "loc  ",
        ],
    );
    program.file("none.fasta", "");
    let path = program.dir.join("none.fasta").to_str().unwrap().to_string();
    program.check_error(
        &["tree", "-f", &path],
        1,
        &["has no sequence", "py   read", "fasta.py:"],
    );
}

#[test]
fn mice_move() {
    let Some(program) = program("mice") else { return };
    let moved = program.moved();
    let mut command = program.command_of(&moved, &["tree"]);
    let ran = finish(command.current_dir(moved.parent().unwrap()).spawn().unwrap());
    assert!(
        ran.stdout.starts_with("\"((") && ran.stdout.ends_with(";\"\n"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

#[test]
fn carbon_dioxide_in_four_languages() {
    let Some(program) = program("co2") else { return };
    let table = source("co2/co2.csv");
    let months = program.run(&["months", &table]).stdout;
    assert!(
        months.starts_with(r#"[{"year":1959,"month":1,"ppm":315.42},"#),
        "{months}"
    );
    assert_eq!(months.matches("ppm").count(), 468);
    // As R has it: predict(HoltWinters(co2), 3), and stl(co2, "periodic").
    let ahead = program.run(&["forecast", "-n", "3", &table]).stdout;
    assert!(
        ahead.starts_with(r#"[{"month":"1998-01","ppm":365.1078"#),
        "{ahead}"
    );
    assert!(ahead.contains(r#"{"month":"1998-03","ppm":366.7343"#), "{ahead}");
    let season = numbers(&program.run(&["season", &table]).stdout);
    check_near(&season[..3], &[-0.06100, 0.59464, 1.32900]);
    let trend = program.run(&["trend", &table]).stdout;
    assert!(
        trend.starts_with(r#"{"from":"1959-01","to":"1997-12","ppm_per_year":1.30"#),
        "{trend}"
    );
    let chart = program.run(&["--raw", "chart", "-w", "20", &table]).stdout;
    assert_eq!(
        (chart.chars().next(), chart.trim_end().chars().count()),
        (Some('▁'), 20)
    );
    let picture = program.run(&["--raw", "picture", &table]).stdout;
    assert!(
        picture.starts_with("<svg ") && !picture.contains("NaN"),
        "{picture}"
    );
}

#[test]
fn a_pipe_fails_as_a_whole() {
    let Some(program) = program("co2") else { return };
    program.check_error(
        &["trend", "/nowhere.csv"],
        5,
        &["grep: exit code 2", "/nowhere.csv"],
    );
    program.file("bad.csv", "year,month,ppm\n1959,1,315.42\n1959,two,316\n");
    let path = program.dir.join("bad.csv").to_str().unwrap().to_string();
    program.check_error(&["months", &path], 1, &["'two'", "py   month", "series.py:"]);
}

#[test]
fn what_a_composition_calls_is_explained() {
    let Some(program) = program("mice") else { return };
    let path = program.path();
    let explain = |options: &[&str]| {
        let words = [
            &["explain"],
            options,
            &[path.to_str().unwrap(), "clans", "-k", "2"],
        ]
        .concat();
        let ran = finish(program.command_of(Path::new(NEXUS), &words).spawn().unwrap());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        (ran.stdout, ran.stderr)
    };
    let (told, _) = explain(&[]);
    assert!(told.contains("clans is composed"), "{told}");
    for call in [
        "clusters (r), mice.loc:",
        "distances (cpp), mice.loc:",
        "read (py), mice.loc:",
    ] {
        assert!(told.contains(call), "'{call}' is not in {told}");
    }
    let (drawn, _) = explain(&["--dot"]);
    assert!(
        drawn.starts_with("digraph calls {") && drawn.contains("label=\"read\\npy\""),
        "{drawn}"
    );
    let (result, told) = explain(&["--run"]);
    assert!(result.starts_with(r#"[{"name":"No305","clan":1}"#), "{result}");
    for part in ["ready: r", "answered", "all processes gone", "distances in cpp"] {
        assert!(told.contains(part), "'{part}' is not in {told}");
    }
}
