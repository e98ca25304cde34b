//! Children as descriptors: waiting for them, ending their groups, finding those that were orphaned to us.

use super::errno::{check, errno};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with that code.
    Code(i32),
    /// That signal ended it.
    Signal(i32),
    /// It is gone, and the system does not say how.
    Unknown,
}

/// A signal that ends processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: please end.
    Term,
    /// SIGKILL: end now.
    Kill,
}

impl Ending {
    fn number(self) -> libc::c_int {
        match self {
            Ending::Term => libc::SIGTERM,
            Ending::Kill => libc::SIGKILL,
        }
    }
}

/// A child that leads a process group of its own, if it was not made to share this process's. Its id stays taken until [`Child::reap`], so signals can't miss.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    fd: OwnedFd,
    is_leader: bool,
}

impl Child {
    pub(super) fn new(pid: libc::pid_t, fd: OwnedFd, is_leader: bool) -> Child {
        Child {
            pid: pid as u32,
            fd,
            is_leader,
        }
    }

    /// Its process id, which is its own group's too.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal that ends processes to the whole group. A group that is already gone is no error.
    pub fn signal_group(&self, ending: Ending) {
        self.send_to_group(ending.number());
    }

    /// Sends any signal to the whole group, as [`Child::signal_group`].
    pub fn send_to_group(&self, signal: i32) {
        let pid = self.pid as libc::pid_t;
        let target = match self.is_leader {
            true => -pid,
            false => pid,
        };
        // SAFETY: kill takes plain integers; the leader is not reaped, so the group's id can't be another's.
        unsafe { libc::kill(target, signal) };
    }

    /// Sends SIGINT to the child alone.
    pub fn interrupt(&self) {
        // SAFETY: kill takes plain integers; the child is not reaped, so the id can't be another's.
        unsafe { libc::kill(self.pid as libc::pid_t, libc::SIGINT) };
    }

    /// Ends the whole group at once, and waits until the child is gone.
    pub fn end(self) {
        self.signal_group(Ending::Kill);
        kill_and_reap(self.pid);
    }

    /// Waits until the child has ended.
    pub fn wait(&self) -> Exit {
        let mut ended = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        loop {
            if let Some(exit) = self.reap() {
                return exit;
            }
            // SAFETY: one structure, and its number.
            unsafe { libc::poll(&mut ended, 1, -1) };
        }
    }

    /// Takes the exit of a child that has ended; none if it still runs.
    pub fn reap(&self) -> Option<Exit> {
        match wait(libc::P_PIDFD, self.fd.as_raw_fd() as libc::id_t) {
            Ok(ended) => ended.map(|(_, exit)| exit),
            // It is no child any more.
            Err(_) => Some(Exit::Unknown),
        }
    }
}

impl AsFd for Child {
    /// Readable once the child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
fn wait(kind: libc::idtype_t, id: libc::id_t) -> io::Result<Option<(u32, Exit)>> {
    loop {
        match try_wait(kind, id) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            waited => return waited,
        }
    }
}

fn try_wait(kind: libc::idtype_t, id: libc::id_t) -> io::Result<Option<(u32, Exit)>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: waitid fills `info`, which is zeroed beforehand, so that it is valid when no child has ended.
    let info = unsafe {
        check(libc::waitid(
            kind,
            id,
            info.as_mut_ptr(),
            libc::WEXITED | libc::WNOHANG,
        ))?;
        info.assume_init()
    };
    // SAFETY: waitid sets pid and status, or leaves the zeros.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let exit = if info.si_code == libc::CLD_EXITED {
        Exit::Code(status)
    } else {
        Exit::Signal(status)
    };
    Ok(Some((pid as u32, exit)))
}

/// Processors that this process may use, at least 1. std's count asks the cgroups as well, in a dozen system calls.
pub fn cores() -> u32 {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: sched_getaffinity fills at most the size given of the set, which is zeroed beforehand.
    let count = unsafe {
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr());
        libc::CPU_COUNT(&set.assume_init())
    };
    count.max(1) as u32
}

/// The user whom this process counts as.
pub fn user() -> u32 {
    // SAFETY: geteuid takes nothing and can't fail.
    unsafe { libc::geteuid() }
}

/// The group that this process counts as.
pub fn group() -> u32 {
    // SAFETY: getegid takes nothing and can't fail.
    unsafe { libc::getegid() }
}

/// Makes orphans below this process its children, so that they can be found; and children wait until they are reaped, also
/// where whoever started this process left it the habit of ignoring their ends.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: the default action replaces another; no handler runs.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // SAFETY: this option of prctl takes a plain integer.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    Ok(())
}

/// The ids of this process's children, as far as the system tells.
pub fn children() -> Vec<u32> {
    let text = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The environment with which a process was started, as entries that end in NUL; none if it can't be seen. Another user's
/// can't be in a container, not even by root.
pub fn environment(pid: u32) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/environ")).ok()
}

/// Whether a process is on its way out: nothing of its program runs any more.
pub fn is_ending(pid: u32) -> bool {
    const PF_EXITING: u32 = 4;
    // The name, in parentheses, may hold anything; six fields stand between it and the flags.
    let flags = |text: &str| {
        let (_, fields) = text.rsplit_once(')')?;
        fields.split_whitespace().nth(6)?.parse::<u32>().ok()
    };
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    flags(&text).is_some_and(|flags| flags & PF_EXITING != 0)
}

/// What the system tells of any process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// It leads its session.
    pub is_session_leader: bool,
    /// For how long it has been there, in seconds.
    pub age_s: u64,
    /// Its command line, with spaces between the words.
    pub command: String,
}

/// Looks at a process; none if it is gone.
pub fn look_at(pid: u32) -> Option<Seen> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the fields after it are the state, the parent, the group, the session.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    let session: u32 = fields.get(3)?.parse().ok()?;
    let began_ticks: u64 = fields.get(19)?.parse().ok()?;
    // SAFETY: sysconf takes a plain integer.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime_s: u64 = uptime.split('.').next()?.parse().ok()?;
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = words.strip_suffix(b"\0").unwrap_or(&words);
    Some(Seen {
        is_session_leader: session == pid,
        age_s: uptime_s.saturating_sub(began_ticks / ticks),
        command: String::from_utf8_lossy(words).replace('\0', " "),
    })
}

/// The ids of all processes that can be seen.
pub fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Any process, whose end can be waited for.
#[derive(Debug)]
pub struct Other {
    pid: u32,
    fd: OwnedFd,
}

impl Other {
    /// The process of that id, or whichever has it now.
    ///
    /// # Errors
    /// There is none.
    pub fn open(pid: u32) -> io::Result<Other> {
        // SAFETY: pidfd_open takes plain integers, and returns a new descriptor.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) as libc::c_int })?;
        // SAFETY: the kernel just made it for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Other { pid, fd })
    }

    /// Sends a signal to the group that it leads.
    ///
    /// # Errors
    /// Its group is another user's.
    pub fn signal_group(&self, ending: Ending) -> io::Result<()> {
        // SAFETY: kill takes plain integers.
        match check(unsafe { libc::kill(-(self.pid as libc::pid_t), ending.number()) }) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether it ends within that time.
    pub fn ends_within(&self, ms: u64) -> bool {
        let mut ended = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure, and its number.
        unsafe { libc::poll(&mut ended, 1, ms as libc::c_int) == 1 }
    }
}

/// The user whom a process counts as; none if it is gone.
pub fn user_of(pid: u32) -> Option<u32> {
    let metadata = std::fs::metadata(format!("/proc/{pid}")).ok()?;
    Some(metadata.uid())
}

/// Ends a child at once and waits until it is gone, which a killed process soon is.
pub fn kill_and_reap(pid: u32) {
    // SAFETY: kill and waitpid take plain integers and a null status; the child is not reaped, so the id is its own.
    unsafe {
        libc::kill(pid as libc::pid_t, libc::SIGKILL);
        while libc::waitpid(pid as libc::pid_t, std::ptr::null_mut(), 0) == -1 && errno() == libc::EINTR {}
    }
}

/// Reaps every child that has ended, but those: orphans that this process has adopted.
pub fn reap_others(own: &[u32]) {
    for pid in children() {
        if !own.contains(&pid) && is_ending(pid) {
            let _ = wait(libc::P_PID, pid as libc::id_t);
        }
    }
}

/// Sends a signal to a process.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: kill takes plain integers.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// The path by which this process was started, before any link was followed.
pub fn exec_path() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    // SAFETY: AT_EXECFN, if the kernel gives it, points to a NUL-terminated string that lives as long as the process.
    let bytes = unsafe {
        let path = libc::getauxval(libc::AT_EXECFN) as *const libc::c_char;
        if path.is_null() {
            return None;
        }
        std::ffi::CStr::from_ptr(path).to_bytes().to_vec()
    };
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}
