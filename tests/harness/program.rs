//! Programs for the integration tests: each is made in a directory of its own, run by the real binary under a time limit, and
//! checked to have left nothing behind, neither process nor file.
#![allow(dead_code)] // Each test file uses a part.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// Longest that a run may take: far above any, so that only a hang reaches it.
const RUN_MAX: Duration = Duration::from_secs(60);

/// The binary under test.
pub const NEXUS: &str = env!("CARGO_BIN_EXE_nexus");

/// A program in a directory of its own.
pub struct Program {
    pub dir: PathBuf,
    name: String,
    /// Where it is, if that is not in its directory.
    elsewhere: Option<PathBuf>,
}

/// Makes the programs of `tests/programs/languages` with the pools of these languages, or of all that are there; the directory
/// in which they are.
pub fn build_languages(languages: &[&str]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages");
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/languages/build");
    let status = Command::new("python3")
        .arg(build)
        .arg(NEXUS)
        .arg(&dir)
        .args(languages)
        .env("PATH", search_path())
        .status();
    assert!(status.unwrap().success(), "the programs can be made");
    dir
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Program {
    /// A program with that manifest and no other file.
    pub fn new(name: &str, manifest: &str) -> Program {
        let program = Program::empty(name);
        symlink(NEXUS, program.dir.join(name)).unwrap();
        program.file(&format!("{name}.manifest"), manifest);
        program
    }

    /// A program that exists already; only what its runs make is in a directory of its own.
    pub fn at(path: &Path) -> Program {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut program = Program::empty(name);
        program.elsewhere = Some(path.to_path_buf());
        program
    }

    /// The program of that name in tests/programs, made of its sources by `nexus build`. What is built survives the tests,
    /// so that it is compiled once.
    pub fn built(name: &str) -> Program {
        static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("built")
            .join(name)
            .join(name);
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if !built.iter().any(|other| other == name) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/programs")
                .join(name);
            let mut command = Command::new(NEXUS);
            command.arg("build").arg(sources).arg("-o").arg(&path);
            let status = command.env("PATH", search_path()).status().unwrap();
            assert!(status.success(), "{name} can't be built");
            built.push(name.into());
        }
        Program::at(&path)
    }

    /// A copy of all that belongs to it, in another directory: the copy's path.
    pub fn moved(&self) -> PathBuf {
        let to = self.dir.join("moved");
        fs::create_dir(&to).unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-rL")
            .args(["", ".manifest", ".pools"].map(|part| format!("{}{part}", self.name)));
        let copied = copy.arg(&to).current_dir(self.path().parent().unwrap()).status();
        assert!(copied.unwrap().success(), "{} can't be copied", self.name);
        to.join(&self.name)
    }

    fn empty(name: &str) -> Program {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!(
            "nexus-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(unique);
        fs::create_dir_all(dir.join("tmp")).unwrap();
        Program {
            dir,
            name: name.into(),
            elsewhere: None,
        }
    }

    /// A program with one Python pool `py`, whose functions are the top-level ones of `source`; `commands` are rows of
    /// name, function's argument schemas, return schema.
    pub fn python(source: &str, commands: &[(&str, &[&str], &str)], pool: &str) -> Program {
        let program = Program::new("prog", &python_manifest(commands, pool));
        let mut script = String::from("import nexus_pool\nimport user\n");
        for (position, (name, args, returns)) in commands.iter().enumerate() {
            script.push_str(&format!(
                "nexus_pool.register({}, user.{name}, args={args:?}, returns={returns:?})\n",
                position + 1
            ));
        }
        script.push_str("nexus_pool.serve()\n");
        program.file("pool.py", &script);
        program.file("user.py", source);
        program.file(
            "nexus_pool.py",
            include_str!("../../src/runtimes/python/nexus_pool.py"),
        );
        program
    }

    /// Writes a file into the program's directory.
    pub fn file(&self, path: &str, text: &str) {
        fs::write(self.dir.join(path), text).unwrap();
    }

    /// Path of the program.
    pub fn path(&self) -> PathBuf {
        let here = || self.dir.join(&self.name);
        self.elsewhere.clone().unwrap_or_else(here)
    }

    /// Directory in which its runs make theirs.
    pub fn temp_dir(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// A command line of the program, to be changed before it is run.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        self.command_of(&self.path(), args)
    }

    /// The same by another path.
    pub fn command_of<S: AsRef<OsStr>>(&self, path: &Path, args: &[S]) -> Command {
        let mut command = Command::new(path);
        command
            .args(args)
            .env("TMPDIR", self.temp_dir())
            .env("PATH", search_path())
            .env_remove("NO_COLOR");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args).spawn().unwrap())
    }

    /// Runs it and expects that result on standard output.
    pub fn check(&self, args: &[&str], stdout: &str) {
        let ran = self.run(args);
        assert_eq!(
            (ran.code, ran.stdout.trim_end()),
            (Some(0), stdout),
            "{args:?}: {}",
            ran.stderr
        );
    }

    /// Runs it and expects that exit code and those parts of the message, and no result.
    pub fn check_error(&self, args: &[&str], code: i32, parts: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(code), ""),
            "{args:?}: {}",
            ran.stderr
        );
        for part in parts {
            assert!(
                ran.stderr.contains(part),
                "{args:?}: '{part}' is not in:\n{}",
                ran.stderr
            );
        }
        self.assert_nothing_left();
        ran
    }

    /// No process that was started for it runs, and no file of a run is left.
    pub fn assert_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.temp_dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "files are left: {left:?}");
        let processes = self.processes();
        assert!(processes.is_empty(), "processes are left: {processes:?}");
    }

    /// Processes that nexus started for it: those with its directory in their environment.
    pub fn processes(&self) -> Vec<u32> {
        let marks = ["TMPDIR", "NEXUS_DIR"].map(|name| format!("{name}={}", self.temp_dir().display()));
        let is_marked = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let has = |mark: &str| {
                let mut entries = environment.split(|byte| *byte == 0);
                entries.any(|entry| entry.starts_with(mark.as_bytes()))
            };
            has("NEXUS_RUN=") && marks.iter().any(|mark| has(mark))
        };
        let pids = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(is_marked).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.assert_nothing_left();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The real interpreters first: a version manager's shim would cost each run a tenth of a second.
pub fn search_path() -> String {
    format!("/usr/bin:/bin:{}", std::env::var("PATH").unwrap_or_default())
}

/// Whether all of these programs are there; tells which is not.
pub fn has(programs: &[&str]) -> bool {
    let path = search_path();
    let is_there =
        |program: &&&str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<&&str> = programs.iter().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        eprintln!("left out, for there is no {missing:?}");
    }
    missing.is_empty()
}

fn python_manifest(commands: &[(&str, &[&str], &str)], pool: &str) -> String {
    let rows: Vec<String> = commands
        .iter()
        .enumerate()
        .map(|(position, (name, args, returns))| {
            let inputs: Vec<String> =
                args.iter().map(|_| r#"{"kind": "pos", "metavar": "X", "type_desc": "X", "desc": []}"#.into()).collect();
            format!(
                r#"{{"name": "{name}", "type": "remote", "pool": 0, "mid": {}, "needed_pools": [0], "arg_schemas": {args:?},
                    "args": [{}], "return_schema": "{returns}", "return_type": "X", "return_desc": [], "desc": []}}"#,
                position + 1,
                inputs.join(", ")
            )
        })
        .collect();
    let comma = if pool.is_empty() { "" } else { ", " };
    format!(
        r#"{{"version": 1, "name": "prog", "desc": [],
            "pools": [{{"lang": "py", "exec": ["python3", "./pool.py"], "socket": "pipe-py"{comma}{pool}}}],
            "commands": [{}]}}"#,
        rows.join(",\n")
    )
}

/// Waits for the end of a run, within the limit.
pub fn finish(mut child: Child) -> Ran {
    let (done, ended) = mpsc::channel::<()>();
    let pid = child.id();
    let watch = thread::spawn(move || {
        if ended.recv_timeout(RUN_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    });
    let mut pipe = child.stderr.take();
    let stderr = thread::spawn(move || text(pipe.as_mut()));
    let stdout = text(child.stdout.as_mut());
    let code = child.wait().unwrap().code();
    drop(done);
    watch.join().unwrap();
    Ran {
        stdout,
        stderr: stderr.join().unwrap(),
        code,
    }
}

fn text(pipe: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.read_to_end(&mut bytes).unwrap();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
