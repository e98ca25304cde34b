//! An error as people read it on standard error: the sentence, where it happened, what was lost with it, the stack across
//! languages, and last what to try. Decides nothing about the run but its exit code.

use crate::cli::page::text_width;
use crate::cli::style::Style;
use crate::error::{Error, TraceEntry};
use std::io::Write;
use std::process::ExitCode;

/// Prints an error of that program and returns the exit code of its kind.
pub fn print(program: &str, error: &Error) -> ExitCode {
    let mut stderr = std::io::stderr();
    let text = text(program, error, Style::of(&stderr));
    // Where standard error can't be written, the exit code still tells.
    let _ = stderr.write_all(text.as_bytes());
    ExitCode::from(error.exit_code())
}

/// The report of an error.
pub fn text(program: &str, error: &Error, style: Style) -> String {
    let mut sentence = error.message.lines();
    let first = sentence.next().unwrap_or_default();
    let mut out = format!(
        "{} {} {first}\n",
        style.bold(&format!("{program}:")),
        style.red("error:")
    );
    for more in sentence {
        line(&mut out, more);
    }
    if let Some(place) = &error.place {
        line(&mut out, &format!("at {place}"));
    }
    let setting = setting(error);
    if !setting.is_empty() {
        line(&mut out, &format!("in {setting}"));
    }
    trace(&mut out, &error.trace, style);
    if !error.stderr_tail.is_empty() {
        line(&mut out, &style.dim("last lines of its standard error:"));
        for tail in &error.stderr_tail {
            line(&mut out, &format!("  {tail}"));
        }
    }
    if let Some(hint) = &error.hint {
        for (position, hint) in hint.lines().enumerate() {
            match position {
                0 => line(&mut out, &format!("{} {hint}", style.bold("hint:"))),
                _ => line(&mut out, &format!("      {hint}")),
            }
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str("  ");
    out.push_str(text);
    out.push('\n');
}

/// Who ran what: `pool py, command mean, function mean, process 71`.
fn setting(error: &Error) -> String {
    let named = [
        ("pool", &error.pool),
        ("command", &error.command),
        ("function", &error.function),
    ];
    let mut parts: Vec<String> = named
        .into_iter()
        .filter_map(|(word, name)| name.as_ref().map(|name| format!("{word} {name}")))
        .collect();
    parts.extend(error.pid.map(|pid| format!("process {pid}")));
    parts.join(", ")
}

fn trace(out: &mut String, trace: &[TraceEntry], style: Style) {
    if trace.is_empty() {
        return;
    }
    let widest = |column: fn(&TraceEntry) -> &str| trace.iter().map(|entry| text_width(column(entry))).max();
    let lang_width = widest(|entry| &entry.lang).unwrap_or(0);
    let function_width = widest(|entry| &entry.function)
        .unwrap_or(0)
        .min(FUNCTION_WIDTH_MAX);
    line(out, &style.dim("stack, innermost first:"));
    for entry in trace {
        let place = match (entry.file.as_str(), entry.line) {
            ("", _) => String::new(),
            (file, 0) => file.to_string(),
            (file, number) => format!("{file}:{number}"),
        };
        let row = format!(
            "  {}  {}  {place}",
            pad(&entry.lang, lang_width),
            pad(&entry.function, function_width)
        );
        line(out, row.trim_end());
    }
}

/// Functions with longer names (C++ templates) push their place to the right alone.
const FUNCTION_WIDTH_MAX: usize = 40;

fn pad(text: &str, width: usize) -> String {
    let spaces = width.saturating_sub(text_width(text));
    format!("{text}{}", " ".repeat(spaces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn check(error: &Error, expected: &str) {
        assert_eq!(text("stats", error, Style::PLAIN), expected);
    }

    #[test]
    fn only_what_is_known() {
        check(
            &Error::new(Kind::Usage, "no such command"),
            "stats: error: no such command\n",
        );
        check(
            &Error::new(
                Kind::BadArgument,
                "argument XS: expected a number, found a string",
            )
            .at("xs[3].age")
            .hint("write a number\nor null"),
            "stats: error: argument XS: expected a number, found a string\n  at xs[3].age\n  hint: write a number\n        or null\n",
        );
    }

    #[test]
    fn all_that_is_known() {
        let entry = |lang: &str, function: &str, file: &str, line| TraceEntry {
            lang: lang.into(),
            function: function.into(),
            file: file.into(),
            line,
        };
        let mut error = Error::new(Kind::Terminated, "worker died while it ran mean").pool("py");
        error.command = Some("mean".into());
        error.pid = Some(71);
        error.signal = Some(11);
        error.exit_code = Some(3);
        error.stderr_tail = vec!["one".into(), "two".into()];
        error.trace = vec![
            entry("py", "mean", "stats.py", 4),
            entry("cpp", "f", "", 0),
            entry("py", "g", "a.py", 0),
        ];
        check(
            &error,
            "stats: error: worker died while it ran mean
  in pool py, command mean, process 71
  stack, innermost first:
    py   mean  stats.py:4
    cpp  f
    py   g     a.py
  last lines of its standard error:
    one
    two
",
        );
    }
}
