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
source Py from \"stats.py\" (\"mean\", \"pmap\", \"adults\", \"now\", \"same\")
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

#[test]
fn smoke() {
    for line in include_str!("/tmp/messages.txt").lines() {
        let text = line.replace(";;", "\n");
        match compile_text(&format!("module m (f)\n{HEAD}{text}\n")) {
            Ok(compiled) => println!(
                "OK {text}\n  {:?}",
                compiled
                    .commands
                    .first()
                    .map(|command| (&command.params, &command.returns))
            ),
            Err(flaws) => {
                println!("{text}");
                for flaw in flaws {
                    println!(
                        "   {}:{}+{} {} | {}",
                        flaw.place.line as i32 - 3,
                        flaw.place.column,
                        flaw.len,
                        flaw.message,
                        flaw.hint.unwrap_or_default()
                    );
                }
            }
        }
    }
    let _ = Body::Remote(0);
}
