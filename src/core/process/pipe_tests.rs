//! Scripts of pipes: what each stage is given and does, and what comes of the whole. Starts no program.

use super::pipe::{Given, Pipe, Plan, Planned};
use super::table::{Effect, HandleId, Owner, Table};
use crate::codec::schema::Types;
use crate::codec::transcode::{Style, json_to_msgpack, msgpack_to_json};
use crate::core::hub::Ended;
use crate::error::{Error, Kind};
use crate::expr::process::{Conversion, Form};

/// Plays a script with `[s]` as the type of everything. Stages are a width for a function, or a program's name. Each line is an
/// event and, behind `=>`, what it has as effects: programs are numbered from 0, items are `stage.number:text`.
fn check(source: &str, stages: &[&str], script: &str) {
    play(source, stages, false, script);
}

/// The same; if its output is the result, that is given out as it comes, and shown.
fn play(source: &str, stages: &[&str], is_result: bool, script: &str) {
    let mut types = Types::default();
    let (list, text) = (types.parse("[s]").unwrap(), types.parse("s").unwrap());
    let conversion = Conversion {
        input: list,
        output: list,
        input_form: Form::Lines,
        output_form: Form::Lines,
    };
    let planned = |stage: &&str| match stage.parse() {
        Ok(width) => Planned::Each { width, output: text },
        Err(_) => Planned::Cmd {
            argv: vec![stage.to_string()],
            conversion,
        },
    };
    let mut bytes = Vec::new();
    json_to_msgpack(&types, list, source.as_bytes(), &mut bytes).unwrap();
    let plan = Plan {
        source: Given::Value(bytes.into()),
        source_ty: list,
        stages: stages.iter().map(planned).collect(),
        output: list,
        is_result,
    };
    let mut table = Table::default();
    let mut pipe = Pipe::new(plan, Owner::Pipe(1), &mut table, &types, 0).unwrap();
    let mut ids: Vec<HandleId> = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once("=>").unwrap_or((line, ""));
        let words: Vec<&str> = event.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let id = || ids[number(1) as usize];
        match words[0] {
            "begin" => {}
            "failed" => table.handle_spawn_failed(id(), Error::new(Kind::SpawnFailed, "there is none")),
            "in" => table.handle_input(id(), words[2].replace("\\n", "\n").as_bytes(), 0),
            "refused" => table.handle_input_refused(id()),
            "end" => table.handle_output_end(id(), 0),
            "exit" => table.handle_exited(id(), Ended::Code(number(2) as i32), 0),
            "dies" => table.handle_exited(id(), Ended::Signal(number(2) as i32), 0),
            "closed" => pipe.close_output(),
            "done" | "fails" => {
                let result = match words[0] {
                    "done" => Ok([&[0xa0 | words[3].len() as u8], words[3].as_bytes()].concat()),
                    _ => Err(Error::new(Kind::Raised, words[3])),
                };
                pipe.handle_applied(number(1) as usize, number(2), result);
            }
            other => panic!("no event {other}"),
        }
        let mut shown = Vec::new();
        while pipe.step(&mut table, &types, 0) {
            let bytes = pipe.output(&table).len();
            if bytes > 0 {
                shown.push(format!("out {:?}", String::from_utf8_lossy(pipe.output(&table))));
                pipe.advance_output(&mut table, bytes);
            }
        }
        while let Some(id) = table.poll_output() {
            let bytes = table.output(id).to_vec();
            table.advance_output(id, bytes.len());
            let position = ids.iter().position(|known| *known == id);
            if !bytes.is_empty() {
                shown.push(format!(
                    "to {} {:?}",
                    position.unwrap_or(0),
                    String::from_utf8_lossy(&bytes)
                ));
            }
        }
        while let Some(effect) = table.poll_effect() {
            let position = |id: HandleId| ids.iter().position(|known| *known == id).unwrap_or(ids.len());
            shown.push(match effect {
                Effect::Spawn(id, launch) => {
                    let how = match (launch.input_from.is_some(), launch.is_output_piped) {
                        (true, true) => " joined both ways",
                        (true, false) => " joined",
                        (false, true) => " joining",
                        (false, false) => "",
                    };
                    ids.push(id);
                    format!("spawn {}{how}", launch.name)
                }
                Effect::CloseInput(id) => format!("close {}", position(id)),
                Effect::CloseOutput(id) => format!("hang up {}", position(id)),
                Effect::Signal(id, signal) => format!("signal {} {signal}", position(id)),
                Effect::Joined(_) => continue,
                other => panic!("{other:?}"),
            });
        }
        while let Some(item) = pipe.poll_item() {
            let text = String::from_utf8_lossy(&item.bytes[1..]);
            shown.push(format!("item {}.{}:{text}", item.stage, item.number));
        }
        match pipe.poll_result() {
            Some(Ok(result)) => {
                let mut json = Vec::new();
                msgpack_to_json(&types, list, &result, Style::Compact, &mut json).unwrap();
                shown.push(String::from_utf8(json).unwrap());
            }
            Some(Err(error)) => shown.push(format!("{}: {}", error.kind.name(), error.message)),
            None => {}
        }
        assert_eq!(shown.join("; "), expected.trim(), "{line}");
    }
}

#[test]
fn items_go_one_after_the_other_and_come_in_order() {
    check(
        r#"["a","b","c"]"#,
        &["2", "1"],
        r#"
        begin       => item 0.0:a; item 0.1:b
        done 0 1 y  => item 0.2:c
        done 0 0 x  => item 1.0:x
        done 1 0 X  => item 1.1:y
        done 0 2 z
        done 1 1 Y  => item 1.2:z
        done 1 2 Z  => ["X","Y","Z"]
        "#,
    );
    check("[]", &["1"], "begin => []");
    check("[]", &["1", "1"], "begin => []");
}

#[test]
fn programs_are_fed_and_joined() {
    check(
        r#"["a","b"]"#,
        &["sort", "uniq", "1", "cat"],
        r#"
        begin       => to 0 "a\nb\n"; spawn sort joining; spawn uniq joined; spawn cat; close 0
        exit 0 0
        in 1 a\nb   => item 2.0:a
        done 2 0 A  => to 2 "A\n"
        exit 1 0    => item 2.1:b
        done 2 1 B  => to 2 "B\n"; close 2
        in 2 A\nB\n
        exit 2 0    => ["A","B"]
        "#,
    );
}

#[test]
fn the_end_of_one_goes_upstream() {
    check(
        r#"["a","b"]"#,
        &["yes", "1", "head"],
        r#"
        begin       => to 0 "a\nb\n"; spawn yes; spawn head; close 0
        in 0 y\ny\n => item 1.0:y
        refused 1   => close 1; hang up 0
        done 1 0 Y
        in 1 y\n
        exit 1 0
        dies 0 13   => ["y"]
        "#,
    );
}

#[test]
fn what_fails_is_named_and_the_rest_ended() {
    let two = |script: &str| check(r#"["a"]"#, &["one", "two"], script);
    let begin = r#"begin => to 0 "a\n"; spawn one joining; spawn two joined; close 0"#;
    two(&format!(
        "{begin}\n exit 0 3\n exit 1 0 => terminated: stage 1, one: exit code 3"
    ));
    two(&format!(
        "{begin}\n dies 0 13\n exit 1 4 => terminated: stage 2, two: exit code 4"
    ));
    // The one whose end is told first need not be the one that ended first.
    two(&format!(
        "{begin}\n exit 1 0\n exit 0 1 => terminated: stage 1, one: exit code 1"
    ));
    two(&format!("{begin}\n refused 1\n exit 1 0\n exit 0 1 => []"));
    // The end of a stage's input is no early end of it.
    check(
        r#"["a"]"#,
        &["one", "1", "two"],
        r#"
        begin    => to 0 "a\n"; spawn one; spawn two; close 0
        end 0    => close 1
        exit 0 3
        exit 1 0 => terminated: stage 1, one: exit code 3
        "#,
    );
    two(&format!(
        "{begin}\n failed 1 => signal 0 9; spawn_failed: stage 2, two: there is none"
    ));
    check(
        r#"["a"]"#,
        &["1", "two"],
        r#"
        begin        => spawn two; item 0.0:a
        fails 0 0 no => signal 0 9; raised: stage 1: item 1: no
        "#,
    );
}

#[test]
fn a_result_is_given_out_as_it_comes() {
    let two = |script: &str| play(r#"["a"]"#, &["one", "two"], true, script);
    let begin = r#"begin => to 0 "a\n"; spawn one joining; spawn two joined; close 0"#;
    two(&format!(
        r#"{begin}
        in 1 a\nb => out "a\nb"
        exit 0 0
        in 1 c    => out "c"
        exit 1 0  => []"#
    ));
    two(&format!(
        r#"{begin}
        in 1 a    => out "a"
        refused 1
        exit 1 0
        exit 0 3  => []"#
    ));
    two(&format!(
        r#"{begin}
        in 1 a    => out "a"
        exit 0 3
        exit 1 0  => terminated: stage 1, one: exit code 3"#
    ));
    two(&format!(
        r#"{begin}
        closed    => hang up 1
        refused 1
        dies 1 13
        dies 0 13 => []"#
    ));
    // The results of a function are kept.
    play(
        r#"["a"]"#,
        &["1"],
        true,
        r#"
        begin      => item 0.0:a
        done 0 0 A => ["A"]
        "#,
    );
}
