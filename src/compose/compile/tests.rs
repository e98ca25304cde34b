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
    for text in [
        "vsum = sum . pmap sum",
        "vsum xs = sum (map (\\x -> x + 1) xs)",
        "vsum xs = let f y = (y, y) in (f xs, f 1)",
        "vsum = sum",
        "vsum xs = xs |> mean |> show",
    ] {
        let found = compile_text(&format!("module m (vsum)\n{HEAD}{text}\n"));
        match found {
            Ok(compiled) => {
                println!("{text}\n  {:?}", compiled.commands[0].body);
                for instance in &compiled.instances {
                    println!("  {instance:?}");
                }
            }
            Err(flaws) => println!("{text}\n  {flaws:?}"),
        }
    }
    let _ = Body::Remote(0);
}
