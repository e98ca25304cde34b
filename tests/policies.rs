//! What a pool may use and whom it runs as, each with a real pool that tries for more.

mod harness;

use harness::{NEXUS, Program, Ran, finish};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = r#"
import ctypes, os, resource, sys, time

def hold(count):
    return len(bytearray(count))

def spin():
    while True:
        pass

def open_many(count):
    held = []
    for _ in range(count):
        held.append(os.open("/dev/null", os.O_RDONLY))
    return len(held)

def fork_many(count):
    for _ in range(count):
        if os.fork() == 0:
            time.sleep(1000)
    return count

def limits(name):
    return list(resource.getrlimit(getattr(resource, name)))

def status(key):
    for line in open("/proc/self/status"):
        name, value = line.split(":", 1)
        if name == key:
            return value.split()

def stray():
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)

def owner():
    return os.stat(os.environ["NEXUS_DIR"]).st_uid

def variables():
    return sorted(name for name in os.environ if name.startswith("NEXUS_"))

def hang():
    print("running", file=sys.stderr, flush=True)
    time.sleep(1000)
"#;

const COMMANDS: &[(&str, &[&str], &str)] = &[
    ("hold", &["i8"], "i8"),
    ("spin", &[], "z"),
    ("open_many", &["i8"], "i8"),
    ("fork_many", &["i8"], "i8"),
    ("limits", &["s"], "[i8]"),
    ("status", &["s"], "[s]"),
    ("stray", &[], "z"),
    ("owner", &[], "i8"),
    ("variables", &[], "[s]"),
    ("hang", &[], "z"),
];

/// How a pool loads its code from its environment.
const LOADER: &str = "import os, sys, types
for name in ('nexus_pool', 'user', 'pool'):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(os.environ['CODE_' + name], name + '.py', 'exec'), module.__dict__)
";

/// A program with that policy. Its pool gets its code by its environment: the directory of a test may be closed to others.
fn program(policy: &str) -> Program {
    let program = Program::python(SOURCE, COMMANDS, policy);
    let code = |name: &str| {
        let text = fs::read_to_string(program.dir.join(format!("{name}.py"))).unwrap();
        // The text has no character that Rust and JSON escape in different ways.
        format!("\"CODE_{name}\": {text:?}")
    };
    let env = ["nexus_pool", "user", "pool"].map(code).join(", ");
    let exec = format!(r#"["python3", "-c", {LOADER:?}], "env": {{{env}}}"#);
    let path = program.dir.join("prog.manifest");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(path, manifest.replace(r#"["python3", "./pool.py"]"#, &exec)).unwrap();
    program
}

/// Whether a test that takes root can run; says so if not.
fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        println!("skipped: needs root");
    }
    is_root
}

#[test]
fn memory_has_a_limit() {
    let program = program(r#""limits": {"memory_bytes": 200000000}"#);
    program.check(&["hold", "10000000"], "10000000");
    program.check_error(&["hold", "300000000"], 1, &["MemoryError"]);
    program.check(&["limits", "RLIMIT_DATA"], "[200000000,200000000]");
    // Addresses alone are free.
    program.check(&["limits", "RLIMIT_AS"], "[-1,-1]");
}

#[test]
fn processor_time_has_a_limit() {
    let program = program(r#""limits": {"cpu_s": 1}"#);
    program.check(&["limits", "RLIMIT_CPU"], "[1,6]");
    program.check_error(
        &["spin"],
        5,
        &["a worker of pool 'py' was ended by SIGXCPU while it ran 'spin'"],
    );
}

#[test]
fn open_files_have_a_limit() {
    let program = program(r#""limits": {"open_files": 40}"#);
    program.check(&["open_many", "20"], "20");
    program.check_error(&["open_many", "40"], 1, &["Too many open files"]);
    program.check(&["limits", "RLIMIT_NOFILE"], "[40,40]");
}

#[test]
fn processes_have_a_limit() {
    if !is_root() {
        return;
    }
    let program = program(r#""limits": {"processes": 3}, "user": 54321, "group": 54321"#);
    program.check(&["fork_many", "1"], "1");
    program.check_error(&["fork_many", "2"], 1, &["Resource temporarily unavailable"]);
    program.check(&["limits", "RLIMIT_NPROC"], "[3,3]");
}

#[test]
fn a_limit_gives_no_more_than_there_is() {
    let program = program(r#""limits": {"open_files": 100000000}"#);
    let line = format!(
        "ulimit -n 60; exec {} limits RLIMIT_NOFILE",
        program.path().display()
    );
    let ran = finish(program.command_of("sh".as_ref(), &["-c", &line]).spawn().unwrap());
    assert_eq!(ran.stdout, "[60,60]\n", "{}", ran.stderr);
}

#[test]
fn without_a_policy_a_pool_is_as_nexus_is() {
    let program = program("");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    for key in ["Uid", "Gid", "Groups", "NoNewPrivs"] {
        let line = own
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{key}:")))
            .unwrap();
        let words: Vec<_> = line
            .split_whitespace()
            .map(|word| format!("\"{word}\""))
            .collect();
        program.check(&["status", key], &format!("[{}]", words.join(",")));
    }
}

#[test]
fn a_pool_gets_the_variables_of_its_own_run_only() {
    let check = |policy: &str, expected: &str| {
        let program = program(policy);
        let mut command = program.command(&["variables"]);
        command.env("NEXUS_WORKER_FD", "9").env("NEXUS_ISOLATE", "1");
        let ran = finish(command.spawn().unwrap());
        assert_eq!(ran.stdout, expected, "{}", ran.stderr);
    };
    let common = r#"["NEXUS_CONTROL_FD","NEXUS_DIR","NEXUS_LIFE_FD","NEXUS_LISTEN_FD","NEXUS_POOL","NEXUS_PROTOCOL","NEXUS_RUN"]"#;
    let isolate = common.replace(r#""NEXUS_LIFE_FD""#, r#""NEXUS_ISOLATE","NEXUS_LIFE_FD""#);
    check("", &format!("{common}\n"));
    check(r#""lifetime": "oneshot""#, &format!("{isolate}\n"));
    check(r#""recycle": {"max_calls": 10}"#, &format!("{isolate}\n"));
    check(r#""recycle": {}"#, &format!("{common}\n"));
}

/// Runs a pool with those lines and expects its numbers.
fn check_user(policy: &str, user: u32, group: u32) {
    let program = program(policy);
    let four = |id: u32| format!(r#"["{id}","{id}","{id}","{id}"]"#);
    program.check(&["status", "Uid"], &four(user));
    program.check(&["status", "Gid"], &four(group));
    program.check(&["status", "Groups"], "[]");
    program.check(&["status", "NoNewPrivs"], r#"["1"]"#);
    if user != 0 {
        program.check(&["status", "CapEff"], r#"["0000000000000000"]"#);
        program.check(&["status", "CapPrm"], r#"["0000000000000000"]"#);
    }
}

#[test]
fn a_pool_runs_as_its_user() {
    if !is_root() {
        return;
    }
    let list = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = list.lines().find(|line| line.starts_with("nobody:")).unwrap();
    let ids: Vec<u32> = nobody
        .split(':')
        .skip(2)
        .take(2)
        .map(|id| id.parse().unwrap())
        .collect();
    check_user(r#""user": "nobody""#, ids[0], ids[1]);
    check_user(&format!(r#""user": {}"#, ids[0]), ids[0], ids[1]);
    check_user(r#""user": "nobody", "group": "root""#, ids[0], 0);
    check_user(r#""user": 54322, "group": 54323"#, 54322, 54323);
    check_user(r#""group": 54324"#, 0, 54324);
}

#[test]
fn every_transport_keeps_the_policy() {
    for transport in ["direct", "stdio"] {
        let policy = format!(
            r#""transport": "{transport}", "limits": {{"open_files": 50, "memory_bytes": 200000000}}"#
        );
        let program = program(&policy);
        program.check(&["limits", "RLIMIT_NOFILE"], "[50,50]");
        program.check_error(&["hold", "300000000"], 1, &["MemoryError"]);
        if is_root() {
            check_user(
                &format!(r#"{policy}, "user": 54328, "group": 54329"#),
                54328,
                54329,
            );
        }
    }
}

#[test]
fn users_and_groups_that_do_not_exist() {
    if !is_root() {
        return;
    }
    program(r#""user": "nobdy""#).check_error(
        &["spin"],
        4,
        &[
            "pool 'py' can't be started: there is no user 'nobdy' in /etc/passwd",
            "hint: correct \"user\"",
        ],
    );
    program(r#""user": "nobody", "group": "nogrp""#).check_error(
        &["spin"],
        4,
        &[
            "there is no group 'nogrp' in /etc/group",
            "hint: correct \"group\"",
        ],
    );
    program(r#""user": 54325"#).check_error(
        &["spin"],
        4,
        &[
            "/etc/passwd doesn't say which group user 54325 has",
            "hint: add \"group\"",
        ],
    );
}

/// Runs a pool that should be another user's under a program that takes something from root.
fn refuse(policy: &str, without: &[&str], parts: &[&str]) {
    let program = program(policy);
    let path = program.path().display().to_string();
    let words: Vec<&str> = without
        .iter()
        .copied()
        .chain([path.as_str(), "hold", "1"])
        .collect();
    let Ran { stdout, stderr, code } =
        finish(program.command_of("setpriv".as_ref(), &words).spawn().unwrap());
    assert_eq!((code, stdout.as_str()), (Some(4), ""), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "'{part}' is not in:\n{stderr}");
    }
}

#[test]
fn a_pool_that_can_not_become_its_user_does_not_start() {
    if !is_root() {
        program(r#""user": "nobody""#).check_error(
            &["hold", "1"],
            4,
            &[
                "pool 'py' can't be started: can't become user 'nobody': nexus runs as ",
                ", expected root",
            ],
        );
        return;
    }
    let user = r#""user": "nobody""#;
    refuse(
        user,
        &["--bounding-set=-setgid"],
        &[
            "pool 'py' can't be started: can't leave the groups of nexus to become user 'nobody': Operation not permitted",
        ],
    );
    refuse(
        user,
        &["--bounding-set=-setuid"],
        &["pool 'py' can't be started: can't become user 'nobody': Operation not permitted"],
    );
    if can_all_read(NEXUS.as_ref()) && can_all_read(&std::env::temp_dir()) {
        // Its own directories it could not make, but it is refused before that matters.
        let anywhere = [
            "--reuid=54326",
            "--regid=54326",
            "--clear-groups",
            "env",
            "TMPDIR=/tmp",
        ];
        let message = "can't become group 7: nexus runs as user 54326, expected root";
        refuse(r#""group": 7"#, &anywhere, &[message]);
    } else {
        println!("skipped: another user can't run {NEXUS}");
    }
}

fn can_all_read(path: &Path) -> bool {
    let path = fs::canonicalize(path).unwrap();
    path.ancestors()
        .all(|part| fs::metadata(part).unwrap().permissions().mode() & 0o001 != 0)
}

#[test]
fn strays_of_another_user_are_ended() {
    if !is_root() {
        return;
    }
    // As in a container, where root can't see the environment of another user's process; this test then can't either.
    let blind = "--bounding-set=-sys_ptrace,-perfmon,-sys_admin";
    for (without, user) in [(None, 54331), (Some(blind), 54332)] {
        let program = program(&format!(r#""user": {user}, "group": {user}"#));
        let path = program.path().display().to_string();
        let words = without.into_iter().chain([path.as_str(), "stray"]);
        let words: Vec<&str> = words.collect();
        let ran = finish(program.command_of("setpriv".as_ref(), &words).spawn().unwrap());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        program.assert_nothing_left();
        let processes = fs::read_dir("/proc").unwrap();
        let of_user = processes.filter(|entry| {
            let metadata = entry.as_ref().unwrap().metadata();
            metadata.is_ok_and(|metadata| metadata.uid() == user)
        });
        assert_eq!(of_user.count(), 0, "processes of user {user} are left");
    }
}

/// A directory in which any user may make and remove files, as in `/tmp`; gone when it is dropped.
struct Open(PathBuf);

impl Open {
    fn new(name: &str) -> Option<Open> {
        let parents = [std::env::temp_dir(), "/tmp".into()];
        let parent = parents.iter().find(|parent| can_all_read(parent))?;
        let dir = parent.join(format!("nexus-test-{name}-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o1777)).unwrap();
        Some(Open(dir))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_directory_belongs_to_the_user_of_all_pools() {
    if !is_root() {
        return;
    }
    let Some(open) = Open::new("open") else {
        println!("skipped: no directory for temporary files that all can enter");
        return;
    };
    let program = program(r#""user": 54327, "group": 54327"#);
    let mut command = program.command(&["owner"]);
    let ran = finish(command.env("TMPDIR", &open.0).spawn().unwrap());
    assert_eq!(ran.stdout, "54327\n", "{}", ran.stderr);

    let fifo = program.dir.join("alive");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let line = format!("exec {} hang 9>{}", program.path().display(), fifo.display());
    let mut command = program.command_of("sh".as_ref(), &["-c", &line]);
    let mut child = command.env("TMPDIR", &open.0).spawn().unwrap();
    let mut alive = fs::File::open(fifo).unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "running\n");
    assert_eq!(fs::read_dir(&open.0).unwrap().count(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    // All processes of the run hold the other end.
    assert_eq!(alive.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(fs::read_dir(&open.0).unwrap().count(), 0);
}
