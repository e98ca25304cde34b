//! JSON Schema of the parameters of a command, as an object by name. Reads no value.

use crate::codec::json_text::JsonText;
use crate::codec::schema::{Field, Type, Types};
use crate::manifest::model::{Arg, Command, RecordArg};
use crate::serve::api::parameter::{entry, fields, is_reverse, parameter_names};
use crate::serve::json_schema::Schemas;

/// Appends the schema of all parameters of a command, with the definitions that it refers to.
pub fn input_schema(types: &Types, command: &Command, out: &mut Vec<u8>) {
    let mut schemas = Schemas::new(types, "#/$defs/");
    let mut text = JsonText::new(out);
    text.begin(b'{');
    write_parameters(&mut schemas, types, command, &mut text);
    if schemas.has_definitions() {
        text.key("$defs").begin(b'{');
        schemas.write_definitions(&mut text);
        text.end(b'}');
    }
    text.end(b'}');
}

/// Appends what stands between the braces of it.
pub(super) fn write_parameters(schemas: &mut Schemas, types: &Types, command: &Command, text: &mut JsonText) {
    let names = parameter_names(command);
    text.key("type").string("object").key("properties").begin(b'{');
    for (name, arg) in names.iter().zip(&command.args) {
        text.key(name).begin(b'{');
        write_parameter(schemas, types, arg, text);
        text.end(b'}');
    }
    text.end(b'}').key("required");
    let needed = names.iter().zip(&command.args);
    let needed = needed.filter(|(_, arg)| is_needed(types, arg));
    text.strings(needed.map(|(name, _)| name.as_str()));
    text.key("additionalProperties").boolean(false);
}

/// Whether a parameter must be given.
pub(super) fn is_needed(types: &Types, arg: &Arg) -> bool {
    match arg {
        Arg::Flag(_) => false,
        Arg::Option(opt) if opt.default.is_some() => false,
        Arg::Record(record) => {
            let fields = fields(types, record);
            let mut places = fields.iter().enumerate();
            places.any(|(position, field)| is_field_needed(types, record, position, field))
                || fields.is_empty() && !matches!(types.node(types.inner(record.ty)), Type::Record(_))
        }
        _ => !matches!(types.node(arg.ty()), Type::Optional(_) | Type::Nil),
    }
}

fn is_field_needed(types: &Types, record: &RecordArg, position: usize, field: &Field) -> bool {
    match entry(record, position) {
        Some(entry) => is_needed(types, entry),
        None => !matches!(types.node(field.ty), Type::Optional(_)),
    }
}

/// Appends what stands between the braces of one parameter's schema.
pub(super) fn write_parameter(schemas: &mut Schemas, types: &Types, arg: &Arg, text: &mut JsonText) {
    let desc = match arg {
        Arg::Positional(input) => &input.desc,
        Arg::Option(opt) => &opt.input.desc,
        Arg::Flag(flag) => &flag.desc,
        Arg::Record(record) => &record.desc,
    };
    match arg {
        Arg::Record(record) if !fields(types, record).is_empty() => {
            write_record(schemas, types, record, text);
        }
        _ => schemas.write_keys(arg.ty(), text),
    }
    if !desc.is_empty() {
        text.key("description").string(&desc.join("\n"));
    }
    match arg {
        Arg::Option(opt) => {
            if let Some(default) = &opt.default {
                text.key("default").raw(default.as_bytes());
            }
        }
        Arg::Flag(flag) => drop(text.key("default").boolean(flag.default != is_reverse(arg))),
        _ => {}
    }
}

/// A record of which the fields with a default may be left out.
fn write_record(schemas: &mut Schemas, types: &Types, record: &RecordArg, text: &mut JsonText) {
    let fields = fields(types, record);
    let is_optional = matches!(types.node(record.ty), Type::Optional(_));
    if is_optional {
        text.key("anyOf").begin(b'[').begin(b'{');
    }
    text.key("type").string("object").key("properties").begin(b'{');
    for (position, field) in fields.iter().enumerate() {
        text.key(&field.key).begin(b'{');
        match entry(record, position) {
            // Under its own key a flag is what it is in the record.
            Some(Arg::Flag(flag)) => {
                schemas.write_keys(field.ty, text);
                if !flag.desc.is_empty() {
                    text.key("description").string(&flag.desc.join("\n"));
                }
                text.key("default").boolean(flag.default);
            }
            Some(entry) => write_parameter(schemas, types, entry, text),
            None => schemas.write_keys(field.ty, text),
        }
        text.end(b'}');
    }
    text.end(b'}').key("required");
    let needed = fields.iter().enumerate();
    let needed = needed.filter(|(position, field)| is_field_needed(types, record, *position, field));
    text.strings(needed.map(|(_, field)| &*field.key));
    text.key("additionalProperties").boolean(false);
    if is_optional {
        text.end(b'}')
            .begin(b'{')
            .key("type")
            .string("null")
            .end(b'}')
            .end(b']');
    }
}
