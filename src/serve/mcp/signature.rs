//! What a tool takes and gives, as JSON Schema. Decodes nothing.

use super::content::{is_structured, is_wrapped};
use super::message::Revision;
use crate::codec::json_text::JsonText;
use crate::codec::schema::{Type, Types};
use crate::ids::TypeId;
use crate::manifest::model::{Arg, Command, Flag, RecordArg};
use crate::serve::api::parameter_names;
use crate::serve::json_schema::Schemas;

/// Where definitions stand.
const DEFINITIONS: &str = "#/$defs/";

/// Adds the schema of the object that holds a command's arguments, and that of its result if the revision has it and the
/// result is structured.
pub fn write_schemas(types: &Types, command: &Command, revision: Revision, tool: &mut JsonText) {
    let mut schemas = Schemas::new(types, DEFINITIONS);
    tool.key("inputSchema").begin(b'{');
    let names = parameter_names(command);
    let members: Vec<Member> = names
        .iter()
        .zip(&command.args)
        .map(|(name, arg)| Member::new(name, arg.ty(), Some(arg)))
        .collect();
    write_object(types, &members, &mut schemas, tool);
    write_definitions(schemas, tool);
    let returned = command.returns.ty;
    if revision < Revision::V2025_06_18 || !is_structured(types, returned) {
        return;
    }
    let mut schemas = Schemas::new(types, DEFINITIONS);
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

/// A parameter, or a field of a record that is one.
struct Member<'m> {
    name: &'m str,
    ty: TypeId,
    /// How it is given on the command line, if it is by itself.
    arg: Option<&'m Arg>,
}

impl<'m> Member<'m> {
    fn new(name: &'m str, ty: TypeId, arg: Option<&'m Arg>) -> Member<'m> {
        Member { name, ty, arg }
    }

    /// Whether it can't be left out.
    fn is_needed(&self, types: &Types) -> bool {
        match self.arg {
            Some(Arg::Flag(_)) => false,
            Some(Arg::Option(opt)) if opt.default.is_some() => false,
            Some(Arg::Record(record)) => fields(types, record).iter().any(|field| field.is_needed(types)),
            _ => !matches!(types.node(self.ty), Type::Optional(_) | Type::Nil),
        }
    }

    /// Writes what stands between the braces of its schema.
    fn write(&self, types: &Types, schemas: &mut Schemas, text: &mut JsonText) {
        match self.arg {
            Some(Arg::Record(record)) => write_object(types, &fields(types, record), schemas, text),
            _ => schemas.write_keys(self.ty, text),
        }
        let (desc, default) = match self.arg {
            None => return,
            Some(Arg::Positional(input)) => (&input.desc, None),
            Some(Arg::Option(opt)) => (&opt.input.desc, opt.default.as_deref()),
            Some(Arg::Flag(flag)) => (&flag.desc, Some(flag_default(flag))),
            Some(Arg::Record(record)) => (&record.desc, None),
        };
        if !desc.is_empty() {
            text.key("description").string(&desc.join("\n"));
        }
        if let Some(default) = default {
            text.key("default").raw(default.as_bytes());
        }
    }
}

/// The fields of the record that a parameter is.
fn fields<'m>(types: &'m Types, record: &'m RecordArg) -> Vec<Member<'m>> {
    let Type::Record(span) = types.node(types.inner(record.ty)) else {
        return Vec::new();
    };
    let entry = |position: usize| {
        let mut entries = record.entries.iter();
        entries.find(|(at, _)| *at == position).map(|(_, arg)| arg)
    };
    let fields = types.fields(span).iter().enumerate();
    fields
        .map(|(position, field)| Member::new(&field.key, field.ty, entry(position)))
        .collect()
}

/// What a flag is by its name when it isn't given: the name is that of the word that sets it to true, if there is one.
fn flag_default(flag: &Flag) -> &'static str {
    let has_word = flag.long.is_some() || flag.short.is_some();
    let sets_true = match flag.default {
        false => has_word,
        true => flag.long_rev.is_some(),
    };
    match flag.default == sets_true {
        true => "true",
        false => "false",
    }
}

/// Writes what stands between the braces of the schema of an object with these members only.
fn write_object(types: &Types, members: &[Member], schemas: &mut Schemas, text: &mut JsonText) {
    text.key("type").string("object").key("properties").begin(b'{');
    for member in members {
        text.key(member.name).begin(b'{');
        member.write(types, schemas, text);
        text.end(b'}');
    }
    text.end(b'}');
    let needed = members.iter().filter(|member| member.is_needed(types));
    text.key("required").strings(needed.map(|member| member.name));
    text.key("additionalProperties").boolean(false);
}
