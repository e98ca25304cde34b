//! Templates in nodes: `{{ .NAME }}` and what it is replaced by. Reads values that are given and keeps none; calls no function,
//! so that any other text in double braces stays as it is. `{{"{{"}}` stands for two braces.

use super::{FlowValue, Spec};
use crate::codec::nearest::nearest;
use crate::error::{Error, Kind, Result};
use crate::flow::value::{Value, json};
use crate::limits::{FLOW_FILE_BYTES_MAX, FLOW_VALUE_DEPTH_MAX};
use std::rc::Rc;

/// The values of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct Values<'v>(
    /// In any order.
    pub &'v [Rc<FlowValue>],
);

impl Values<'_> {
    fn by_name(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|value| &*value.name == name);
        found.map(|value| &value.data)
    }

    fn by_id(&self, id: &str) -> Option<&Value> {
        let found = self.0.iter().find(|value| value.id.as_deref() == Some(id));
        found.map(|value| &value.data)
    }
}

/// The node with the templates in its fields replaced: by its env, of which the texts name values, and then by `given` (`-e K=V`).
/// Nodes in the field `specs` have their own env before that around them. One without templates is itself.
///
/// # Errors
/// Kind `not_found` with the place: a name or field that isn't there. Kind `bad_argument`: more than [`FLOW_FILE_BYTES_MAX`] of text.
pub fn resolve(spec: &Rc<Spec>, values: Values<'_>, given: &[(String, String)]) -> Result<Rc<Spec>> {
    let mut resolver = Resolver {
        values,
        given,
        env: Vec::new(),
        bytes: 0,
    };
    for (name, source) in &spec.env {
        let value = resolver
            .env_value(name, source)
            .map_err(|error| error.at(spec.place_of("env").to_string()))?;
        resolver.env.push((name.clone(), value));
    }
    if spec.field("specs").is_none() && !has_template(&spec.fields) {
        return Ok(spec.clone());
    }
    let entries = spec.fields.entries().unwrap_or_default();
    let mut fields = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name = key.as_str().unwrap_or_default();
        let resolved = match name {
            "specs" => resolver.nested(value),
            _ => resolver.value(value, Scope::Env, 0),
        };
        let resolved = resolved.map_err(|error| error.at(spec.place_of(name).to_string()))?;
        fields.push((key.clone(), resolved));
    }
    Ok(Rc::new(Spec {
        fields: Value::Map(Rc::new(fields)),
        ..Spec::clone(spec)
    }))
}

/// Where the names of a template are looked up.
#[derive(Clone, Copy)]
enum Scope<'s> {
    /// In a node's fields.
    Env,
    /// In the texts of its env.
    Values,
    /// Beside the value that a source in its env names.
    Data(&'s str, &'s Value),
}

struct Resolver<'v> {
    values: Values<'v>,
    given: &'v [(String, String)],
    /// The innermost last.
    env: Vec<(Rc<str>, Value)>,
    /// Text made so far.
    bytes: usize,
}

impl Resolver<'_> {
    fn env_value(&mut self, name: &str, source: &Value) -> Result<Value> {
        let Some(sources) = source.elements() else {
            return self.source(name, source);
        };
        for source in sources {
            match self.source(name, source) {
                Err(error) if error.kind == Kind::NotFound => {}
                found => return found,
            }
        }
        let count = sources.len();
        let message = format!("env {name}: none of its {count} sources is there");
        Err(Error::new(Kind::NotFound, message))
    }

    fn source(&mut self, env: &str, source: &Value) -> Result<Value> {
        if source.entries().is_none() {
            return self.value(source, Scope::Values, 0);
        }
        let data = source.get("data");
        let text = |key| source.get(key).and_then(Value::as_str);
        let (found, word) = match (text("name"), text("id")) {
            (Some(name), _) => (self.values.by_name(name), name),
            (None, Some(id)) => (self.values.by_id(id), id),
            (None, None) => return self.value(data.unwrap_or(&Value::Null), Scope::Values, 0),
        };
        let Some(found) = found.cloned() else {
            let message = format!("env {env}: there is no value '{word}'");
            return Err(Error::new(Kind::NotFound, message).hint(self.like(word)));
        };
        match data {
            None => Ok(found),
            Some(data) => self.value(data, Scope::Data(word, &found), 0),
        }
    }

    fn like(&self, name: &str) -> String {
        let known = self.values.0.iter().map(|value| &*value.name);
        match nearest(name, known) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("nexus apply values makes it: {{name: {name}, data: ...}}"),
        }
    }

    /// A list of nodes, each of which may have env of its own.
    fn nested(&mut self, specs: &Value) -> Result<Value> {
        self.nested_in(specs, 0)
    }

    fn nested_in(&mut self, specs: &Value, depth: usize) -> Result<Value> {
        let Some(elements) = specs.elements() else {
            return self.value(specs, Scope::Env, depth);
        };
        let mut resolved = Vec::new();
        for element in elements {
            let outer = self.env.len();
            for (key, source) in element.get("env").and_then(Value::entries).unwrap_or_default() {
                let name = key.as_str().unwrap_or_default();
                let value = self.env_value(name, source)?;
                self.env.push((name.into(), value));
            }
            let mut entries = Vec::new();
            let is_map = element.entries().is_some();
            for (key, value) in element.entries().unwrap_or_default() {
                let value = match key.as_str() {
                    Some("env") => value.clone(),
                    Some("specs") if depth < FLOW_VALUE_DEPTH_MAX => self.nested_in(value, depth + 2)?,
                    _ => self.value(value, Scope::Env, depth + 2)?,
                };
                entries.push((key.clone(), value));
            }
            resolved.push(match is_map {
                true => Value::Map(Rc::new(entries)),
                false => self.value(element, Scope::Env, depth + 1)?,
            });
            self.env.truncate(outer);
        }
        Ok(Value::list(resolved))
    }

    /// A value with the templates in its strings replaced; what needs none is shared.
    fn value(&mut self, value: &Value, scope: Scope<'_>, depth: usize) -> Result<Value> {
        if depth > FLOW_VALUE_DEPTH_MAX {
            let message = format!("nested deeper than {FLOW_VALUE_DEPTH_MAX} levels");
            return Err(Error::new(Kind::BadArgument, message));
        }
        if !has_template(value) {
            return Ok(value.clone());
        }
        Ok(match value {
            Value::Str(text) => self.text(text, scope)?,
            Value::List(elements) => {
                let mut resolved = Vec::with_capacity(elements.len());
                for element in elements.iter() {
                    resolved.push(self.value(element, scope, depth + 1)?);
                }
                Value::list(resolved)
            }
            Value::Map(entries) => {
                let mut resolved = Vec::with_capacity(entries.len());
                for (key, value) in entries.iter() {
                    resolved.push((key.clone(), self.value(value, scope, depth + 1)?));
                }
                Value::Map(Rc::new(resolved))
            }
            other => other.clone(),
        })
    }

    fn text(&mut self, text: &str, scope: Scope<'_>) -> Result<Value> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, template, after)) = next_template(rest) {
            let value = match template {
                Template::Braces => Value::str("{{"),
                Template::Name(name) => {
                    let value = self.look_up(name, scope)?;
                    // Alone, it keeps its type.
                    if before.is_empty() && after.is_empty() && rest.len() == text.len() {
                        return Ok(value);
                    }
                    value
                }
            };
            out.push_str(before);
            match &value {
                Value::Str(text) => out.push_str(text),
                other => out.push_str(&json::text(other)),
            }
            rest = after;
            if self.bytes + out.len() > FLOW_FILE_BYTES_MAX {
                let message = format!("templates make more than {FLOW_FILE_BYTES_MAX} bytes of text");
                return Err(Error::new(Kind::BadArgument, message));
            }
        }
        out.push_str(rest);
        self.bytes += out.len();
        Ok(Value::Str(out.into()))
    }

    fn look_up(&self, name: &str, scope: Scope<'_>) -> Result<Value> {
        let given = |name: &str| {
            let found = self.given.iter().rev().find(|(key, _)| key == name);
            found.map(|(_, text)| Value::str(text))
        };
        let whole = |name: &str| match scope {
            Scope::Env => {
                let found = self.env.iter().rev().find(|(key, _)| &**key == name);
                found.map(|(_, value)| value.clone()).or_else(|| given(name))
            }
            Scope::Values => self.values.by_name(name).cloned().or_else(|| given(name)),
            Scope::Data(_, data) if name.is_empty() => Some(data.clone()),
            Scope::Data(_, data) => data.get(name).cloned(),
        };
        if let Some(value) = whole(name) {
            return Ok(value);
        }
        // A name may have points in it, and may be followed by fields.
        for (at, _) in name.match_indices('.') {
            if let Some(value) = whole(&name[..at])
                && let Some(value) = field(&value, &name[at + 1..])
            {
                return Ok(value);
            }
        }
        let not_found = |message: String| Error::new(Kind::NotFound, message);
        Err(match scope {
            Scope::Data(value, _) => not_found(format!("value '{value}' has no field '{name}'")),
            Scope::Values => not_found(format!("there is no value '{name}'")).hint(self.like(name)),
            Scope::Env => {
                let error = not_found(format!("there is no '{name}' in env"));
                match (
                    self.values.by_name(name),
                    nearest(name, self.env.iter().map(|(key, _)| &**key)),
                ) {
                    (Some(_), _) => {
                        error.hint(format!("add to the node's env: {name}: \"{{{{ .{name} }}}}\""))
                    }
                    (None, Some(near)) => error.hint(format!("did you mean {near}?")),
                    (None, None) => {
                        error.hint(format!("add it to the node's env, or start with -e {name}=..."))
                    }
                }
            }
        })
    }
}

fn field(value: &Value, path: &str) -> Option<Value> {
    let mut value = value;
    for name in path.split('.') {
        value = match value.elements() {
            Some(elements) => elements.get(name.parse::<usize>().ok()?)?,
            None => value.get(name)?,
        };
    }
    Some(value.clone())
}

/// Whether a string in it has what may be a template. Bounded by the depth of what readers take.
fn has_template(value: &Value) -> bool {
    match value {
        Value::Str(text) => text.contains("{{"),
        Value::List(elements) => elements.iter().any(has_template),
        Value::Map(entries) => entries.iter().any(|(_, value)| has_template(value)),
        _ => false,
    }
}

enum Template<'t> {
    /// `{{ .NAME }}`, with points in it perhaps; empty for `{{ . }}`.
    Name(&'t str),
    /// `{{"{{"}}`
    Braces,
}

/// The next template, and what stands before and after it.
fn next_template(text: &str) -> Option<(&str, Template<'_>, &str)> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find("{{") {
        let start = from + found;
        let inside = text[start + 2..].trim_start_matches(' ');
        if let Some(after) = inside.strip_prefix("\"{{\"")
            && let Some(after) = after.trim_start_matches(' ').strip_prefix("}}")
        {
            return Some((&text[..start], Template::Braces, after));
        }
        if let Some(name) = inside.strip_prefix('.') {
            let is_name = |char: char| char.is_ascii_alphanumeric() || "_-./:@".contains(char);
            let end = name.find(|char| !is_name(char)).unwrap_or(name.len());
            if let Some(after) = name[end..].trim_start_matches(' ').strip_prefix("}}") {
                return Some((&text[..start], Template::Name(&name[..end]), after));
            }
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::spec::{Object, Sort, codec};
    use crate::flow::value::located;

    const VALUES: &str = "[{name: HOST, data: db}, {name: PORT, data: 5432}, {name: LIST, data: [1, {a: b}]}, \
        {name: ACCOUNT, id: acc-1, data: {user: u, password: hush, deep: {x: [7]}}}, {name: a.b, data: dotted}, \
        {name: TRICK, data: '{{ .HOST }}'}]";

    fn objects(sort: Sort, text: &str) -> Vec<Object> {
        let documents = located::read(text.as_bytes(), false).unwrap();
        codec::read(sort, &documents, &"f".into(), "default").unwrap()
    }

    fn resolved(fields: &str) -> Result<Rc<Spec>> {
        let specs = objects(Sort::Specs, &format!("kind: k\nname: n\n{fields}"));
        let values = objects(Sort::Values, VALUES).into_iter();
        let values: Vec<Rc<FlowValue>> = values
            .filter_map(|object| match object {
                Object::Value(value) => Some(value),
                Object::Spec(_) => None,
            })
            .collect();
        let Some(Object::Spec(spec)) = specs.first() else {
            unreachable!("a spec was written");
        };
        let given = [
            ("GIVEN".to_string(), "g".to_string()),
            ("A".to_string(), "given".to_string()),
        ];
        resolve(spec, Values(&values), &given)
    }

    fn check(fields: &str, expected: &str) {
        let told = match resolved(fields) {
            Ok(spec) => json::text(spec.field("x").unwrap_or(&Value::Null)),
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected, "{fields}");
    }

    #[test]
    fn texts() {
        check(
            "x: 'no { template } {{ here }} {{.}'",
            "\"no { template } {{ here }} {{.}\"",
        );
        check(
            "env: {A: 'h={{ .HOST }}:{{.PORT}}'}\nx: ['<{{ .A }}>', {y: '{{.A}}{{.A}}'}]",
            "[\"<h=db:5432>\",{\"y\":\"h=db:5432h=db:5432\"}]",
        );
        check(
            "env: {A: '{{ .PORT }}', B: '{{ .LIST }}'}\nx: ['{{ .A }}', '{{ .B }}', 'b={{ .B }}', '{{ .B.1.a }}']",
            "[5432,[1,{\"a\":\"b\"}],\"b=[1,{\\\"a\\\":\\\"b\\\"}]\",\"b\"]",
        );
        check("env: {A: '{{ .TRICK }}'}\nx: '{{ .A }}'", "\"{{ .HOST }}\"");
        check(
            "env: {A: '{{ .a.b }}'}\nx: 'a {{\"{{\"}} .A }} {{{ .A }}}'",
            "\"a {{ .A }} {dotted}\"",
        );
        check("x: '{{ .GIVEN }}'", "\"g\"");
        check("env: {A: own}\nx: '{{ .A }}'", "\"own\"");
        check("env: {A: 7}\nx: '{{ .A }}'", "7");
    }

    #[test]
    fn sources() {
        check(
            "env: {A: {name: ACCOUNT, data: '{{ .user }}:{{ .password }}'}}\nx: '{{ .A }}'",
            "\"u:hush\"",
        );
        check(
            "env: {A: {id: acc-1, data: {d: '{{ .deep.x.0 }}', w: '{{ . }}'}}}\nx: '{{ .A.d }}'",
            "7",
        );
        check("env: {A: {name: ACCOUNT}}\nx: '{{ .A.deep }}'", "{\"x\":[7]}");
        check(
            "env: {A: [{name: GONE}, {name: ACCOUNT, data: '{{ .gone }}'}, {name: HOST}, z]}\nx: '{{ .A }}'",
            "\"db\"",
        );
        check("env: {A: [{name: GONE}, z]}\nx: '{{ .A }}'", "\"z\"");
        check("env: {A: {data: '{{ .HOST }}!'}}\nx: '{{ .A }}'", "\"db!\"");
    }

    #[test]
    fn nodes_within() {
        check("env: {A: outer, B: b}\nspecs: []\nx: 1", "1");
        let spec = resolved(
            "env: {A: outer, B: b}\nspecs:\n- {kind: k, env: {A: '{{ .HOST }}'}, y: '{{ .A }}{{ .B }}'}\n- {kind: k, y: '{{ .A }}', specs: [{kind: k, env: {C: c}, y: '{{ .C }}'}]}\n",
        );
        let specs = codec::nested(&spec.unwrap(), "specs").unwrap();
        let fields: Vec<String> = specs.iter().map(|spec| json::text(&spec.fields)).collect();
        assert_eq!(
            fields,
            [
                "{\"y\":\"dbb\"}",
                "{\"y\":\"outer\",\"specs\":[{\"kind\":\"k\",\"env\":{\"C\":\"c\"},\"y\":\"c\"}]}"
            ]
        );
    }

    #[test]
    fn what_is_not_there() {
        check("x: '{{ .GONE }}'", "there is no 'GONE' in env at f:3");
        check("env: {A: '{{ .GONE }}'}\nx: 1", "there is no value 'GONE' at f:3");
        check("env: {A: {name: GONE}}", "env A: there is no value 'GONE' at f:3");
        check(
            "env: {A: {name: ACCOUNT, data: '{{ .gone }}'}}",
            "value 'ACCOUNT' has no field 'gone' at f:3",
        );
        check(
            "env: {A: [{name: GONE}, {id: no}]}",
            "env A: none of its 2 sources is there at f:3",
        );
        let hint = |fields: &str| resolved(fields).unwrap_err().hint.unwrap_or_default();
        assert_eq!(
            hint("x: '{{ .HOST }}'"),
            "add to the node's env: HOST: \"{{ .HOST }}\""
        );
        assert_eq!(hint("env: {A: '{{ .HOTS }}'}"), "did you mean HOST?");
    }

    #[test]
    fn nothing_explodes() {
        let many = "{{ .A }}".repeat(1000);
        let text = format!("env: {{A: {}}}\nx: '{many}'", "x".repeat(100_000));
        check(&text, "templates make more than 16777216 bytes of text at f:4");
    }
}
