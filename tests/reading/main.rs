//! Compositions and signatures from outside: what is printed reads as the same again, and how flaws are told. `flaws.txt`
//! and `signatures.txt` hold texts and everything that is then said; `NEXUS_BLESS=1` writes them anew.

mod generate;
// Only the numbers that this needs.
#[allow(dead_code)]
#[path = "../codec/random.rs"]
mod random;

use generate::Generator;
use nexus::compose::ast::Module;
use nexus::compose::parser::parse;
use nexus::compose::print::print;
use nexus::source::flaw::render;
use std::fs;
use std::path::Path;

/// What is said of a text, all of it.
fn told(text: &str) -> String {
    let flaws = parse(text).err().unwrap_or_default();
    flaws.iter().map(|flaw| render("a.loc", text, flaw)).collect()
}

fn read(text: &str) -> Module {
    let mut module = parse(text).unwrap_or_else(|_| panic!("{text}\n{}", told(text)));
    module.forget_places();
    module
}

#[test]
fn a_random_module_reads_as_it_prints() {
    for seed in 0..2000 {
        let module = Generator::new(seed).module();
        let printed = print(&module);
        assert_eq!(read(&printed), module, "seed {seed}:\n{printed}");
    }
}

#[test]
fn flaws_are_told_with_their_places() {
    check_table("flaws.txt", told);
}

/// What is said of a source below the name of its language.
fn told_of_source(case: &str) -> String {
    let (lang, text) = case.split_once('\n').expect("a case begins with its language");
    let flaws = nexus::source::read(lang, text).err().unwrap_or_default();
    flaws
        .iter()
        .map(|flaw| render(&format!("a.{lang}"), text, flaw))
        .collect()
}

#[test]
fn flaws_of_signatures_are_told_with_their_places() {
    check_table("signatures.txt", told_of_source);
}

fn check_table(name: &str, told: fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reading")
        .join(name);
    let expected = fs::read_to_string(&path).expect("the table is there");
    let mut found = Vec::new();
    for case in expected.trim_end().split("\n========\n") {
        let text = case.split_once("\n--------").map_or(case, |(text, _)| text);
        found.push(format!("{text}\n--------\n{}", told(text).trim_end()));
    }
    let found = found.join("\n========\n") + "\n";
    if std::env::var_os("NEXUS_BLESS").is_some() {
        fs::write(&path, found).expect("the table can be written");
    } else {
        assert!(found == expected, "{name} says otherwise:\n{found}");
    }
}
