//! A folder of sources that is built by the real binary, and what the tests expect of it. Tests nothing itself.

use crate::harness::{NEXUS, Ran, finish, search_path};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder with sources.
pub struct Folder {
    pub dir: PathBuf,
    /// What is in PATH.
    pub path: String,
}

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!(
            "nexus-build-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = Folder {
            dir: std::env::temp_dir().join(unique),
            path: search_path(),
        };
        fs::create_dir_all(folder.dir.join("stats")).unwrap();
        files.iter().for_each(|(path, text)| folder.file(path, text));
        folder
    }

    /// Writes a file of the program `stats`.
    pub fn file(&self, path: &str, text: &str) {
        let path = self.dir.join("stats").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.join("stats").join(path)).unwrap()
    }

    pub fn has(&self, path: &str) -> bool {
        self.dir.join("stats").join(path).exists()
    }

    /// Runs a program in the folder above the sources.
    pub fn run(&self, program: impl AsRef<Path>, args: &[&str]) -> Ran {
        let mut command = Command::new(self.dir.join(program));
        command
            .args(args)
            .current_dir(&self.dir)
            .env("PATH", &self.path)
            .env_remove("NO_COLOR");
        command.env_remove("CXX").env_remove("NEXUS_CXXFLAGS");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    }

    /// Builds, and expects success and the last line that it says.
    pub fn build(&self, args: &[&str], said: &str) -> Ran {
        let words: Vec<&str> = ["build"].iter().chain(args).copied().collect();
        let ran = self.run(NEXUS, &words);
        let last = ran.stderr.lines().last().unwrap_or_default();
        assert_eq!(
            (ran.code, last.split(';').next()),
            (Some(0), Some(said)),
            "{}",
            ran.stderr
        );
        ran
    }

    /// Builds in vain, and expects that code and those parts of what is said.
    pub fn fail(&self, args: &[&str], code: i32, parts: &[&str]) -> Ran {
        let words: Vec<&str> = ["build"].iter().chain(args).copied().collect();
        let ran = self.run(NEXUS, &words);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(code), ""),
            "{}",
            ran.stderr
        );
        for part in parts {
            assert!(ran.stderr.contains(part), "'{part}' is not in:\n{}", ran.stderr);
        }
        ran
    }

    /// Runs the program and expects a result.
    pub fn check(&self, args: &[&str], stdout: &str) {
        self.check_at("stats/stats", args, stdout);
    }

    pub fn check_at(&self, program: &str, args: &[&str], stdout: &str) {
        let ran = self.run(program, args);
        assert_eq!(
            (ran.code, ran.stdout.trim_end()),
            (Some(0), stdout),
            "{args:?}: {}",
            ran.stderr
        );
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
