//! The tool `nexus`: its own subcommands and their options. What a program does is in [`crate::cli::program`].

use crate::build::runtimes::{RUNTIMES, Runtime as RuntimeFile};
use crate::cli::admin::{self, Admin};
use crate::cli::explain::{Drawing, Telling};
use crate::cli::flows::start::{self, Start};
use crate::cli::flows::words::{self as flows, Flows};
use crate::cli::flows::{look, test};
use crate::cli::input::{self, Content};
use crate::cli::launcher;
use crate::cli::making;
use crate::cli::mcp;
use crate::cli::output::{self, Format, Output};
use crate::cli::program;
use crate::cli::report;
use crate::cli::request::format;
use crate::cli::serve;
use crate::cli::warm;
use crate::codec::nearest::nearest;
use crate::codec::schema::Types;
use crate::error::{Error, Kind, Result};
use crate::manifest::model::{Body, Manifest};
use crate::manifest::names::full_name;
use argh::{CommandInfo, DynamicSubCommand, EarlyExit, FromArgs};
use std::path::Path;
use std::process::ExitCode;

/// Runs programs whose functions are written in several languages. A program is a copy of this binary, or a link to it,
/// with a manifest beside it; it runs by its own name, as ./stats mean '[1,2,3]'.
#[derive(FromArgs)]
struct Tool {
    /// print the version
    #[argh(switch)]
    version: bool,

    #[argh(subcommand)]
    action: Option<Action>,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Action {
    New(New),
    Build(Build),
    Run(Run),
    Check(Check),
    Explain(Explain),
    View(View),
    Mcp(Mcp),
    Runtime(Runtime),
    Serve(Serve),
    Start(Start),
    Test(test::Test),
    Status(look::Status),
    Graph(look::Graph),
    Trace(look::Trace),
    Debug(look::Debug),
    #[argh(dynamic)]
    Listed(Listed),
}

/// Subcommands that stand in lists of their own.
enum Listed {
    Admin(Admin),
    Flows(Flows),
}

/// What the lists say, one behind the other.
static LISTED: [&CommandInfo; admin::INFOS.len() + flows::INFOS.len()] = {
    let mut all = [admin::INFOS[0]; admin::INFOS.len() + flows::INFOS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = match at.checked_sub(admin::INFOS.len()) {
            None => admin::INFOS[at],
            Some(at) => flows::INFOS[at],
        };
        at += 1;
    }
    all
};

impl DynamicSubCommand for Listed {
    fn commands() -> &'static [&'static CommandInfo] {
        &LISTED
    }

    fn try_redact_arg_values(_: &[&str], _: &[&str]) -> Option<std::result::Result<Vec<String>, EarlyExit>> {
        None
    }

    fn try_from_args(names: &[&str], words: &[&str]) -> Option<std::result::Result<Listed, EarlyExit>> {
        let name = names.last()?;
        let flows = || Some(flows::read_for(name, words)?.map(Listed::Flows));
        let admin = admin::read_for(name, words).map(|read| read.map(Listed::Admin));
        admin.or_else(flows)
    }
}

/// Stands for standard input among the words for argh.
const STDIN: &str = "/dev/stdin";

/// The names of the subcommands, for suggestions.
const ACTIONS: [&str; 15] = [
    "new", "build", "run", "check", "explain", "view", "mcp", "runtime", "serve", "start", "test", "status",
    "graph", "trace", "debug",
];

/// Make a small program to begin with, in a new or empty folder.
#[derive(FromArgs)]
#[argh(subcommand, name = "new")]
struct New {
    /// its languages, of py, cpp, r and js, with commas between; py,cpp if left out
    #[argh(option, arg_name = "LANGS", default = "String::from(\"py,cpp\")")]
    lang: String,

    /// the folder
    #[argh(positional, arg_name = "DIR")]
    folder: Option<String>,
}

/// Make a program of the functions in a folder, or in files: NAME, NAME.manifest and NAME.pools. They can be moved and
/// copied together, also to other machines with the interpreters. Each function with a signature becomes a command; where a
/// .loc file composes them, what its module line exports. Built again, only what has changed is made anew.
///
/// A signature is what people write anyway: Python's annotations, JavaScript's JSDoc, R's #' comments; or, in any language,
/// a comment above the function, as // mean :: [Real] -> Real. Files that the sources name, as "table.csv", are copied with
/// them.
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "build",
    example = "nexus build stats",
    example = "nexus build mean.py fast.cpp -o bin/stats",
    note = "C++ is compiled by CXX, or else c++, with the flags in NEXUS_CXXFLAGS and those of comments (// flags: -lfoo)."
)]
struct Build {
    /// path of the program; if left out, in the folder, with its name
    #[argh(option, short = 'o', long = "output", arg_name = "NAME")]
    output: Option<String>,

    /// the folder, or files; the working directory if left out
    #[argh(positional, arg_name = "DIR or FILES")]
    paths: Vec<String>,
}

/// Run a program by its path, or by the path of its manifest; or any program of the system, as it is, under supervision.
#[derive(FromArgs)]
#[argh(subcommand, name = "run")]
struct Run {
    /// let it go on in the background, in a session of its own, and print its process id
    #[argh(switch)]
    detach: bool,

    /// end it after that time
    #[argh(option, arg_name = "SECONDS")]
    timeout: Option<String>,

    /// set a variable for it
    #[argh(option, arg_name = "NAME=VALUE")]
    env: Vec<String>,

    /// run it in that directory
    #[argh(option, arg_name = "DIR")]
    cwd: Option<String>,

    /// the program, then what would follow its name: options of nexus, a command, its arguments
    #[argh(positional, greedy, arg_name = "PROGRAM COMMAND")]
    words: Vec<String>,
}

/// Check manifests and report everything that is wrong with them.
#[derive(FromArgs)]
#[argh(subcommand, name = "check")]
struct Check {
    /// manifests, or programs
    #[argh(positional, arg_name = "MANIFEST")]
    paths: Vec<String>,
}

/// Print what a command line would do, without doing it: how each argument is read, which pools start, who calls whom.
#[derive(FromArgs)]
#[argh(subcommand, name = "explain")]
struct Explain {
    /// draw the calls alone, for Graphviz
    #[argh(switch)]
    dot: bool,

    /// draw the calls alone, for Mermaid
    #[argh(switch)]
    mermaid: bool,

    /// do it, and print on standard error when what happened
    #[argh(switch)]
    run: bool,

    /// the program, then what would follow its name
    #[argh(positional, greedy, arg_name = "PROGRAM COMMAND")]
    words: Vec<String>,
}

/// Print a value that is stored as JSON or msgpack, by its schema. Without --to, JSON becomes msgpack, and msgpack JSON.
#[derive(FromArgs)]
#[argh(subcommand, name = "view")]
struct View {
    /// the type of the value, as '[f8]' or '{name:s,age:?j}'
    #[argh(option, arg_name = "SCHEMA")]
    schema: String,

    /// json, pretty, jsonl, msgpack, csv, tsv or table
    #[argh(option, arg_name = "FORMAT")]
    to: Option<String>,

    /// print a string, or bytes, as they are
    #[argh(switch)]
    raw: bool,

    /// the file; standard input if it is left out, or -
    #[argh(positional, arg_name = "FILE")]
    path: Option<String>,
}

/// Serve a program to an AI assistant, as tools of the Model Context Protocol over standard input and output. A program does the
/// same when it is called with the word mcp, unless it has a command of that name, or only one.
#[derive(FromArgs)]
#[argh(subcommand, name = "mcp")]
struct Mcp {
    /// end each call after that time
    #[argh(option, arg_name = "SECONDS")]
    timeout: Option<String>,

    /// the program, or its manifest
    #[argh(positional, arg_name = "PROGRAM")]
    program: String,
}

/// Print the file that a pool's code in some language loads to speak with nexus: py, cpp, js, r, or r.c for its helper in C.
#[derive(FromArgs)]
#[argh(subcommand, name = "runtime")]
struct Runtime {
    /// the language
    #[argh(positional, arg_name = "LANG")]
    lang: String,
}

/// Keep programs warm and let other software call their commands over HTTP: POST /v1/call/default/NAME/COMMAND with the
/// arguments as JSON. Ends gently by SIGTERM; SIGHUP reads everything again.
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "serve",
    example = "nexus serve ./stats --listen 127.0.0.1:8080",
    note = "A server that other machines can reach needs a token in NEXUS_TOKEN, which callers send as a bearer token."
)]
struct Serve {
    /// where to listen, HOST:PORT or unix:PATH; 127.0.0.1:7979 if left out
    #[argh(option, arg_name = "ADDRESS")]
    listen: Vec<String>,

    /// a file with more of what can be set, as JSON
    #[argh(option, arg_name = "FILE")]
    config: Option<String>,

    /// how requests are told of on standard error: text, json or none
    #[argh(option, arg_name = "FORM")]
    access_log: Option<String>,

    /// start the pools of each program with its first call
    #[argh(switch)]
    lazy: bool,

    /// serve the nodes in this directory too, of all namespaces
    #[argh(option, arg_name = "DIR")]
    flows: Option<String>,

    /// answer under the paths of MetaCall's FaaS as well: /PREFIX/SUFFIX/VERSION/call/FUNCTION, /api/inspect and so on
    #[argh(switch)]
    metacall: bool,

    /// the socket for nexus deploy, list, call and so on; NEXUS_SERVER, or the user's own, if left out
    #[argh(option, arg_name = "PATH")]
    server: Option<String>,

    /// the programs, each as PATH or NAME=PATH
    #[argh(positional, arg_name = "PROGRAM")]
    programs: Vec<String>,
}

/// Runs the tool with those words.
pub fn run(words: &[String]) -> ExitCode {
    let mut borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
    match borrowed.first() {
        None => borrowed.push("--help"),
        // argh takes a lone dash for an option.
        Some(&"view") => {
            let dashes = borrowed.iter_mut().filter(|word| **word == "-");
            dashes.for_each(|word| *word = STDIN);
        }
        Some(_) => {}
    }
    if let Some(asked) = flows::delete(&borrowed) {
        return match asked {
            Ok(flows) => flows::run(&flows),
            Err(exit) => told_of(words, exit),
        }
        .unwrap_or_else(|error| report::print("nexus", &error));
    }
    let result = match Tool::from_args(&["nexus"], &borrowed) {
        Ok(tool) => dispatch(tool),
        Err(exit) => told_of(words, exit),
    };
    result.unwrap_or_else(|error| report::print("nexus", &error))
}

/// What there is to tell in place of doing something: help, or what is wrong with the words.
fn told_of(words: &[String], exit: EarlyExit) -> Result<ExitCode> {
    match exit.status {
        Ok(()) => output::print_text(exit.output.as_bytes()).map(|()| ExitCode::SUCCESS),
        Err(()) => Err(misused(words, &exit.output)),
    }
}

fn dispatch(tool: Tool) -> Result<ExitCode> {
    if tool.version {
        let text = format!("nexus {}\n", env!("CARGO_PKG_VERSION"));
        return output::print_text(text.as_bytes()).map(|()| ExitCode::SUCCESS);
    }
    match tool.action {
        Some(Action::Run(run)) => run_program(&run),
        Some(Action::Listed(Listed::Flows(asked))) => flows::run(&asked),
        Some(Action::Listed(Listed::Admin(admin))) => admin::run(&admin),
        Some(Action::New(new)) => making::create(new.folder.as_deref(), &new.lang),
        Some(Action::Build(build)) => making::build(&build.paths, build.output.as_deref()),
        Some(Action::Check(check)) => check_all(&check.paths),
        Some(Action::Explain(explain)) => explain_command(&explain),
        Some(Action::View(view)) => show(&view).map(|()| ExitCode::SUCCESS),
        Some(Action::Mcp(asked)) => mcp::serve_path(&asked.program, asked.timeout.as_deref()),
        Some(Action::Runtime(runtime)) => print_runtime(&runtime.lang).map(|()| ExitCode::SUCCESS),
        Some(Action::Serve(given)) => serve::serve(serve::Options {
            programs: &given.programs,
            listen: &given.listen,
            config: given.config.as_deref(),
            access: given.access_log.as_deref(),
            lazy: given.lazy,
            has_metacall: given.metacall,
            server: given.server.as_deref(),
            flows: given.flows.as_deref().map(start::plan_of),
            is_without_web: false,
        }),
        Some(Action::Start(start)) => start::run(&start),
        Some(Action::Test(test)) => test::run(&test),
        Some(Action::Status(asked)) => look::status(&asked),
        Some(Action::Graph(asked)) => look::graph(&asked),
        Some(Action::Trace(asked)) => look::trace(&asked),
        Some(Action::Debug(asked)) => look::debug(&asked),
        None => Err(Error::new(Kind::Usage, "no subcommand is given").hint("nexus --help lists them")),
    }
}

/// An error of the words as argh tells it, in our form.
fn misused(words: &[String], told: &str) -> Box<Error> {
    let mut told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(first) = told.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let error = Error::new(Kind::Usage, told);
    let first = words.first().map_or("", String::as_str);
    let mut names = ACTIONS.into_iter().chain(flows::names()).chain(admin::names());
    match nearest(first, names.clone()) {
        _ if names.any(|name| name == first) => error.hint(format!("nexus {first} --help describes it")),
        Some(name) => error.hint(format!("did you mean {name}?")),
        None => error.hint("nexus --help lists the subcommands"),
    }
}

/// Runs a program, as a worker process of another run; or keeps one warm.
pub fn run_itself(words: &[String]) -> ExitCode {
    let result = match words {
        [flag, source, socket, idle_ms, pools @ ..] if flag == warm::FLAG => {
            warm::keep(source, socket, idle_ms, pools)
        }
        [path, words @ ..] => launcher::run(path, words, &launcher::Options::default()),
        [] => Err(no_program("run")),
    };
    result.unwrap_or_else(|error| report::print("nexus", &error))
}

fn no_program(action: &str) -> Box<Error> {
    let hint = format!("usage: nexus {action} PROGRAM COMMAND ARGUMENTS...");
    Error::new(Kind::Usage, "no program is given").hint(hint)
}

fn run_program(run: &Run) -> Result<ExitCode> {
    let Some((path, words)) = run.words.split_first() else {
        return Err(no_program("run"));
    };
    let options = launcher::Options {
        detach: run.detach,
        timeout: run.timeout.as_deref(),
        env: &run.env,
        cwd: run.cwd.as_deref(),
    };
    launcher::run(path, words, &options)
}

fn explain_command(explain: &Explain) -> Result<ExitCode> {
    let Some((path, words)) = explain.words.split_first() else {
        return Err(no_program("explain"));
    };
    let telling = match (explain.run, explain.dot, explain.mermaid) {
        (false, false, false) => Telling::Of(Drawing::Text),
        (false, true, false) => Telling::Of(Drawing::Dot),
        (false, false, true) => Telling::Of(Drawing::Mermaid),
        (true, false, false) => Telling::Times,
        _ => {
            let message = "more than one of --dot, --mermaid and --run is given, expected one at most";
            return Err(Error::new(Kind::Usage, message));
        }
    };
    let path = Path::new(path);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(program::explain(path, &name, words, telling))
}

fn check_all(paths: &[String]) -> Result<ExitCode> {
    if paths.is_empty() {
        return Err(Error::new(Kind::Usage, "no manifest is given").hint("usage: nexus check MANIFEST..."));
    }
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        let found = program::find(Path::new(path));
        match found.and_then(|(path, text)| program::load(&path, &text)) {
            Ok(manifest) => output::print_text(told(path, &manifest).as_bytes())?,
            Err(errors) => {
                for error in &errors {
                    code = report::print("nexus", error);
                }
            }
        }
    }
    Ok(code)
}

/// What is in a manifest that has no error.
fn told(path: &str, manifest: &Manifest) -> String {
    let count = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let commands = count(manifest.commands.len(), "command");
    let pools = count(manifest.pools.len(), "pool");
    let mut text = format!("{path}: ok, {commands}, {pools}\n");
    for command in &manifest.commands {
        if let Body::Unsupported(reason) = &command.body {
            text.push_str(&format!(
                "  command {} can't run here: {reason}\n",
                full_name(command)
            ));
        }
    }
    text
}

fn show(view: &View) -> Result<()> {
    let mut types = Types::default();
    let ty = types.parse(&view.schema).map_err(|error| {
        let message = format!("option --schema: {}", error.message);
        Error::new(Kind::Usage, message).at(format!("character {} of '{}'", error.offset + 1, view.schema))
    })?;
    let to = view.to.as_deref().map(format).transpose()?;
    let path = view.path.as_deref().filter(|path| *path != STDIN);
    let mut bytes = Vec::new();
    let label = || ("value".to_string(), "value".to_string());
    let content = input::read(&types, ty, path, &label, &mut bytes)?;
    let format = to.unwrap_or(match content {
        Content::Json => Format::Msgpack,
        Content::Msgpack => Format::Json,
    });
    let output = Output {
        format,
        raw: view.raw,
        keep_null: true,
    };
    output::print(&types, ty, &bytes, output)
}

fn print_runtime(lang: &str) -> Result<()> {
    let Some(runtime) = RuntimeFile::named(lang) else {
        let known: Vec<&str> = RUNTIMES.iter().map(|runtime| runtime.name).collect();
        let message = format!(
            "there is no runtime for '{lang}', expected one of {}",
            known.join(", ")
        );
        return Err(Error::new(Kind::Usage, message));
    };
    output::print_text(&runtime.text())
}
