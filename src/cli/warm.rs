//! `--warm`: a run leaves a server of its own behind, which keeps the program's pools warm for further runs and ends when none
//! has come for a while. Who finds one that is still what it would start itself calls there; who finds none runs as ever.
//!
//! A server is found by the name of its socket, a hash of all that a function could see of the run that started it: the
//! manifest and the files of the pools (place, size, time), the working directory, the environment but for what changes from one
//! command line to the next. So a result never depends on somebody else's directory or variables.

use crate::cli::remote;
use crate::cli::request::{Invocation, Options, warm_ms};
use crate::cli::serve;
use crate::cli::start::SELF;
use crate::core::process::request::{Launch, Redirect, Target};
use crate::error::{Error, Kind, Result};
use crate::ids::PoolId;
use crate::limits::WARM_FILES_MAX;
use crate::manifest::model::{Manifest, Output, Pool};
use crate::shell::client::{Ask, Client};
use crate::shell::private_socket::{directory, make_directory};
use crate::shell::supervised;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Stands before the words for the server.
pub const FLAG: &str = "--keep-warm";

/// Variables that differ from one command line to the next and tell a function nothing.
const VOLATILE: [&str; 5] = ["_", "OLDPWD", "SHLVL", "COLUMNS", "LINES"];

/// A server that keeps a program's pools warm.
pub struct Warm {
    client: Client,
}

impl Warm {
    /// Runs a command there, and returns its result as msgpack.
    ///
    /// # Errors
    /// What the arguments, the pools or the function say; `terminated` if the server is gone before it answers.
    pub fn call(mut self, manifest: &Manifest, invocation: &Invocation<'_>) -> Result<Vec<u8>> {
        remote::ask(&mut self.client, None, manifest, invocation)
    }
}

/// The server that keeps this program warm, if that is wanted and there is one. If there is none, one is started for the runs
/// after this.
///
/// # Errors
/// Kind `usage`: `NEXUS_WARM` can't be read; `denied`: somebody else has the directory of the sockets.
pub fn find(path: &Path, manifest: &Manifest, needed: &[PoolId], options: &Options) -> Result<Option<Warm>> {
    let idle_ms = match (options.warm_ms, std::env::var("NEXUS_WARM")) {
        (Some(idle_ms), _) => idle_ms,
        (None, Ok(text)) if !text.is_empty() => warm_ms(&text)
            .map_err(|error| Error::new(Kind::Usage, error.message.replace("option --warm", "NEXUS_WARM")))?,
        _ => return Ok(None),
    };
    // What goes where this process's own streams go can't come from another.
    let is_own = |pool: &Pool| [pool.stdout, pool.stderr].contains(&Output::Inherit);
    if manifest.pools.iter().any(is_own) {
        return Ok(None);
    }
    let Some(socket) = socket(path, manifest) else {
        return Ok(None);
    };
    if let Some(client) = connect(&socket) {
        return Ok(Some(Warm { client }));
    }
    make_directory()?;
    // Without it, the next run is as this one.
    let _ = start(path, manifest, &socket, idle_ms, needed);
    Ok(None)
}

/// A connection with a server that does take calls. As long as it is there, the server does not end by itself.
fn connect(socket: &Path) -> Option<Client> {
    let mut client = Client::connect(socket).ok()?;
    client.request(Ask::new("ping"), &mut |_| {}).ok()?;
    Some(client)
}

fn start(path: &Path, manifest: &Manifest, socket: &Path, idle_ms: u64, needed: &[PoolId]) -> Result<()> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let words = [
        SELF,
        FLAG,
        &path.to_string_lossy(),
        &socket.to_string_lossy(),
        &idle_ms.to_string(),
    ];
    let mut words: Vec<String> = words.map(String::from).to_vec();
    words.extend(needed.iter().map(|pool| pool.index().to_string()));
    let mut launch = Launch::new(Target::Program(words));
    launch.name = format!("{} (warm)", manifest.name);
    launch.is_detached = true;
    (launch.stdin, launch.stdout, launch.stderr) = (Redirect::Null, Redirect::Null, Redirect::Null);
    supervised::run(launch).map(drop)
}

/// Is the server.
///
/// # Errors
/// As [`serve::keep_warm`]. Nobody reads them.
pub fn keep(source: &str, socket: &str, idle_ms: &str, pools: &[String]) -> Result<ExitCode> {
    let Ok(idle_ms) = idle_ms.parse() else {
        return Err(Error::new(
            Kind::Usage,
            format!("found '{idle_ms}', expected milliseconds"),
        ));
    };
    let pools: Vec<u32> = pools.iter().filter_map(|pool| pool.parse().ok()).collect();
    serve::keep_warm(source, socket, idle_ms, &pools)
}

/// Where the server of this program listens, started from here; none if the system does not tell.
fn socket(path: &Path, manifest: &Manifest) -> Option<PathBuf> {
    let mut hash = Hash::new();
    hash.bytes(fs::canonicalize(path).ok()?.as_os_str().as_bytes());
    hash.bytes(std::env::current_dir().ok()?.as_os_str().as_bytes());
    hash.file(&fs::metadata(path).ok()?);
    hash.file(&fs::metadata(SELF).ok()?);
    let base = path.parent().unwrap_or(Path::new(""));
    for word in manifest.pools.iter().flat_map(|pool| &pool.exec) {
        if word.contains('/') {
            hash.code(&base.join(word));
        }
    }
    let mut variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    variables.retain(|(name, _)| {
        !VOLATILE.iter().any(|volatile| name == volatile) && !name.as_bytes().starts_with(b"NEXUS_")
    });
    variables.sort_unstable();
    for (name, value) in &variables {
        hash.bytes(name.as_bytes());
        hash.bytes(value.as_bytes());
    }
    Some(directory().join(format!("warm-{:016x}", hash.0)))
}

/// FNV-1a.
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        // Its low bits alone would never see the high ones.
        self.0 ^= self.0 >> 32;
    }

    /// Bytes, of which it matters where they end.
    fn bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.number((*byte).into()));
        self.number(bytes.len() as u64 | 1 << 63);
    }

    fn file(&mut self, found: &Metadata) {
        for number in [
            found.dev(),
            found.ino(),
            found.size(),
            found.mtime() as u64,
            found.mtime_nsec() as u64,
        ] {
            self.number(number);
        }
    }

    /// A file that a pool is started with, and those of its kind beside it, which it may load.
    fn code(&mut self, path: &Path) {
        let Ok(found) = fs::metadata(path) else {
            return;
        };
        self.file(&found);
        let (Some(directory), Some(extension)) = (path.parent(), path.extension()) else {
            return;
        };
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut sum = 0u64;
        for entry in entries.take(WARM_FILES_MAX) {
            // Results that people write there are none.
            if Path::new(&entry.file_name()).extension() == Some(extension)
                && let Ok(found) = entry.metadata()
            {
                let mut one = Hash::new();
                one.bytes(entry.file_name().as_bytes());
                one.file(&found);
                // They come in any order.
                sum = sum.wrapping_add(one.0);
            }
        }
        self.number(sum);
    }
}
