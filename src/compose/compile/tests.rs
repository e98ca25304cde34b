//! Compositions as text, compiled: what becomes of them, and what is said of what is wrong.

use super::*;
use crate::compose::compiled::Body;
use crate::compose::parser::parse;
use crate::source;

/// The sources that the compositions below take functions from.
fn libraries() -> Vec<(&'static str, &'static str, Library)> {
    let python = "\
record Person = Person { name :: Str, age :: Int }
mean :: [Real] -> Real
pmap :: (a -> b) -> [a] -> [b]
adults :: [Person] -> [Person]
now :: Real
same :: a -> a
";
    let cpp = "sum :: [Real] -> Real\nadd :: Real -> Real -> Real\nhead :: I32 -> ?Str\n";
    let library = |text: &str| {
        let mut library = Library::default();
        for line in text.lines() {
            let place = crate::source::signature::Place { line: 1, column: 1 };
            if line.starts_with("record") {
                library
                    .records
                    .push(source::notation::parse_record(line, place, &mut Vec::new()).unwrap());
            } else {
                library
                    .functions
                    .push(source::notation::parse_signature(line, place, &mut Vec::new()).unwrap());
            }
        }
        library
    };
    vec![
        ("stats.py", "py", library(python)),
        ("fast.cpp", "cpp", library(cpp)),
    ]
}

/// Sources all that there is.
const HEAD: &str = "\
source Py from \"stats.py\" (\"mean\", \"pmap\" as each, \"adults\", \"now\", \"same\")
source Cpp from \"fast.cpp\" (\"sum\", \"add\", \"head\")
";

fn compile_text(text: &str) -> Result<Compiled, Vec<Flaw>> {
    let module = parse(text)?;
    let libraries = libraries();
    let sourced: Vec<Sourced> = libraries
        .iter()
        .map(|(file, lang, library)| Sourced { file, lang, library })
        .collect();
    compile("m.loc", &module, &sourced)
}

/// A text behind what all have in common.
fn with_head(text: &str) -> String {
    format!("module m (f)\n{HEAD}{text}\n")
}

/// Flaws as lines: the place, counted from where the text begins that is theirs alone, the length, and what is said.
fn said(flaws: &[Flaw]) -> String {
    let lines = flaws.iter().map(|flaw| {
        let (line, column) = (flaw.place.line as i64 - 3, flaw.place.column);
        let hint = flaw
            .hint
            .iter()
            .map(|hint| format!(" ({hint})"))
            .collect::<String>();
        format!("{line}:{column}+{}: {}{hint}", flaw.len, flaw.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Compositions, a line or several, each with what is said of it behind `! `.
#[test]
fn messages() {
    for block in include_str!("messages.txt").split("\n\n") {
        let (said_of_it, text): (Vec<&str>, Vec<&str>) =
            block.lines().partition(|line| line.starts_with("! "));
        let found = match compile_text(&with_head(&text.join("\n"))) {
            Ok(compiled) => said(&compiled.warnings),
            Err(flaws) => said(&flaws),
        };
        let expected: Vec<&str> = said_of_it.iter().map(|line| &line[2..]).collect();
        assert_eq!(found, expected.join("\n"), "{}", text.join("\n"));
    }
}

/// Compositions, each with the commands and expressions that come of it.
#[test]
fn expressions() {
    for block in include_str!("expressions.txt").split("\n\n") {
        let (written, text): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.starts_with("= "));
        let text = text.join("\n");
        let compiled = compile_text(&with_head(&text));
        let compiled = compiled.unwrap_or_else(|flaws| panic!("{text}\n{}", said(&flaws)));
        let mut found = Vec::new();
        for command in &compiled.commands {
            let takes = command.arg_schemas.join(" -> ");
            let internal = if command.is_internal { " internal" } else { "" };
            let (body, expr) = match &command.body {
                Body::Remote(instance) => (format!("instance {instance}"), None),
                Body::Pure(expr) => ("pure".to_string(), Some(expr)),
                Body::Composed { expr, needed_pools } => (format!("composed {needed_pools:?}"), Some(expr)),
            };
            found.push(format!(
                "= {} :: {takes} -> {}:{internal} {body}",
                command.name, command.return_schema
            ));
            found.extend(expr.map(|expr| format!("= {expr}")));
        }
        for instance in &compiled.instances {
            let takes = instance.arg_schemas.join(" -> ");
            let pool = &compiled.pools[instance.pool];
            found.push(format!(
                "= {} {} {} :: {takes} -> {} at once {}",
                pool.lang, instance.mid, instance.function, instance.return_schema, pool.at_once
            ));
        }
        assert_eq!(found, written, "{text}");
    }
}
