//! A server that runs, until it is stopped or dropped.

use crate::harness::{NEXUS, Program};
use crate::http::{Answer, Client};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest wait for anything: far above any, so that only a hang reaches it.
pub const WAIT_MAX: Duration = Duration::from_secs(40);

/// The token of the servers that have one.
pub const TOKEN: &str = "a-long-random-word";

/// A server of programs.
pub struct Server {
    child: Child,
    /// Host and port; empty: it speaks HTTP on `web` in the program's directory.
    pub address: String,
    dir: PathBuf,
    temp_dir: PathBuf,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// Waits until that is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WAIT_MAX, "waited for: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// A process is still there, and is no zombie.
pub fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
    state.is_some_and(|state| state != b'Z')
}

/// Sends a signal.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(sent.unwrap().success(), "{pid} can't be signalled");
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
        Server::spawn(program, command)
    }

    /// `nexus serve` with its private socket in the program's directory.
    pub fn command(program: &Program) -> Command {
        let mut command = program.command_of(Path::new(NEXUS), &["serve", "--server"]);
        command.arg(program.dir.join("private")).env_remove("NEXUS_TOKEN");
        command
    }

    /// Runs a command line until it listens.
    pub fn spawn(program: &Program, mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (told, first) = mpsc::channel();
        let pipe = BufReader::new(child.stderr.take().unwrap());
        let copy = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                if line.starts_with("listening on ") {
                    let _ = told.send(line.clone());
                }
                let mut log = copy.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let first = first.recv_timeout(WAIT_MAX);
        let first = first.unwrap_or_else(|_| panic!("it does not listen: {}", log.lock().unwrap()));
        let address = first.strip_prefix("listening on http://").unwrap_or_default();
        Server {
            child,
            address: address.into(),
            dir: program.dir.clone(),
            temp_dir: program.temp_dir(),
            log,
            reader: Some(reader),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
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

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
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

    /// Its children.
    pub fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let pids = fs::read_to_string(path).unwrap_or_default();
        pids.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    /// Waits for its end, within the limit.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        until("the end of the server", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        ended.unwrap()
    }

    /// Ends it as an operator does, and checks that it goes in order.
    #[track_caller]
    pub fn stop(mut self) {
        signal(self.pid(), "TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        assert!(!self.private().exists(), "the private socket is left");
    }
}

impl Drop for Server {
    /// One that a failed test leaves is ended by force.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
