//! Pipes, socket pairs and flags of descriptors. Everything made here closes on exec.

use super::errno::check;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

/// A pipe: the reading and the writing end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for the two descriptors that pipe2 writes.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok(own(fds))
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
