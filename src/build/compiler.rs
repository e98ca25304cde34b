//! What other programs make: the C++ pool, and R's helper. Starts the compilers at once, waits for all, and shows what they
//! say as it is.

use crate::build::cpp::Units;
use crate::build::interpreter::find;
use crate::build::language::Language;
use crate::build::runtimes::Runtime;
use crate::build::stage::{Stage, failed};
use crate::build::state::{State, sum_of_all};
use crate::error::{Error, Kind, Result};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

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

/// A compiler at work.
struct Running {
    /// What it makes, for people.
    what: String,
    /// What was typed, so to say.
    line: String,
    child: Child,
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
    let mut command = Command::new("R");
    command.args(["CMD", "SHLIB", "-o", R_HELPER, "nexus_pool.c"]);
    // Its own flags may ask for debug information, in which the folder would stand.
    command
        .env("PKG_CFLAGS", prefix_map(&folder))
        .current_dir(&folder);
    Ok((start(command, "R's helper nexus_pool.c")?, folder.join(R_HELPER)))
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
    let base = || {
        let mut command = Command::new(compiler);
        command
            .args(tools.cxx.split_whitespace().skip(1))
            .current_dir(root);
        if tools.is_colored {
            command.arg("-fdiagnostics-color=always");
        }
        command
    };
    let mut running = Vec::new();
    let mut objects = Vec::new();
    for (position, unit) in std::iter::once("")
        .chain(units.others.iter().copied())
        .enumerate()
    {
        let object = folder.join(format!("{position}.o"));
        let mut command = base();
        command
            .args(["-std=c++17", "-O2", "-pthread"])
            .args(&compile_flags);
        command.arg("-I").arg(&folder).args(["-iquote", "."]);
        command.arg(prefix_map(&folder)).arg(prefix_map(root));
        command.arg("-MMD").arg("-MF").arg(object.with_extension("d"));
        command.arg("-c").arg(if unit.is_empty() {
            folder.join("pool.cpp")
        } else {
            PathBuf::from(unit)
        });
        command.arg("-o").arg(&object);
        let what = if unit.is_empty() {
            units.told()
        } else {
            unit.to_string()
        };
        running.push(start(command, &what)?);
        objects.push(object);
    }
    let results: Vec<Result<Output>> = running.into_iter().map(|running| finish(running, say)).collect();
    results.into_iter().collect::<Result<Vec<_>>>()?;
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
    base: &dyn Fn() -> Command,
    objects: &[PathBuf],
    flags: &[&str],
    made: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    let attempts: [&[&str]; 2] = [&["-static"], &["-static-libstdc++", "-static-libgcc"]];
    for (position, attempt) in attempts.iter().enumerate() {
        let mut command = base();
        command
            .args(objects)
            .args(*attempt)
            .args(flags)
            .arg("-pthread")
            .arg("-o")
            .arg(made);
        let running = start(command, "the C++ pool")?;
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

fn start(mut command: Command, what: &str) -> Result<Running> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let line = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = line.map(OsStr::to_string_lossy).collect();
    let line = line.join(" ");
    let child = command.spawn().map_err(|error| {
        let message = format!("can't start {}: {error}", command.get_program().to_string_lossy());
        Error::new(Kind::SpawnFailed, message)
    })?;
    Ok(Running {
        what: what.to_string(),
        line,
        child,
    })
}

/// Waits for a compiler. Those that run meanwhile wait, at worst, with their output.
fn finish(running: Running, say: &mut dyn FnMut(&str)) -> Result<Output> {
    let waited = running.child.wait_with_output();
    let output =
        waited.map_err(|error| Error::new(Kind::Io, format!("can't wait for a compiler: {error}")))?;
    if !output.stderr.is_empty() {
        say(&String::from_utf8_lossy(&output.stderr));
    }
    if output.status.success() {
        return Ok(output);
    }
    let message = format!("{} can't be compiled: {}", running.what, output.status);
    Err(Error::new(
        Kind::Manifest,
        format!("{message}\nby: {}", running.line),
    ))
}
