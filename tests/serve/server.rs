//! A server that runs, until it is stopped or dropped.

use crate::harness::{Daemon, NEXUS, Program};
use crate::http::{Answer, Client};
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The token of the servers that have one.
pub const TOKEN: &str = "a-long-random-word";

/// A server of programs.
pub struct Server {
    daemon: Daemon,
    /// Host and port; empty: it speaks HTTP on `web` in the program's directory.
    pub address: String,
    dir: PathBuf,
    temp_dir: PathBuf,
}

impl Server {
    /// Serves that program.
    pub fn start(program: &Program) -> Server {
        Server::start_with(program, |_| {})
    }

    /// The same with a token.
    pub fn guarded(program: &Program) -> Server {
        Server::start_with(program, |command| {
            command.env("NEXUS_TOKEN", TOKEN);
        })
    }

    /// The same by a command line that is changed before.
    pub fn start_with(program: &Program, change: impl FnOnce(&mut Command)) -> Server {
        let mut command = Server::command(program);
        command.arg(program.path()).args(["--listen", "127.0.0.1:0"]);
        change(&mut command);
        Server::spawn(program, &command)
    }

    /// `nexus serve` with its private socket in the program's directory.
    pub fn command(program: &Program) -> Command {
        let mut command = program.command_of(Path::new(NEXUS), &["serve", "--server"]);
        command.arg(program.dir.join("private")).env_remove("NEXUS_TOKEN");
        command
    }

    /// Runs a command line until it listens.
    pub fn spawn(program: &Program, command: &Command) -> Server {
        let daemon = Daemon::spawn(command);
        let first = daemon.hear("listening on ");
        let address = first.strip_prefix("http://").unwrap_or_default();
        Server {
            daemon,
            address: address.into(),
            dir: program.dir.clone(),
            temp_dir: program.temp_dir(),
        }
    }

    /// Its private socket.
    pub fn private(&self) -> PathBuf {
        self.dir.join("private")
    }

    /// A connection to it.
    pub fn connect(&self) -> Client {
        match self.address.as_str() {
            "" => Client::unix(&self.dir.join("web")),
            address => Client::tcp(address),
        }
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let mut client = self.connect();
        client.ask(method, target, headers, body);
        match method {
            "HEAD" => client.answer_of_head(),
            _ => client.answer(),
        }
    }

    /// A call of the program `prog` with JSON.
    pub fn call(&self, command: &str, json: &str) -> Answer {
        let headers = "Content-Type: application/json\r\n";
        self.ask(
            "POST",
            &format!("/v1/call/default/prog/{command}"),
            headers,
            json.as_bytes(),
        )
    }

    /// Runs a subcommand of the tool on its private socket.
    pub fn tool(&self, words: &[&str]) -> Output {
        let mut command = Command::new(NEXUS);
        command.args(words).env("NEXUS_SERVER", self.private());
        command
            .env("TMPDIR", &self.temp_dir)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a subcommand that has to succeed: what it prints.
    #[track_caller]
    pub fn tell(&self, words: &[&str]) -> String {
        let output = self.tool(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Memory in use, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Ends it as an operator does, and checks that it goes in order.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        assert!(!self.private().exists(), "the private socket is left");
    }
}

impl Deref for Server {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}
