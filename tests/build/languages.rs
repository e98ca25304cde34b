//! What the pools of each language get and give, and how they are loaded; programs of several.

use crate::folder::Folder;
use crate::harness::{NEXUS, has};
use crate::{CPP, PYTHON};
use std::fs;
use std::path::Path;
use std::process::Command;

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
