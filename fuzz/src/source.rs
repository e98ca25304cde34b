//! Fuzzed sources: a reader takes any text or says where it is wrong, and whatever it reads prints and reads back the same.

use nexus::limits::FLAWS_MAX;
use nexus::source::flaw::render;
use nexus::source::notation::{lines, read_record, read_signature};
use nexus::source::read;
use nexus::source::signature::{Library, Param, Place, Record, Signature};
use std::fmt::Write;

const LANGS: [&str; 4] = ["py", "r", "js", "cpp"];

/// A source, after a byte that chooses its language.
pub fn signatures(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    let lang = LANGS[usize::from(*first) % LANGS.len()];
    match read(lang, text) {
        Ok(library) => {
            library
                .warnings
                .iter()
                .for_each(|flaw| _ = render("f", text, flaw));
            for function in &library.functions {
                let mut function = bare(function);
                prints_as_it_is(lang, &function, &library);
                // What others may not call so.
                function.name = "f".to_string();
                LANGS
                    .into_iter()
                    .for_each(|lang| prints_as_it_is(lang, &function, &library));
            }
            library.records.iter().for_each(reads_as_it_prints);
        }
        Err(flaws) => {
            assert!((1..=FLAWS_MAX).contains(&flaws.len()));
            flaws.iter().for_each(|flaw| _ = render("f", text, flaw));
        }
    }
}

/// A function without what a signature comment does not tell.
fn bare(function: &Signature) -> Signature {
    let params = function.params.iter().map(|param| Param {
        name: None,
        is_keyword: false,
        ..param.clone()
    });
    Signature {
        place: Place::default(),
        params: params.collect(),
        name: function.name.rsplit("::").next().unwrap_or_default().to_string(),
        ..function.clone()
    }
}

fn prints_as_it_is(lang: &str, function: &Signature, library: &Library) {
    let text = declared(lang, function, &library.records);
    let found = read(lang, &text).unwrap_or_else(|flaws| {
        let told: Vec<String> = flaws.iter().map(|flaw| render("f", &text, flaw)).collect();
        panic!("{lang}\n{text}\n{}", told.concat())
    });
    assert_eq!(found.functions.len(), 1, "{lang}\n{text}");
    assert_eq!(bare(&found.functions[0]), *function, "{lang}\n{text}");
}

/// A source with that function below its printed comment.
fn declared(lang: &str, function: &Signature, records: &[Record]) -> String {
    let marker = match lang {
        "py" => "#",
        "r" => "#'",
        _ => "//",
    };
    let mut text = String::new();
    for record in records {
        record
            .to_string()
            .lines()
            .for_each(|line| _ = writeln!(text, "{marker} {line}"));
        text.push('\n');
    }
    function
        .to_string()
        .lines()
        .for_each(|line| _ = writeln!(text, "{marker} {line}"));
    let names: Vec<String> = (0..function.params.len())
        .map(|number| format!("fuzzed_{number}"))
        .collect();
    let name = &function.name;
    match lang {
        "py" => writeln!(
            text,
            "def {name}({}): pass\n__all__ = ['{name}']",
            names.join(", ")
        ),
        "r" => writeln!(text, "{name} <- function({}) 1", names.join(", ")),
        "js" => writeln!(text, "const {name} = ({}) => 1;", names.join(", ")),
        _ => {
            let params: Vec<String> = names.iter().map(|name| format!("T {name}")).collect();
            writeln!(text, "T {name}({});", params.join(", "))
        }
    }
    .expect("a string takes everything");
    text
}

fn reads_as_it_prints(record: &Record) {
    let printed = record.to_string();
    let place = Place { line: 1, column: 1 };
    let found = read_record(&lines(&printed, place), &mut Vec::new());
    let found = found.unwrap_or_else(|flaw| panic!("{}", render("f", &printed, &flaw)));
    assert_eq!(found.fields, record.fields, "{printed}");
    // And the notation alone takes any text.
    let _ = read_signature(&lines(&printed, place), &mut Vec::new());
}
