//! What other programs make: the C++ pool, and R's helper. Starts the compilers at once, waits for all, and shows what they
//! say as it is.

use crate::build::cpp::Units;
use crate::build::interpreter::find;
use crate::build::language::Language;
use crate::build::runtimes::Runtime;
use crate::build::stage::{Stage, failed};
use crate::build::state::{State, sum_of_all};
use crate::error::{Error, Kind, Result, signal_name};
use crate::sys::descriptor::{no_input, no_output, pipe};
use crate::sys::process::{Child, Exit};
use crate::sys::spawn::{Group, Program, c_string, spawn};
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The C++ pool.
const CPP_POOL: &str = "pool-cpp";
/// R's helper.
const R_HELPER: &str = "nexus_r.so";

/// What the environment says.
#[derive(Debug)]
pub struct Tools {
    /// `PATH`.
    pub path: OsString,
    /// `CXX`: the C++ compiler, a program and perhaps options.
    pub cxx: String,
    /// `NEXUS_CXXFLAGS`.
    pub flags: String,
    /// Whether messages may have colours.
    pub is_colored: bool,
}

/// What is there to be made.
#[derive(Debug, Default)]
pub struct Work<'w> {
    /// The C++ pool, if there is one.
    pub units: Option<Units<'w>>,
    /// Whether there is a pool in R.
    pub has_r: bool,
}

/// What is to be typed, so to say, and in which folder.
#[derive(Clone)]
struct Line<'l> {
    words: Vec<OsString>,
    folder: &'l Path,
    /// A variable, and what it is for it.
    variable: Option<(&'static str, OsString)>,
}

impl<'l> Line<'l> {
    fn new(program: &str, folder: &'l Path) -> Line<'l> {
        Line {
            words: vec![program.into()],
            folder,
            variable: None,
        }
    }

    fn word(&mut self, word: impl AsRef<OsStr>) -> &mut Line<'l> {
        self.words.push(word.as_ref().into());
        self
    }

    fn words(&mut self, words: &[&str]) -> &mut Line<'l> {
        self.words.extend(words.iter().map(OsString::from));
        self
    }

    fn text(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// The environment: what is inherited, but for the own variable.
    fn environment(&self) -> io::Result<Vec<CString>> {
        let own = self
            .variable
            .as_ref()
            .map(|(name, value)| (OsString::from(name), value.clone()));
        let is_kept = |name: &OsStr| self.variable.as_ref().is_none_or(|(own, _)| name != *own);
        let kept = std::env::vars_os().filter(|(name, _)| is_kept(name));
        let entries = kept.chain(own).map(|(mut entry, value)| {
            entry.push("=");
            entry.push(value);
            c_string(&entry)
        });
        entries.collect()
    }
}

/// A compiler at work.
struct Running {
    /// What it makes, for people.
    what: String,
    /// What was typed, so to say.
    line: String,
    child: Child,
    /// What it says.
    said: File,
}

/// Makes what has changed, and notes in `state` of what it was made.
///
/// # Errors
/// Kind `spawn_failed`: a compiler is missing. Kind `manifest`: it found an error, which `say` was told.
pub fn make(
    work: &Work<'_>,
    tools: &Tools,
    root: &Path,
    stage: &mut Stage,
    before: &State,
    state: &mut State,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut helper = None;
    if work.has_r {
        let r = Language::named("r").map_or("", |language| language.package);
        let found = need("R", r, &tools.path)?;
        let runtime = Runtime::named("r.c").map_or(0, Runtime::sum);
        let sum = sum_of_all([found.as_os_str().as_encoded_bytes(), &runtime.to_le_bytes()]);
        state.made.push((R_HELPER.into(), sum));
        match before.sum_of(R_HELPER) == Some(sum) && stage.has(R_HELPER) {
            true => stage.note(R_HELPER, false),
            false => helper = Some(start_helper(stage)?),
        }
    }
    if let Some(units) = &work.units {
        make_pool(units, tools, root, stage, before, state, say)?;
    }
    if let Some((running, made)) = helper {
        finish(running, say)?;
        place(stage, &made, R_HELPER)?;
    }
    Ok(())
}

/// A program that is there, or what to install.
fn need(program: &str, package: &str, path: &OsStr) -> Result<PathBuf> {
    find(program, path).ok_or_else(|| {
        let message = format!("there is no {program} in PATH, which this program is made with");
        Error::new(Kind::SpawnFailed, message).hint(format!("install it, on Debian: apt install {package}"))
    })
}

fn start_helper(stage: &Stage) -> Result<(Running, PathBuf)> {
    let folder = stage.workshop("r", &["nexus_pool.c"])?;
    let mut line = Line::new("R", &folder);
    line.words(&["CMD", "SHLIB", "-o", R_HELPER, "nexus_pool.c"]);
    // Its own flags may ask for debug information, in which the folder would stand.
    line.variable = Some(("PKG_CFLAGS", prefix_map(&folder)));
    Ok((start(&line, "R's helper nexus_pool.c")?, folder.join(R_HELPER)))
}

/// What keeps the path of a folder out of what is compiled in it.
fn prefix_map(folder: &Path) -> OsString {
    let mut flag = OsString::from("-ffile-prefix-map=");
    flag.push(folder);
    flag.push("=.");
    flag
}

fn make_pool(
    units: &Units<'_>,
    tools: &Tools,
    root: &Path,
    stage: &mut Stage,
    before: &State,
    state: &mut State,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut words = tools.cxx.split_whitespace();
    let compiler = words.next().unwrap_or("c++");
    let found = need(compiler, "g++", &tools.path)?;
    let runtime = Runtime::named("cpp").map_or(0, Runtime::sum).to_le_bytes();
    let mut inputs: Vec<&[u8]> = vec![
        found.as_os_str().as_encoded_bytes(),
        tools.cxx.as_bytes(),
        tools.flags.as_bytes(),
        &runtime,
    ];
    inputs.extend(units.inputs());
    let sum = sum_of_all(inputs);
    let read = before.read.clone();
    let is_unread = |(path, sum): &(String, u64)| {
        fs::read(root.join(path)).is_ok_and(|text| sum_of_all([&text[..]]) == *sum)
    };
    state.made.push((CPP_POOL.into(), sum));
    if before.sum_of(CPP_POOL) == Some(sum) && stage.has(CPP_POOL) && read.iter().all(is_unread) {
        state.read = read;
        stage.note(CPP_POOL, false);
        return Ok(());
    }
    let folder = stage.workshop("cpp", &["pool.cpp", "nexus.hpp"])?;
    let own: Vec<&str> = tools
        .flags
        .split_whitespace()
        .chain(units.flags.iter().map(String::as_str))
        .collect();
    let (link_flags, compile_flags): (Vec<&str>, Vec<&str>) =
        own.iter().partition(|flag| is_for_linker(flag));
    let mut base = Line::new(compiler, root);
    base.words.extend(words.map(OsString::from));
    if tools.is_colored {
        base.word("-fdiagnostics-color=always");
    }
    let mut running = Vec::new();
    let mut objects = Vec::new();
    for (position, unit) in std::iter::once("")
        .chain(units.others.iter().copied())
        .enumerate()
    {
        let object = folder.join(format!("{position}.o"));
        let mut line = base.clone();
        line.words(&["-std=c++17", "-O2", "-pthread"])
            .words(&compile_flags);
        line.word("-I").word(&folder).words(&["-iquote", "."]);
        line.word(prefix_map(&folder)).word(prefix_map(root));
        line.words(&["-MMD", "-MF"]).word(object.with_extension("d"));
        line.word("-c").word(match unit {
            "" => folder.join("pool.cpp"),
            _ => PathBuf::from(unit),
        });
        line.word("-o").word(&object);
        let what = if unit.is_empty() {
            units.told()
        } else {
            unit.to_string()
        };
        running.push(start(&line, &what)?);
        objects.push(object);
    }
    // All are waited for before the first that failed is told.
    let results: Vec<Result<()>> = running.into_iter().map(|running| finish(running, say)).collect();
    results.into_iter().collect::<Result<()>>()?;
    let made = folder.join(CPP_POOL);
    link(&base, &objects, &link_flags, &made, say)?;
    for object in &objects {
        let listed = fs::read_to_string(object.with_extension("d")).unwrap_or_default();
        note_read(&listed, root, &folder, units, state);
    }
    place(stage, &made, CPP_POOL)
}

/// Whether a flag says what to link with, and has to follow what is linked.
fn is_for_linker(flag: &str) -> bool {
    let starts = ["-l", "-L", "-Wl,"];
    starts.iter().any(|start| flag.starts_with(start))
        || flag.ends_with(".a")
        || flag.ends_with(".so")
        || flag.ends_with(".o")
}

/// What the loader needn't look for saves 0.5 ms of each start. Not every system has a static libc, and not every library
/// is there for it, so the next best thing is tried as well.
fn link(
    base: &Line<'_>,
    objects: &[PathBuf],
    flags: &[&str],
    made: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let attempts: [&[&str]; 2] = [&["-static"], &["-static-libstdc++", "-static-libgcc"]];
    for (position, attempt) in attempts.iter().enumerate() {
        let mut line = base.clone();
        line.words.extend(objects.iter().map(OsString::from));
        line.words(attempt).words(flags);
        line.words(&["-pthread", "-o"]).word(made);
        let running = start(&line, "the C++ pool")?;
        let mut heard = String::new();
        let result = finish(running, &mut |text| heard.push_str(text));
        // A linker that warns of what is not quite static is right.
        if result.is_ok() && heard.is_empty() {
            return Ok(());
        }
        if position + 1 == attempts.len() {
            say(&heard);
            result?;
        }
    }
    Ok(())
}

/// Notes the files outside of the program's that a compiler read, from its list for make.
fn note_read(listed: &str, root: &Path, folder: &Path, units: &Units<'_>, state: &mut State) {
    let listed = listed.replace("\\\n", " ").replace("\\ ", "\u{0}");
    let (_, paths) = listed.split_once(": ").unwrap_or_default();
    for path in paths.split_whitespace() {
        let path = path.replace('\u{0}', " ");
        let plain = path.trim_start_matches("./");
        let is_known = Path::new(&path).starts_with(folder)
            || units.sources.iter().any(|file| file.path == plain)
            || state.read.iter().any(|row| row.0 == path);
        if let Ok(text) = fs::read(root.join(&path))
            && !is_known
        {
            state.read.push((path, sum_of_all([&text[..]])));
        }
    }
}

/// Lets what was made wait for its place.
fn place(stage: &mut Stage, made: &Path, path: &str) -> Result<()> {
    let waiting = stage.waiting(path)?;
    fs::rename(made, &waiting).map_err(|error| failed("write", &waiting, &error))?;
    stage.note(path, true);
    Ok(())
}

fn start(line: &Line<'_>, what: &str) -> Result<Running> {
    let started = start_line(line).map_err(|error| {
        let program = line.words[0].to_string_lossy();
        Error::new(Kind::SpawnFailed, format!("can't start {program}: {error}"))
    });
    let (child, said) = started?;
    Ok(Running {
        what: what.to_string(),
        line: line.text(),
        child,
        said,
    })
}

fn start_line(line: &Line<'_>) -> io::Result<(Child, File)> {
    let argv = line
        .words
        .iter()
        .map(|word| c_string(word))
        .collect::<io::Result<Vec<_>>>()?;
    let env = line.environment()?;
    let (input, output) = (no_input()?, no_output()?);
    let (said, errors) = pipe()?;
    let program = Program {
        argv: &argv,
        env: &env,
        // Who ends a build by Ctrl-C ends its compilers.
        group: Group::Shared,
        cwd: Some(line.folder),
        descriptors: &[input.as_fd(), output.as_fd(), errors.as_fd()],
        lifeline: None,
        limits: &[],
        credentials: None,
    };
    let child = spawn(&program).map_err(|failed| failed.error)?;
    Ok((child, said.into()))
}

/// Waits for a compiler. Those that run meanwhile wait, at worst, with their output.
fn finish(mut running: Running, say: &mut dyn FnMut(&str)) -> Result<()> {
    let mut said = Vec::new();
    let read = running.said.read_to_end(&mut said);
    read.map_err(|error| Error::new(Kind::Io, format!("can't wait for a compiler: {error}")))?;
    if !said.is_empty() {
        say(&String::from_utf8_lossy(&said));
    }
    let ended = match running.child.wait() {
        Exit::Code(0) => return Ok(()),
        Exit::Code(code) => format!("exit status: {code}"),
        Exit::Signal(signal) => format!("ended by {}", signal_name(signal)),
        Exit::Unknown => "it is gone".to_string(),
    };
    let message = format!("{} can't be compiled: {ended}", running.what);
    Err(Error::new(
        Kind::Manifest,
        format!("{message}\nby: {}", running.line),
    ))
}
