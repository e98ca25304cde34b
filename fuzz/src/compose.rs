//! Fuzzed compositions. They are read, or refused with places that are in the text.

use nexus::compose::ast::Module;
use nexus::compose::parser::parse;
use nexus::compose::print::print;
use nexus::limits::FLAWS_MAX;
use nexus::source::flaw::render;

/// A text that is a composition is printed as one that says the same; every flaw has a place and a sentence.
pub fn loc(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let module = match parse(&text) {
        Ok(module) => forget_places(module),
        Err(flaws) => {
            assert!((1..=FLAWS_MAX).contains(&flaws.len()));
            for flaw in flaws {
                assert!(!flaw.message.is_empty() && flaw.len > 0, "{flaw:?}");
                let line = text.split('\n').nth(flaw.place.line as usize - 1);
                let columns = line.map(|line| line.chars().count() + 1);
                assert!(
                    columns.is_some_and(|columns| (1..=columns).contains(&(flaw.place.column as usize))),
                    "{flaw:?}"
                );
                render("a.loc", &text, &flaw);
            }
            return;
        }
    };
    let printed = print(&module);
    match parse(&printed) {
        Ok(again) => assert_eq!(forget_places(again), module, "{printed}"),
        Err(flaws) => panic!("{}\n{printed}", render("a.loc", &printed, &flaws[0])),
    }
}

fn forget_places(mut module: Module) -> Module {
    module.forget_places();
    module
}
