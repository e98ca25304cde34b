//! What a tool takes and gives, as JSON Schema. Decodes nothing.

use super::content::{is_structured, is_wrapped};
use super::message::Revision;
use crate::codec::json_text::JsonText;
use crate::codec::schema::Types;
use crate::manifest::model::Command;
use crate::serve::api::input_schema;
use crate::serve::json_schema::Schemas;

/// Adds the schema of the object that holds a command's arguments, and that of its result if the revision has it and the
/// result is structured.
pub fn write_schemas(types: &Types, command: &Command, revision: Revision, tool: &mut JsonText) {
    input_schema(types, command, tool.key("inputSchema").buffer());
    let returned = command.returns.ty;
    if revision < Revision::V2025_06_18 || !is_structured(types, returned) {
        return;
    }
    let mut schemas = Schemas::new(types, "#/$defs/");
    tool.key("outputSchema").begin(b'{');
    if is_wrapped(types, returned) {
        tool.key("type").string("object");
        tool.key("properties").begin(b'{').key("result");
        schemas.write(returned, tool);
        tool.end(b'}').key("required").strings(["result"]);
    } else {
        let mut schema = Vec::new();
        schemas.write(returned, &mut JsonText::new(&mut schema));
        // A record that lies within itself only refers to its definition; clients insist on the word.
        if schema.starts_with(b"{\"$ref\"") {
            tool.key("type").string("object");
        }
        tool.raw(&schema[1..schema.len() - 1]);
    }
    write_definitions(schemas, tool);
}

/// Closes a schema, with all that it refers to.
fn write_definitions(mut schemas: Schemas, text: &mut JsonText) {
    if schemas.has_definitions() {
        text.key("$defs").begin(b'{');
        schemas.write_definitions(text);
        text.end(b'}');
    }
    text.end(b'}');
}
