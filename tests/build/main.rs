//! `nexus new` and `nexus build` by the real binary: folders of sources become programs that run, and what is wrong with them
//! is told. Languages whose tools are missing are left out, and said to be.

mod folder;
#[path = "../harness/mod.rs"]
mod harness;
mod languages;

use folder::Folder;
use harness::{NEXUS, has, search_path};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

const PYTHON: &str = r#""""Numbers."""

def mean(xs: list[float]) -> float:
    """Arithmetic mean.

    Args:
        xs: The numbers
    """
    return sum(xs) / len(xs)

def _hidden(xs: list[float]) -> float: return 0.0
def untyped(xs): return xs
"#;

const CPP: &str = "#include <algorithm>
#include <vector>
// The largest of numbers.
// largest :: [Real] -> Real
double largest(const std::vector<double>& xs) { return *std::max_element(xs.begin(), xs.end()); }
";

#[test]
fn a_folder_becomes_a_program() {
    let folder = Folder::new(&[("numbers.py", PYTHON)]);
    folder.build(&["stats"], "built stats: 1 command in py");
    folder.check(&["mean", "[1, 2, 3]"], "2");
    let help = folder.run("stats/stats", &["--help"]).stdout;
    assert!(
        help.contains("Arithmetic mean.") && !help.contains("untyped") && !help.contains("hidden"),
        "{help}"
    );
    let ran = folder.run(NEXUS, &["check", "stats/stats"]);
    assert_eq!(
        ran.stdout, "stats/stats: ok, 1 command, 1 pool\n",
        "{}",
        ran.stderr
    );
}

#[test]
fn what_is_built_is_built_once() {
    let folder = Folder::new(&[
        ("numbers.py", PYTHON),
        ("old.py", "def old(x: int) -> int: return x\n"),
    ]);
    folder.build(&["stats"], "built stats: 2 commands in py");
    let kept = folder.dir.join("stats/stats.pools/numbers.py");
    let before = fs::metadata(&kept).unwrap().ino();
    folder.build(&["stats"], "stats is up to date");
    // What has changed, what is new and what is gone.
    fs::remove_file(folder.dir.join("stats/old.py")).unwrap();
    folder.file("more/new.py", "");
    folder.file(
        "other.py",
        "import more.new\ndef twice(x: int) -> int: return 2 * x\n",
    );
    folder.build(&["stats"], "built stats: 2 commands in py");
    assert!(!folder.has("stats.pools/old.py") && folder.has("stats.pools/more/new.py"));
    assert_eq!(fs::metadata(&kept).unwrap().ino(), before);
    folder.check(&["twice", "4"], "8");
    fs::remove_dir_all(folder.dir.join("stats/more")).unwrap();
    folder.file("other.py", "def twice(x: int) -> int: return 3 * x\n");
    folder.build(&["stats"], "built stats: 2 commands in py");
    assert!(!folder.has("stats.pools/more"));
    folder.check(&["twice", "4"], "12");
    // Whatever somebody did to it is made good.
    fs::remove_file(folder.dir.join("stats/stats")).unwrap();
    fs::write(folder.dir.join("stats/stats.pools/pool.py"), "").unwrap();
    folder.build(&["stats"], "built stats: 2 commands in py");
    folder.check(&["twice", "4"], "12");
    folder.build(&["stats"], "stats is up to date");
}

#[test]
fn the_program_can_be_moved() {
    let folder = Folder::new(&[("numbers.py", PYTHON)]);
    folder.build(&["stats", "-o", "here"], "built here: 1 command in py");
    let away = folder.dir.join("away and far");
    fs::create_dir(&away).unwrap();
    for part in ["here", "here.manifest", "here.pools"] {
        fs::rename(folder.dir.join(part), away.join(part)).unwrap();
    }
    fs::remove_dir_all(folder.dir.join("stats")).unwrap();
    folder.check_at("away and far/here", &["mean", "[1, 2, 3]"], "2");
    // By a link, and by a link in PATH.
    fs::create_dir(folder.dir.join("bin")).unwrap();
    symlink("../away and far/here", folder.dir.join("bin/linked")).unwrap();
    folder.check_at("bin/linked", &["mean", "[1, 2, 3]"], "2");
    let mut shell = Command::new("sh");
    shell.args(["-c", "linked mean '[1, 2, 3]'"]).current_dir("/");
    let path = format!("{}:{}", folder.dir.join("bin").display(), folder.path);
    let output = shell.env("PATH", path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2\n", "{output:?}");
    // As a copy.
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(&away).arg(folder.dir.join("copy"));
    assert!(copy.status().unwrap().success());
    folder.check_at("copy/here", &["mean", "[1, 2, 3]"], "2");
}

#[test]
fn files_and_names_can_be_chosen() {
    let folder = Folder::new(&[
        ("numbers.py", PYTHON),
        (
            "user.py",
            "import beside\ndef twice(x: int) -> int: return beside.twice(x)\n",
        ),
        ("beside.py", "def twice(x: int) -> int: return 2 * x\n"),
    ]);
    folder.build(&["stats/user.py"], "built user: 1 command in py");
    folder.check_at("user", &["twice", "4"], "8");
    assert!(
        folder.dir.join("user.pools/beside.py").exists()
            && !folder.dir.join("user.pools/numbers.py").exists()
    );
    folder.build(
        &["stats/numbers.py", "stats/user.py", "-o", "stats/both"],
        "built both: 2 commands in py",
    );
    folder.check_at("stats/both", &["mean", "[3]"], "3");
    folder.fail(&["gone"], 2, &["can't read gone: no such file or directory"]);
    folder.fail(&["stats/stats.txt"], 2, &["can't read"]);
    folder.fail(
        &["stats", "-o", "nexus"],
        2,
        &["can't have the name nexus", "-o NAME"],
    );
    folder.fail(&["stats", "-o", "nowhere/x"], 2, &["can't read nowhere"]);
    folder.fail(&["stats", "-o", "-x"], 2, &["can't have the name '-x'"]);
}

#[test]
fn nobody_s_files_are_written_over() {
    let folder = Folder::new(&[("numbers.py", PYTHON)]);
    for (taken, shown) in [
        ("stats", "stats/stats is there"),
        ("stats.manifest", "stats.manifest is there"),
        ("stats.pools/x", "stats.pools is there"),
    ] {
        folder.file(taken, "mine");
        folder.fail(&["stats"], 2, &[shown, "-o NAME"]);
        assert_eq!(folder.read(taken), "mine");
        fs::remove_file(folder.dir.join("stats").join(taken)).unwrap();
    }
    folder.build(&["stats"], "built stats: 1 command in py");
    folder.file("pool.py", "");
    folder.fail(
        &["stats"],
        2,
        &["pool.py is a source, but a file of that name is written"],
    );
}

#[test]
fn builds_are_the_same_everywhere() {
    let files = [
        ("numbers.py", PYTHON),
        ("fast.cpp", CPP),
        ("note.txt", "x"),
        (
            "up.js",
            "/** @param {string} s\n * @returns {string} */\nfunction up(s) { return s; }\n",
        ),
    ];
    let languages = if has(&["c++"]) { &files[..] } else { &files[..1] };
    let (one, two) = (Folder::new(languages), Folder::new(languages));
    for folder in [&one, &two] {
        assert_eq!(folder.run(NEXUS, &["build", "stats"]).code, Some(0));
    }
    let mut names: Vec<String> = fs::read_dir(one.dir.join("stats/stats.pools"))
        .unwrap()
        .map(|entry| {
            format!(
                "stats.pools/{}",
                entry.unwrap().file_name().into_string().unwrap()
            )
        })
        .collect();
    assert!(
        names.len() > 3 && names.contains(&"stats.pools/.build".to_string()),
        "{names:?}"
    );
    names.push("stats.manifest".into());
    for name in names {
        let content = |folder: &Folder| fs::read(folder.dir.join("stats").join(&name)).unwrap();
        assert!(content(&one) == content(&two), "{name} differs");
    }
}

#[test]
fn a_build_that_fails_leaves_the_program() {
    let folder = Folder::new(&[("numbers.py", PYTHON)]);
    folder.build(&["stats"], "built stats: 1 command in py");
    folder.file(
        "numbers.py",
        "def mean(xs: list[float]) -> float: return 7\ndef bad(x: Gone) -> int: return 1\n",
    );
    folder.fail(
        &["stats"],
        3,
        &[
            "nexus: error: the type Gone has no form",
            "at numbers.py:2:12",
            "2 | def bad(x: Gone)",
            "^^^^",
            "stats was not built, for its sources have an error",
        ],
    );
    folder.check(&["mean", "[1, 2, 3]"], "2");
    if has(&["c++"]) {
        folder.file("numbers.py", "def mean(xs: list[float]) -> float: return 7\n");
        folder.file("fast.cpp", &CPP.replace("max_element", "no_such"));
        folder.fail(
            &["stats"],
            3,
            &[
                "fast.cpp:5:",
                "no_such",
                "fast.cpp can't be compiled",
                "by: c++ -std=c++17",
            ],
        );
        folder.check(&["mean", "[1, 2, 3]"], "2");
        assert!(!folder.has("stats.pools/.new"));
    }
    // One that never was leaves nothing.
    folder.fail(&["stats", "-o", "other"], if has(&["c++"]) { 3 } else { 4 }, &[]);
    assert!(!folder.dir.join("other.pools").exists());
}

#[test]
fn what_is_wrong_is_told() {
    let check = |files: &[(&str, &str)], code: i32, parts: &[&str]| {
        let folder = Folder::new(files);
        folder.fail(&["stats"], code, parts);
        assert!(!folder.has("stats") && !folder.has("stats.pools"));
    };
    check(&[], 2, &["there is no source in", "nexus new"]);
    check(
        &[("a.py", "def f(x): return x\n")],
        2,
        &["no function in", "it takes a signature"],
    );
    check(
        &[
            ("a.py", PYTHON),
            ("b.R", "# mean :: [Real] -> Real\nmean <- function(xs) 1\n"),
        ],
        3,
        &[
            "two functions have the name mean: this, and the one at a.py:3",
            "at b.R:2:1",
            "2 | mean <- function(xs) 1",
            "^^^^",
            "hint: rename one",
        ],
    );
    check(
        &[("a.loc", "module a (f)\n"), ("b.loc", "")],
        2,
        &["a.loc and b.loc are two compositions"],
    );
    check(
        &[
            ("a.loc", "module a (f)\nsource Py from \"aa.py\" (\"f\")\n"),
            ("a.py", PYTHON),
        ],
        3,
        &[
            "there is no source 'aa.py'",
            "at a.loc:2:16",
            "did you mean \"a.py\"?",
        ],
    );
    check(
        &[
            ("a.loc", "module a (f)\nsource R from \"a.py\" (\"f\")\n"),
            ("a.py", PYTHON),
        ],
        3,
        &["'a.py' is a source in Python, not in R"],
    );
    check(&[("a.loc", "x = 1\n")], 2, &["a.loc exports nothing"]);
    check(&[("a.loc", "module a (f\n")], 3, &["a.loc:1:"]);
}

#[test]
fn interpreters_are_looked_at() {
    let mut folder = Folder::new(&[("numbers.py", PYTHON)]);
    folder.path = folder.dir.join("bin").display().to_string();
    let ran = folder.build(&["stats"], "built stats: 1 command in py");
    assert!(
        ran.stderr.contains("nexus: warning: there is no python3 in PATH")
            && ran.stderr.contains("apt install python3"),
        "{}",
        ran.stderr
    );
    // A shim, as version managers have them.
    let shim = folder.dir.join("bin/python3");
    fs::create_dir(folder.dir.join("bin")).unwrap();
    fs::write(&shim, "#!/bin/sh\nexec pyenv exec python3 \"$@\"\n").unwrap();
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();
    folder.path = format!("{}:{}", folder.path, search_path());
    let ran = folder.build(&["stats"], "stats is up to date");
    assert!(
        ran.stderr
            .contains("bin/python3, which only looks for the interpreter"),
        "{}",
        ran.stderr
    );
}
