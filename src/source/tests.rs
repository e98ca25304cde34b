//! What the tests of the readers share: a library as text.

use super::read;
use super::signature::{Exports, Flaw};
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
    let library = match read(lang, text) {
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
