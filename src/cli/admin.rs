//! The subcommands of the tool that speak with a server, or with what runs detached: their words, and what is printed of the
//! answers. What the server does is its own.

use crate::cli::launcher::{self, Worker};
use crate::cli::output::{self, Format, Output};
use crate::cli::program;
use crate::cli::request::format;
use crate::cli::subcommand::{FIRST, FOLLOW, FORMAT, Given, LAZY, LINES, NAME, SERVER, Subcommand};
use crate::codec::document::{Document, Node};
use crate::codec::msgpack::{Reader, Token, write};
use crate::codec::schema::Types;
use crate::codec::transcode::json_to_msgpack;
use crate::error::{Error, Kind, Result};
use crate::manifest::names::full_name;
use crate::serve::deployment::Name;
use crate::serve::rpc::Notice;
use crate::shell::client::{Ask, Client, Told};
use crate::shell::private_socket::{default_path, path_of};
use argh::{CommandInfo, EarlyExit};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

struct Action {
    subcommand: Subcommand,
    run: fn(&Given) -> Result<()>,
}

static ACTIONS: [Action; 10] = [
    Action {
        subcommand: Subcommand::new(
            "deploy",
            "Have the server serve a program, or the folder of one, in place of the one of that name.",
            "PROGRAM or FOLDER",
            "It waits until the program is loaded. Calls that run end in the one that is replaced.\n\n\
               Example: nexus deploy ./stats --name lab/stats@2",
            SERVER | NAME | LAZY,
        ),
        run: deploy,
    },
    Action {
        subcommand: Subcommand::new(
            "delete",
            "Have the server serve programs no more.",
            "NAME...",
            "Calls that run have some time to end.\n\n\
               Nodes and values of a flow are deleted by nexus delete specs and nexus delete values: nexus delete specs --help",
            SERVER,
        ),
        run: delete,
    },
    Action {
        subcommand: Subcommand::new(
            "reload",
            "Have the server load programs again, all if none is named.",
            "[NAME...]",
            "",
            SERVER,
        ),
        run: reload,
    },
    Action {
        subcommand: Subcommand::new(
            "list",
            "List the programs that the server serves.",
            "",
            "",
            SERVER | FORMAT,
        ),
        run: list,
    },
    Action {
        subcommand: Subcommand::new(
            "inspect",
            "Show the commands of a program that the server serves.",
            "[NAME]",
            "--format openapi describes them for software that calls them over HTTP.",
            SERVER | FORMAT,
        ),
        run: inspect,
    },
    Action {
        subcommand: Subcommand::new(
            "logs",
            "Print what a program that the server serves has logged and printed.",
            "[NAME]",
            "",
            SERVER | FOLLOW | LINES,
        ),
        run: logs,
    },
    Action {
        subcommand: Subcommand::new(
            "call",
            "Run a command of a program that the server serves, as the program itself would.",
            "NAME COMMAND ARGUMENTS",
            "NAME is a program as nexus list shows it, - the only one, or unix:PATH the only one of the server there.\n\
               What follows it is what would follow the program's name: options of nexus, a command, its arguments.\n\n\
               Example: nexus call lab/stats mean '[1, 2, 3]'",
            SERVER | FIRST,
        ),
        run: |_| Ok(()),
    },
    Action {
        subcommand: Subcommand::new(
            "stop",
            "End the server: calls that run have some time to end.",
            "",
            "",
            SERVER,
        ),
        run: stop,
    },
    Action {
        subcommand: Subcommand::new(
            "ps",
            "List the programs that run detached, and the server's workers.",
            "",
            "",
            SERVER | FORMAT,
        ),
        run: ps,
    },
    Action {
        subcommand: Subcommand::new(
            "kill",
            "End programs that run detached, by SIGTERM and after two seconds by SIGKILL; or workers of the server.",
            "PID...",
            "Process ids, or names as nexus ps shows them.",
            SERVER,
        ),
        run: kill,
    },
];

/// What there is to say of each.
pub static INFOS: [&CommandInfo; 10] = [
    &ACTIONS[0].subcommand.info,
    &ACTIONS[1].subcommand.info,
    &ACTIONS[2].subcommand.info,
    &ACTIONS[3].subcommand.info,
    &ACTIONS[4].subcommand.info,
    &ACTIONS[5].subcommand.info,
    &ACTIONS[6].subcommand.info,
    &ACTIONS[7].subcommand.info,
    &ACTIONS[8].subcommand.info,
    &ACTIONS[9].subcommand.info,
];

/// The names of the subcommands.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    ACTIONS.iter().map(|action| action.subcommand.info.name)
}

/// A subcommand with its words.
pub struct Admin {
    action: &'static Action,
    given: Given,
}

/// Reads the words of the subcommand of that name, if it is one of these.
pub fn read_for(name: &str, words: &[&str]) -> Option<std::result::Result<Admin, EarlyExit>> {
    let action = ACTIONS
        .iter()
        .find(|action| action.subcommand.info.name == name)?;
    let given = action.subcommand.read(words);
    Some(given.map(|given| Admin { action, given }))
}

/// Does what is asked for.
///
/// # Errors
/// Kind `unavailable`: no server listens; what the server answers.
pub fn run(admin: &Admin) -> Result<ExitCode> {
    if admin.action.subcommand.info.name == "call" {
        return call(&admin.given);
    }
    (admin.action.run)(&admin.given).map(|()| ExitCode::SUCCESS)
}

fn socket(given: &Given) -> PathBuf {
    given.value(SERVER).map_or_else(default_path, path_of)
}

fn connect(given: &Given) -> Result<Client> {
    Client::connect(&socket(given))
}

/// The server, if one runs; one that is named has to.
fn connect_if_there(given: &Given) -> Result<Option<Client>> {
    match connect(given) {
        Err(error) if error.kind == Kind::Unavailable && !given.has(SERVER) => Ok(None),
        connected => connected.map(Some),
    }
}

/// Asks, and shows what is logged meanwhile as lines.
fn ask(client: &mut Client, ask: Ask) -> Result<Vec<u8>> {
    client.request(ask, &mut |told| {
        if let Told::Notice(Notice::Log { text, .. }) = told {
            // Where nobody reads them, the answer is waited for all the same.
            let _ = output::print_text(format!("{text}\n").as_bytes());
        }
    })
}

/// The text of an answer.
fn text(answer: &[u8]) -> Result<&str> {
    match Reader::new(answer).next() {
        Ok(Token::Str(text)) => Ok(text),
        _ => Err(astray("no text")),
    }
}

fn astray(what: &str) -> Box<Error> {
    Error::new(
        Kind::Protocol,
        format!("the server's answer can't be read: it is {what}"),
    )
}

fn only_word<'g>(given: &'g Given, usage: &str) -> Result<&'g str> {
    match given.words.as_slice() {
        [word] => Ok(word),
        words => Err(wrong_count(words.len(), "1", usage)),
    }
}

fn optional_word<'g>(given: &'g Given, usage: &str) -> Result<Option<&'g str>> {
    match given.words.as_slice() {
        [] => Ok(None),
        [word] if word == "-" => Ok(None),
        [word] => Ok(Some(word)),
        words => Err(wrong_count(words.len(), "1 at most", usage)),
    }
}

fn wrong_count(found: usize, expected: &str, usage: &str) -> Box<Error> {
    let message = format!("found {found} words, expected {expected}");
    Error::new(Kind::Usage, message).hint(format!("usage: nexus {usage}"))
}

fn no_words(given: &Given, usage: &str) -> Result<()> {
    match given.words.len() {
        0 => Ok(()),
        found => Err(wrong_count(found, "none", usage)),
    }
}

fn deploy(given: &Given) -> Result<()> {
    let source = only_word(given, "deploy PROGRAM or FOLDER")?;
    // The server has another working directory.
    let path = std::path::absolute(source).unwrap_or_else(|_| source.into());
    if std::fs::symlink_metadata(&path).is_err() {
        // A program may be a manifest alone.
        program::find(&path).map_err(|mut errors| errors.swap_remove(0))?;
    }
    let name = given.value(NAME).map(Name::parse).transpose()?;
    let asked = Ask::new("deploy").text(&path.to_string_lossy()).param(|out| {
        let parts = name.as_ref().map(|name| {
            [
                ("name", &name.name),
                ("namespace", &name.namespace),
                ("version", &name.version),
            ]
        });
        write::map(out, 1 + 3 * u32::from(name.is_some()));
        write::string(out, "lazy");
        write::boolean(out, given.has(LAZY));
        for (key, text) in parts.into_iter().flatten() {
            write::string(out, key);
            write::string(out, text);
        }
    });
    ask(&mut connect(given)?, asked)?;
    let shown = name.map_or_else(|| source.to_string(), |name| name.to_string());
    output::print_text(format!("deployed {shown}\n").as_bytes())
}

fn delete(given: &Given) -> Result<()> {
    if given.words.is_empty() {
        return Err(wrong_count(0, "1 or more", "delete NAME..."));
    }
    let mut client = connect(given)?;
    for name in &given.words {
        ask(&mut client, Ask::new("delete").text(name))?;
        output::print_text(format!("deleted {name}\n").as_bytes())?;
    }
    Ok(())
}

fn reload(given: &Given) -> Result<()> {
    let mut client = connect(given)?;
    let mut names = given.words.clone();
    if names.is_empty() {
        let answer = ask(&mut client, Ask::new("list"))?;
        let document = parse(text(&answer)?)?;
        names.extend(members(&document, "name").map(String::from));
    }
    for name in &names {
        ask(&mut client, Ask::new("reload").text(name))?;
        output::print_text(format!("reloaded {name}\n").as_bytes())?;
    }
    Ok(())
}

fn parse(text: &str) -> Result<Document<'_>> {
    Document::parse(text.as_bytes()).map_err(|error| astray(&error.message))
}

/// The texts under a key of each object of a list.
fn members<'d>(document: &'d Document<'_>, key: &str) -> impl Iterator<Item = &'d str> {
    let elements = document.root().elements().into_iter().flatten();
    elements.filter_map(move |element| element.member(key)?.as_str())
}

/// The columns of `nexus list` and their types.
const LIST: [(&str, &str); 7] = [
    ("name", "s"),
    ("state", "s"),
    ("open_calls", "?u8"),
    ("waiting_calls", "?u8"),
    ("restarts", "?u8"),
    ("last_error", "?s"),
    ("source", "?s"),
];

fn list(given: &Given) -> Result<()> {
    no_words(given, "list")?;
    let format = given.value(FORMAT).map_or(Ok(Format::Table), format)?;
    let answer = ask(&mut connect(given)?, Ask::new("list"))?;
    print_rows(&LIST, text(&answer)?, format)
}

/// Prints some members of each object of a JSON list.
pub(in crate::cli) fn print_rows(columns: &[(&str, &str)], json: &str, format: Format) -> Result<()> {
    let fields: Vec<String> = columns
        .iter()
        .map(|(key, schema)| format!("{key}:{schema}"))
        .collect();
    let mut types = Types::default();
    let mut parsed = |schema: &str| types.parse(schema).map_err(|error| astray(&error.message));
    let ty = parsed(&format!("[{{{}}}]", fields.join(",")))?;
    let cells = columns.iter().map(|(_, schema)| parsed(schema));
    let cells = cells.collect::<Result<Vec<_>>>()?;
    let document = parse(json)?;
    let rows = document.root().elements().ok_or_else(|| astray("no list"))?;
    let mut out = Vec::new();
    write::array(&mut out, rows.len() as u32);
    for row in rows {
        write::map(&mut out, columns.len() as u32);
        for ((key, _), cell) in columns.iter().zip(&cells) {
            write::string(&mut out, key);
            let node = row.member(key);
            match (node.and_then(Node::as_str), node.and_then(Node::as_number)) {
                (Some(text), _) => write::string(&mut out, text),
                (None, Some(number)) => json_to_msgpack(&types, *cell, number.as_bytes(), &mut out)
                    .map_err(|error| astray(&error.message))?,
                (None, None) => write::nil(&mut out),
            }
        }
    }
    let output = Output {
        format,
        ..Output::default()
    };
    output::print(&types, ty, &out, output)
}

fn inspect(given: &Given) -> Result<()> {
    let name = optional_word(given, "inspect [NAME]")?;
    let form = given.value(FORMAT).unwrap_or("table");
    let mut client = connect(given)?;
    if matches!(form, "json" | "openapi") {
        let answer = ask(&mut client, Ask::new("inspect").optional(name).text(form))?;
        return output::print_text(format!("{}\n", text(&answer)?).as_bytes());
    }
    let format = format(form)?;
    let manifest = manifest(&mut client, name)?;
    let mut types = Types::default();
    let schema = "[{command:s,parameters:s,returns:s,summary:s}]";
    let ty = types.parse(schema).map_err(|error| astray(&error.message))?;
    let shown = || manifest.commands.iter().filter(|command| !command.internal);
    let mut rows = Vec::new();
    write::array(&mut rows, shown().count() as u32);
    for command in shown() {
        let parameters: Vec<String> = command
            .args
            .iter()
            .map(|arg| manifest.types.spell(arg.ty()))
            .collect();
        write::map(&mut rows, 4);
        for (key, text) in [
            ("command", full_name(command)),
            ("parameters", parameters.join(" ")),
            ("returns", manifest.types.spell(command.returns.ty)),
            ("summary", command.desc.first().cloned().unwrap_or_default()),
        ] {
            write::string(&mut rows, key);
            write::string(&mut rows, &text);
        }
    }
    let output = Output {
        format,
        ..Output::default()
    };
    output::print(&types, ty, &rows, output)
}

/// The manifest of a program as the server has it.
fn manifest(client: &mut Client, name: Option<&str>) -> Result<Rc<crate::manifest::model::Manifest>> {
    let first = |mut errors: Vec<Box<Error>>| errors.swap_remove(0);
    let (path, text) = match ask(client, Ask::new("inspect").optional(name).text("manifest")) {
        Ok(answer) => match Reader::new(&answer).next() {
            Ok(Token::Bin(text)) => (PathBuf::from(name.unwrap_or("the only program")), text.to_vec()),
            _ => return Err(astray("no manifest")),
        },
        // Its first call loads it.
        Err(error) if error.kind == Kind::Unavailable => {
            let answer = ask(client, Ask::new("list"))?;
            let document = parse(text(&answer)?)?;
            let full = name.map(Name::parse).transpose()?.map(|name| name.to_string());
            let mut rows = document.root().elements().into_iter().flatten();
            let row = rows
                .find(|row| full.is_none() || row.member("name").and_then(Node::as_str) == full.as_deref());
            let source = row.and_then(|row| row.member("source")).and_then(Node::as_str);
            program::find(source.ok_or(error)?.as_ref()).map_err(first)?
        }
        Err(error) => return Err(error),
    };
    program::load(&path, &text).map(Rc::new).map_err(first)
}

fn logs(given: &Given) -> Result<()> {
    let name = optional_word(given, "logs [NAME]")?;
    let lines = given.value(LINES).map(|lines| {
        lines.parse::<u64>().map_err(|_| {
            let message = format!("option --lines: found '{lines}', expected a number of lines");
            Error::new(Kind::Usage, message)
        })
    });
    let lines = lines.transpose()?;
    let asked = Ask::new("logs").optional(name).param(|out| {
        write::map(out, 1 + u32::from(lines.is_some()));
        write::string(out, "follow");
        write::boolean(out, given.has(FOLLOW));
        if let Some(lines) = lines {
            write::string(out, "lines");
            write::unsigned(out, lines);
        }
    });
    let mut client = connect(given)?;
    if given.has(FOLLOW) {
        client.take_signals()?;
        let mut printed = Ok(());
        client.request(asked, &mut |told| {
            if let (Ok(()), Told::Notice(Notice::Printed(lines))) = (&printed, told) {
                printed = output::print_text(lines);
            }
        })?;
        return printed;
    }
    let answer = ask(&mut client, asked)?;
    let document = parse(text(&answer)?)?;
    let mut out = String::new();
    for line in document.root().elements().into_iter().flatten() {
        out += line.as_str().unwrap_or_default();
        out.push('\n');
    }
    output::print_text(out.as_bytes())
}

fn stop(given: &Given) -> Result<()> {
    no_words(given, "stop")?;
    let mut client = connect(given)?;
    ask(&mut client, Ask::new("stop"))?;
    output::print_text(format!("the server at {} ends\n", socket(given).display()).as_bytes())
}

/// The processes of the server's programs.
fn workers(client: &mut Client) -> Result<Vec<Worker>> {
    let answer = ask(client, Ask::new("ps"))?;
    let document = parse(text(&answer)?)?;
    let rows = document.root().elements().into_iter().flatten();
    let worker = |row: Node<'_, '_>| {
        let word = |key: &str| row.member(key).and_then(Node::as_str).unwrap_or_default();
        Some(Worker {
            pid: row.member("pid")?.as_number()?.parse().ok()?,
            name: format!("{} {}", word("deployment"), word("pool")),
        })
    };
    Ok(rows.filter_map(worker).collect())
}

fn ps(given: &Given) -> Result<()> {
    no_words(given, "ps")?;
    let format = given.value(FORMAT).map_or(Ok(Format::Table), format)?;
    let workers = match connect_if_there(given)? {
        Some(mut client) => workers(&mut client)?,
        None => Vec::new(),
    };
    launcher::list(format, &workers)
}

fn kill(given: &Given) -> Result<()> {
    let mut client = connect_if_there(given)?;
    let workers = client.as_mut().map_or(Ok(Vec::new()), workers)?;
    let of_server = |word: &String| workers.iter().find(|worker| worker.pid.to_string() == **word);
    let (served, others): (Vec<String>, Vec<String>) = given
        .words
        .iter()
        .cloned()
        .partition(|word| of_server(word).is_some());
    if served.is_empty() || !others.is_empty() {
        launcher::kill(&others)?;
    }
    let Some(client) = &mut client else {
        return Ok(());
    };
    for worker in served.iter().filter_map(of_server) {
        ask(
            client,
            Ask::new("kill").param(|out| write::unsigned(out, worker.pid.into())),
        )?;
        let text = format!("ended process {} ({}) by SIGKILL\n", worker.pid, worker.name);
        output::print_text(text.as_bytes())?;
    }
    Ok(())
}

fn call(given: &Given) -> Result<ExitCode> {
    let Some((place, words)) = given.words.split_first() else {
        return Err(wrong_count(0, "1 or more", "call NAME COMMAND ARGUMENTS"));
    };
    let (path, name) = match place.strip_prefix("unix:") {
        Some(path) => (PathBuf::from(path), None),
        None => (socket(given), Some(place.as_str()).filter(|name| *name != "-")),
    };
    let mut client = Client::connect(&path)?;
    let manifest = manifest(&mut client, name)?;
    program::run_at(&mut client, name, &manifest, words)
}
