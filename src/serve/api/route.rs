//! What a method and a path mean. Resolves no program: that is the deployments' to do.

use crate::codec::nearest::nearest;
use crate::error::{Error, Kind};
use crate::manifest::model::{Body, Command, Manifest};
use crate::manifest::names::full_name;
use crate::serve::api::failure::Failure;
use crate::serve::api::metacall::{MetaCall, version};
use crate::serve::api::origin::Settings;
use crate::serve::http::{Method, Request, Response, target};
use std::borrow::Cow;

/// A program as a path names it: `ns/name`, or `ns/name@version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version; none: the default one.
    pub version: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// To run a command.
    Call {
        /// Of that program.
        target: Target,
        /// By its name, with its group and a space before it if it has one.
        command: String,
    },
    /// To describe all programs.
    Programs,
    /// To describe one program.
    Inspect(Target),
    /// Whether the server runs.
    Health,
    /// Whether it takes calls.
    Ready,
    /// Its figures.
    Metrics,
    /// The description for machines.
    OpenApi,
    /// The page for people, and its parts.
    Page(Asset),
    /// A message of the Model Context Protocol.
    Mcp,
    /// What needs the token.
    Admin(Admin),
    /// What clients of MetaCall's FaaS ask for.
    MetaCall(MetaCall),
    /// Which methods the path takes: the answer.
    Options(Response),
}

/// A part of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Asset {
    Html,
    Style,
    Script,
}

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// To list the deployments.
    List,
    /// To load a program: the body is `{"source": ..., "name"?: ...}`.
    Deploy,
    /// To describe a deployment.
    Show(Target),
    /// To take it away.
    Delete(Target),
    /// The last lines that it wrote.
    Logs(Target),
    /// To load it again from its source.
    Reload(Target),
    /// To read the configuration again.
    ReloadAll,
    /// Calls and processes.
    Ps,
    /// To end a call or a process: the body says which.
    Kill,
}

/// What a row of the table leads to.
#[derive(Clone, Copy)]
enum Leads {
    Call,
    Programs,
    Inspect,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Page(Asset),
    Mcp,
    List,
    Deploy,
    Show,
    Delete,
    Logs,
    Reload,
    ReloadAll,
    Ps,
    Kill,
    MetaCallCall,
    MetaCall(MetaCall),
}

/// The segments of a path, in which `*` is any, and what its methods lead to.
type Row = (&'static [&'static str], &'static [(&'static str, Leads)]);

/// Two segments behind a program are a group and its command.
const ROWS: [Row; 19] = [
    (&[""], &[("GET", Leads::Page(Asset::Html))]),
    (&["page.css"], &[("GET", Leads::Page(Asset::Style))]),
    (&["page.js"], &[("GET", Leads::Page(Asset::Script))]),
    (&["healthz"], &[("GET", Leads::Health)]),
    (&["readyz"], &[("GET", Leads::Ready)]),
    (&["metrics"], &[("GET", Leads::Metrics)]),
    (&["openapi.json"], &[("GET", Leads::OpenApi)]),
    (
        &["mcp"],
        &[("GET", Leads::Mcp), ("POST", Leads::Mcp), ("DELETE", Leads::Mcp)],
    ),
    (&["v1", "programs"], &[("GET", Leads::Programs)]),
    (&["v1", "programs", "*", "*"], &[("GET", Leads::Inspect)]),
    (
        &["v1", "call", "*", "*", "*"],
        &[("GET", Leads::Call), ("POST", Leads::Call)],
    ),
    (
        &["v1", "call", "*", "*", "*", "*"],
        &[("GET", Leads::Call), ("POST", Leads::Call)],
    ),
    (
        &["v1", "admin", "deployments"],
        &[("GET", Leads::List), ("POST", Leads::Deploy)],
    ),
    (
        &["v1", "admin", "deployments", "*", "*"],
        &[("GET", Leads::Show), ("DELETE", Leads::Delete)],
    ),
    (
        &["v1", "admin", "deployments", "*", "*", "logs"],
        &[("GET", Leads::Logs)],
    ),
    (
        &["v1", "admin", "deployments", "*", "*", "reload"],
        &[("POST", Leads::Reload)],
    ),
    (&["v1", "admin", "reload"], &[("POST", Leads::ReloadAll)]),
    (&["v1", "admin", "ps"], &[("GET", Leads::Ps)]),
    (&["v1", "admin", "kill"], &[("POST", Leads::Kill)]),
];

/// What is added for clients of MetaCall's FaaS.
const METACALL_ROWS: [Row; 8] = [
    (
        &["*", "*", "*", "call", "*"],
        &[("GET", Leads::MetaCallCall), ("POST", Leads::MetaCallCall)],
    ),
    (
        &["*", "*", "*", "await", "*"],
        &[("GET", Leads::MetaCallCall), ("POST", Leads::MetaCallCall)],
    ),
    (&["readiness"], &[("GET", Leads::Ready)]),
    (&["api", "readiness"], &[("GET", Leads::Ready)]),
    (
        &["api", "inspect"],
        &[
            ("GET", Leads::MetaCall(MetaCall::Inspect)),
            ("POST", Leads::MetaCall(MetaCall::Inspect)),
        ],
    ),
    (
        &["api", "deploy", "create"],
        &[("POST", Leads::MetaCall(MetaCall::Create))],
    ),
    (
        &["api", "deploy", "delete"],
        &[("POST", Leads::MetaCall(MetaCall::Delete))],
    ),
    (
        &["api", "package", "create"],
        &[("POST", Leads::MetaCall(MetaCall::Package))],
    ),
];

/// What a request asks for.
///
/// # Errors
/// Status 404, with the nearest path; 405, with the methods of the path; 400 for a path that can't be read; 403 for a page
/// of another origin that may not call, and 421 for a name that is none of this host's.
pub fn route(request: &Request, settings: &Settings) -> Result<Route, Failure> {
    settings.check_host(request)?;
    let path = request.path();
    if path == "*" && request.method == Method::Options {
        let allow = "GET, HEAD, POST, DELETE, OPTIONS".to_string();
        return Ok(Route::Options(settings.options(request, allow)));
    }
    let segments = target::segments(path)?;
    let added: &[Row] = if settings.has_metacall {
        &METACALL_ROWS
    } else {
        &[]
    };
    let mut rows = ROWS.iter().chain(added);
    let Some((pattern, methods)) = rows.find(|(pattern, _)| is_of(&segments, pattern)) else {
        return Err(unknown(path, &segments));
    };
    if request.method == Method::Options {
        return Ok(Route::Options(settings.options(request, allow(methods))));
    }
    let method = match request.method.name() {
        "HEAD" => "GET",
        name => name,
    };
    let Some((_, leads)) = methods.iter().find(|(name, _)| *name == method) else {
        let allow = allow(methods);
        let message = format!("{path} does not take {}, it takes {allow}", request.method.name());
        return Err(Failure::new(405, Kind::Usage, message).header("allow", allow));
    };
    let captured = segments
        .into_iter()
        .zip(*pattern)
        .filter(|(_, part)| **part == "*");
    let route = leads.route(captured.map(|(segment, _)| segment))?;
    if matches!(
        route,
        Route::Call { .. } | Route::Admin(_) | Route::Mcp | Route::MetaCall(_)
    ) {
        settings.check_origin(request)?;
    }
    Ok(route)
}

impl Leads {
    fn route<'r>(self, mut captured: impl Iterator<Item = Cow<'r, str>>) -> Result<Route, Failure> {
        let mut target = || Target::of(captured.next(), captured.next());
        Ok(match self {
            Leads::Call => {
                let target = target()?;
                let mut command = captured.next().unwrap_or_default().into_owned();
                for word in captured {
                    command.push(' ');
                    command.push_str(&word);
                }
                Route::Call { target, command }
            }
            Leads::Programs => Route::Programs,
            Leads::Inspect => Route::Inspect(target()?),
            Leads::Health => Route::Health,
            Leads::Ready => Route::Ready,
            Leads::Metrics => Route::Metrics,
            Leads::OpenApi => Route::OpenApi,
            Leads::Page(asset) => Route::Page(asset),
            Leads::Mcp => Route::Mcp,
            Leads::List => Route::Admin(Admin::List),
            Leads::Deploy => Route::Admin(Admin::Deploy),
            Leads::Show => Route::Admin(Admin::Show(target()?)),
            Leads::Delete => Route::Admin(Admin::Delete(target()?)),
            Leads::Logs => Route::Admin(Admin::Logs(target()?)),
            Leads::Reload => Route::Admin(Admin::Reload(target()?)),
            Leads::ReloadAll => Route::Admin(Admin::ReloadAll),
            Leads::Ps => Route::Admin(Admin::Ps),
            Leads::Kill => Route::Admin(Admin::Kill),
            Leads::MetaCallCall => {
                let mut target = target()?;
                target.version = captured
                    .next()
                    .and_then(|named| version(&named).map(str::to_string));
                Route::Call {
                    target,
                    command: captured.collect(),
                }
            }
            Leads::MetaCall(asked) => Route::MetaCall(asked),
        })
    }
}

impl Target {
    /// From a namespace, and a name with or without its version.
    fn of(namespace: Option<Cow<str>>, name: Option<Cow<str>>) -> Result<Target, Failure> {
        let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
        let (name, version) = match name.split_once('@') {
            Some((name, version)) => (name.to_string(), Some(version.to_string())),
            None => (name.into_owned(), None),
        };
        let namespace = namespace.into_owned();
        if namespace.is_empty() || name.is_empty() || version.as_deref() == Some("") {
            let message = "a program is named with a part left empty, expected namespace/name or \
                 namespace/name@version";
            return Err(Failure::new(404, Kind::NotFound, message));
        }
        Ok(Target {
            namespace,
            name,
            version,
        })
    }
}

/// Whether the path is of that pattern.
fn is_of(segments: &[Cow<str>], pattern: &[&str]) -> bool {
    let mut pairs = segments.iter().zip(pattern);
    segments.len() == pattern.len() && pairs.all(|(segment, part)| *part == "*" || part == segment)
}

fn allow(methods: &[(&str, Leads)]) -> String {
    let mut allow = String::new();
    for (name, _) in methods {
        allow.push_str(name);
        allow.push_str(if *name == "GET" { ", HEAD, " } else { ", " });
    }
    allow + "OPTIONS"
}

/// The error for a path that leads nowhere.
fn unknown(path: &str, segments: &[Cow<str>]) -> Failure {
    let failure = Failure::new(404, Kind::NotFound, format!("nothing is at {path}"));
    // What may be any segment is taken as it is.
    let meant = ROWS.map(|(pattern, _)| {
        let mut meant = String::new();
        for (position, part) in pattern.iter().enumerate() {
            meant.push('/');
            meant.push_str(match (*part, segments.get(position)) {
                ("*", Some(segment)) => segment,
                _ => part,
            });
        }
        meant
    });
    match nearest(path, meant.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure.hint("/openapi.json lists all that can be called"),
    }
}

/// The command of that name: with its group and a space before it, if it has one.
///
/// # Errors
/// Kind `not_found`, with the nearest name; of a command that can't be run here, why.
pub fn command_named<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m Command, Failure> {
    let is_named = |command: &&Command| match (&command.group, name.split_once(' ')) {
        (Some(group), Some((before, after))) => group == before && command.name == after,
        (group, _) => group.is_none() && command.name == name,
    };
    if let Some(command) = manifest.commands.iter().find(is_named) {
        return match &command.body {
            Body::Unsupported(error) => Err(error.clone().into()),
            _ => Ok(command),
        };
    }
    let message = format!("program {} has no command '{name}'", manifest.name);
    let error = Error::new(Kind::NotFound, message);
    let shown = manifest.commands.iter().filter(|command| !command.internal);
    let names: Vec<String> = shown.map(full_name).collect();
    // Of a name that lacks its group, that with it.
    let grouped = names
        .iter()
        .find(|known| known.rsplit_once(' ').is_some_and(|(_, last)| last == name));
    let near = grouped.map(String::as_str);
    Err(
        match near.or_else(|| nearest(name, names.iter().map(String::as_str))) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint(format!("/v1/programs lists its {} commands", names.len())),
        }
        .into(),
    )
}
