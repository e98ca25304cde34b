//! What the tests of the readers share: a library as text.

use super::signature::{Exports, Flaw, Library};
use super::{read, read_loosely};
use std::fmt::Write;

fn told(flaw: &Flaw) -> String {
    let hint = flaw
        .hint
        .iter()
        .map(|hint| format!(" ({hint})"))
        .collect::<String>();
    format!(
        "{}:{}+{} {}{hint}\n",
        flaw.place.line, flaw.place.column, flaw.len, flaw.message
    )
}

/// All that is read: the place of each function, the names of its parameters (a star: by name only), and what it prints as.
pub(super) fn shown(lang: &str, text: &str) -> String {
    library_shown(read(lang, text))
}

fn library_shown(read: Result<Library, Vec<Flaw>>) -> String {
    let library = match read {
        Ok(library) => library,
        Err(flaws) => return flaws.iter().map(|flaw| format!("error {}", told(flaw))).collect(),
    };
    let mut out = String::new();
    for function in &library.functions {
        let params = function
            .params
            .iter()
            .map(|param| match (&param.name, param.is_keyword) {
                (Some(name), true) => format!("*{name}"),
                (Some(name), false) => name.clone(),
                (None, _) => "_".to_string(),
            });
        let params: Vec<String> = params.collect();
        let _ = write!(
            out,
            "{}:{} ({})\n{function}",
            function.place.line,
            function.place.column,
            params.join(", ")
        );
    }
    for record in &library.records {
        let _ = write!(out, "{record}");
    }
    if !library.flags.is_empty() {
        let _ = writeln!(out, "flags {}", library.flags.join(" "));
    }
    if library.exports != Exports::Nothing {
        let _ = writeln!(out, "{:?}", library.exports);
    }
    for mention in &library.mentions {
        let _ = writeln!(
            out,
            "names {} at {}:{}",
            mention.name, mention.place.line, mention.place.column
        );
    }
    for warning in &library.warnings {
        let _ = write!(out, "warning {}", told(warning));
    }
    out
}

/// A source and all that is read from it.
pub(super) fn check(lang: &str, text: &str, expected: &str) {
    let found = shown(lang, text);
    assert_eq!(
        found.trim_end(),
        expected.trim_end(),
        "\n--- of\n{text}\n--- found\n{found}\n---"
    );
}

fn check_loosely(lang: &str, text: &str, expected: &str) {
    let found = library_shown(read_loosely(lang, text));
    assert_eq!(found.trim_end(), expected, "--- of\n{text}");
}

#[test]
fn functions_of_python_need_no_types() {
    check_loosely("py", "def f(a, b): pass", "1:5 (a, b)\nf :: Json -> Json -> Json");
    check_loosely(
        "py",
        "def f(a: int, b: Any = 1, *rest, **more) -> Frame: pass",
        "1:5 (a, b)\nf ::\n  Int ->\n  --' arg: -b\n  --' default: 1\n  Json ->\n  Json",
    );
    check_loosely(
        "py",
        "async def f(a: str) -> str: pass",
        "1:11 (a)\nf :: Str -> Str",
    );
    check_loosely("py", "def _f(a): pass", "");
    // What only Python can fill in, it fills in.
    check_loosely("py", "def f(a, b=object()): pass", "1:5 (a)\nf :: Json -> Json");
}

#[test]
fn functions_of_javascript_need_no_types() {
    let check = |text: &str, expected: &str| {
        check_loosely("js", text, &format!("{expected}\nCommonJs"));
    };
    check(
        "function f(a, ...b) {}\nmodule.exports = { f };",
        "1:10 (a)\nf :: Json -> Json",
    );
    check("exports.f = async (a) => a;", "1:9 (a)\nf :: Json -> Json");
    check(
        "module.exports = { f: function (a) {}, g(b) {}, async h() {}, i: async c => c, j: 1, k: function* () {} };",
        "1:20 (a)\nf :: Json -> Json\n1:40 (b)\ng :: Json -> Json\n1:55 ()\nh :: Json\n1:63 (c)\ni :: Json -> Json",
    );
}
