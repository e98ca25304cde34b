//! Starting a program in a process group of its own, by posix_spawn: no fork of this process, no shell.

use super::descriptor::duplicate_above;
use super::process::Child;
use std::ffi::{CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

// Not in every version of the libc crate; glibc 2.29 and musl 1.1.24 have it.
// SAFETY: declared as in <spawn.h> of both.
unsafe extern "C" {
    fn posix_spawn_file_actions_addchdir_np(
        actions: *mut libc::posix_spawn_file_actions_t,
        path: *const libc::c_char,
    ) -> libc::c_int;
}

/// What to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// Program and arguments; a first word without a slash is looked up in PATH.
    pub argv: &'a [CString],
    /// The whole environment, as `NAME=value`.
    pub env: &'a [CString],
    /// Working directory; none: this process's.
    pub cwd: Option<&'a Path>,
    /// The descriptors it gets: the first becomes 0, and so on.
    pub descriptors: &'a [BorrowedFd<'a>],
}

/// Starts a program, with default signal handling and nothing open but its descriptors.
///
/// # Errors
/// What posix_spawn says: no such file, not executable, no memory. The program's own failures come as its exit.
pub fn spawn(program: &Program<'_>) -> io::Result<Child> {
    let argv = pointers(program.argv);
    let env = pointers(program.env);
    let cwd = program.cwd.map(|path| c_string(path.as_os_str())).transpose()?;
    let mut pid = 0;
    let mut actions = Actions::new()?;
    let mut attributes = Attributes::new()?;
    // A source among the target numbers would be overwritten before its turn, so those are moved up first.
    let first_free = program.descriptors.len() as libc::c_int;
    let mut moved = Vec::new();
    for (number, fd) in program.descriptors.iter().enumerate() {
        let mut source = fd.as_raw_fd();
        if source < first_free {
            let copy = duplicate_above(fd, first_free)?;
            source = copy.as_raw_fd();
            moved.push(copy);
        }
        actions.add_dup2(source, number as libc::c_int)?;
    }
    if let Some(path) = &cwd {
        actions.add_chdir(path)?;
    }
    attributes.own_group_and_default_signals()?;
    // SAFETY: both arrays end in null and point to NUL-terminated strings that outlive the call; actions and attributes
    // are initialised.
    let error = unsafe {
        libc::posix_spawnp(
            &mut pid,
            argv[0],
            actions.0.as_ptr(),
            attributes.0.as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
        )
    };
    done(error)?;
    Child::open(pid)
}

/// A word for an argument or environment list.
///
/// # Errors
/// A word with a NUL in it.
pub fn c_string(word: &OsStr) -> io::Result<CString> {
    CString::new(word.as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "word holds a NUL byte"))
}

fn pointers(words: &[CString]) -> Vec<*mut libc::c_char> {
    words
        .iter()
        .map(|word| word.as_ptr().cast_mut())
        .chain([std::ptr::null_mut()])
        .collect()
}

/// The posix_spawn functions return the error number instead of setting `errno`.
fn done(error: libc::c_int) -> io::Result<()> {
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

struct Actions(MaybeUninit<libc::posix_spawn_file_actions_t>);

impl Actions {
    fn new() -> io::Result<Actions> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: init writes the structure.
        done(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        Ok(Actions(actions))
    }

    fn add_dup2(&mut self, from: libc::c_int, to: libc::c_int) -> io::Result<()> {
        // SAFETY: initialised in `new`.
        done(unsafe { libc::posix_spawn_file_actions_adddup2(self.0.as_mut_ptr(), from, to) })
    }

    fn add_chdir(&mut self, path: &CString) -> io::Result<()> {
        // SAFETY: initialised in `new`; the path is copied.
        done(unsafe { posix_spawn_file_actions_addchdir_np(self.0.as_mut_ptr(), path.as_ptr()) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, not used after.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

struct Attributes(MaybeUninit<libc::posix_spawnattr_t>);

impl Attributes {
    fn new() -> io::Result<Attributes> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: init writes the structure.
        done(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        Ok(Attributes(attributes))
    }

    fn own_group_and_default_signals(&mut self) -> io::Result<()> {
        let flags = libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let attributes = self.0.as_mut_ptr();
        let mut none = MaybeUninit::uninit();
        let mut changed = MaybeUninit::uninit();
        // SAFETY: the sets are initialised by sigemptyset before use; the attributes were in `new`.
        unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigemptyset(changed.as_mut_ptr());
            // Rust ignores SIGPIPE, and an ignored signal stays ignored over exec.
            for signal in [
                libc::SIGPIPE,
                libc::SIGINT,
                libc::SIGTERM,
                libc::SIGHUP,
                libc::SIGIO,
                libc::SIGCHLD,
            ] {
                libc::sigaddset(changed.as_mut_ptr(), signal);
            }
            done(libc::posix_spawnattr_setpgroup(attributes, 0))?;
            done(libc::posix_spawnattr_setsigmask(attributes, none.as_ptr()))?;
            done(libc::posix_spawnattr_setsigdefault(attributes, changed.as_ptr()))?;
            done(libc::posix_spawnattr_setflags(attributes, flags as libc::c_short))
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, not used after.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}
