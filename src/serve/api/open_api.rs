//! All commands that can be called as an OpenAPI 3.1 document. Describes what `route`, `arguments` and `result` do, and does
//! none of it.
//!
//! A command is one path. Its POST takes the parameters as an object by name; its GET takes them in the query, text as it is
//! and everything else as JSON. Not described: arguments by position, other spellings of a name.

use crate::codec::json_text::JsonText;
use crate::codec::schema::{Type, Types};
use crate::manifest::model::{Body, Command, Manifest};
use crate::serve::api::accept::{Form, essence, offers};
use crate::serve::api::parameter::parameter_names;
use crate::serve::api::parameter_schema::{is_needed, write_parameter, write_parameters};
use crate::serve::api::route::Target;
use crate::serve::json_schema::Schemas;

/// A program that can be called.
#[derive(Clone, Debug)]
pub struct Program<'m> {
    /// As paths name it; without a version it is the default one.
    pub target: Target,
    /// What it is.
    pub manifest: &'m Manifest,
}

/// The schema of an error and where it is used; the kinds are left open.
const RESPONSES: &str = r##"{"Error":{"description":"What went wrong","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Error"}}}}}"##;

/// The shape that [`crate::codec::error_map`] writes.
const ERROR_SCHEMA: &str = concat!(
    r#"{"type":"object","required":["error"],"additionalProperties":false,"properties":{"error":{"type":"object","#,
    r#""required":["kind","message"],"properties":{"kind":{"type":"string"},"message":{"type":"string"},"#,
    r#""place":{"type":"string"},"hint":{"type":"string"},"pool":{"type":"string"},"command":{"type":"string"},"#,
    r#""function":{"type":"string"},"pid":{"type":"integer"},"exit_code":{"type":"integer"},"signal":{"type":"integer"},"#,
    r#""stderr_tail":{"type":"array","items":{"type":"string"}},"#,
    r#""trace":{"type":"array","items":{"type":"object","required":["lang","function","file","line"],"#,
    r#""properties":{"lang":{"type":"string"},"function":{"type":"string"},"file":{"type":"string"},"#,
    r#""line":{"type":"integer","minimum":0}}}}}}}}"#
);

/// Statuses of errors that every call may have; the others are described together.
const ERRORS: [&str; 3] = ["400", "500", "default"];

/// Appends the document; `has_token`: calls need one.
pub fn open_api(programs: &[Program], has_token: bool, out: &mut Vec<u8>) {
    let mut text = JsonText::new(out);
    text.begin(b'{').key("openapi").string("3.1.0");
    text.key("info").begin(b'{').key("title").string("nexus");
    text.key("version").string(env!("CARGO_PKG_VERSION")).end(b'}');
    text.key("tags").begin(b'[');
    for program in programs {
        text.begin(b'{').key("name").string(&program.target.path());
        text.key("description")
            .string(&program.manifest.desc.join("\n"))
            .end(b'}');
    }
    text.end(b']').key("paths").begin(b'{');
    let mut schemas = Vec::with_capacity(programs.len());
    for (position, program) in programs.iter().enumerate() {
        let types = &program.manifest.types;
        let mut of_program = Schemas::new(types, format!("#/components/schemas/P{position}."));
        for command in shown(program.manifest) {
            text.key(&call_path(&program.target, command)).begin(b'{');
            operation(&mut of_program, program, command, true, &mut text);
            operation(&mut of_program, program, command, false, &mut text);
            text.end(b'}');
        }
        schemas.push(of_program);
    }
    text.end(b'}').key("components").begin(b'{');
    text.key("schemas").begin(b'{');
    text.key("Error").raw(ERROR_SCHEMA.as_bytes());
    for of_program in &mut schemas {
        of_program.write_definitions(&mut text);
    }
    text.end(b'}').key("responses").raw(RESPONSES.as_bytes());
    if has_token {
        text.key("securitySchemes")
            .raw(br#"{"token":{"type":"http","scheme":"bearer"}}"#);
    }
    text.end(b'}');
    if has_token {
        text.key("security").raw(br#"[{"token":[]}]"#);
    }
    text.end(b'}');
}

/// The commands that are told of: those that are no secret and can be run here.
pub(super) fn shown(manifest: &Manifest) -> impl Iterator<Item = &Command> {
    let is_shown = |command: &&Command| !command.internal && !matches!(command.body, Body::Unsupported(_));
    manifest.commands.iter().filter(is_shown)
}

impl Target {
    /// As it stands in paths, percent-encoded.
    pub fn path(&self) -> String {
        let mut out = encoded(&self.namespace);
        out.push('/');
        out.push_str(&encoded(&self.name));
        if let Some(version) = &self.version {
            out.push('@');
            out.push_str(&encoded(version));
        }
        out
    }
}

/// The path of a command.
pub fn call_path(target: &Target, command: &Command) -> String {
    let mut out = format!("/v1/call/{}/", target.path());
    if let Some(group) = &command.group {
        out.push_str(&encoded(group));
        out.push('/');
    }
    out + &encoded(&command.name)
}

/// A segment of a path, percent-encoded.
fn encoded(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(HEX[usize::from(byte >> 4)].into());
                out.push(HEX[usize::from(byte & 15)].into());
            }
        }
    }
    out
}

fn operation(
    schemas: &mut Schemas,
    program: &Program,
    command: &Command,
    is_post: bool,
    text: &mut JsonText,
) {
    let types = &program.manifest.types;
    let path = call_path(&program.target, command);
    let name = path.strip_prefix("/v1/call/").unwrap_or_default();
    text.key(if is_post { "post" } else { "get" }).begin(b'{');
    text.key("operationId").string(&match is_post {
        true => name.to_string(),
        false => format!("get/{name}"),
    });
    text.key("tags").strings([program.target.path().as_str()]);
    if let Some(summary) = command.desc.first() {
        text.key("summary").string(summary);
    }
    let description = description(command);
    if !description.is_empty() {
        text.key("description").string(&description);
    }
    match is_post {
        true => {
            text.key("requestBody").begin(b'{').key("required");
            text.boolean(command.args.iter().any(|arg| is_needed(types, arg)));
            text.key("content")
                .begin(b'{')
                .key("application/json")
                .begin(b'{');
            text.key("schema").begin(b'{');
            write_parameters(schemas, types, command, text);
            text.end(b'}').end(b'}').key("application/msgpack").raw(b"{}");
            text.end(b'}').end(b'}');
        }
        false => query(schemas, types, command, text),
    }
    text.key("responses").begin(b'{');
    answers(schemas, types, command, text);
    for status in ERRORS {
        text.key(status)
            .raw(br##"{"$ref":"#/components/responses/Error"}"##);
    }
    text.end(b'}').end(b'}');
}

/// The rest of what a command says of itself, and its examples.
fn description(command: &Command) -> String {
    let mut out = command
        .desc
        .get(1..)
        .unwrap_or_default()
        .join("\n")
        .trim()
        .to_string();
    for example in &command.examples {
        if !out.is_empty() {
            out.push_str("\n\n");
        }
        out.push_str("    ");
        out.push_str(example);
    }
    out
}

/// The parameters of GET.
fn query(schemas: &mut Schemas, types: &Types, command: &Command, text: &mut JsonText) {
    text.key("parameters").begin(b'[');
    for (name, arg) in parameter_names(command).iter().zip(&command.args) {
        let is_text = types.is_text(arg.ty());
        text.begin(b'{')
            .key("name")
            .string(name)
            .key("in")
            .string("query");
        text.key("required").boolean(is_needed(types, arg));
        match is_text {
            // As text nothing but null can be null, and that is left out.
            true => drop(text.key("schema").raw(br#"{"type":"string"}"#)),
            false => {
                text.key("content")
                    .begin(b'{')
                    .key("application/json")
                    .begin(b'{');
                text.key("schema").begin(b'{');
                write_parameter(schemas, types, arg, text);
                text.end(b'}').end(b'}').end(b'}');
            }
        }
        text.end(b'}');
    }
    text.end(b']');
}

fn answers(schemas: &mut Schemas, types: &Types, command: &Command, text: &mut JsonText) {
    let returns = &command.returns;
    let meaning = match returns.desc.is_empty() {
        true => returns.type_name.clone(),
        false => returns.desc.join("\n"),
    };
    text.key("200").begin(b'{').key("description").string(&meaning);
    text.key("content").begin(b'{');
    let mut is_raw = false;
    for (media_type, form) in offers(types, returns) {
        // Further names of msgpack are the same.
        if form == Form::Msgpack && media_type != "application/msgpack" {
            continue;
        }
        text.key(essence(media_type)).begin(b'{');
        is_raw |= form == Form::Raw;
        if form == Form::Json {
            text.key("schema");
            schemas.write(returns.ty, text);
        }
        text.end(b'}');
    }
    text.end(b'}').end(b'}');
    if is_raw && matches!(types.node(returns.ty), Type::Optional(_)) {
        text.key("204")
            .raw(br#"{"description":"null, where the form has none"}"#);
    }
}
