//! `nexus start`: serves the flows of a namespace, with programs beside them, until a signal ends it. Serves nothing itself.

use crate::cli::serve::{self, build};
use crate::error::{Error, Kind, Result};
use crate::flow::shown;
use crate::flow::spec::{NAMESPACE, Sort, name};
use crate::flow::store::plan::Wish;
use crate::shell::flow_store::{FlowStore, read_objects};
use crate::shell::serve::FlowPlan;
use crate::shell::serve::scratch::Scratch;
use argh::FromArgs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Serve the flows of a namespace: the nodes in its store, as they are and as they change. Ends gently by SIGTERM; SIGHUP looks at
/// the store and loads the programs again. Nodes call the programs that are named.
///
/// What --from-specs and --from-values name is put into the store first. Without --store, and where the usual one (NEXUS_STORE, or
/// else the folder flows) is not there, the store is a temporary one that vanishes at the end.
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "start",
    example = "nexus start -n system --from-specs flows.yaml",
    example = "nexus start --store ./flows -e PORT=8080 ./stats"
)]
pub struct Start {
    /// the namespace; default if left out
    #[argh(option, short = 'n', arg_name = "NAME", default = "String::from(NAMESPACE)")]
    namespace: String,

    /// the directory of the store
    #[argh(option, arg_name = "DIR")]
    store: Option<String>,

    /// nodes that are put into the store first; - is standard input
    #[argh(option, arg_name = "FILE")]
    from_specs: Vec<String>,

    /// values that are put into the store first
    #[argh(option, arg_name = "FILE")]
    from_values: Vec<String>,

    /// what {{ .KEY }} in a node is replaced by, where its own env doesn't say
    #[argh(option, short = 'e', arg_name = "KEY=VALUE")]
    env: Vec<String>,

    /// how requests are told of on standard error: text, json or none
    #[argh(option, arg_name = "FORM")]
    access_log: Option<String>,

    /// the socket for nexus status, trace, debug and so on; NEXUS_SERVER, or the user's own, if left out
    #[argh(option, arg_name = "PATH")]
    server: Option<String>,

    /// start the pools of each program with its first call
    #[argh(switch)]
    lazy: bool,

    /// programs whose commands the nodes call, each as PATH or NAME=PATH
    #[argh(positional, arg_name = "PROGRAM")]
    programs: Vec<String>,
}

/// Serves.
///
/// # Errors
/// As `nexus serve`; what is wrong with the nodes and values that are put into the store.
pub fn run(start: &Start) -> Result<ExitCode> {
    let flows = prepare(&From {
        namespace: &start.namespace,
        store: start.store.as_deref(),
        specs: &start.from_specs,
        values: &start.from_values,
        env: &start.env,
    })?;
    serve::serve(serve::Options {
        programs: &start.programs,
        listen: &[],
        config: None,
        access: start.access_log.as_deref(),
        lazy: start.lazy,
        has_metacall: false,
        server: start.server.as_deref(),
        flows: Some(flows),
        is_without_web: true,
    })
}

/// Where the nodes of a namespace come from.
pub struct From<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The store.
    pub store: Option<&'a str>,
    /// Files with nodes that are put into it.
    pub specs: &'a [String],
    /// Files with values that are.
    pub values: &'a [String],
    /// `KEY=VALUE`.
    pub env: &'a [String],
}

/// The store as it is to be served.
///
/// # Errors
/// What is wrong with the options, or with what is put into it.
pub fn prepare(from: &From<'_>) -> Result<FlowPlan> {
    name::check("namespace", from.namespace)?;
    let mut given = Vec::new();
    for word in from.env {
        let Some((key, value)) = word.split_once('=') else {
            let message = format!("option -e is '{word}', expected KEY=VALUE");
            return Err(Error::new(Kind::Usage, message));
        };
        given.push((key.to_string(), value.to_string()));
    }
    let (directory, scratch) = directory(from.store)?;
    for (paths, sort) in [(from.values, Sort::Values), (from.specs, Sort::Specs)] {
        let mut store = FlowStore::new(&directory, Some(from.namespace));
        for path in paths {
            let objects = read_objects(path, sort, from.namespace).map_err(shown::first_of)?;
            let wish = Wish::Apply {
                objects: &objects,
                prune: false,
            };
            store.write(sort, wish).map_err(shown::first_of)?;
        }
    }
    Ok(FlowPlan {
        directory,
        namespace: Some(from.namespace.to_string()),
        given,
        scratch,
    })
}

/// A store of all namespaces, as `nexus serve` serves it.
pub fn plan_of(directory: &str) -> FlowPlan {
    FlowPlan {
        directory: absolute(Path::new(directory)),
        namespace: None,
        given: Vec::new(),
        scratch: None,
    }
}

/// The directory of the store, and what goes with the server if it is a temporary one.
fn directory(named: Option<&str>) -> Result<(PathBuf, Option<Scratch>)> {
    if let Some(directory) = named {
        return Ok((absolute(Path::new(directory)), None));
    }
    let usual = usual_directory();
    if std::env::var_os("NEXUS_STORE").is_some() || usual.is_dir() {
        return Ok((absolute(&usual), None));
    }
    let (home, scratch) = build(&mut |home| Ok(home.to_path_buf()))?;
    Ok((home, Some(scratch)))
}

/// The store that is meant where none is named.
pub fn usual_directory() -> PathBuf {
    let named = std::env::var_os("NEXUS_STORE").filter(|value| !value.is_empty());
    named.map_or_else(|| PathBuf::from("flows"), PathBuf::from)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
