//! What flows ask of their own store: nodes and values of their namespace, created, read, updated, deleted. Reads and writes no
//! file: it says what is to be written.

use crate::error::{Error, Kind, Result};
use crate::flow::spec::{Object, Sort, codec};
use crate::flow::store::Plan;
use crate::flow::value::Value;
use crate::flow::value::located::Located;
use std::rc::Rc;

/// What is to be done.
#[derive(Debug)]
pub enum Deed {
    /// Nothing: this is the answer.
    Answer(Value),
    /// These are to be stored; the answer is [`answer_of`] what was done.
    Apply {
        /// Of nodes or of values.
        sort: Sort,
        /// As they are to be.
        objects: Vec<Object>,
        /// They were given in a list.
        is_list: bool,
    },
    /// These are to be gone.
    Delete {
        /// Of nodes or of values.
        sort: Sort,
        /// Their names.
        names: Vec<String>,
        /// The answer then.
        answer: Value,
    },
}

/// The nodes or values that an opcode is about, and the word behind the point.
///
/// # Errors
/// Kind `bad_argument`: there is no such opcode.
pub fn sort_of(opcode: &str) -> Result<(Sort, &str)> {
    match opcode.split_once('.') {
        Some(("nodes", verb)) if VERBS.contains(&verb) => Ok((Sort::Specs, verb)),
        Some(("values", verb)) if VERBS.contains(&verb) => Ok((Sort::Values, verb)),
        _ => {
            let message = format!(
                "opcode '{opcode}' is unknown, expected nodes or values, a point, and one of {VERBS:?}"
            );
            Err(bad(message))
        }
    }
}

const VERBS: [&str; 4] = ["create", "read", "update", "delete"];

/// What an opcode means with that argument, where those objects are in the namespace. `create` and `update` take a map or a list of
/// them; `update` finds by `name` or `id`, puts the entries in the place of those that were there, and takes away what is null; `read`
/// and `delete` take null for all, or maps of what an object has to say.
///
/// # Errors
/// Kind `bad_argument`: the argument is none; `conflict`: what is to be created is there; `not_found`: what is to be updated isn't.
pub fn deed(opcode: &str, arg: &Value, namespace: &str, known: &[Object]) -> Result<Deed> {
    let (sort, verb) = sort_of(opcode)?;
    match verb {
        "read" => {
            let found = filtered(opcode, arg, known)?;
            Ok(Deed::Answer(Value::list(found.map(Object::shown).collect())))
        }
        "delete" => {
            let found: Vec<&Object> = filtered(opcode, arg, known)?.collect();
            Ok(Deed::Delete {
                sort,
                names: found.iter().map(|object| object.name().to_string()).collect(),
                answer: Value::list(found.iter().map(|object| object.shown()).collect()),
            })
        }
        verb => {
            let maps = maps(opcode, arg)?;
            let mut objects: Vec<Object> = Vec::with_capacity(maps.len());
            for map in maps {
                let written = match verb {
                    "create" => map.clone(),
                    _ => merged(sort, map, known)?,
                };
                let located = Located::nowhere(written);
                let object = codec::object(sort, located.root(), &Rc::from(""), namespace)?;
                if &**object.namespace() != namespace {
                    let message = format!(
                        "{} '{}' is of namespace '{}', and a flow changes only its own, '{namespace}'",
                        sort.word(),
                        object.name(),
                        object.namespace()
                    );
                    return Err(bad(message));
                }
                let is_it = |other: &Object| other.name() == object.name();
                if objects.iter().any(is_it) || verb == "create" && known.iter().any(is_it) {
                    let message = format!("{} '{}' is there already", sort.word(), object.name());
                    return Err(Error::new(Kind::Conflict, message));
                }
                objects.push(object);
            }
            Ok(Deed::Apply {
                sort,
                objects,
                is_list: arg.elements().is_some(),
            })
        }
    }
}

/// The answer when objects are stored: each as it stands in the store now.
pub fn answer_of(plan: &Plan, is_list: bool) -> Value {
    let stored = plan.steps.iter().filter_map(|step| {
        let object = step.after.as_ref()?;
        let shown = object.shown();
        let entries = shown.entries().unwrap_or_default().iter();
        let entries = entries.filter(|(key, _)| key.as_str() != Some("revision"));
        let mut entries: Vec<(Value, Value)> = entries.cloned().collect();
        entries.push((Value::str("revision"), Value::Uint(step.revision)));
        Some(Value::Map(Rc::new(entries)))
    });
    let mut stored: Vec<Value> = stored.collect();
    match is_list {
        true => Value::list(stored),
        false => stored.pop().unwrap_or_default(),
    }
}

fn bad(message: String) -> Box<Error> {
    Error::new(Kind::BadArgument, message)
}

fn maps<'v>(opcode: &str, arg: &'v Value) -> Result<&'v [Value]> {
    let maps = arg.elements().unwrap_or(std::slice::from_ref(arg));
    match maps.iter().find(|map| map.entries().is_none()) {
        None => Ok(maps),
        Some(other) => {
            let name = other.name();
            Err(bad(format!(
                "{opcode} was sent {name}, expected a map or a list of them"
            )))
        }
    }
}

/// The objects that say what one of the maps asks for; all if none does.
fn filtered<'o>(opcode: &str, arg: &Value, known: &'o [Object]) -> Result<impl Iterator<Item = &'o Object>> {
    let maps: Vec<Value> = match arg {
        Value::Null => Vec::new(),
        arg => maps(opcode, arg)?.to_vec(),
    };
    let is_all = matches!(arg, Value::Null);
    Ok(known.iter().filter(move |object| {
        let written = object.shown();
        let says = |map: &Value| {
            let mut entries = map.entries().unwrap_or_default().iter();
            entries.all(|(key, wanted)| {
                let key = key.as_str().unwrap_or_default();
                let implied = match key {
                    "name" => Some(Value::Str(object.name().clone())),
                    "namespace" => Some(Value::Str(object.namespace().clone())),
                    _ => None,
                };
                written.get(key).or(implied.as_ref()) == Some(wanted)
            })
        };
        is_all || maps.iter().any(says)
    }))
}

/// What is there, with the entries of a map in their places.
fn merged(sort: Sort, map: &Value, known: &[Object]) -> Result<Value> {
    let word = |key: &str| map.get(key).and_then(Value::as_str);
    let (name, id) = (word("name"), word("id"));
    let is_it = |object: &&Object| match (name, id) {
        (Some(name), _) => &**object.name() == name,
        (None, Some(id)) => object.id().is_some_and(|known| &**known == id),
        (None, None) => false,
    };
    let Some(object) = known.iter().find(is_it) else {
        let Some(called) = name.or(id) else {
            return Err(bad(format!(
                "an update of a {} has no name and no id",
                sort.word()
            )));
        };
        let message = format!("there is no {} '{called}'", sort.word());
        return Err(Error::new(Kind::NotFound, message));
    };
    let content = object.content();
    let mut entries: Vec<(Value, Value)> = content.entries().unwrap_or_default().to_vec();
    for (key, value) in map.entries().unwrap_or_default() {
        // Both name the same.
        let other = match key.as_str() {
            Some("ports") => Some("links"),
            Some("links") => Some("ports"),
            _ => None,
        };
        let place = entries.iter().position(|(known, _)| known == key);
        match (place, value) {
            (Some(place), Value::Null) => drop(entries.remove(place)),
            (None, Value::Null) => {}
            (Some(place), value) => {
                if let Some(entry) = entries.get_mut(place) {
                    entry.1 = value.clone();
                }
            }
            (None, value) => entries.push((key.clone(), value.clone())),
        }
        entries.retain(|(known, _)| other.is_none() || known.as_str() != other);
    }
    Ok(Value::Map(Rc::new(entries)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::store::file;
    use crate::flow::value::json;
    use crate::flow::value::located::Words;

    fn check(opcode: &str, arg: &str, expected: &str) {
        let text = "- {kind: nop, name: a, id: i, x: 1, links: {out: [{name: b}]}}\n- {kind: nop, name: b, namespace: n}\n";
        let known = file::read(
            Sort::Specs,
            text.as_bytes(),
            &"f.yaml".into(),
            "n",
            &mut Words::default(),
        )
        .unwrap();
        let told = match deed(opcode, &json::read(arg.as_bytes()).unwrap(), "n", &known) {
            Ok(Deed::Answer(value)) => json::text(&value),
            Ok(Deed::Apply { objects, is_list, .. }) => {
                let written = objects.iter().map(|object| json::text(object.written()));
                format!("{} {is_list}", written.collect::<Vec<_>>().join(" "))
            }
            Ok(Deed::Delete { names, .. }) => names.join(" "),
            Err(error) => format!("{} {}", error.kind.name(), error.message),
        };
        assert_eq!(told, expected, "{opcode} {arg}");
    }

    #[test]
    fn deeds() {
        check(
            "nodes.read",
            "{\"name\":\"b\"}",
            "[{\"kind\":\"nop\",\"name\":\"b\",\"namespace\":\"n\"}]",
        );
        check("nodes.read", "[{\"x\":2}]", "[]");
        check("nodes.delete", "null", "a b");
        check("nodes.delete", "{\"namespace\":\"n\",\"x\":1}", "a");
        check(
            "nodes.create",
            "{\"kind\":\"nop\",\"name\":\"c\"}",
            "{\"kind\":\"nop\",\"name\":\"c\"} false",
        );
        check(
            "nodes.update",
            "[{\"id\":\"i\",\"x\":null,\"y\":2,\"ports\":{}}]",
            "{\"kind\":\"nop\",\"name\":\"a\",\"id\":\"i\",\"y\":2,\"ports\":{}} true",
        );
    }

    #[test]
    fn what_is_refused() {
        check(
            "nodes.create",
            "{\"kind\":\"nop\",\"name\":\"b\"}",
            "conflict spec 'b' is there already",
        );
        check(
            "nodes.create",
            "3",
            "bad_argument nodes.create was sent an integer, expected a map or a list of them",
        );
        check(
            "nodes.create",
            "null",
            "bad_argument nodes.create was sent null, expected a map or a list of them",
        );
        check(
            "nodes.create",
            "{\"kind\":\"nop\",\"name\":\"c\",\"namespace\":\"m\"}",
            "bad_argument spec 'c' is of namespace 'm', and a flow changes only its own, 'n'",
        );
        check(
            "nodes.update",
            "{\"name\":\"c\"}",
            "not_found there is no spec 'c'",
        );
        check(
            "nodes.update",
            "{}",
            "bad_argument an update of a spec has no name and no id",
        );
        assert_eq!(sort_of("nodes.drop").unwrap_err().kind, Kind::BadArgument);
    }
}
