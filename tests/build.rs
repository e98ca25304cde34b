//! `nexus new` and `nexus build` by the real binary: folders of sources become programs that run, and what is wrong with them
//! is told. Languages whose tools are missing are left out, and said to be.

mod harness;

use harness::{NEXUS, Ran, finish, has, search_path};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder with sources.
struct Folder {
    dir: PathBuf,
    /// What is in PATH.
    path: String,
}

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!(
            "nexus-build-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = Folder {
            dir: std::env::temp_dir().join(unique),
            path: search_path(),
        };
        fs::create_dir_all(folder.dir.join("stats")).unwrap();
        files.iter().for_each(|(path, text)| folder.file(path, text));
        folder
    }

    /// Writes a file of the program `stats`.
    fn file(&self, path: &str, text: &str) {
        let path = self.dir.join("stats").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.join("stats").join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.dir.join("stats").join(path).exists()
    }

    /// Runs a program in the folder above the sources.
    fn run(&self, program: impl AsRef<Path>, args: &[&str]) -> Ran {
        let mut command = Command::new(self.dir.join(program));
        command
            .args(args)
            .current_dir(&self.dir)
            .env("PATH", &self.path)
            .env_remove("NO_COLOR");
        command.env_remove("CXX").env_remove("NEXUS_CXXFLAGS");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    }

    /// Builds, and expects success and the last line that it says.
    fn build(&self, args: &[&str], said: &str) -> Ran {
        let words: Vec<&str> = ["build"].iter().chain(args).copied().collect();
        let ran = self.run(NEXUS, &words);
        let last = ran.stderr.lines().last().unwrap_or_default();
        assert_eq!(
            (ran.code, last.split(';').next()),
            (Some(0), Some(said)),
            "{}",
            ran.stderr
        );
        ran
    }

    /// Builds in vain, and expects that code and those parts of what is said.
    fn fail(&self, args: &[&str], code: i32, parts: &[&str]) -> Ran {
        let words: Vec<&str> = ["build"].iter().chain(args).copied().collect();
        let ran = self.run(NEXUS, &words);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(code), ""),
            "{}",
            ran.stderr
        );
        for part in parts {
            assert!(ran.stderr.contains(part), "'{part}' is not in:\n{}", ran.stderr);
        }
        ran
    }

    /// Runs the program and expects a result.
    fn check(&self, args: &[&str], stdout: &str) {
        self.check_at("stats/stats", args, stdout);
    }

    fn check_at(&self, program: &str, args: &[&str], stdout: &str) {
        let ran = self.run(program, args);
        assert_eq!(
            (ran.code, ran.stdout.trim_end()),
            (Some(0), stdout),
            "{args:?}: {}",
            ran.stderr
        );
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

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

#[test]
fn python_gets_what_it_asks_for() {
    let source = r#"
from dataclasses import dataclass
from typing import NamedTuple, Optional

@dataclass
class Person:
    name: str
    age: Optional[int] = None

class Pair(NamedTuple):
    left: float
    right: float

def older(person: Person, *, years: int, loud: bool = False) -> Person:
    name = person.name.upper() if loud else person.name
    return Person(name, (person.age or 0) + years)

def swap(pairs: list[Pair]) -> list[Pair]:
    return [Pair(pair.right, pair.left) for pair in pairs]

def table() -> str:
    import os
    with open(os.path.join(os.path.dirname(__file__), "data", "table.csv")) as file:
        return file.read()

def fail(x: int) -> int:
    raise ValueError("no")
"#;
    let folder = Folder::new(&[
        ("people.py", source),
        ("data/table.csv", "1,2"),
        ("data/other.csv", ""),
    ]);
    folder.build(&["stats"], "built stats: 4 commands in py");
    folder.check(
        &["older", r#"{"name": "x", "age": 3}"#, "--years", "2", "--loud"],
        r#"{"name":"X","age":5}"#,
    );
    folder.check(
        &["swap", r#"[{"left": 1, "right": 2}]"#],
        r#"[{"left":2,"right":1}]"#,
    );
    folder.check(&["table"], "\"1,2\"");
    assert!(!folder.has("stats.pools/data/other.csv"));
    let ran = folder.run("stats/stats", &["fail", "1"]);
    assert!(ran.stderr.contains("people.py:27"), "{}", ran.stderr);
    // What can't be loaded is told with its place when it is started.
    folder.file("people.py", "import gone\ndef f(x: int) -> int: return x\n");
    folder.build(&["stats"], "built stats: 1 command in py");
    let ran = folder.run("stats/stats", &["f", "1"]);
    assert!(
        ran.code == Some(4)
            && ran.stderr.contains("people.py\", line 1")
            && ran.stderr.contains("No module named 'gone'"),
        "{}",
        ran.stderr
    );
}

#[test]
fn modules_are_found_wherever_they_lie() {
    let folder = Folder::new(&[
        (
            "main.loc",
            "module main (one, two, three)\nsource Py from \"sub/one.py\" (\"one\")\nsource Py from \"pack/two.py\" (\"two\")\nsource Py from \"my-three.py\" (\"three\")\n",
        ),
        ("sub/one.py", "import near\ndef one() -> int: return near.X\n"),
        ("sub/near.py", "X = 1\n"),
        ("pack/__init__.py", ""),
        (
            "pack/two.py",
            "from . import near\ndef two() -> int: return near.X\n",
        ),
        ("pack/near.py", "X = 2\n"),
        ("my-three.py", "def three() -> int: return 3\n"),
    ]);
    folder.build(&["stats"], "built stats: 3 commands in py");
    for (name, result) in [("one", "1"), ("two", "2"), ("three", "3")] {
        folder.check(&[name], result);
    }
}

#[test]
fn cpp_in_all_its_forms() {
    if !has(&["c++"]) {
        return;
    }
    let header = r#"#pragma once
#include <string>
#include <vector>
namespace geo {
// record Point = Point { x :: Real, y :: Real }
struct Point { double x, y; };
// The middle of points.
// centre :: [Point] -> Point
Point centre(const std::vector<Point>& all);
// twice :: Int -> Int
inline long twice(long x) { return 2 * x; }
inline double twice(double x) { return 3 * x; }
// biggest :: [Real] -> Real
template <class T> T biggest(const std::vector<T>& xs) {
    T best = xs.at(0);
    for (T x : xs) best = x > best ? x : best;
    return best;
}
}
"#;
    let body = "#include \"geo.hpp\"
#include \"../outside.hpp\"
geo::Point geo::centre(const std::vector<geo::Point>& all) {
    Point sum{};
    for (const Point& point : all) sum.x += point.x, sum.y += point.y;
    return {sum.x / all.size() + EXTRA + OUTSIDE, sum.y / all.size()};
}
";
    let bare = "// record Name = Name { first :: Str, last :: ?Str }
// flags: -DEXTRA=1
// greet :: Name -> Str
std::string greet(const Name& name) { return name.first + name.last.value_or(\"\"); }
";
    let folder = Folder::new(&[
        ("geo.hpp", header),
        ("geo.cpp", body),
        ("bare.cpp", bare),
        ("test.cpp", "int main() {}"),
    ]);
    fs::write(folder.dir.join("outside.hpp"), "#define OUTSIDE 0\n").unwrap();
    folder.build(&["stats"], "built stats: 4 commands in cpp");
    folder.check(
        &["centre", r#"[{"x": 1, "y": 2}, {"x": 3, "y": 2}]"#],
        r#"{"x":3,"y":2}"#,
    );
    folder.check(&["twice", "4"], "8");
    folder.check(&["biggest", "[1, 4, 2]"], "4");
    folder.check(&["greet", r#"{"first": "Ann"}"#], "\"Ann\"");
    folder.build(&["stats"], "stats is up to date");
    // What lies outside of the folder counts as well.
    fs::write(folder.dir.join("outside.hpp"), "#define OUTSIDE 5\n").unwrap();
    folder.build(&["stats"], "built stats: 4 commands in cpp");
    folder.check(&["centre", r#"[{"x": 1, "y": 2}]"#], r#"{"x":7,"y":2}"#);
}

#[test]
fn missing_compilers_are_named() {
    let mut folder = Folder::new(&[("fast.cpp", CPP)]);
    folder.path = "/nowhere".into();
    folder.fail(&["stats"], 4, &["there is no c++ in PATH", "apt install g++"]);
    folder.file("fast.cpp", "");
    folder.file("f.R", "# f :: Real -> Real\nf <- function(x) x\n");
    folder.fail(
        &["stats"],
        4,
        &["there is no R in PATH", "apt install r-base-dev"],
    );
    assert!(!folder.has("stats.pools"));
}

#[test]
fn javascript_in_all_its_forms() {
    if !has(&["node"]) {
        return;
    }
    let doc = "/**\n * @param {number} x\n * @returns {number}\n */\n";
    let folder = Folder::new(&[
        ("plain.js", &format!("{doc}function one(x) {{ return x + 1; }}\n")),
        (
            "common.cjs",
            &format!("{doc}function two(x) {{ return x + 2; }}\nmodule.exports = {{ two }};\n"),
        ),
        (
            "module.mjs",
            &format!("{doc}export function three(x) {{ return x + 3; }}\n"),
        ),
        // It tells node of files that the program doesn't have.
        ("package.json", "{\"type\": \"module\"}"),
    ]);
    folder.build(&["stats"], "built stats: 3 commands in js");
    for (name, result) in [("one", "2"), ("two", "3"), ("three", "4")] {
        folder.check(&[name, "1"], result);
    }
    folder.file(
        "module.js",
        &format!("import './plain.js';\n{doc}export function four(x) {{ return x + 4; }}\n"),
    );
    folder.fail(
        &["stats"],
        2,
        &["module.js is an ES module and plain.js is none", ".mjs or .cjs"],
    );
    folder.file("plain.js", "");
    folder.build(&["stats"], "built stats: 3 commands in js");
    folder.check(&["four", "1"], "5");
}

#[test]
fn a_new_program_explains_itself_and_runs() {
    let folder = Folder::new(&[]);
    let mut languages = vec!["py"];
    let others = [("c++", "cpp"), ("R", "r"), ("node", "js")];
    languages.extend(others.iter().filter(|other| has(&[other.0])).map(|other| other.1));
    let ran = folder.run(NEXUS, &["new", "small", "--lang", &languages.join(",")]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((ran.code, lines.len()), (Some(0), 2), "{}", ran.stderr);
    // Each of the two lines is typed as it is.
    for line in &lines {
        let mut shell = Command::new("sh");
        let nexus = Path::new(NEXUS).parent().unwrap().display();
        shell
            .args(["-c", line])
            .current_dir(&folder.dir)
            .env("PATH", format!("{nexus}:{}", folder.path));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }
    folder.check_at(
        "small/small",
        &["describe", "[1, 2]"],
        r#"{"count":2,"least":1,"most":2}"#,
    );
    let ran = folder.run(NEXUS, &["new", "small"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("small is not empty"),
        "{}",
        ran.stderr
    );
    let ran = folder.run(NEXUS, &["new", "other", "--lang", "pyy"]);
    assert!(
        ran.code == Some(2) && ran.stderr.contains("did you mean py?"),
        "{}",
        ran.stderr
    );
    assert!(!folder.dir.join("other").exists());
}

#[test]
fn compositions_join_languages() {
    if !has(&["c++"]) {
        return;
    }
    let folder = Folder::new(&[
        (
            "stats.loc",
            "--' Sums of sums.\nmodule stats (vsum, mean)\nsource Py from \"numbers.py\" (\"mean\", \"apply_all\")\nsource Cpp from \"fast.cpp\" (\"largest\")\n\n--' The mean of the largest.\nvsum :: [[Real]] -> Real\nvsum = mean . apply_all largest\n",
        ),
        (
            "numbers.py",
            &format!(
                "{PYTHON}\n# apply_all :: ([Real] -> Real) -> [[Real]] -> [Real]\ndef apply_all(f, rows): return [f(row) for row in rows]\n"
            ),
        ),
        ("fast.cpp", CPP),
    ]);
    folder.build(&["stats"], "built stats: 2 commands in cpp, py");
    folder.check(&["vsum", "[[1, 3], [5]]"], "4");
    folder.check(&["mean", "[1, 3]"], "2");
}
