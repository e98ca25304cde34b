//! `nexus serve`: its options and its configuration file, and how a program is read that it is to serve. Serves nothing
//! itself.

use crate::build::snippets;
use crate::cli::files::{self, reason};
use crate::cli::making;
use crate::cli::program;
use crate::cli::report;
use crate::codec::document::{Document, Node};
use crate::codec::json::line_column;
use crate::error::{Error, Kind, Result};
use crate::flow::languages::Carried;
use crate::ids::PoolId;
use crate::limits::{MANIFEST_BYTES_MAX, TIMEOUT_MS_MAX};
use crate::serve::deployment::{Name, Start};
use crate::serve::server::{Access, Config, name_of_source};
use crate::shell::private_socket::{PrivateSocket, default_path, make_directory, path_of};
use crate::shell::serve::scratch::{Scratch, clear_left};
use crate::shell::serve::{Address, FlowPlan, Loaded, Plan, Tests, run};
use crate::sys::clock::now_ms;
use crate::sys::random;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where it listens if nobody says.
const ADDRESS: &str = "127.0.0.1:7979";

/// What calls have to end when the server ends, in milliseconds, if nobody says.
const GRACE_MS: u64 = 10_000;

/// How long a call may take, in milliseconds, if nobody says.
const TIMEOUT_MS: u64 = 60_000;

/// What follows `nexus serve`.
pub struct Options<'a> {
    /// Programs, each as `PATH` or `NAME=PATH`.
    pub programs: &'a [String],
    /// Addresses.
    pub listen: &'a [String],
    /// The configuration file.
    pub config: Option<&'a str>,
    /// How requests are told of.
    pub access: Option<&'a str>,
    /// Pools start with the first call.
    pub lazy: bool,
    /// It also has the paths of MetaCall's FaaS.
    pub has_metacall: bool,
    /// The private socket; none: the user's own, where no other server has it.
    pub server: Option<&'a str>,
    /// The store of nodes that it serves.
    pub flows: Option<FlowPlan>,
    /// It speaks HTTP at no address of its own.
    pub is_without_web: bool,
}

/// Serves programs until a signal ends it.
///
/// # Errors
/// Kind `usage`: an option or the configuration can't be read; `denied`: an address that others can reach, and no token;
/// `io`: it can't listen.
pub fn serve(mut options: Options<'_>) -> Result<ExitCode> {
    let flows = options.flows.take();
    let options = &options;
    let setup = read(options)?;
    let mut addresses = Vec::new();
    for text in &setup.listen {
        addresses.push(address(text, setup.config.token.is_some())?);
    }
    let private = private_socket(options.server)?;
    clear_left();
    let mut load = load;
    let mut reconfigure = || read(options).map(|setup| setup.config);
    run(Plan {
        config: setup.config,
        addresses,
        private,
        pools: Vec::new(),
        programs: setup.programs,
        flows,
        tests: None,
        load: &mut load,
        reconfigure: &mut reconfigure,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the tests of a namespace, with those programs beside it.
///
/// # Errors
/// As [`serve`].
pub fn test(programs: &[String], flows: FlowPlan, tests: Tests) -> Result<()> {
    let setup = read(&Options {
        programs,
        listen: &[],
        config: None,
        access: Some("none"),
        lazy: false,
        has_metacall: false,
        server: None,
        flows: None,
        is_without_web: true,
    })?;
    let config = setup.config.clone();
    run(Plan {
        config: setup.config,
        addresses: Vec::new(),
        private: None,
        pools: Vec::new(),
        programs: setup.programs,
        flows: Some(flows),
        tests: Some(tests),
        load: &mut load,
        reconfigure: &mut || Ok(config.clone()),
    })
}

/// The private socket. It is an error only of one that was named that it can't be had.
fn private_socket(named: Option<&str>) -> Result<Option<PrivateSocket>> {
    if let Some(path) = named {
        return PrivateSocket::bind(&path_of(path)).map(Some);
    }
    match make_directory().and_then(|_| PrivateSocket::bind(&default_path())) {
        Ok(socket) => Ok(Some(socket)),
        Err(mut error) => {
            let message = format!(
                "nexus deploy, list and so on can't reach this server: {}",
                error.message
            );
            error.message = message;
            error.hint = Some("name another socket by --server PATH, there and here".into());
            report::print("nexus", &error);
            Ok(None)
        }
    }
}

/// Keeps a program warm behind that socket until nobody has come for so long, in milliseconds. These of its pools start at once.
///
/// # Errors
/// Kind `conflict`: another does; `io`: what the system says.
pub fn keep_warm(source: &str, socket: &str, idle_ms: u64, pools: &[u32]) -> Result<ExitCode> {
    make_directory()?;
    let private = PrivateSocket::bind(Path::new(socket))?;
    let config = || Config {
        grace_ms: GRACE_MS,
        timeout_ms: TIMEOUT_MS_MAX,
        mark: "warm".into(),
        idle_ms: Some(idle_ms),
        ..Config::default()
    };
    let mut load = load;
    run(Plan {
        config: config(),
        addresses: Vec::new(),
        private: Some(private),
        pools: pools.iter().copied().map(PoolId).collect(),
        flows: None,
        tests: None,
        programs: vec![(Name::parse("warm")?, source.to_string(), Start::OnCall)],
        load: &mut load,
        reconfigure: &mut || Ok(config()),
    })?;
    Ok(ExitCode::SUCCESS)
}

struct Setup {
    config: Config,
    listen: Vec<String>,
    programs: Vec<(Name, String, Start)>,
}

fn read(options: &Options<'_>) -> Result<Setup> {
    let mut setup = Setup {
        config: Config {
            token: std::env::var("NEXUS_TOKEN")
                .ok()
                .filter(|token| !token.is_empty()),
            access: Access::Text,
            random: Some(random::bytes),
            grace_ms: GRACE_MS,
            timeout_ms: TIMEOUT_MS,
            mark: format!("{:x}", now_ms() ^ u64::from(std::process::id()) << 40),
            ..Config::default()
        },
        listen: Vec::new(),
        programs: Vec::new(),
    };
    if let Some(path) = options.config {
        setup.read_file(Path::new(path))?;
    }
    setup.config.settings.has_metacall |= options.has_metacall;
    if let Some(word) = options.access {
        setup.config.access = access(word)?;
    }
    if !options.listen.is_empty() {
        setup.listen = options.listen.to_vec();
    }
    if setup.listen.is_empty() && !options.is_without_web {
        setup.listen.push(ADDRESS.to_string());
    }
    let is_local = |text: &String| {
        text.parse()
            .is_ok_and(|address: SocketAddr| address.ip().is_loopback())
    };
    let settings = &mut setup.config.settings;
    if setup.config.token.is_none() && settings.hosts.is_empty() && setup.listen.iter().any(is_local) {
        // A page elsewhere may have its own name point here, and so read what only this machine may.
        settings.hosts = ["localhost", "127.0.0.1", "[::1]"].map(String::from).to_vec();
    }
    for word in options.programs {
        let start = match options.lazy {
            true => Start::OnCall,
            false => Start::AtOnce,
        };
        let (name, source) = match word.split_once('=') {
            Some((name, source)) => (name, source),
            None => (name_of_source(word), word.as_str()),
        };
        setup.add(name, source, start)?;
    }
    Ok(setup)
}

impl Setup {
    fn add(&mut self, name: &str, source: &str, start: Start) -> Result<()> {
        let path = std::path::absolute(source).unwrap_or_else(|_| PathBuf::from(source));
        let source = path.to_string_lossy().into_owned();
        self.programs.push((Name::parse(name)?, source, start));
        Ok(())
    }

    fn read_file(&mut self, path: &Path) -> Result<()> {
        let shown = path.display();
        let text = files::read(path, MANIFEST_BYTES_MAX as u64).map_err(|error| {
            let message = format!("can't read configuration {shown}: {}", reason(&error));
            Error::new(Kind::Usage, message)
        })?;
        let at = |offset: usize| {
            let (line, column) = line_column(&text, offset);
            format!("{shown}:{line}:{column}")
        };
        let document = Document::parse(&text)
            .map_err(|error| Error::new(Kind::Usage, error.message).at(at(error.offset)))?;
        let members = document.root().members();
        let wrong = |node: Node<'_, '_>, expected: &str| {
            let message = format!("\"{}\" is not {expected}", node.path().trim_start_matches('.'));
            Error::new(Kind::Usage, message).at(at(node.offset()))
        };
        for (key, node) in members.ok_or_else(|| wrong(document.root(), "an object"))? {
            let texts = || -> Result<Vec<String>> {
                let elements = node.elements().ok_or_else(|| wrong(node, "a list of strings"))?;
                let texts = elements.map(|element| element.as_str().map(String::from));
                let texts: Option<Vec<String>> = texts.collect();
                texts.ok_or_else(|| wrong(node, "a list of strings"))
            };
            let milliseconds = || {
                let number = node.as_number().and_then(|number| number.parse().ok());
                let number = number.filter(|number| (1..=TIMEOUT_MS_MAX).contains(number));
                number.ok_or_else(|| wrong(node, "a number of milliseconds"))
            };
            match key {
                "listen" => self.listen = texts()?,
                "cors_origins" => self.config.settings.cors_origins = texts()?,
                "hosts" => self.config.settings.hosts = texts()?,
                "grace_ms" => self.config.grace_ms = milliseconds()?,
                "timeout_ms" => self.config.timeout_ms = milliseconds()?,
                "metacall" => {
                    let has_metacall = node.as_bool().ok_or_else(|| wrong(node, "true or false"))?;
                    self.config.settings.has_metacall = has_metacall;
                }
                "access_log" => {
                    let word = node.as_str().ok_or_else(|| wrong(node, "text, json or none"))?;
                    self.config.access = access(word)?;
                }
                "token_file" => {
                    let file = node.as_str().ok_or_else(|| wrong(node, "a path"))?;
                    let file = path.parent().unwrap_or(Path::new("")).join(file);
                    let token = std::fs::read_to_string(&file).map_err(|error| {
                        let message = format!("can't read token file {}: {}", file.display(), reason(&error));
                        Error::new(Kind::Usage, message).at(at(node.offset()))
                    })?;
                    self.config.token = Some(token.trim().to_string()).filter(|token| !token.is_empty());
                }
                "programs" => {
                    let elements = node.elements().ok_or_else(|| wrong(node, "a list of programs"))?;
                    for element in elements {
                        let word = |key: &str| element.member(key).and_then(Node::as_str);
                        let source =
                            word("source").ok_or_else(|| wrong(element, "a program with a \"source\""))?;
                        let source = path.parent().unwrap_or(Path::new("")).join(source);
                        let source = source.to_string_lossy().into_owned();
                        let is_lazy = element.member("lazy").and_then(Node::as_bool).unwrap_or(false);
                        let start = match is_lazy {
                            true => Start::OnCall,
                            false => Start::AtOnce,
                        };
                        self.add(word("name").unwrap_or(name_of_source(&source)), &source, start)?;
                    }
                }
                _ => {
                    let known = "listen, programs, token_file, cors_origins, hosts, grace_ms, timeout_ms, access_log, \
                         metacall";
                    let message = format!("configuration has no \"{key}\", expected {known}");
                    return Err(Error::new(Kind::Usage, message).at(at(node.offset())));
                }
            }
        }
        Ok(())
    }
}

fn access(word: &str) -> Result<Access> {
    match word {
        "text" => Ok(Access::Text),
        "json" => Ok(Access::Json),
        "none" => Ok(Access::None),
        _ => {
            let message = format!("access log '{word}' is unknown, expected text, json or none");
            Err(Error::new(Kind::Usage, message))
        }
    }
}

/// An address: who can't be known must not be reached by others.
fn address(text: &str, has_token: bool) -> Result<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Address::Unix(PathBuf::from(path)));
    }
    let address: SocketAddr = text.parse().map_err(|_| {
        let message = format!("address '{text}' can't be read, expected HOST:PORT with a numeric host");
        Error::new(Kind::Usage, message).hint("for example 127.0.0.1:8080, or unix:PATH")
    })?;
    if !address.ip().is_loopback() && !has_token {
        let message = format!("address {address} can be reached from other machines, and there is no token");
        let hint = "set NEXUS_TOKEN to a long random word that callers have to send, or listen on 127.0.0.1";
        return Err(Error::new(Kind::Denied, message).hint(hint));
    }
    Ok(Address::Tcp(text.to_string()))
}

/// Reads a program by its path: that of its manifest, and the manifest or what is wrong with it.
fn load(source: &str) -> (PathBuf, Result<Loaded>) {
    let wrong = |mut errors: Vec<Box<Error>>| {
        let more = errors.len().saturating_sub(1);
        let mut first = errors.swap_remove(0);
        if more > 0 {
            first.message.push_str(&format!(" (and {more} more errors)"));
        }
        first
    };
    let made = if let Some(carried) = Carried::of_source(source) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Some(build(&mut |home| snippets::make(carried, home, &path)))
    } else if Path::new(source).is_dir() && program::find(Path::new(source)).is_err() {
        let folder = std::path::absolute(source).unwrap_or_else(|_| PathBuf::from(source));
        Some(build(&mut |home| making::build_served(&folder, home)))
    } else {
        None
    };
    let (found, scratch) = match made {
        Some(Ok((manifest, scratch))) => (manifest, Some(scratch)),
        Some(Err(error)) => return (PathBuf::from(format!("{source}.manifest")), Err(error)),
        None => (PathBuf::from(source), None),
    };
    match program::find(&found) {
        Ok((path, text)) => {
            let manifest = program::load(&path, &text).map_err(wrong);
            let loaded = manifest.map(|manifest| Loaded {
                manifest,
                text,
                scratch,
            });
            (path, loaded)
        }
        Err(errors) => (PathBuf::from(format!("{source}.manifest")), Err(wrong(errors))),
    }
}

/// Builds a program in a directory of this server's own: the path of the manifest, and the directory, which goes with the
/// program.
pub fn build(make: &mut dyn FnMut(&Path) -> Result<PathBuf>) -> Result<(PathBuf, Scratch)> {
    let scratch = Scratch::new("built")?;
    Ok((make(scratch.path())?, scratch))
}
