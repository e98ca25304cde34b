//! The example program, built from its sources and run on its real data: Python, C++, R and JavaScript, joined by a
//! composition. Left out where one of the languages is missing.

mod harness;

use harness::{Program, finish, has};
use std::fs;

fn program() -> Option<Program> {
    has(&["python3", "c++", "R", "node"]).then(|| Program::built("iris"))
}

#[test]
fn python_reads_and_cpp_counts() {
    let Some(program) = program() else { return };
    let setosa = r#"{"species":"setosa","n":50,"sepal_length":5.006,"sepal_width":3.428,"petal_length":1.462,"petal_width":0.246}"#;
    let versicolor = r#"{"species":"versicolor","n":50,"sepal_length":5.936,"sepal_width":2.77,"petal_length":4.26,"petal_width":1.326}"#;
    let virginica = r#"{"species":"virginica","n":50,"sepal_length":6.588,"sepal_width":2.974,"petal_length":5.552,"petal_width":2.026}"#;
    program.check(&["means"], &format!("[{setosa},{versicolor},{virginica}]"));
    let table = program.run(&["--format", "table", "means"]).stdout;
    assert_eq!(
        table.lines().last(),
        Some("virginica   50         6.588        2.974         5.552        2.026")
    );
}

#[test]
fn each_language_alone() {
    let Some(program) = program() else { return };
    program.check(&["correlate", "[1, 2, 3]", "[2, 4, 7]"], "0.9933992677987828");
    let column = program.run(&["column", "petal_length"]).stdout;
    assert_eq!(column.split(',').count(), 150);
    // As R's summary(aov(Sepal.Length ~ Species, iris)) has it.
    let differ = program.run(&["differ", "sepal_length"]).stdout;
    assert!(differ.starts_with(r#"{"f":119.2645021845"#), "{differ}");
    let plot = program
        .run(&["--raw", "scatter", "petal_length", "petal_width", "-c", "40"])
        .stdout;
    assert_eq!(plot.lines().count(), 17, "{plot}");
    assert!(plot.contains("o setosa   + versicolor   x virginica"), "{plot}");
}

#[test]
fn a_record_is_given_as_options() {
    let Some(program) = program() else { return };
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
fn python_gets_a_function_of_cpp() {
    let Some(program) = program() else { return };
    let ran = program.run(&["accuracy"]);
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
    let Some(program) = program() else { return };
    fs::remove_dir(program.temp_dir()).unwrap();
    program.check(&["describe"], "\"sepals of 5.8 x 3 cm, petals of 4.35 x 1.3 cm\"");
    fs::create_dir(program.temp_dir()).unwrap();
}

#[test]
fn errors_show_one_stack_over_both_languages() {
    let Some(program) = program() else { return };
    let ran = program.check_error(
        &["classify", "-k", "0"],
        1,
        &["k is 0, expected 1 to 150", "stack, innermost first"],
    );
    let frames: Vec<Vec<&str>> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("    "))
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    assert_eq!(
        frames,
        [["cpp", "nearest"], ["loc", "classify"]],
        "{}",
        ran.stderr
    );
    // A callback: C++ has failed, Python gave it the flowers, the composition gave it to Python.
    let ran = program.check_error(&["accuracy", "-k", "0"], 1, &["k is 0, expected 1 to 149"]);
    let at = ["  cpp  nearest", "  py   judge", "  loc  accuracy"].map(|frame| ran.stderr.find(frame));
    assert!(at[0].is_some() && at.is_sorted(), "{}", ran.stderr);
}

#[test]
fn a_moved_program_runs() {
    let Some(program) = program() else { return };
    let moved = program.moved();
    let ran = finish(
        program
            .command_of(&moved, &["correlate", "[1,2,3]", "[2,4,7]"])
            .spawn()
            .unwrap(),
    );
    assert_eq!(ran.stdout, "0.9933992677987828\n", "{}", ran.stderr);
}
