//! The signals that end a run, as a descriptor to poll. Installs no handler.

use super::errno::check;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The number of SIGINT, which Ctrl-C sends.
pub const INTERRUPT: i32 = libc::SIGINT;

/// SIGINT, SIGTERM and SIGHUP, which arrive here instead of ending the process.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    set: libc::sigset_t,
}

impl Signals {
    /// Takes the signals over, until it is dropped.
    pub fn take() -> io::Result<Signals> {
        Signals::take_those(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
    }

    /// Takes over SIGCHLD too, which tells that a child has ended.
    pub fn take_all() -> io::Result<Signals> {
        Signals::take_those(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD])
    }

    fn take_those(signals: &[libc::c_int]) -> io::Result<Signals> {
        let set = set_of(signals);
        // SAFETY: both calls only read the set.
        let fd = unsafe {
            check(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()))?;
            check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
        };
        // SAFETY: the kernel just made it for us.
        Ok(Signals {
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            set,
        })
    }

    /// The number of a signal that arrived, if one did.
    pub fn arrived(&mut self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: a signalfd writes whole signalfd_siginfo records, and `info` has room for one.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if read != size as isize {
            return None;
        }
        // SAFETY: the kernel filled it whole.
        Some(unsafe { info.assume_init() }.ssi_signo as i32)
    }
}

impl Drop for Signals {
    /// From here on the signals end the process again.
    fn drop(&mut self) {
        // SAFETY: the call only reads the set.
        unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &self.set, std::ptr::null_mut()) };
    }
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that sigaddset then changes.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
