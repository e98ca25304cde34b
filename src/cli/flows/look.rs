//! `nexus status`, `graph`, `trace` and `debug`: what the user's own server tells of the flows that it serves; where none runs,
//! how the nodes in the store would stand. Serves nothing itself.

use super::stored::Stored;
use crate::cli::output;
use crate::cli::report;
use crate::codec::msgpack::{Reader, Token};
use crate::error::{Error, Kind, Result};
use crate::flow::graph::text::text;
use crate::flow::shown;
use crate::flow::spec::NAMESPACE;
use crate::shell::client::{Ask, Client};
use crate::shell::private_socket::{default_path, path_of};
use crate::sys::signal::INTERRUPT;
use argh::FromArgs;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Tell how the nodes of flows stand: active, waiting for one that is missing, or failed, and why. Where no server runs, how those in
/// the store would stand if they were served; commands of programs are unknown then.
#[derive(FromArgs)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// only that namespace
    #[argh(option, short = 'n', arg_name = "NAME")]
    namespace: Option<String>,

    /// the directory of the store; the server is not asked then
    #[argh(option, arg_name = "DIR")]
    store: Option<String>,

    /// the socket of the server; NEXUS_SERVER, or the user's own, if left out
    #[argh(option, arg_name = "PATH")]
    server: Option<String>,
}

/// Draw the nodes of a namespace and their links, for Graphviz or Mermaid.
#[derive(FromArgs)]
#[argh(subcommand, name = "graph")]
pub struct Graph {
    /// the namespace; default if left out
    #[argh(option, short = 'n', arg_name = "NAME", default = "String::from(NAMESPACE)")]
    namespace: String,

    /// dot (if left out) or mermaid
    #[argh(option, short = 'o', arg_name = "FORM", default = "String::from(\"dot\")")]
    output: String,

    /// the directory of the store; the server is not asked then
    #[argh(option, arg_name = "DIR")]
    store: Option<String>,

    /// the socket of the server; NEXUS_SERVER, or the user's own, if left out
    #[argh(option, arg_name = "PATH")]
    server: Option<String>,
}

/// Tell what happened in a run of a flow: each packet that a node received, what it answered, and how long that took. The last runs
/// are kept; the id of a run stands in the header X-Run-Id of its answer. Without an id, the runs that are kept are listed.
#[derive(FromArgs)]
#[argh(subcommand, name = "trace")]
pub struct Trace {
    /// the namespace whose runs are listed; default if left out
    #[argh(option, short = 'n', arg_name = "NAME", default = "String::from(NAMESPACE)")]
    namespace: String,

    /// the socket of the server; NEXUS_SERVER, or the user's own, if left out
    #[argh(option, arg_name = "PATH")]
    server: Option<String>,

    /// the run
    #[argh(positional, arg_name = "RUN")]
    run: Option<String>,
}

/// Hold packets of a namespace at breakpoints, look at them, and let them go on. When it ends, however it does, its breakpoints go
/// and everything goes on.
#[derive(FromArgs)]
#[argh(subcommand, name = "debug", note = "Type help for its commands.")]
pub struct Debug {
    /// the namespace; default if left out
    #[argh(option, short = 'n', arg_name = "NAME", default = "String::from(NAMESPACE)")]
    namespace: String,

    /// the socket of the server; NEXUS_SERVER, or the user's own, if left out
    #[argh(option, arg_name = "PATH")]
    server: Option<String>,
}

/// Tells how nodes stand.
///
/// # Errors
/// Kind `not_found`: there is no such namespace; `io`: the store can't be read.
pub fn status(asked: &Status) -> Result<ExitCode> {
    let mut words = vec!["status"];
    words.extend(asked.namespace.as_deref());
    let text = match served(asked.server.as_deref(), asked.store.as_deref())? {
        Some(mut client) => ask(&mut client, &words)?,
        None => {
            let store = Stored::named(asked.store.as_deref(), asked.namespace.as_deref())?;
            let mut rows = vec![shown::status_head()];
            let mut flaws = String::new();
            for namespace in store.namespaces() {
                let secrets = store.supply.secrets(&namespace);
                for status in store.engine.status(&namespace) {
                    let row = shown::status_row(&namespace, &status, None);
                    rows.push(row.iter().map(|cell| secrets.mask(cell).into_owned()).collect());
                }
                for error in store.supply.errors(&namespace) {
                    flaws.push_str(&format!("{}\n", secrets.mask(&error.to_string())));
                }
            }
            shown::table(&rows) + &flaws
        }
    };
    output::print_text(text.as_bytes()).map(|()| ExitCode::SUCCESS)
}

/// Draws nodes and links.
///
/// # Errors
/// As [`status`]; kind `usage`: an unknown form.
pub fn graph(asked: &Graph) -> Result<ExitCode> {
    let drawn = match served(asked.server.as_deref(), asked.store.as_deref())? {
        Some(mut client) => ask(&mut client, &["graph", &asked.namespace, &asked.output])?,
        None => {
            let store = Stored::named(asked.store.as_deref(), Some(&asked.namespace))?;
            let language = shown::language(&asked.output)?;
            text(&asked.namespace, &store.engine.status(&asked.namespace), language)
        }
    };
    output::print_text(drawn.as_bytes()).map(|()| ExitCode::SUCCESS)
}

/// Tells what happened in a run.
///
/// # Errors
/// Kind `not_found`: no such run is kept; `unavailable`: no server runs.
pub fn trace(asked: &Trace) -> Result<ExitCode> {
    let mut client = Client::connect(&socket(asked.server.as_deref()))?;
    let text = match &asked.run {
        Some(run) => ask(&mut client, &["trace", run])?,
        None => ask(&mut client, &["traces", &asked.namespace])?,
    };
    output::print_text(text.as_bytes()).map(|()| ExitCode::SUCCESS)
}

const HELP: &str = "\
b, break [NODE [PORT]]  hold packets at a node, where it receives or sends them; at every node without one
d, delete [ID]          take a breakpoint away, or all
   breakpoints          list them
c, continue             let the packet go on, and wait for the next that is held; Ctrl-C ends the wait
s, step                 the same, and hold the next packet of its run wherever it is
   symbols              list the nodes and how they stand
   processes            list the runs
   frames               list the packets that are held
   frame [ID]           choose one, and print it whole
q, quit                 take all breakpoints away, let everything go on, and end
h, help                 this
";

/// Takes commands until the input ends.
///
/// # Errors
/// Kind `unavailable`: no server runs; `conflict`: somebody else debugs that namespace.
pub fn debug(asked: &Debug) -> Result<ExitCode> {
    let mut client = Client::connect(&socket(asked.server.as_deref()))?;
    ask(&mut client, &["debug", &asked.namespace])?;
    let stdin = std::io::stdin();
    let is_terminal = stdin.is_terminal();
    let mut lines = stdin.lock();
    let mut line = String::new();
    loop {
        if is_terminal {
            let mut stdout = std::io::stdout();
            // Who can't be asked types all the same.
            let _ = stdout.write_all(b"(nexus) ").and_then(|()| stdout.flush());
        }
        line.clear();
        let read = lines
            .read_line(&mut line)
            .map_err(|error| Error::new(Kind::Io, format!("can't read standard input: {error}")))?;
        if read == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first_mut() else { continue };
        *first = match *first {
            "b" => "break",
            "d" => "delete",
            "c" => "continue",
            "s" => "step",
            "q" => "quit",
            "h" => "help",
            other => other,
        };
        if *first == "help" {
            output::print_text(HELP.as_bytes())?;
            continue;
        }
        let is_quit = *first == "quit";
        let mut all = vec!["debug", asked.namespace.as_str()];
        all.extend(words);
        // At the prompt a signal ends this process, while an answer is waited for the wait.
        client.take_signals()?;
        let answer = ask(&mut client, &all);
        client.release_signals();
        match answer {
            Ok(text) => output::print_text(text.as_bytes())?,
            Err(error) if error.signal == Some(INTERRUPT) => {
                let text = "\nno longer waits for a packet, the breakpoints stay\n";
                output::print_text(text.as_bytes())?;
            }
            Err(error) if error.kind == Kind::Cancelled => return Err(error),
            Err(error) if matches!(error.kind, Kind::Terminated | Kind::Io | Kind::Protocol) => {
                return Err(error);
            }
            // The next command may be better.
            Err(error) => drop(report::print("nexus", &error)),
        }
        if is_quit {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn socket(named: Option<&str>) -> PathBuf {
    named.map_or_else(default_path, path_of)
}

/// The server, if one runs and no store is meant; one that is named has to.
fn served(server: Option<&str>, store: Option<&str>) -> Result<Option<Client>> {
    if store.is_some() && server.is_none() {
        return Ok(None);
    }
    match Client::connect(&socket(server)) {
        Err(error) if error.kind == Kind::Unavailable && server.is_none() => Ok(None),
        connected => connected.map(Some),
    }
}

fn ask(client: &mut Client, words: &[&str]) -> Result<String> {
    let asked = words
        .iter()
        .fold(Ask::new("flow"), |asked, word| asked.text(word));
    let answer = client.request(asked, &mut |_| ())?;
    match Reader::new(&answer).next() {
        Ok(Token::Str(text)) => Ok(text.to_string()),
        _ => Err(Error::new(
            Kind::Protocol,
            "the server's answer can't be read: it is no text",
        )),
    }
}
