//! Nodes and values from what files hold, every common field checked. Knows no kind of node: its own fields are kept as they are.

use super::secrets::REDACTED;
use super::{Errors, FlowValue, Link, Object, Place, Port, Sort, Spec, Target, name};
use crate::codec::nearest::nearest;
use crate::error::{Error, Kind, Result};
use crate::flow::value::Value;
use crate::flow::value::located::{Located, Node};
use crate::limits::FLAWS_MAX;
use std::rc::Rc;

/// The fields that every node may have beside those of its kind.
pub const COMMON: [&str; 9] = [
    "kind",
    "name",
    "namespace",
    "id",
    "annotations",
    "env",
    "ports",
    "links",
    "revision",
];

const OF_VALUES: [&str; 6] = ["namespace", "name", "id", "annotations", "data", "revision"];

/// The objects of one sort in a file: each document is one, a list of them, or empty. What names no namespace is in `namespace`.
///
/// # Errors
/// Kind `bad_argument`, each with its place: at most [`FLAWS_MAX`] of them, one an object at most.
pub fn read(
    sort: Sort,
    documents: &[Located],
    file: &Rc<str>,
    namespace: &str,
) -> std::result::Result<Vec<Object>, Errors> {
    let mut objects = Vec::new();
    let mut errors = Vec::new();
    let mut take = |node: Node<'_>| match errors.len() {
        FLAWS_MAX => {}
        _ => match object(sort, node, file, namespace) {
            Ok(object) => objects.push(object),
            Err(error) => errors.push(error),
        },
    };
    for document in documents {
        match document.value {
            Value::Null => {}
            Value::List(_) => document.root().elements().for_each(&mut take),
            _ => take(document.root()),
        }
    }
    if errors.is_empty() {
        errors.extend(repeated(&objects));
    }
    objects.shrink_to_fit();
    match errors.is_empty() {
        true => Ok(objects),
        false => Err(errors),
    }
}

/// A name or an id that two of them have.
fn repeated(objects: &[Object]) -> Option<Box<Error>> {
    let mut known: Vec<(&str, &str, bool, &Place)> = Vec::new();
    for object in objects {
        known.push((object.namespace(), object.name(), false, object.place()));
        let own_id = object.id().filter(|id| *id != object.name());
        known.extend(own_id.map(|id| (&**object.namespace(), &**id, true, object.place())));
    }
    known.sort_unstable_by_key(|(namespace, name, _, place)| (*namespace, *name, place.line));
    let twice = known
        .windows(2)
        .find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))?;
    let (first, again) = (&twice[0], &twice[1]);
    let message = format!("name '{}' is taken by what stands at {}", again.1, first.3);
    Some(error(message, again.3))
}

fn error(message: impl Into<String>, place: &Place) -> Box<Error> {
    let error = Error::new(Kind::BadArgument, message);
    match place.line {
        0 if place.file.is_empty() => error,
        _ => error.at(place.to_string()),
    }
}

/// One object.
///
/// # Errors
/// Kind `bad_argument`, with its place.
pub fn object(sort: Sort, node: Node<'_>, file: &Rc<str>, namespace: &str) -> Result<Object> {
    let reader = Reader { file, sort };
    match sort {
        Sort::Specs => {
            let spec = reader.spec(node, namespace)?;
            match spec.name.is_empty() {
                false => Ok(Object::Spec(Rc::new(spec))),
                true => Err(reader.nameless(node)),
            }
        }
        Sort::Values => Ok(Object::Value(Rc::new(reader.value(node, namespace)?))),
    }
}

/// The nodes in a field of another, which need no names. Their templates were replaced with those around them, by their own env
/// first: they are not to be resolved again.
///
/// # Errors
/// Kind `bad_argument`, with its place: the field is no list of nodes, or one of them is in another namespace.
pub fn nested(spec: &Spec, field: &str) -> Result<Vec<Spec>> {
    let Some(value) = spec.field(field) else {
        return Ok(Vec::new());
    };
    let mut written = spec.written.root().entries();
    let lines = written.find(|(key, _)| key.as_str() == Some(field));
    let lines = lines.map(|(_, node)| node.located().lines).unwrap_or_default();
    let located = Located {
        value: value.clone(),
        lines,
    };
    let reader = Reader {
        file: &spec.place.file,
        sort: Sort::Specs,
    };
    let root = located.root();
    if value.elements().is_none() {
        return Err(reader.refuse(
            root,
            format!("{field} is {}, expected a list of nodes", value.name()),
        ));
    }
    let mut specs = Vec::new();
    for node in root.elements() {
        let mut nested = reader.spec(node, &spec.namespace)?;
        if nested.namespace != spec.namespace {
            let message = format!(
                "a node within one of namespace '{}' is in namespace '{}'",
                spec.namespace, nested.namespace
            );
            return Err(reader.refuse(node, message));
        }
        nested.env.clear();
        specs.push(nested);
    }
    Ok(specs)
}

struct Reader<'f> {
    file: &'f Rc<str>,
    sort: Sort,
}

/// What nodes and values have in common.
#[derive(Default)]
struct Head {
    id: Option<Rc<str>>,
    namespace: Option<Rc<str>>,
    name: Option<Rc<str>>,
    annotations: Vec<(Rc<str>, Rc<str>)>,
    revision: Option<u64>,
}

impl Reader<'_> {
    fn place(&self, node: Node<'_>) -> Place {
        Place {
            file: self.file.clone(),
            line: node.line(),
        }
    }

    fn refuse(&self, node: Node<'_>, message: impl Into<String>) -> Box<Error> {
        error(message, &self.place(node))
    }

    /// Where a name or a port's text is wrong.
    fn at(&self, node: Node<'_>, flaw: Box<Error>) -> Box<Error> {
        self.refuse(node, flaw.message)
    }

    fn nameless(&self, node: Node<'_>) -> Box<Error> {
        self.refuse(node, format!("a {} has neither name nor id", self.sort.word()))
    }

    fn text(&self, key: &str, node: Node<'_>) -> Result<Rc<str>> {
        match node.value {
            Value::Str(text) => Ok(text.clone()),
            other => {
                let flaw = self.refuse(node, format!("{key} is {}, expected a string", other.name()));
                Err(match other {
                    Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Bool(_) => {
                        flaw.hint("put it in quotes")
                    }
                    _ => flaw,
                })
            }
        }
    }

    fn name(&self, key: &str, node: Node<'_>) -> Result<Rc<str>> {
        let text = self.text(key, node)?;
        name::check(key, &text).map_err(|flaw| self.at(node, flaw))?;
        Ok(text)
    }

    fn map<'l>(&self, what: &str, node: Node<'l>) -> Result<Vec<(&'l Rc<str>, Node<'l>)>> {
        if node.value.entries().is_none() {
            let message = format!("{what} is {}, expected a map", node.value.name());
            return Err(self.refuse(node, message));
        }
        let mut entries = Vec::new();
        for (key, value) in node.entries() {
            match key {
                Value::Str(key) => entries.push((key, value)),
                other => {
                    let message = format!("a key of {what} is {}, expected a string", other.name());
                    return Err(self.refuse(value, message));
                }
            }
        }
        Ok(entries)
    }

    /// Reads a field that nodes and values have in common; false if it is none.
    fn head(&self, head: &mut Head, key: &str, node: Node<'_>) -> Result<bool> {
        match key {
            "id" => head.id = Some(self.name(key, node)?),
            "namespace" => head.namespace = Some(self.name(key, node)?),
            "name" => head.name = Some(self.name(key, node)?),
            "annotations" => {
                for (key, node) in self.map(key, node)? {
                    let text = self.text(&format!("annotation '{}'", key.escape_debug()), node)?;
                    head.annotations.push((key.clone(), text));
                }
                head.annotations.shrink_to_fit();
            }
            "revision" => {
                let revision = node.value.as_int().and_then(|int| u64::try_from(int).ok());
                let message = "revision is no whole number from 0 on; the store counts it";
                head.revision = Some(revision.ok_or_else(|| self.refuse(node, message))?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn spec(&self, node: Node<'_>, namespace: &str) -> Result<Spec> {
        let mut head = Head::default();
        let mut kind = None;
        let mut env = Vec::new();
        let mut ports = None;
        let mut fields = Vec::new();
        for (key, node) in self.map("a node", node)? {
            match &**key {
                "kind" => kind = Some(self.name(key, node)?),
                "env" => env = self.env(node)?,
                "ports" | "links" => {
                    let read = self.ports(node)?;
                    if ports.replace(read).is_some() {
                        let message = "both ports and links are given, which are the same";
                        return Err(self.refuse(node, message).hint("put all in ports"));
                    }
                }
                _ if self.head(&mut head, key, node)? => {}
                _ => fields.push((Value::Str(key.clone()), node.value.clone())),
            }
        }
        let Some(kind) = kind else {
            let name = head.name.or(head.id);
            let named = name.map_or_else(|| "a node".to_string(), |name| format!("node '{name}'"));
            let known = fields.iter().filter_map(|(key, _)| key.as_str());
            let flaw = self.refuse(node, format!("{named} has no kind"));
            return Err(match nearest("kind", known) {
                Some(near) => flaw.hint(format!("write kind in place of {near}")),
                None => flaw.hint("write kind: and what it is, as snippet"),
            });
        };
        fields.shrink_to_fit();
        Ok(Spec {
            name: head.name.or_else(|| head.id.clone()).unwrap_or_default(),
            id: head.id,
            namespace: head.namespace.unwrap_or_else(|| namespace.into()),
            kind,
            annotations: head.annotations,
            env,
            ports: ports.unwrap_or_default(),
            fields: Value::Map(Rc::new(fields)),
            place: self.place(node),
            revision: head.revision,
            written: node.located(),
        })
    }

    fn value(&self, node: Node<'_>, namespace: &str) -> Result<FlowValue> {
        let mut head = Head::default();
        let mut data = None;
        for (key, node) in self.map("a value", node)? {
            if &**key == "data" {
                data = Some(node.value.clone());
            } else if !self.head(&mut head, key, node)? {
                let shown = key.get(..80).unwrap_or(key).escape_debug();
                let flaw = self.refuse(node, format!("a value has no field '{shown}'"));
                return Err(match (&**key, nearest(key, OF_VALUES)) {
                    ("kind", _) => flaw.hint("nodes go with specs, as nexus apply specs"),
                    (_, Some(near)) => flaw.hint(format!("did you mean {near}?")),
                    _ => flaw.hint("what it is stands in data"),
                });
            }
        }
        let name = head.name.or_else(|| head.id.clone());
        let name = name.ok_or_else(|| self.nameless(node))?;
        let data = data.ok_or_else(|| self.refuse(node, format!("value '{name}' has no data")))?;
        if data.as_str() == Some(REDACTED) {
            let message = format!("value '{name}' has the data {REDACTED}, which is shown in place of it");
            return Err(self.refuse(node, message).hint("write what it is to be"));
        }
        Ok(FlowValue {
            id: head.id,
            namespace: head.namespace.unwrap_or_else(|| namespace.into()),
            name,
            annotations: head.annotations,
            data,
            place: self.place(node),
            revision: head.revision,
            written: node.located(),
        })
    }

    fn ports(&self, node: Node<'_>) -> Result<Vec<(Port, Vec<Link>)>> {
        let mut ports: Vec<(Port, Vec<Link>)> = Vec::new();
        for (key, node) in self.map("ports", node)? {
            let port = Port::parse(key).map_err(|flaw| self.at(node, flaw))?;
            if node.value.elements().is_none() {
                let message = format!("port {port} is {}, expected a list of links", node.value.name());
                return Err(self.refuse(node, message).hint("as - {name: other, port: in}"));
            }
            let mut links = Vec::new();
            for link in node.elements() {
                links.push(self.link(&port, link)?);
            }
            links.shrink_to_fit();
            ports.push((port, links));
        }
        ports.shrink_to_fit();
        Ok(ports)
    }

    fn link(&self, from: &Port, node: Node<'_>) -> Result<Link> {
        let mut target = None;
        let mut port = Port::IN;
        for (key, entry) in self.map("a link", node)? {
            let found = match &**key {
                "name" => Target::Name(self.name("name of a link", entry)?),
                "id" => Target::Id(self.name("id of a link", entry)?),
                "port" => {
                    let text = self.text("port of a link", entry)?;
                    port = Port::parse(&text).map_err(|flaw| self.at(entry, flaw))?;
                    continue;
                }
                other => {
                    let shown = other.get(..80).unwrap_or(other).escape_debug();
                    let message = format!("a link has no field '{shown}', expected name or id, and port");
                    return Err(self.refuse(entry, message));
                }
            };
            if target.replace(found).is_some() {
                return Err(self.refuse(entry, "a link has both name and id, expected one of them"));
            }
        }
        let nothing = || {
            let message = format!("a link of port {from} has no name");
            self.refuse(node, message)
                .hint("write the name of the node that it leads to")
        };
        Ok(Link {
            target: target.ok_or_else(nothing)?,
            port,
        })
    }

    fn env(&self, node: Node<'_>) -> Result<Vec<(Rc<str>, Value)>> {
        let mut env = Vec::new();
        for (key, node) in self.map("env", node)? {
            name::check("a name in env", key).map_err(|flaw| self.at(node, flaw))?;
            match node.value {
                Value::List(_) => {
                    for source in node.elements() {
                        self.source(key, source)?;
                    }
                }
                _ => self.source(key, node)?,
            }
            env.push((key.clone(), node.value.clone()));
        }
        Ok(env)
    }

    /// Checks where a name in env comes from.
    fn source(&self, name: &str, node: Node<'_>) -> Result<()> {
        match node.value {
            Value::Map(_) => {}
            Value::List(_) => {
                let message =
                    format!("env {name} has a list in a list, expected texts, or maps of name and data");
                return Err(self.refuse(node, message));
            }
            _ => return Ok(()),
        }
        let mut named = 0;
        for (key, entry) in self.map("env", node)? {
            match &**key {
                "name" | "id" => {
                    self.name(key, entry)?;
                    named += 1;
                }
                "data" => {}
                other => {
                    let shown = other.get(..80).unwrap_or(other).escape_debug();
                    let message = format!("env {name} has no field '{shown}', expected name or id, and data");
                    return Err(self.refuse(entry, message));
                }
            }
        }
        match (named, node.value.get("data")) {
            (0, None) => Err(self.refuse(node, format!("env {name} names no value and has no data"))),
            (2, _) => Err(self.refuse(
                node,
                format!("env {name} has both name and id, expected one of them"),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::value::{json, located};

    fn read_all(sort: Sort, text: &str) -> std::result::Result<Vec<Object>, Errors> {
        let documents = located::read(text.as_bytes(), false).unwrap();
        read(sort, &documents, &"f.yaml".into(), "default")
    }

    fn spec(text: &str) -> Rc<Spec> {
        match read_all(Sort::Specs, text).unwrap().remove(0) {
            Object::Spec(spec) => spec,
            Object::Value(_) => unreachable!("specs were asked for"),
        }
    }

    #[test]
    fn a_node() {
        let text = "\
# A node.
- kind: router
  name: a/b
  annotations: {by: me}
  env:
    A: x {{ .V }}
    B: [{name: V, data: '{{ .f }}'}, y]
  routes: [{port: 'out[1]'}]
  links:
    out[1]:
      - name: c
        port: in[2]
      - id: d
    error: []
";
        let spec = spec(text);
        assert_eq!(
            (&*spec.kind, &*spec.name, &*spec.namespace),
            ("router", "a/b", "default")
        );
        assert_eq!(spec.annotations, [("by".into(), "me".into())]);
        assert_eq!(json::text(&spec.fields), "{\"routes\":[{\"port\":\"out[1]\"}]}");
        let link = |target, port| Link { target, port };
        let out = vec![
            link(Target::Name("c".into()), Port::input(2)),
            link(Target::Id("d".into()), Port::IN),
        ];
        assert_eq!(spec.ports, [(Port::out(1), out), (Port::ERROR, vec![])]);
        assert_eq!(spec.place.to_string(), "f.yaml:2");
        assert_eq!(spec.place_of("routes").to_string(), "f.yaml:8");
        assert_eq!(spec.place_of("gone").to_string(), "f.yaml:2");
    }

    #[test]
    fn what_was_written_stays() {
        let text = "kind: nop\nname: a\nlinks: {out: [{name: b}]}\nrevision: 7\nenv: {A: 1}\nx: [1]\n";
        let object = read_all(Sort::Specs, text).unwrap().remove(0);
        let stored = object.stored(object.stored_revision());
        assert_eq!(stored, *object.written());
        let mut out = Vec::new();
        crate::flow::value::yaml_text::write(&object.stored(8), &mut out).unwrap();
        let again = read_all(Sort::Specs, std::str::from_utf8(&out).unwrap())
            .unwrap()
            .remove(0);
        assert_eq!((again.content(), again.revision()), (object.content(), Some(8)));
    }

    #[test]
    fn values() {
        let objects = read_all(
            Sort::Values,
            "- {name: A, data: {b: 1}}\n- {id: B, data: null, namespace: n}\n",
        )
        .unwrap();
        assert_eq!((&**objects[0].name(), &**objects[1].name()), ("A", "B"));
        assert_eq!(&**objects[1].namespace(), "n");
        assert_eq!(
            json::text(&objects[0].shown()),
            "{\"name\":\"A\",\"data\":\"<redacted>\"}"
        );
        let nodes = read_all(Sort::Specs, "{kind: a, name: b, data: 1}").unwrap();
        assert_eq!(
            json::text(&nodes[0].shown()),
            "{\"kind\":\"a\",\"name\":\"b\",\"data\":1}"
        );
    }

    #[test]
    fn several_in_a_file() {
        let check = |text: &str, count: usize| {
            assert_eq!(read_all(Sort::Specs, text).unwrap().len(), count, "{text}")
        };
        check("", 0);
        check("---\n---\n", 0);
        check("kind: a\nname: b\n", 1);
        check("- {kind: a, name: b}\n---\nkind: a\nid: c\n---\n[]\n", 2);
        check("[{\"kind\": \"a\", \"name\": \"b\"}]", 1);
        check("- {kind: a, name: b}\n- {kind: a, name: b, namespace: c}", 2);
    }

    #[test]
    fn what_is_wrong() {
        let check = |sort: Sort, text: &str, expected: &str| {
            let errors = read_all(sort, text).unwrap_err();
            let told: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
            assert_eq!(told.join("; "), expected, "{text}");
        };
        for (fields, expected) in [
            ("1", "a node is an integer, expected a map at f.yaml:1"),
            ("kin: a\n  name: b", "node 'b' has no kind at f.yaml:1"),
            ("kind: a", "a spec has neither name nor id at f.yaml:1"),
            (
                "kind: 1\n  name: b",
                "kind is an integer, expected a string at f.yaml:1",
            ),
            (
                "kind: a\n  name: b c",
                "name 'b c' is no name, expected letters, digits and any of _-./:@, beginning with a letter, a digit or _ at f.yaml:2",
            ),
            (
                "kind: a\n  name: b\n  ports: {}\n  links: {}",
                "both ports and links are given, which are the same at f.yaml:4",
            ),
            (
                "kind: a\n  name: b\n  ports:\n    out: []\n    'out[x]': []",
                "port 'out[x]' is none, expected in, out, error or another word, or one as out[0] at f.yaml:5",
            ),
            (
                "kind: a\n  name: b\n  ports:\n    out: {name: c}",
                "port out is a map, expected a list of links at f.yaml:4",
            ),
            (
                "kind: a\n  name: b\n  ports:\n    out:\n    - port: in",
                "a link of port out has no name at f.yaml:5",
            ),
            (
                "kind: a\n  name: b\n  ports:\n    out:\n    - nam: in",
                "a link has no field 'nam', expected name or id, and port at f.yaml:5",
            ),
            (
                "kind: a\n  name: b\n  ports:\n    out:\n    - name: c\n      id: d",
                "a link has both name and id, expected one of them at f.yaml:6",
            ),
            (
                "kind: a\n  name: b\n  annotations: {c: [1]}",
                "annotation 'c' is a list, expected a string at f.yaml:3",
            ),
            (
                "kind: a\n  name: b\n  revision: -1",
                "revision is no whole number from 0 on; the store counts it at f.yaml:3",
            ),
            (
                "kind: a\n  name: b\n  env: {A: {}}",
                "env A names no value and has no data at f.yaml:3",
            ),
            (
                "kind: a\n  name: b\n  env: {A: [{name: c, value: d}]}",
                "env A has no field 'value', expected name or id, and data at f.yaml:3",
            ),
            (
                "kind: a\n  name: b\n- kind: a\n  id: b",
                "name 'b' is taken by what stands at f.yaml:1 at f.yaml:3",
            ),
            (
                "kind: a\n- name: b",
                "a spec has neither name nor id at f.yaml:1; node 'b' has no kind at f.yaml:2",
            ),
        ] {
            check(Sort::Specs, &format!("- {fields}\n"), expected);
        }
        check(Sort::Values, "name: a", "value 'a' has no data at f.yaml:1");
        check(
            Sort::Values,
            "name: a\nkind: b",
            "a value has no field 'kind' at f.yaml:2",
        );
        check(
            Sort::Values,
            "data: 1",
            "a value has neither name nor id at f.yaml:1",
        );
    }

    #[test]
    fn nodes_within_nodes() {
        let outer = spec(
            "kind: block\nname: a\nspecs:\n  - kind: snippet\n    code: x\n  - kind: nop\n    env: {A: 1}\n",
        );
        let inner = nested(&outer, "specs").unwrap();
        assert_eq!((inner.len(), &*inner[0].name, &*inner[1].kind), (2, "", "nop"));
        assert_eq!(inner[1].place.to_string(), "f.yaml:6");
        assert!(inner[1].env.is_empty());
        assert!(nested(&outer, "gone").unwrap().is_empty());
        let check = |text: &str, expected: &str| {
            assert_eq!(nested(&spec(text), "specs").unwrap_err().to_string(), expected);
        };
        check(
            "kind: block\nname: a\nspecs: 1\n",
            "specs is an integer, expected a list of nodes at f.yaml:3",
        );
        check(
            "kind: block\nname: a\nspecs:\n- kind: b\n  namespace: c\n",
            "a node within one of namespace 'default' is in namespace 'c' at f.yaml:4",
        );
    }
}
