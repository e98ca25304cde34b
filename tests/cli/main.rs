//! The command line from outside: the built binary under the names of programs, in a directory of its own. The `.console`
//! files hold what is typed and everything that is then printed; `NEXUS_BLESS=1` writes them anew.

mod completed;
mod random;
mod recorded;
mod started;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const FORMS: &str = include_str!("../manifests/forms.json");
const SINGLE: &str = include_str!("../manifests/single.json");

/// A new directory with the tool, the programs `forms` and `single`, and some files.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    for program in ["nexus", "forms", "single", "broken", "lost"] {
        symlink(env!("CARGO_BIN_EXE_nexus"), path.join(program)).unwrap();
    }
    let put = |file: &str, content: &[u8]| fs::write(path.join(file), content).unwrap();
    put("forms.manifest", FORMS.as_bytes());
    put("single.manifest", SINGLE.as_bytes());
    put(
        "broken.manifest",
        b"{\"version\": 1, \"name\": 3,\n \"pools\": [], \"commands\": 4}",
    );
    put("numbers.json", b"[1, 2.5,\n 3]\n");
    put("wrong.json", b"[1, 2.5,\n \"x\"]\n");
    put("cut.json", b"[1, 2.5,\n");
    put("numbers.msgpack", &[0x93, 1, 2, 3]);
    put("unnamed", &[0x93, 1, 2, 3]);
    put("wrong.mpk", &[0x92, 1, 0xc3]);
    path
}

/// Runs a shell's line in that directory, which is first on the PATH.
fn run(directory: &Path, line: &str) -> Output {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line])
        .current_dir(directory)
        .stdin(Stdio::null())
        .env_clear();
    shell
        .env("PATH", format!("{}:/usr/bin:/bin", directory.display()))
        .env("COLUMNS", "80");
    shell.output().unwrap()
}

/// Runs every line of a transcript that starts with `$ `, and compares all that is printed.
fn check(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name);
    let expected = fs::read_to_string(&file).unwrap();
    let directory = directory(name);
    let mut found = String::new();
    for line in expected.lines() {
        if line.starts_with('#') {
            found.push_str(&format!("{line}\n"));
        }
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        let output = run(&directory, &format!("{{ {command}\n}} 2>&1"));
        found.push_str(&format!("{line}\n{}", String::from_utf8_lossy(&output.stdout)));
        if !found.ends_with('\n') {
            found.push_str("(no line end)\n");
        }
        if !output.status.success() {
            found.push_str(&format!("-> {}\n", output.status.code().unwrap_or(-1)));
        }
    }
    if std::env::var_os("NEXUS_BLESS").is_some() {
        fs::write(file, found).unwrap();
    } else {
        let difference = expected
            .lines()
            .zip(found.lines())
            .position(|(left, right)| left != right);
        let line = difference.map_or(String::new(), |line| format!(" differs in line {}", line + 1));
        assert!(expected == found, "{name}{line}; found:\n{found}");
    }
}

#[test]
fn words() {
    check("words.console");
}

#[test]
fn values() {
    check("values.console");
}

#[test]
fn formats() {
    check("formats.console");
}

#[test]
fn pages() {
    check("pages.console");
}

#[test]
fn tool() {
    check("tool.console");
}

#[test]
fn explain() {
    check("explain.console");
}
