//! What clients of MetaCall's FaaS ask for, and what they are told: its bodies, and its description of deployments. Routes
//! are the table's; deploys nothing itself.

use crate::codec::document::{Document, Node};
use crate::codec::json_text::JsonText;
use crate::codec::schema::{Number, Type, Types};
use crate::error::{Error, Kind};
use crate::ids::TypeId;
use crate::manifest::model::{Arg, Body, Command, Manifest};
use crate::manifest::names::full_name;
use crate::serve::api::failure::Failure;
use crate::serve::api::parameter::parameter_names;
use crate::serve::deployment::{Name, State};
use crate::serve::http::Response;

/// What a client of MetaCall asks for besides calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaCall {
    /// To describe all deployments.
    Inspect,
    /// To deploy a package, or to load a deployment again.
    Create,
    /// To take it away.
    Delete,
    /// To take a package.
    Package,
}

/// MetaCall's name of the version that is meant where none is named: its clients always name one.
const VERSION: &str = "v1";

/// Whether a file of that name in a program's folder tells MetaCall of its scripts.
pub fn is_description(name: &str) -> bool {
    name == "metacall.json" || name.starts_with("metacall-") && name.ends_with(".json")
}

/// The version as this server has it; none: the usual one.
pub fn version(of_client: &str) -> Option<&str> {
    (of_client != VERSION).then_some(of_client)
}

/// The version as clients have it.
fn version_of(name: &Name) -> &str {
    match name.version.as_str() {
        "latest" => VERSION,
        version => version,
    }
}

/// The deployment that a body means: `{"suffix": NAME, "prefix"?: NAMESPACE, "version"?: VERSION}`.
///
/// # Errors
/// Kind `usage`: it can't be read; it has variables for the environment, which a deployment has from its server. Status 501:
/// it means a repository.
pub fn deployment(body: &[u8]) -> Result<Name, Failure> {
    let document = Document::parse(body).map_err(|error| {
        let place = format!("byte {}", error.offset);
        Error::new(Kind::Usage, format!("body is no JSON: {}", error.message)).at(place)
    })?;
    let root = document.root();
    let word = |key: &str| root.member(key).and_then(Node::as_str);
    let Some(suffix) = word("suffix") else {
        let message = "body has no \"suffix\", expected the name of a deployment";
        return Err(Error::new(Kind::Usage, message).into());
    };
    match word("resourceType") {
        None | Some("Package") => {}
        Some("Repository") => {
            let failure = Failure::new(501, Kind::Usage, "this server fetches no repositories");
            return Err(failure.hint("send what is in it to /api/package/create, as a package"));
        }
        Some(other) => {
            let message = format!("\"resourceType\" is '{other}', expected Package");
            return Err(Error::new(Kind::Usage, message).into());
        }
    }
    let mut variables = root.member("env").and_then(Node::elements).into_iter().flatten();
    if variables.next().is_some() {
        let message = "\"env\" has variables, which a deployment can't be given";
        let error = Error::new(Kind::Usage, message).hint("set them where the server is started");
        return Err(error.into());
    }
    Ok(Name::new(
        word("prefix"),
        suffix,
        word("version").and_then(version),
    )?)
}

/// The answer to whoever has deployed.
pub fn created(name: &Name) -> Response {
    let mut out = Vec::new();
    let mut text = JsonText::new(&mut out);
    text.begin(b'{');
    write_name(&mut text, name);
    text.end(b'}');
    Response::new(200, "application/json", out)
}

/// Describes deployments: each with its name, its state, and the program that it serves, if it does.
pub fn inspect<'d>(deployments: impl Iterator<Item = (&'d Name, State, Option<&'d Manifest>)>) -> Response {
    let mut out = Vec::new();
    let mut text = JsonText::new(&mut out);
    text.begin(b'[');
    for (name, state, manifest) in deployments {
        let status = match (state, manifest) {
            (_, Some(_)) => "ready",
            (State::Staged | State::Loading, _) => "create",
            _ => "fail",
        };
        text.begin(b'{').key("status").string(status);
        write_name(&mut text, name);
        text.key("packages").begin(b'{');
        if let Some(manifest) = manifest {
            write_packages(&mut text, manifest);
        }
        text.end(b'}').key("ports").begin(b'[').end(b']').end(b'}');
    }
    text.end(b']');
    Response::new(200, "application/json", out)
}

fn write_name(text: &mut JsonText, name: &Name) {
    text.key("prefix").string(&name.namespace);
    text.key("suffix").string(&name.name);
    text.key("version").string(version_of(name));
}

/// The functions by the languages of their pools, a handle for each pool; those of no pool under `nexus`.
fn write_packages(text: &mut JsonText, manifest: &Manifest) {
    let language = |pool: usize| {
        manifest
            .pools
            .get(pool)
            .map_or("nexus", |pool| pool.lang.as_str())
    };
    let pool_of = |command: &Command| match &command.body {
        Body::Remote { pool, .. } => Some(pool.index()),
        Body::Pure(_) | Body::Composed { .. } => Some(manifest.pools.len()),
        Body::Unsupported(_) => None,
    };
    let pools = 0..=manifest.pools.len();
    let is_shown = |pool: usize, command: &Command| !command.internal && pool_of(command) == Some(pool);
    let has_any = |pool: &usize| manifest.commands.iter().any(|command| is_shown(*pool, command));
    let used: Vec<usize> = pools.filter(has_any).collect();
    let mut told: Vec<&str> = Vec::new();
    for pool in &used {
        let own = language(*pool);
        if told.contains(&own) {
            continue;
        }
        told.push(own);
        text.key(if own == "js" { "node" } else { own }).begin(b'[');
        for pool in used.iter().filter(|pool| language(**pool) == own) {
            let name = manifest
                .pools
                .get(*pool)
                .map_or("nexus", |pool| pool.name.as_str());
            text.begin(b'{').key("name").string(name);
            text.key("scope")
                .begin(b'{')
                .key("name")
                .string("global_namespace");
            text.key("funcs").begin(b'[');
            for command in manifest
                .commands
                .iter()
                .filter(|command| is_shown(*pool, command))
            {
                write_function(text, &manifest.types, command);
            }
            text.end(b']');
            text.key("classes").begin(b'[').end(b']');
            text.key("objects").begin(b'[').end(b']');
            text.end(b'}').end(b'}');
        }
        text.end(b']');
    }
}

fn write_function(text: &mut JsonText, types: &Types, command: &Command) {
    text.begin(b'{').key("name").string(&full_name(command));
    text.key("signature").begin(b'{');
    text.key("ret").begin(b'{');
    write_type(text, types, command.returns.ty);
    text.end(b'}').key("args").begin(b'[');
    for (name, arg) in parameter_names(command).iter().zip(&command.args) {
        text.begin(b'{').key("name").string(name);
        write_type(text, types, Arg::ty(arg));
        text.end(b'}');
    }
    // Every call is answered when it is done, whatever the function is.
    text.end(b']').end(b'}').key("async").boolean(false).end(b'}');
}

/// A type by MetaCall's name and number; what may be anything has none.
fn write_type(text: &mut JsonText, types: &Types, ty: TypeId) {
    let (name, id) = match types.node(types.inner(ty)) {
        Type::Bool => ("bool", 0),
        Type::Number(Number::F4) => ("float", 5),
        Type::Number(Number::F8) => ("double", 6),
        Type::Number(_) | Type::Integer => ("long", 4),
        Type::Str => ("string", 7),
        Type::Bytes => ("buffer", 8),
        Type::List { .. } | Type::Tuple(_) => ("array", 9),
        Type::Record(_) => ("map", 10),
        Type::Function { .. } => ("function", 13),
        Type::Nil => ("null", 14),
        Type::Json | Type::Opaque(_) | Type::Optional(_) => ("", 18),
    };
    text.key("type").begin(b'{').key("name").string(name);
    text.key("id").number(id).end(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_name_deployments() {
        let check = |body: &str, expected: &str| {
            let found = match deployment(body.as_bytes()) {
                Ok(name) => name.to_string(),
                Err(failure) => failure.error.message,
            };
            assert_eq!(found, expected, "{body}");
        };
        check(
            r#"{"suffix": "sum", "resourceType": "Package", "release": "1", "env": [], "plan": "Essential", "version": "v1"}"#,
            "default/sum@latest",
        );
        check(
            r#"{"prefix": "lab", "suffix": "sum", "version": "v2"}"#,
            "lab/sum@v2",
        );
        check(
            r#"{"version": "v1"}"#,
            "body has no \"suffix\", expected the name of a deployment",
        );
        check(
            r#"{"suffix": "a", "resourceType": "Repository"}"#,
            "this server fetches no repositories",
        );
        check(
            r#"{"suffix": "a", "resourceType": "Image"}"#,
            "\"resourceType\" is 'Image', expected Package",
        );
        check(
            "[",
            "body is no JSON: found the end of the text, expected ',' or ']'",
        );
        check(
            r#"{"suffix": "a", "env": [{"name": "A", "value": "1"}]}"#,
            "\"env\" has variables, which a deployment can't be given",
        );
    }
}
