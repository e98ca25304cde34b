//! Programs that were started to outlive nexus: they are known by a variable in their environment and by nothing else, so
//! there is no list that could be wrong or left behind.

use super::workers::DETACHED;
use crate::error::{Error, Kind, Result};
use crate::limits::JOIN_GRACE_MS;
use crate::sys::process::{self, Ending, Other, Seen};

/// A program that outlives the nexus that started it.
#[derive(Debug)]
pub struct Detached {
    /// Its process id.
    pub pid: u32,
    /// The name that it was started under.
    pub name: String,
    /// What the system tells of it.
    pub seen: Seen,
}

/// All of them that can be seen, by their ids.
pub fn list() -> Vec<Detached> {
    let mut pids = process::all();
    pids.sort_unstable();
    pids.into_iter().filter_map(find).collect()
}

/// The process of that id, if it is one of them: what it has started itself has the variable too, but leads no session.
fn find(pid: u32) -> Option<Detached> {
    let environment = process::environment(pid)?;
    let prefix = format!("{DETACHED}=");
    let mut entries = environment.split(|byte| *byte == 0);
    let name = entries.find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
    let seen = process::look_at(pid).filter(|seen| seen.is_session_leader)?;
    Some(Detached {
        pid,
        name: String::from_utf8_lossy(name).into_owned(),
        seen,
    })
}

/// Those that a word means: a process id or a name.
///
/// # Errors
/// Kind `usage`: there is none; a process is another's.
pub fn named(word: &str) -> Result<Vec<Detached>> {
    let found: Vec<Detached> = match word.parse() {
        Ok(pid) => find(pid).into_iter().collect(),
        Err(_) => list()
            .into_iter()
            .filter(|detached| detached.name == word)
            .collect(),
    };
    if found.is_empty() {
        let message = match word.parse::<u32>() {
            Ok(pid) if process::look_at(pid).is_some() => {
                format!("process {pid} is none that nexus detached, so it is left alone")
            }
            Ok(pid) => format!("there is no process {pid}"),
            Err(_) => format!("there is no detached process '{word}'"),
        };
        return Err(Error::new(Kind::Usage, message).hint("nexus ps lists them"));
    }
    Ok(found)
}

/// Ends one with its group, by SIGTERM or, where that does not do, by SIGKILL: says which it was.
///
/// # Errors
/// Kind `io`: the system refuses it.
pub fn end(detached: &Detached) -> Result<Ending> {
    let pid = detached.pid;
    let refused = |error: std::io::Error| {
        Error::new(
            Kind::Io,
            format!("can't end process {pid} ({}): {error}", detached.name),
        )
    };
    let Ok(other) = Other::open(pid) else {
        return Ok(Ending::Term);
    };
    // Only now can its id not become another's unseen.
    if find(pid).is_none() {
        return Ok(Ending::Term);
    }
    for ending in [Ending::Term, Ending::Kill] {
        other.signal_group(ending).map_err(refused)?;
        if other.ends_within(JOIN_GRACE_MS) {
            return Ok(ending);
        }
    }
    Err(Error::new(
        Kind::Io,
        format!("process {pid} ({}) does not end", detached.name),
    ))
}
