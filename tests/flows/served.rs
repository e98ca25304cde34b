//! A server of flows that runs, until it is stopped or dropped; what it has in directories goes with it.

use crate::harness::{self, Daemon, NEXUS, signal};
use crate::http::{Answer, Client};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub use crate::harness::until;

/// A directory of a test's own.
pub struct Place(pub PathBuf);

impl Place {
    /// Nodes of which the first, `gate`, waits until the file `open` is there, and says by the file `began` that it does.
    pub fn gate(&self) -> String {
        let dir = self.0.display();
        format!(
            "- kind: snippet
  name: gate
  language: python
  code: |
    import os, time
    def main(args):
        open('{dir}/began', 'w').close()
        while not os.path.exists('{dir}/open'):
            time.sleep(0.01)
        return 'through'
  links: {{out: [{{name: after}}]}}
- kind: snippet
  name: after
  language: python
  code: |
    def main(args):
        return args + ' and after'
"
        )
    }

    pub fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("nexus-flows-{}-{number}", std::process::id()));
        fs::create_dir_all(dir.join("run/nexus")).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir.join("run/nexus"), private).unwrap();
        Place(dir)
    }

    /// Writes a file.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The tool, with this directory for everything that it has.
    pub fn command(&self, words: &[&str]) -> Command {
        self.command_of(NEXUS, words)
    }

    fn command_of(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).current_dir(&self.0);
        command
            .env("XDG_RUNTIME_DIR", self.0.join("run"))
            .env("TMPDIR", &self.0)
            .env_remove("NEXUS_SERVER")
            .env_remove("NEXUS_STORE")
            .stdin(Stdio::null());
        command
    }

    /// Runs the tool.
    pub fn tool(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs the tool, which has to succeed: what it prints.
    #[track_caller]
    pub fn tell(&self, words: &[&str]) -> String {
        let output = self.tool(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A server of what the words say, which has a listener of that name.
    pub fn serve(&self, words: &[&str], listener: &str) -> Served<'_> {
        self.serve_with(words, &[], listener)
    }

    /// The same, with variables of its environment.
    pub fn serve_with(&self, words: &[&str], variables: &[(&str, &str)], listener: &str) -> Served<'_> {
        let mut command = self.command(words);
        command.envs(variables.iter().copied());
        self.follow(command, listener)
    }

    /// The same, begun by another program that these words are put before.
    pub fn serve_by(&self, by: &[&str], words: &[&str], listener: &str) -> Served<'_> {
        let words: Vec<&str> = [&by[1..], &[NEXUS], words].concat();
        self.follow(self.command_of(by[0], &words), listener)
    }

    fn follow(&self, command: Command, listener: &str) -> Served<'_> {
        let mut served = Served {
            place: self,
            daemon: Daemon::spawn(&command),
            address: String::new(),
        };
        served.address = served.find_address(listener);
        served
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server.
pub struct Served<'p> {
    place: &'p Place,
    daemon: Daemon,
    /// Host and port of its listener.
    pub address: String,
}

impl Served<'_> {
    /// Where a listener listens, once it does.
    #[track_caller]
    pub fn find_address(&self, listener: &str) -> String {
        self.find_address_of(&format!("{listener} listens on http://"))
    }

    /// What stands behind that in the log.
    #[track_caller]
    pub fn find_address_of(&self, begin: &str) -> String {
        self.daemon.hear(begin)
    }

    pub fn connect(&self) -> Client {
        Client::tcp(&self.address)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        let mut client = self.connect();
        client.ask(
            method,
            target,
            "Content-Type: application/json\r\n",
            body.as_bytes(),
        );
        client.answer()
    }

    /// Ends it as an operator does, and checks that it goes in order and leaves nothing.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0), "{}", self.log());
        self.place.assert_nothing_runs();
    }
}

impl Place {
    /// Sockets and directories of servers are gone.
    #[track_caller]
    pub fn assert_nothing_runs(&self) {
        let left = fs::read_dir(self.0.join("run/nexus")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?} is left");
    }
}

impl Deref for Served<'_> {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for Served<'_> {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

/// `nexus debug` with its words on a pipe.
pub struct Debugger {
    child: Child,
    stdin: Option<ChildStdin>,
    heard: Arc<Mutex<String>>,
}

impl Debugger {
    pub fn start(place: &Place, namespace: &str) -> Debugger {
        let mut child = place
            .command(&["debug", "-n", namespace])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let heard = Arc::new(Mutex::new(String::new()));
        let stdout: Box<dyn std::io::Read + Send> = Box::new(child.stdout.take().unwrap());
        let stderr: Box<dyn std::io::Read + Send> = Box::new(child.stderr.take().unwrap());
        for pipe in [stdout, stderr] {
            let copy = Arc::clone(&heard);
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let mut heard = copy.lock().unwrap();
                    heard.push_str(&line);
                    heard.push('\n');
                }
            });
        }
        Debugger {
            stdin: child.stdin.take(),
            child,
            heard,
        }
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits until that has been heard; forgets all up to there.
    #[track_caller]
    pub fn hear(&self, part: &str) {
        until(part, || {
            let mut heard = self.heard.lock().unwrap();
            let Some(at) = heard.find(part) else { return false };
            heard.drain(..at + part.len());
            true
        });
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Interrupts it as Ctrl-C does, once it takes that for a wish to wait no longer, or else for one to end.
    #[track_caller]
    pub fn interrupt(&self, is_waiting: bool) {
        const SIGINT: u64 = 1 << 1;
        let pid = self.child.id();
        until("what an interrupt means", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
            let blocked = u64::from_str_radix(blocked.unwrap().trim(), 16).unwrap();
            is_waiting == (blocked & SIGINT != 0)
        });
        signal(pid, "INT");
    }

    /// Waits for its end.
    pub fn end(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is a program of that name to run.
pub fn has(program: &str) -> bool {
    harness::has(&[program])
}
