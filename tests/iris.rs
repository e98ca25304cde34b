//! The example program, built by its own script and run on its real data: Python and C++ call each other both ways.

mod harness;

use harness::{NEXUS, Program, finish, search_path};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Builds the program into a directory that survives the tests, so that the C++ pool is compiled once, and links it.
fn program() -> Program {
    static BUILT: std::sync::Once = std::sync::Once::new();
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("iris");
    BUILT.call_once(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/iris/build");
        let status = Command::new(script)
            .arg(NEXUS)
            .arg(&built)
            .env("PATH", search_path())
            .status()
            .unwrap();
        assert!(status.success(), "the program can't be built");
    });
    let program = Program::new("iris", &fs::read_to_string(built.join("iris.manifest")).unwrap());
    for part in ["iris.csv", "iris.py", "iris.pools"] {
        std::os::unix::fs::symlink(built.join(part), program.dir.join(part)).unwrap();
    }
    program
}

#[test]
fn python_reads_and_cpp_counts() {
    let setosa = r#"{"species":"setosa","n":50,"sepal_length":5.006,"sepal_width":3.428,"petal_length":1.462,"petal_width":0.246}"#;
    let versicolor = r#"{"species":"versicolor","n":50,"sepal_length":5.936,"sepal_width":2.77,"petal_length":4.26,"petal_width":1.326}"#;
    let virginica = r#"{"species":"virginica","n":50,"sepal_length":6.588,"sepal_width":2.974,"petal_length":5.552,"petal_width":2.026}"#;
    program().check(&["means"], &format!("[{setosa},{versicolor},{virginica}]"));
    let table = program().run(&["--format", "table", "means"]).stdout;
    assert_eq!(
        table.lines().last(),
        Some("virginica   50         6.588        2.974         5.552        2.026")
    );
}

#[test]
fn each_language_alone() {
    program().check(&["correlate", "[1, 2, 3]", "[2, 4, 7]"], "0.9933992677987828");
    let column = program().run(&["column", "petal_length"]).stdout;
    assert_eq!(column.split(',').count(), 150);
}

#[test]
fn a_record_is_given_as_options() {
    let program = program();
    program.check(
        &["classify", "-L", "1.4", "-W", "0.2", "-k", "3"],
        r#"{"species":"setosa","votes":3,"k":3}"#,
    );
    let whole = r#"--measures={"sepal_length":6.5,"sepal_width":3,"petal_length":5.5,"petal_width":2}"#;
    program.check(
        &["classify", whole, "-k1"],
        r#"{"species":"virginica","votes":1,"k":1}"#,
    );
    program.check_error(&["classify", "--petal-lenght", "1"], 2, &["--petal-length"]);
}

#[test]
fn a_callback_crosses_both_ways() {
    let ran = program().run(&["accuracy"]);
    assert!(
        ran.stdout
            .starts_with(r#"{"k":5,"correct":145,"of":150,"accuracy":0.966"#),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

#[test]
fn the_pure_command_starts_nothing() {
    let program = program();
    fs::remove_dir(program.temp_dir()).unwrap();
    program.check(&["describe"], "\"sepals of 5.8 x 3 cm, petals of 4.35 x 1.3 cm\"");
    fs::create_dir(program.temp_dir()).unwrap();
}

#[test]
fn errors_show_one_stack_over_both_languages() {
    let program = program();
    let ran = program.check_error(
        &["classify", "-k", "0"],
        1,
        &["k is 0, expected 1 to 150", "stack, innermost first"],
    );
    let (cpp, py) = (ran.stderr.find("  cpp  "), ran.stderr.find("  py   "));
    assert!(cpp.is_some() && cpp < py, "{}", ran.stderr);
}

#[test]
fn a_moved_program_runs() {
    let program = program();
    let moved = program.dir.join("moved");
    fs::create_dir(&moved).unwrap();
    let mut copy = Command::new("cp");
    copy.arg("-rL")
        .args(["iris", "iris.manifest", "iris.csv", "iris.py", "iris.pools"])
        .arg(&moved);
    assert!(copy.current_dir(&program.dir).status().unwrap().success());
    let ran = finish(
        program
            .command_of(&moved.join("iris"), &["correlate", "[1,2,3]", "[2,4,7]"])
            .spawn()
            .unwrap(),
    );
    assert_eq!(ran.stdout, "0.9933992677987828\n", "{}", ran.stderr);
}
