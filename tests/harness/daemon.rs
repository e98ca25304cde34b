//! A server that runs beside a test, until it ends, is dropped, or the test's own process is gone. Knows nothing of what it serves.
#![allow(dead_code)] // Each test file uses a part.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest wait for anything: far above any, so that only a hang reaches it.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What waits for something looks for it this often.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until that is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WAIT_MAX, "waited for: {what}");
        thread::park_timeout(LOOK);
    }
}

/// A process is still there, and is no zombie.
pub fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
    state.is_some_and(|state| state != b'Z')
}

/// Sends a signal.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(sent.unwrap().success(), "{pid} can't be signalled");
}

/// A process that serves.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Runs a command line, of which the words, the environment and the directory count. It reads nothing, and only what it says
    /// on standard error is kept.
    pub fn spawn(command: &Command) -> Daemon {
        let mut child = bound(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&log);
        let pipe = BufReader::new(child.stderr.take().unwrap());
        let reader = thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                let mut log = copy.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Daemon {
            child,
            log,
            reader: Some(reader),
        }
    }

    /// What stands behind that on the last line that begins with it, once there is one; none if it ends without.
    #[track_caller]
    pub fn find(&self, begin: &str) -> Option<String> {
        let mut found = None;
        until(begin, || {
            // Looked at first: what it has said last is in the log then.
            let is_over = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            let log = self.log();
            let mut lines = log.lines().rev();
            found = lines.find_map(|line| line.strip_prefix(begin).map(String::from));
            found.is_some() || is_over
        });
        found
    }

    /// The same of one that has to say it.
    #[track_caller]
    pub fn hear(&self, begin: &str) -> String {
        let found = self.find(begin);
        found.unwrap_or_else(|| panic!("it has not said '{begin}': {}", self.log()))
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its children.
    pub fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let pids = fs::read_to_string(path).unwrap_or_default();
        pids.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    #[track_caller]
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end.
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
}

impl Drop for Daemon {
    /// One that a failed test leaves is ended by force.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The same command line, ended by the system when the thread is gone that has started it, as when somebody kills the tests.
fn bound(command: &Command) -> Command {
    const WORDS: [&str; 3] = ["--pdeathsig", "KILL", "--"];
    static CAN: OnceLock<bool> = OnceLock::new();
    let can = CAN.get_or_init(|| {
        let tried = Command::new("setpriv").args(WORDS).arg("true").output();
        tried.is_ok_and(|output| output.status.success())
    });
    let mut bound = match can {
        true => Command::new("setpriv"),
        false => Command::new(command.get_program()),
    };
    if *can {
        bound.args(WORDS).arg(command.get_program());
    }
    bound.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        bound.current_dir(dir);
    }
    bound
}
