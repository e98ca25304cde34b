//! The languages that programs are made of: their names, files and tools. Reads no source.

/// A language.
#[derive(Debug)]
pub struct Language {
    /// As pools and manifests name it.
    pub name: &'static str,
    /// As people do.
    pub title: &'static str,
    /// As compositions do.
    pub word: &'static str,
    /// How the names of its files end.
    pub extensions: &'static [&'static str],
    /// The program that runs its pool; none: the pool is one.
    pub interpreter: Option<&'static str>,
    /// What its real interpreter's file is called, in part: what has another name starts it.
    pub interpreter_is: &'static [&'static str],
    /// What to install on Debian.
    pub package: &'static str,
    /// The runtimes that its pool loads, as the tool names them and as the pool does.
    pub runtimes: &'static [(&'static str, &'static str)],
}

impl PartialEq for Language {
    fn eq(&self, other: &Language) -> bool {
        self.name == other.name
    }
}

/// All of them.
pub static LANGUAGES: [Language; 4] = [
    Language {
        name: "py",
        title: "Python",
        word: "Py",
        extensions: &["py"],
        interpreter: Some("python3"),
        interpreter_is: &["python", "pypy"],
        package: "python3",
        runtimes: &[("py", "nexus_pool.py")],
    },
    Language {
        name: "cpp",
        title: "C++",
        word: "Cpp",
        extensions: &["cpp", "hpp", "cc", "hh", "cxx", "hxx", "h"],
        interpreter: None,
        interpreter_is: &[],
        package: "g++",
        runtimes: &[("cpp", "nexus.hpp")],
    },
    Language {
        name: "r",
        title: "R",
        word: "R",
        extensions: &["R", "r"],
        interpreter: Some("R"),
        // R's own is a script.
        interpreter_is: &["R"],
        package: "r-base-dev",
        runtimes: &[("r", "nexus_pool.R"), ("r.c", "nexus_pool.c")],
    },
    Language {
        name: "js",
        title: "JavaScript",
        word: "JS",
        extensions: &["js", "cjs", "mjs"],
        interpreter: Some("node"),
        interpreter_is: &["node"],
        package: "nodejs",
        runtimes: &[("js", "nexus_pool.cjs")],
    },
];

impl Language {
    /// The language of that name, as pools have it.
    pub fn named(name: &str) -> Option<&'static Language> {
        LANGUAGES.iter().find(|language| language.name == name)
    }

    /// The language of a file, by its name.
    pub fn of(path: &str) -> Option<&'static Language> {
        let (_, extension) = path.rsplit_once('.')?;
        LANGUAGES
            .iter()
            .find(|language| language.extensions.contains(&extension))
    }
}
