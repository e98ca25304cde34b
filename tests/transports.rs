//! Pools behind other commands, whose connection is their standard input and output: a wrapper, an environment that is lost,
//! a real ssh to this machine. Workers that nexus starts itself are in `lifetimes` and `languages`.

mod harness;

use harness::{Daemon, Program, runs, search_path};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const POOL: &str = r#"
import nexus_pool, os, sys, time
print("loading")

def loud(text):
    print("printed")
    os.write(1, b"written\n")
    os.system("echo by a child; cat")
    sys.stdout.buffer.write(b"\xff\x00\x01 bytes\n")
    nexus_pool.log("info", "logged")
    return text.upper()

def pid():
    return os.getpid()

def sit(seconds):
    print("sitting in", os.getpid(), flush=True)
    time.sleep(seconds)

def again(n):
    return 0 if n == 0 else 1 + nexus_pool.foreign("far", 4, args=["i8"], returns="i8")(n - 1)

def die():
    os._exit(3)

nexus_pool.register(1, loud, args=["s"], returns="s")
nexus_pool.register(2, pid, args=[], returns="i8")
nexus_pool.register(3, sit, args=["f8"], returns="z")
nexus_pool.register(4, again, args=["i8"], returns="i8")
nexus_pool.register(5, die, args=[], returns="z")
nexus_pool.serve()
"#;

/// A program with the pool `far` behind a command; `exec` is JSON.
fn program(exec: &str) -> Program {
    let commands = [
        ("loud", "\"s\"", "s"),
        ("pid", "", "i8"),
        ("sit", "\"f8\"", "z"),
        ("again", "\"i8\"", "i8"),
        ("die", "", "z"),
    ];
    let rows = commands
        .iter()
        .enumerate()
        .map(|(position, (name, arg, returns))| {
            let args = if arg.is_empty() { "" } else { r#"{"kind": "pos"}"# };
            format!(
                r#"{{"name": "{name}", "type": "remote", "pool": 0, "mid": {}, "needed_pools": [0],
                "arg_schemas": [{arg}], "args": [{args}], "return_schema": "{returns}"}}"#,
                position + 1
            )
        });
    let rows: Vec<String> = rows.collect();
    let program = Program::new(
        "prog",
        &format!(
            r#"{{"version": 1, "name": "prog", "pools": [{{"lang": "py", "name": "far", "transport": "stdio",
                "exec": {exec}, "workers": 1}}], "commands": [{}]}}"#,
            rows.join(",")
        ),
    );
    program.file("pool.py", POOL);
    program.file(
        "nexus_pool.py",
        include_str!("../src/runtimes/python/nexus_pool.py"),
    );
    program
}

/// All that has to work behind any command. The exit code of a worker is that of the command.
fn check(program: &Program) {
    let ran = program.run(&["loud", "text"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "\"TEXT\"\n"),
        "{}",
        ran.stderr
    );
    for part in [
        "loading",
        "printed",
        "written",
        "by a child",
        "[far] info: logged",
    ] {
        assert!(ran.stderr.contains(part), "'{part}' is not in: {}", ran.stderr);
    }
    program.check(&["again", "100"], "100");
    program.check_error(&["die"], 5, &["exited with code 3"]);
    program.check_error(
        &["--timeout", "0.5", "sit", "60"],
        124,
        &["did not answer in time"],
    );
    ends_with_nexus(program);
}

/// A worker in the middle of a call ends when nexus is killed.
fn ends_with_nexus(program: &Program) {
    let mut child = program.command(&["sit", "60"]).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("sitting in ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the function begins");
    }
    let pid = line.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    while runs(pid) || !program.processes().is_empty() {
        assert!(
            killed.elapsed() < Duration::from_secs(2),
            "worker {pid} outlives nexus"
        );
        std::thread::yield_now();
    }
    drop(stderr);
}

#[test]
fn behind_a_wrapper() {
    let wrapped = program(r#"["./wrapper", "python3", "./pool.py"]"#);
    wrapped.file("wrapper", "#!/bin/sh\nexec \"$@\"\n");
    make_executable(&wrapped.dir.join("wrapper"));
    check(&wrapped);
}

#[test]
fn where_the_environment_does_not_arrive() {
    check(&program(
        r#"["env", "-i", "PATH=/usr/bin:/bin", "python3", "./pool.py"]"#,
    ));
}

#[test]
fn a_command_that_speaks_first_is_told_what_it_said() {
    program(r#"["sh", "-c", "echo Welcome to the machine; exec cat"]"#).check_error(
        &["pid"],
        5,
        &["pool 'far' broke the protocol", "Welcome to the machine"],
    );
}

#[test]
fn behind_ssh() {
    let dir = std::env::temp_dir().join(format!("nexus-ssh-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    match Server::start(&dir) {
        Some(server) => {
            let far = program("[]");
            let exec = server.exec(&far.dir.join("pool.py"));
            let manifest = fs::read_to_string(far.dir.join("prog.manifest")).unwrap();
            far.file(
                "prog.manifest",
                &manifest.replace("\"exec\": []", &format!("\"exec\": {exec}")),
            );
            check(&far);
        }
        None => println!("skipped: no SSH server can be started here"),
    }
    fs::remove_dir_all(&dir).unwrap();
}

/// An SSH server of this user, on this machine only.
struct Server {
    /// Ends with it.
    _sshd: Daemon,
    port: u16,
    key: String,
}

impl Server {
    fn start(dir: &Path) -> Option<Server> {
        let key = dir.join("key").display().to_string();
        let quiet = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).env("PATH", search_path());
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !quiet("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key]) {
            return None;
        }
        // It needs this directory if it is root, and only then may make it.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin prohibit-password\n"
        );
        fs::write(dir.join("config"), config).ok()?;
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(dir.join("config"));
        let sshd = Daemon::spawn(&sshd);
        sshd.find("Server listening")?;
        Some(Server {
            _sshd: sshd,
            port,
            key,
        })
    }

    fn exec(&self, pool: &Path) -> String {
        let options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "LogLevel=ERROR",
        ];
        let options: Vec<String> = options
            .iter()
            .map(|option| format!("\"-o\", \"{option}\""))
            .collect();
        format!(
            r#"["ssh", "-F", "none", {}, "-i", "{}", "-p", "{}", "127.0.0.1", "PATH=/usr/bin:/bin exec python3 {}"]"#,
            options.join(", "),
            self.key,
            self.port,
            pool.display()
        )
    }
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
