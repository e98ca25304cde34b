//! Fuzzed nodes and values of flows. They are read, or refused with places that are in the text; what is read is written as YAML
//! that says the same.

use super::same::is_same;
use nexus::flow::spec::template::{Values, resolve};
use nexus::flow::spec::{Object, Sort, codec};
use nexus::flow::value::located::{self, Located, Node};
use nexus::flow::value::{yaml, yaml_text};
use nexus::limits::FLOW_FILE_NODES_MAX;
use std::rc::Rc;

/// A text is YAML, JSON, or refused; nodes in it keep what was written, and their templates are replaced or refused.
pub fn specs(input: &[u8]) {
    let documents = match located::read(input, false) {
        Ok(documents) => documents,
        Err(flaw) => {
            assert!(
                !flaw.message.is_empty() && flaw.line > 0 && flaw.column > 0,
                "{flaw:?}"
            );
            let text = String::from_utf8_lossy(input);
            assert!(flaw.shown("a.yaml", &text).contains("at a.yaml:"), "{flaw:?}");
            return;
        }
    };
    let total: usize = documents.iter().map(|document| document.lines.len()).sum();
    assert!(total <= FLOW_FILE_NODES_MAX);
    for document in &documents {
        // Written out, aliases may make far more text than they were.
        if document.lines.len() < 10_000 {
            check_document(document);
        }
    }
    let file: Rc<str> = "a.yaml".into();
    let values = codec::read(Sort::Values, &documents, &file, "default").unwrap_or_default();
    let values: Vec<_> = values
        .into_iter()
        .filter_map(|object| match object {
            Object::Value(value) => Some(value),
            Object::Spec(_) => None,
        })
        .collect();
    match codec::read(Sort::Specs, &documents, &file, "default") {
        Ok(objects) => objects
            .iter()
            .for_each(|object| check_object(object, Values(&values))),
        Err(errors) => assert!(errors.iter().all(|error| error.place.is_some()), "{errors:?}"),
    }
}

fn check_document(document: &Located) {
    assert_eq!(count(document.root()), document.lines.len());
    let mut text = Vec::new();
    if yaml_text::write(&document.value, &mut text).is_err() {
        return;
    }
    let text = String::from_utf8(text).expect("YAML is text");
    match yaml::read(&text) {
        Ok(again) => {
            assert_eq!(again.len(), 1, "{text}");
            assert!(is_same(&again[0].value, &document.value), "{text}");
        }
        Err(flaw) => panic!("{}\n{text}", flaw.shown("again", &text)),
    }
}

/// How many values there are; each has a line.
fn count(node: Node<'_>) -> usize {
    assert!(node.line() > 0);
    let elements: usize = node.elements().map(count).sum();
    let entries: usize = node.entries().map(|(_, value)| count(value)).sum();
    1 + elements + entries
}

fn check_object(object: &Object, values: Values<'_>) {
    let Object::Spec(spec) = object else { return };
    let stored = Located {
        value: object.stored(spec.revision.unwrap_or(0)),
        ..Located::default()
    };
    let again = codec::object(Sort::Specs, stored.root(), &"again".into(), &spec.namespace);
    let again = again.expect("what was stored is read");
    assert!(is_same(&again.content(), &object.content()));
    assert_eq!(again.name(), object.name());
    let given = [("GIVEN".to_string(), "text".to_string())];
    if let Ok(resolved) = resolve(spec, values, &given) {
        let _ = codec::nested(&resolved, "specs");
    }
}
