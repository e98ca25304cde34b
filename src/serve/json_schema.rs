//! JSON Schema (2020-12) of the JSON form of types, as arguments take it and results have it. Reads no value.
//!
//! A recursive type refers to a definition that stands apart: `$defs` beside the schema, or one place for the schemas of a
//! whole document ([`Schemas`]).

use crate::codec::json_text::JsonText;
use crate::codec::schema::{Field, Number, Type, Types};
use crate::ids::TypeId;

/// Base64 with its padding, and no bits left over.
const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// Appends the schema of a type, with the definitions that it refers to.
pub fn json_schema(types: &Types, ty: TypeId, out: &mut Vec<u8>) {
    let mut schemas = Schemas::new(types, "#/$defs/");
    let mut text = JsonText::new(out);
    text.begin(b'{');
    schemas.write_keys(ty, &mut text);
    if schemas.has_definitions() {
        text.key("$defs").begin(b'{');
        schemas.write_definitions(&mut text);
        text.end(b'}');
    }
    text.end(b'}');
}

/// Schemas of several types of one table, which share their definitions.
pub struct Schemas<'t> {
    types: &'t Types,
    /// What stands before the name of a definition where it is referred to.
    prefix: String,
    /// Types that lie within themselves, and so are referred to.
    recursive: Vec<TypeId>,
    /// Those of them that were referred to, in the order of it.
    used: Vec<TypeId>,
}

impl<'t> Schemas<'t> {
    /// Of that table; `prefix` is the place of definitions as a URI reference: `#/$defs/`, or with the start of their names
    /// `#/components/schemas/name.`.
    pub fn new(types: &'t Types, prefix: impl Into<String>) -> Schemas<'t> {
        Schemas {
            types,
            prefix: prefix.into(),
            recursive: Vec::new(),
            used: Vec::new(),
        }
    }

    /// Appends the schema of a type.
    pub fn write(&mut self, ty: TypeId, text: &mut JsonText) {
        text.begin(b'{');
        self.write_keys(ty, text);
        text.end(b'}');
    }

    /// Appends what stands between the braces of a type's schema, so that more can be put beside it.
    pub fn write_keys(&mut self, ty: TypeId, text: &mut JsonText) {
        self.find_recursive(ty, &mut Vec::new());
        self.keys(ty, text);
    }

    /// Whether anything was referred to.
    pub fn has_definitions(&self) -> bool {
        !self.used.is_empty()
    }

    /// Appends all that was referred to as members of an object that is open, each under its name.
    pub fn write_definitions(&mut self, text: &mut JsonText) {
        let start = self.prefix.rfind('/').map_or(0, |slash| slash + 1);
        let mut at = 0;
        // Definitions may refer to further ones.
        while let Some(ty) = self.used.get(at).copied() {
            at += 1;
            text.key(&format!("{}T{}", &self.prefix[start..], ty.index()))
                .begin(b'{');
            self.body(ty, text);
            text.end(b'}');
        }
    }

    /// Finds the types within this one that close a circle: every circle has one.
    fn find_recursive(&mut self, ty: TypeId, open: &mut Vec<TypeId>) {
        if open.contains(&ty) {
            if !self.recursive.contains(&ty) {
                self.recursive.push(ty);
            }
            return;
        }
        match self.types.node(ty) {
            Type::Optional(inner) | Type::List { element: inner, .. } => {
                open.push(ty);
                self.find_recursive(inner, open);
            }
            Type::Tuple(span) => {
                open.push(ty);
                for member in self.types.members(span) {
                    self.find_recursive(*member, open);
                }
            }
            Type::Record(span) => {
                open.push(ty);
                for field in self.types.fields(span) {
                    self.find_recursive(field.ty, open);
                }
            }
            _ => return,
        }
        open.pop();
    }

    /// The schema, or where it stands.
    fn keys(&mut self, ty: TypeId, text: &mut JsonText) {
        if !self.recursive.contains(&ty) {
            return self.body(ty, text);
        }
        if !self.used.contains(&ty) {
            self.used.push(ty);
        }
        text.key("$ref")
            .string(&format!("{}T{}", self.prefix, ty.index()));
    }

    fn object(&mut self, ty: TypeId, text: &mut JsonText) {
        text.begin(b'{');
        self.keys(ty, text);
        text.end(b'}');
    }

    fn body(&mut self, ty: TypeId, text: &mut JsonText) {
        match self.types.node(ty) {
            Type::Nil => drop(text.key("type").string("null")),
            Type::Bool => drop(text.key("type").string("boolean")),
            Type::Number(number) => write_number(number, text),
            Type::Integer => drop(text.key("type").string("integer")),
            Type::Str => drop(text.key("type").string("string")),
            Type::Json => {}
            Type::Bytes => {
                text.key("type").string("string");
                text.key("contentEncoding").string("base64");
                text.key("pattern").string(BASE64);
            }
            Type::Optional(inner) => {
                text.key("anyOf").begin(b'[');
                self.object(inner, text);
                text.begin(b'{').key("type").string("null").end(b'}').end(b']');
            }
            Type::List { element, len } => {
                text.key("type").string("array").key("items");
                self.object(element, text);
                if let Some(len) = len {
                    write_len(len as usize, text);
                }
            }
            Type::Tuple(span) => {
                text.key("type").string("array");
                let members = self.types.members(span);
                if !members.is_empty() {
                    text.key("prefixItems").begin(b'[');
                    for member in members {
                        self.object(*member, text);
                    }
                    text.end(b']');
                }
                write_len(members.len(), text);
            }
            Type::Record(span) => self.record(self.types.fields(span), text),
            // Neither argument nor result: nothing fits.
            Type::Function { .. } | Type::Opaque(_) => drop(text.key("not").begin(b'{').end(b'}')),
        }
    }

    fn record(&mut self, fields: &[Field], text: &mut JsonText) {
        text.key("type").string("object").key("properties").begin(b'{');
        for field in fields {
            text.key(&field.key);
            self.object(field.ty, text);
        }
        text.end(b'}');
        let needed = fields
            .iter()
            .filter(|field| !matches!(self.types.node(field.ty), Type::Optional(_)));
        text.key("required").strings(needed.map(|field| &*field.key));
        text.key("additionalProperties").boolean(false);
    }
}

fn write_len(len: usize, text: &mut JsonText) {
    text.key("minItems").number(len).key("maxItems").number(len);
}

/// The formats are those of the OpenAPI format registry.
fn write_number(number: Number, text: &mut JsonText) {
    let (format, most) = match number {
        // As the largest is printed, with the fewest digits: a little more than it is.
        Number::F4 => ("float", "3.4028235e38"),
        Number::F8 => ("double", "1.7976931348623157e308"),
        _ => {
            let format = match number {
                Number::I1 => "int8",
                Number::I2 => "int16",
                Number::I4 => "int32",
                Number::I8 => "int64",
                Number::U1 => "uint8",
                Number::U2 => "uint16",
                Number::U4 => "uint32",
                _ => "uint64",
            };
            let (least, most) = number.range();
            text.key("type").string("integer").key("format").string(format);
            text.key("minimum").number(least).key("maximum").number(most);
            return;
        }
    };
    text.key("anyOf").begin(b'[').begin(b'{');
    text.key("type").string("number").key("format").string(format);
    text.key("minimum")
        .raw(&[b"-", most.as_bytes()].concat())
        .key("maximum")
        .raw(most.as_bytes());
    text.end(b'}').begin(b'{').key("enum");
    text.strings(["NaN", "Infinity", "-Infinity"]).end(b'}').end(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, expected: &str) {
        let mut types = Types::default();
        let ty = types.parse(schema).unwrap();
        let mut out = Vec::new();
        json_schema(&types, ty, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{schema}");
    }

    #[test]
    fn every_type_has_a_schema() {
        check("z", r#"{"type":"null"}"#);
        check("b", r#"{"type":"boolean"}"#);
        check("j", r#"{"type":"integer"}"#);
        check("s", r#"{"type":"string"}"#);
        check(
            "u8",
            r#"{"type":"integer","format":"uint64","minimum":0,"maximum":18446744073709551615}"#,
        );
        check(
            "i1",
            r#"{"type":"integer","format":"int8","minimum":-128,"maximum":127}"#,
        );
        check(
            "f8",
            r#"{"anyOf":[{"type":"number","format":"double","minimum":-1.7976931348623157e308,"maximum":1.7976931348623157e308},{"enum":["NaN","Infinity","-Infinity"]}]}"#,
        );
        check(
            "f4",
            r#"{"anyOf":[{"type":"number","format":"float","minimum":-3.4028235e38,"maximum":3.4028235e38},{"enum":["NaN","Infinity","-Infinity"]}]}"#,
        );
        check("?s", r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#);
        check("[s]", r#"{"type":"array","items":{"type":"string"}}"#);
        check(
            "a:3s",
            r#"{"type":"array","items":{"type":"string"},"minItems":3,"maxItems":3}"#,
        );
        check(
            "(s,b)",
            r#"{"type":"array","prefixItems":[{"type":"string"},{"type":"boolean"}],"minItems":2,"maxItems":2}"#,
        );
        check("()", r#"{"type":"array","minItems":0,"maxItems":0}"#);
        check(
            "{a:j,b:?s}",
            r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"anyOf":[{"type":"string"},{"type":"null"}]}},"required":["a"],"additionalProperties":false}"#,
        );
        check("\\(j)j", r#"{"not":{}}"#);
    }

    #[test]
    fn recursive_types_refer_to_themselves() {
        let list = r##"{"type":"array","items":{"$ref":"#/$defs/T0"}}"##;
        let mut types = Types::default();
        let ty = types.parse("&1L[^1L]").unwrap();
        let name = format!("T{}", ty.index());
        let expected = format!(
            r##"{{"$ref":"#/$defs/{name}","$defs":{{"{name}":{}}}}}"##,
            list.replace("T0", &name)
        );
        check("&1L[^1L]", &expected);
    }
}
