//! Fuzzed compositions: whatever text is compiled, or refused with a reason.

use nexus::codec::document::Document;
use nexus::codec::schema::Types;
use nexus::compose::compile::{Sourced, compile as compile_module};
use nexus::compose::compiled::Body;
use nexus::compose::parser::parse;
use nexus::expr::arena::Exprs;
use nexus::expr::load::{LoadError, load, load_composed};
use nexus::source::notation::{parse_record, parse_signature};
use nexus::source::signature::{Library, Place};
use std::sync::OnceLock;

/// What compositions may take from `a.py`.
const SIGNATURES: [&str; 7] = [
    "mean :: [Real] -> Real",
    "pmap :: (a -> b) -> [a] -> [b]",
    "adults :: [Person] -> [Person]",
    "now :: Real",
    "same :: a -> a",
    "grow :: Tree -> Tree",
    "small :: I8 -> ?Str -> (U16, F32)",
];

const RECORDS: [&str; 2] = [
    "record Person = Person { name :: Str, age :: ?Int }",
    "record Tree = Tree { value :: Int, kids :: [Tree] }",
];

fn library() -> Library {
    let place = Place { line: 1, column: 1 };
    let mut mentions = Vec::new();
    let records = RECORDS.map(|text| parse_record(text, place, &mut mentions).expect("a record"));
    let functions = SIGNATURES.map(|text| parse_signature(text, place, &mut mentions).expect("a signature"));
    Library {
        functions: functions.into(),
        records: records.into(),
        mentions,
        ..Library::default()
    }
}

/// A composition that compiles gives expressions and schemas that a manifest may hold; any other has flaws with places.
pub fn compose(input: &[u8]) {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    let library = LIBRARY.get_or_init(library);
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(module) = parse(text) else { return };
    let sourced = ["py", "r"].map(|lang| Sourced {
        file: "a.py",
        lang,
        library,
    });
    let compiled = match compile_module("a.loc", &module, &sourced) {
        Ok(compiled) => compiled,
        Err(flaws) => {
            assert!(!flaws.is_empty());
            assert!(
                flaws.iter().all(|flaw| flaw.place.line > 0 && flaw.len > 0),
                "{flaws:?}"
            );
            return;
        }
    };
    let (mut types, mut exprs) = (Types::default(), Exprs::default());
    for command in &compiled.commands {
        assert_eq!(command.params.len(), command.arg_schemas.len());
        for schema in command.arg_schemas.iter().chain([&command.return_schema]) {
            types.parse(schema).expect("a schema of a command");
        }
        let (expr, pools) = match &command.body {
            Body::Remote(instance) => {
                assert!(*instance < compiled.instances.len());
                continue;
            }
            Body::Pure(expr) => (expr, None),
            Body::Composed { expr, .. } => (expr, Some(compiled.pools.len())),
        };
        let document = Document::parse(expr.as_bytes()).expect("an expression is JSON");
        let loaded = match pools {
            None => load(document.root(), &mut types, &mut exprs),
            Some(pools) => load_composed(document.root(), &mut types, &mut exprs, Some(pools)),
        };
        if let Err(LoadError::Malformed(flaws)) = loaded {
            panic!("{expr}\n{flaws:?}");
        }
    }
    for instance in &compiled.instances {
        assert_eq!(instance.params.len(), instance.arg_schemas.len());
        for schema in instance.arg_schemas.iter().chain([&instance.return_schema]) {
            types.parse(schema).expect("a schema of an instance");
        }
    }
}
