//! Pipes, socket pairs and flags of descriptors. Everything made here closes on exec.

use super::errno::check;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A pipe: the reading and the writing end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for the two descriptors that pipe2 writes.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok(own(fds))
}

/// Lets a pipe hold so many bytes. Nothing depends on it: the system refuses where one user's pipes would hold too much.
pub fn widen(pipe: impl AsFd, bytes: usize) {
    // SAFETY: F_SETPIPE_SZ takes and returns plain integers.
    unsafe { libc::fcntl(pipe.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, bytes as libc::c_int) };
}

/// Moves bytes of a file, from that offset on, into a pipe without a copy, and tells how many; 0 at the file's end. Waits for
/// no reader of the pipe.
///
/// # Errors
/// `WouldBlock` when the pipe is full, `InvalidInput` for a file that is not moved so, and as `write`.
pub fn splice(file: impl AsFd, offset: u64, pipe: impl AsFd, bytes: usize) -> io::Result<usize> {
    let mut offset = offset as libc::loff_t;
    let (file, pipe) = (file.as_fd().as_raw_fd(), pipe.as_fd().as_raw_fd());
    // SAFETY: the offset is read and written during the call only, and a null one is the pipe's own.
    let moved = unsafe {
        libc::splice(
            file,
            &raw mut offset,
            pipe,
            std::ptr::null_mut(),
            bytes,
            libc::SPLICE_F_NONBLOCK,
        )
    };
    match moved {
        -1 => Err(io::Error::last_os_error()),
        moved => Ok(moved as usize),
    }
}

/// Whether nobody can write into a pipe any more, of which that is the reading side.
pub fn has_hung_up(pipe: impl AsFd) -> bool {
    poll_now(pipe, 0) & libc::POLLHUP != 0
}

/// Whether a write would not wait: a pipe that has any room takes PIPE_BUF bytes at once.
pub fn has_room(output: impl AsFd) -> bool {
    poll_now(output, libc::POLLOUT) != 0
}

/// What the system tells of a descriptor without waiting: of these events, and of its end and errors.
fn poll_now(fd: impl AsFd, events: libc::c_short) -> libc::c_short {
    let mut asked = libc::pollfd {
        fd: fd.as_fd().as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one structure, and its number; it does not wait.
    match unsafe { libc::poll(&mut asked, 1, 0) } {
        1 => asked.revents,
        _ => 0,
    }
}

/// Standard output under a flag of its own by which no write waits; a file, whose writes don't, shares its place with whoever
/// else writes to it.
///
/// # Errors
/// What has no name to open, as a socket, or may not be opened.
pub fn open_output() -> io::Result<File> {
    let stdout = io::stdout();
    let file = File::from(stdout.as_fd().try_clone_to_owned()?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => File::options()
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open("/proc/self/fd/1"),
    }
}

/// A connected pair of stream sockets.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for the two descriptors that socketpair writes.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    Ok(own(fds))
}

fn own(fds: [libc::c_int; 2]) -> (OwnedFd, OwnedFd) {
    // SAFETY: the kernel just made both for us, so nothing else owns them.
    unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) }
}

/// Makes reads and writes that would wait fail with `WouldBlock` instead.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: F_GETFL and F_SETFL take and return plain integers.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// The same open file under a number of at least `low`, which closes on exec.
pub fn duplicate_above(fd: impl AsFd, low: i32) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes and returns plain integers.
    let copy = check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, low) })?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Takes standard input and output away from all that this process starts, and gives them. In their places stand an input that
/// has ended, and standard error.
pub fn take_streams() -> io::Result<(OwnedFd, OwnedFd)> {
    const FIRST_FREE: i32 = 3;
    let input = duplicate_above(io::stdin(), FIRST_FREE)?;
    let output = duplicate_above(io::stdout(), FIRST_FREE)?;
    let nothing = no_input()?;
    for (from, to) in [(nothing.as_raw_fd(), 0), (io::stderr().as_raw_fd(), 1)] {
        // SAFETY: dup2 takes and returns plain integers; std's streams name these numbers and own neither.
        check(unsafe { libc::dup2(from, to) })?;
    }
    Ok((input, output))
}

/// The user whose process made the other side of a connected Unix socket, or listened on it.
pub fn peer_user(socket: impl AsFd) -> io::Result<u32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    let out = (&raw mut peer).cast();
    // SAFETY: `peer` has room for the structure, whose size `bytes` gives.
    check(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, out, &mut bytes) })?;
    Ok(peer.uid)
}

/// Locks a file until it is closed. Where somebody else has it locked, waits for them, or else fails with `WouldBlock`.
pub fn lock(file: impl AsFd, waits: bool) -> io::Result<()> {
    let how = libc::LOCK_EX | if waits { 0 } else { libc::LOCK_NB };
    // SAFETY: flock takes plain integers.
    while let Err(error) = check(unsafe { libc::flock(file.as_fd().as_raw_fd(), how) }) {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Whether somebody else has locked a file.
pub fn is_locked(file: impl AsFd) -> bool {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: flock takes plain integers.
    let shared = check(unsafe { libc::flock(fd, libc::LOCK_SH | libc::LOCK_NB) });
    // SAFETY: the same. It is given back at once, for others who do not wait.
    unsafe { libc::flock(fd, libc::LOCK_UN) };
    shared.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Waits until all that was written to the file system of this file is on its disk.
pub fn sync_file_system(file: impl AsFd) -> io::Result<()> {
    // SAFETY: syncfs takes a plain integer.
    check(unsafe { libc::syncfs(file.as_fd().as_raw_fd()) }).map(drop)
}

/// A file as a place, which can't be read. It stays the same when the file's name is gone.
pub fn open_place(path: &std::path::Path) -> io::Result<OwnedFd> {
    let path = super::spawn::c_string(path.as_os_str())?;
    // Not by std, which for musl takes O_PATH for a mode of access and leaves it out.
    // SAFETY: the path ends in NUL, and open returns a new descriptor.
    let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) })?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a new directory `<parent>/<prefix>XXXXXX`, which only this user may enter.
pub fn make_temp_dir(parent: &std::path::Path, prefix: &str) -> io::Result<PathBuf> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut template = parent.as_os_str().as_bytes().to_vec();
    template.extend_from_slice(format!("/{prefix}XXXXXX\0").as_bytes());
    // SAFETY: `template` is a writable string that ends in six X and a NUL.
    let made = unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) };
    if made.is_null() {
        return Err(io::Error::last_os_error());
    }
    template.pop();
    Ok(PathBuf::from(std::ffi::OsString::from_vec(template)))
}

/// An input that has ended: `/dev/null`, or where there is none, as in an empty root, a pipe without a writer.
pub fn no_input() -> io::Result<OwnedFd> {
    File::open("/dev/null").map_or_else(|_| pipe().map(|(reader, _)| reader), |null| Ok(null.into()))
}

/// An output that goes nowhere.
pub fn no_output() -> io::Result<OwnedFd> {
    File::options().write(true).open("/dev/null").map(OwnedFd::from)
}
