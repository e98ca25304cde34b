//! How a program finds its manifest, and what it does with its standard streams.

use super::{FORMS, directory, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn check(directory: &Path, line: &str, code: i32, stdout: &str, stderr: &str) {
    let output = run(directory, line);
    let found = (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert_eq!(
        found,
        (Some(code), stdout.to_string(), stderr.to_string()),
        "{line}"
    );
}

#[test]
fn a_program_is_found_by_its_path() {
    let directory = directory("started");
    fs::create_dir_all(directory.join("deep/er")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_nexus"), directory.join("deep/copy")).unwrap();
    fs::write(directory.join("deep/copy.manifest"), FORMS).unwrap();
    symlink("../copy", directory.join("deep/er/relative")).unwrap();
    symlink(directory.join("deep/er/relative"), directory.join("absolute")).unwrap();
    symlink("round", directory.join("round")).unwrap();
    check(&directory, "forms text a", 0, "\"a\"\n", "");
    check(&directory, "./forms text a", 0, "\"a\"\n", "");
    check(&directory, "cd / && forms text a", 0, "\"a\"\n", "");
    check(&directory, "deep/copy text a", 0, "\"a\"\n", "");
    check(&directory, "cd deep && ./er/relative text a", 0, "\"a\"\n", "");
    check(&directory, "absolute text a", 0, "\"a\"\n", "");
    check(
        &directory,
        "cd deep/er && PATH=.. && copy text a",
        0,
        "\"a\"\n",
        "",
    );
    check(
        &directory,
        "cd deep && ../lost text a",
        3,
        "",
        "lost: error: there is no manifest ../lost.manifest\n  \
         hint: a program is this binary, or a link to it, beside the manifest that its name and .manifest name\n",
    );
    let output = run(&directory, "nexus run ./round text a");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn streams() {
    let directory = directory("streams");
    let many = format!("[{}]", vec!["1.5"; 300_000].join(","));
    fs::write(directory.join("many.json"), &many).unwrap();
    // Nobody reads on: that is no error, and not worth a word.
    let script = |line: &str| format!("{{ {line}; echo $? >code; }} | head -c 3; cat code");
    check(&directory, &script("forms numbers @many.json"), 0, "[1.0\n", "");
    check(
        &directory,
        &script("forms --format csv numbers @many.json"),
        0,
        "1.50\n",
        "",
    );
    check(&directory, &script("forms --help"), 0, "Sho0\n", "");
    let full = "can't write standard output: no space left on device\n";
    check(
        &directory,
        "forms text a >/dev/full",
        5,
        "",
        &format!("forms: error: {full}"),
    );
    check(
        &directory,
        "forms --help >/dev/full",
        5,
        "",
        &format!("forms: error: {full}"),
    );
    // A large result is whole, and one read from a pipe too.
    let output = run(&directory, "forms numbers - <many.json");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), many);
    check(
        &directory,
        "cat many.json | forms --format jsonl numbers - | wc -l",
        0,
        "300000\n",
        "",
    );
}
