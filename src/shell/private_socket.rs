//! The private socket: where it is, how it is made so that only its user can open it and only one server listens there, and
//! how it goes. Accepts nothing itself.

use crate::error::{Error, Kind, Result};
use crate::sys::descriptor::{lock, peer_user};
use crate::sys::process;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The server that is meant where none is named: `NEXUS_SERVER`, a path that may have `unix:` before it; else `serve` in
/// [`directory`].
pub fn default_path() -> PathBuf {
    match std::env::var_os("NEXUS_SERVER").filter(|path| !path.is_empty()) {
        Some(path) => path_of(&path.to_string_lossy()),
        None => directory().join("serve"),
    }
}

/// A path as people write it: `unix:` may stand before it.
pub fn path_of(text: &str) -> PathBuf {
    PathBuf::from(text.strip_prefix("unix:").unwrap_or(text))
}

/// The directory of this user's sockets: `nexus` in `XDG_RUNTIME_DIR`, or `/tmp/nexus-UID` where there is none. It need not be
/// there.
pub fn directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => Path::new(&dir).join("nexus"),
        None => PathBuf::from(format!("/tmp/nexus-{}", process::user())),
    }
}

/// Makes [`directory`] if it is not there, and checks that nobody else can enter it.
///
/// # Errors
/// Kind `denied`: it is another user's, or others may enter it; `io`: what the system says.
pub fn make_directory() -> Result<PathBuf> {
    let dir = directory();
    let refused = |error: io::Error| {
        let message = format!("can't make the directory {} for sockets: {error}", dir.display());
        Error::new(Kind::Io, message)
    };
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(refused(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(&dir).map_err(refused)?;
    if is_private(&found) {
        return Ok(dir);
    }
    let message = format!(
        "{} is of user {} with mode {:03o}, expected a directory of user {} with mode 700",
        dir.display(),
        found.uid(),
        found.mode() & 0o777,
        process::user()
    );
    Err(Error::new(Kind::Denied, message).hint("remove it, or name another socket by NEXUS_SERVER"))
}

fn is_private(found: &fs::Metadata) -> bool {
    found.is_dir() && found.uid() == process::user() && found.mode() & 0o077 == 0
}

/// Whether the other side of a connection is this user's, or root's. Where the system doesn't tell, it is not.
pub fn is_trusted(socket: impl AsFd) -> bool {
    peer_user(socket).is_ok_and(|user| user == process::user() || user == 0)
}

/// A socket that listens, until this is dropped.
pub struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
    /// By which its file is known.
    file: (u64, u64),
}

impl PrivateSocket {
    /// Makes the socket at that path, where nobody listens. A file that a server left there when it was killed is replaced.
    ///
    /// # Errors
    /// Kind `conflict`: a server listens there, or there is a file that is no socket; `io`: what the system says.
    pub fn bind(path: &Path) -> Result<PrivateSocket> {
        let refused = |error: io::Error| {
            let message = format!("can't listen at {}: {error}", path.display());
            Error::new(Kind::Io, message)
        };
        // Of two servers that start at once, only one may find nobody there.
        let locked = lock_directory(path).map_err(refused)?;
        remove_stale(path, &refused)?;
        let listener = UnixListener::bind(path).map_err(refused)?;
        // Who connects before this line is seen to be another.
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(refused)?;
        let file = identity(path).map_err(refused)?;
        drop(locked);
        Ok(PrivateSocket {
            listener,
            path: path.to_path_buf(),
            file,
        })
    }

    /// What to accept from.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateSocket {
    /// Removes its file, if no other has taken its place.
    fn drop(&mut self) {
        let locked = lock_directory(&self.path);
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // If it is gone, so much the better.
            let _ = fs::remove_file(&self.path);
        }
        drop(locked);
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// The directory of a path, locked until it is closed; none if others could keep it locked.
fn lock_directory(path: &Path) -> io::Result<Option<File>> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let file = File::open(dir)?;
    if !is_private(&file.metadata()?) {
        return Ok(None);
    }
    lock(&file, true)?;
    Ok(Some(file))
}

fn remove_stale(path: &Path, refused: &dyn Fn(io::Error) -> Box<Error>) -> Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => {
            let message = format!("a server listens at {} already", path.display());
            Err(Error::new(Kind::Conflict, message).hint("nexus stop ends it"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Nobody listens; and what is no socket refuses, too.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            let found = fs::symlink_metadata(path).map_err(refused)?;
            if !found.file_type().is_socket() {
                let message = format!("{} is there, and is no socket", path.display());
                return Err(Error::new(Kind::Conflict, message).hint("remove it, or name another path"));
            }
            fs::remove_file(path).map_err(refused)
        }
        Err(error) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptor::make_temp_dir;

    fn in_directory(act: impl FnOnce(&Path)) {
        let dir = make_temp_dir(&std::env::temp_dir(), "nexus-socket-").unwrap();
        act(&dir);
        fs::remove_dir(&dir).expect("nothing is left");
    }

    fn kind(path: &Path) -> Option<Kind> {
        PrivateSocket::bind(path).err().map(|error| error.kind)
    }

    #[test]
    fn one_server_listens_and_leaves_nothing() {
        in_directory(|dir| {
            let path = dir.join("s");
            let socket = PrivateSocket::bind(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            assert_eq!(kind(&path), Some(Kind::Conflict));
            let client = UnixStream::connect(&path).unwrap();
            assert!(is_trusted(&client));
            drop(socket);
            assert!(!path.exists());
        });
    }

    #[test]
    fn what_a_killed_server_left_is_replaced() {
        in_directory(|dir| {
            let path = dir.join("s");
            drop(UnixListener::bind(&path).unwrap());
            assert!(path.exists());
            let first = PrivateSocket::bind(&path).unwrap();
            // Somebody else's file is not removed.
            fs::remove_file(&path).unwrap();
            let second = PrivateSocket::bind(&path).unwrap();
            drop(first);
            assert!(UnixStream::connect(&path).is_ok());
            drop(second);
        });
    }

    #[test]
    fn other_files_are_left_alone() {
        in_directory(|dir| {
            let path = dir.join("s");
            fs::write(&path, "mine").unwrap();
            assert_eq!(kind(&path), Some(Kind::Conflict));
            assert_eq!(fs::read(&path).unwrap(), b"mine");
            fs::remove_file(&path).unwrap();
            assert_eq!(kind(&dir.join("none/s")), Some(Kind::Io));
        });
    }

    #[test]
    fn many_at_once() {
        in_directory(|dir| {
            let path = dir.join("s");
            drop(UnixListener::bind(&path).unwrap());
            let bound: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| PrivateSocket::bind(&path)))
                    .collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1);
        });
    }
}
