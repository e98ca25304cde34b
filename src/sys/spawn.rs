//! Starting a program in a process group of its own, with the limits and as the user that are asked for. No shell, and no
//! copy of this process where none is needed.
//!
//! It goes as posix_spawn does, which can set neither limits nor a user: `clone` suspends this thread, and the child uses its
//! memory on a stack of its own until it calls execve. The child only makes system calls; all that takes memory is prepared
//! here. What it fails at, it writes into the memory that both see.

use super::descriptor::duplicate_above;
use super::errno::{check, errno};
use super::process::Child;
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::ptr;

/// What to start.
#[derive(Debug)]
pub struct Program<'a> {
    /// Program and arguments; a first word without a slash is looked up in this process's PATH.
    pub argv: &'a [CString],
    /// The whole environment, as `NAME=value`.
    pub env: &'a [CString],
    /// Whom it shares signals with.
    pub group: Group,
    /// Working directory, entered as the user that the program runs as; none: this process's.
    pub cwd: Option<&'a Path>,
    /// The descriptors it gets: the first becomes 0, and so on.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// Which of them is its lifeline: the reading end of a pipe at whose hangup, when the last writer is gone, the kernel
    /// sends SIGIO to its group. That works as long as a member of the group keeps it open.
    pub lifeline: Option<usize>,
    /// What each of its processes may use at most. Where a limit of this process is lower, that one stays.
    pub limits: &'a [Limit],
    /// Whom it runs as; none: as whom this process does.
    pub credentials: Option<Credentials>,
}

/// The process group that a program runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// One of its own.
    Own,
    /// One of its own in a session of its own: it has no terminal, and a signal from one can't reach it.
    Session,
    /// This process's: both get what is typed at the terminal. A signal to the child's group goes to the child alone.
    Shared,
}

/// A bound for each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of what.
    pub resource: Resource,
    /// How much, in its unit.
    pub most: u64,
}

/// What can be bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory that it may write and shares with no other, in bytes.
    ///
    /// RLIMIT_DATA, not RLIMIT_AS: the engines of JavaScript, Java and Go reserve gigabytes of addresses that they never
    /// touch, and a limit on addresses that leaves room for those bounds nothing.
    Memory,
    /// Time on a processor, in seconds: SIGXCPU then, SIGKILL five seconds later.
    Cpu,
    /// One more than the highest number of a descriptor.
    OpenFiles,
    /// Processes and threads of its user, whoever started them. The system exempts root.
    Processes,
}

/// A user and a group, by their numbers. A program that gets them has no supplementary groups and can gain no privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// Why a program was not started.
#[derive(Debug)]
pub struct SpawnError {
    /// What failed.
    pub step: Step,
    /// What the system says.
    pub error: io::Error,
}

/// What is done on the way to a running program, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making the process.
    Process,
    /// Giving it its descriptors.
    Descriptors,
    /// Setting a limit.
    Limit(Resource),
    /// Leaving the supplementary groups.
    Groups,
    /// Becoming a member of the group.
    Group,
    /// Becoming the user.
    User,
    /// Looking whether user and groups are what was asked for.
    Check,
    /// Giving up to gain privileges by starting programs that have more.
    Privileges,
    /// Entering the working directory.
    Directory,
    /// Finding the program and handing over to it.
    Program,
}

/// Seconds between the signal for too much processor time and the end: enough for a last word.
const CPU_GRACE_S: u64 = 5;

/// Memory for the child's stack, in bytes: as posix_spawn has it; the calls below take a few hundred.
const STACK_BYTES: usize = 64 << 10;

/// Where to look for programs if PATH says nothing.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Starts a program, with default signal handling and nothing open but its descriptors.
///
/// # Errors
/// The first step that failed; then nothing runs. The program's own failures come as its exit.
pub fn spawn(program: &Program<'_>) -> Result<Child, SpawnError> {
    let failed = |error| SpawnError {
        step: Step::Process,
        error,
    };
    let argv = pointers(program.argv);
    let env = pointers(program.env);
    let candidates = candidates(program.argv).map_err(failed)?;
    let cwd = program.cwd.map(|path| c_string(path.as_os_str())).transpose();
    let cwd = cwd.map_err(failed)?;
    let limits = program.limits.iter().map(bounds).collect::<io::Result<Vec<_>>>();
    let limits = limits.map_err(failed)?;
    // A source among the target numbers would be overwritten before its turn, so those are moved up first.
    let first_free = program.descriptors.len() as libc::c_int;
    let mut moved = Vec::new();
    let mut descriptors = Vec::with_capacity(program.descriptors.len());
    for fd in program.descriptors {
        let mut source = fd.as_raw_fd();
        if source < first_free {
            let copy = duplicate_above(fd, first_free).map_err(failed)?;
            source = copy.as_raw_fd();
            moved.push(copy);
        }
        descriptors.push(source);
    }
    let room = Room::new().map_err(failed)?;
    start(
        &Plan {
            argv: &argv,
            env: &env,
            candidates: &candidates,
            group: program.group,
            cwd: cwd.as_deref(),
            descriptors: &descriptors,
            lifeline: program.lifeline,
            limits: &limits,
            credentials: program.credentials,
            report: room.report(),
        },
        &room,
    )
}

/// A word for an argument or environment list.
///
/// # Errors
/// A word with a NUL in it.
pub fn c_string(word: &OsStr) -> io::Result<CString> {
    CString::new(word.as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "word holds a NUL byte"))
}

fn pointers(words: &[CString]) -> Vec<*const libc::c_char> {
    let words = words.iter().map(|word| word.as_ptr());
    words.chain([ptr::null()]).collect()
}

/// The files that a program's name may mean, in the order in which they are tried.
fn candidates(argv: &[CString]) -> io::Result<Vec<CString>> {
    let name = argv.first().map_or(&b""[..], |name| name.as_bytes());
    if name.contains(&b'/') {
        return Ok(argv.first().cloned().into_iter().collect());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let directories = path.as_bytes().split(|byte| *byte == b':');
    let candidate = |directory: &[u8]| {
        let mut file = directory.to_vec();
        // An empty entry means the working directory.
        if !directory.is_empty() {
            file.push(b'/');
        }
        file.extend_from_slice(name);
        c_string(&OsString::from_vec(file))
    };
    directories.filter(|_| !name.is_empty()).map(candidate).collect()
}

impl Resource {
    fn number(self) -> libc::c_int {
        // The type of these differs between C libraries.
        (match self {
            Resource::Memory => libc::RLIMIT_DATA,
            Resource::Cpu => libc::RLIMIT_CPU,
            Resource::OpenFiles => libc::RLIMIT_NOFILE,
            Resource::Processes => libc::RLIMIT_NPROC,
        }) as libc::c_int
    }
}

/// What a limit comes to for the system: never more than it is for this process.
fn bounds(limit: &Limit) -> io::Result<(Resource, libc::rlimit)> {
    let mut own = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: getrlimit fills the structure, or fails.
    let own = unsafe {
        check(libc::getrlimit(limit.resource.number() as _, own.as_mut_ptr()))?;
        own.assume_init()
    };
    let grace = match limit.resource {
        Resource::Cpu => CPU_GRACE_S,
        _ => 0,
    };
    let bounds = libc::rlimit {
        rlim_cur: (limit.most as libc::rlim_t).min(own.rlim_max),
        rlim_max: (limit.most.saturating_add(grace) as libc::rlim_t).min(own.rlim_max),
    };
    Ok((limit.resource, bounds))
}

/// All that the child needs, prepared so that it has to allocate nothing.
struct Plan<'a> {
    argv: &'a [*const libc::c_char],
    env: &'a [*const libc::c_char],
    candidates: &'a [CString],
    group: Group,
    cwd: Option<&'a CStr>,
    descriptors: &'a [libc::c_int],
    lifeline: Option<usize>,
    limits: &'a [(Resource, libc::rlimit)],
    credentials: Option<Credentials>,
    report: *mut Option<Failure>,
}

/// A step that failed, and the number of the error.
#[derive(Clone, Copy)]
struct Failure {
    step: Step,
    errno: libc::c_int,
}

/// Memory that parent and child see, whether or not they share all of it: the report, and above it the child's stack.
struct Room(*mut libc::c_void);

impl Room {
    fn new() -> io::Result<Room> {
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                STACK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Room(start))
    }

    fn report(&self) -> *mut Option<Failure> {
        self.0.cast()
    }

    fn stack_top(&self) -> *mut libc::c_void {
        // SAFETY: the end of the mapping, which is page-aligned as a stack must be at least 16-aligned.
        unsafe { self.0.byte_add(STACK_BYTES) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and the child has left it: by execve, or because it is gone.
        unsafe { libc::munmap(self.0, STACK_BYTES) };
    }
}

/// Makes the process and waits until it runs the program or is gone.
fn start(plan: &Plan<'_>, room: &Room) -> Result<Child, SpawnError> {
    // A child that becomes another user must not share memory with this process: whoever may trace or stop it could
    // reach this one. That costs a copy of the page tables.
    let memory = match plan.credentials {
        None => libc::CLONE_VM,
        Some(_) => 0,
    };
    let flags = memory | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    let mut pidfd: libc::c_int = -1;
    // A handler that ran in the child would run in this process's memory, so all signals are blocked meanwhile.
    //
    // SAFETY: the report's place is aligned and large enough. The child has its own stack, and a plan that outlives it, for
    // this thread is suspended until the child has left the memory. CLONE_PIDFD writes a descriptor to `pidfd`.
    let pid = unsafe {
        plan.report.write_volatile(None);
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let argument = ptr::from_ref(plan).cast_mut().cast();
        let pid = check(libc::clone(child, room.stack_top(), flags, argument, &mut pidfd));
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        pid
    };
    let pid = pid.map_err(|error| SpawnError {
        step: Step::Process,
        error,
    })?;
    // SAFETY: the kernel just made it for us.
    let child = Child::new(
        pid,
        unsafe { OwnedFd::from_raw_fd(pidfd) },
        plan.group != Group::Shared,
    );
    // SAFETY: written above, and by nobody any more.
    match unsafe { plan.report.read_volatile() } {
        None => Ok(child),
        Some(Failure { step, errno }) => {
            child.end();
            Err(SpawnError {
                step,
                error: io::Error::from_raw_os_error(errno),
            })
        }
    }
}

/// The child, from here to execve. It must neither allocate nor panic: it may run in the memory of its parent.
extern "C" fn child(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `start` passes a plan, and waits.
    let plan = unsafe { &*argument.cast::<Plan<'_>>() };
    let Err(failure) = carry_out(plan);
    // SAFETY: the report is writable memory that the parent reads when this process is gone; _exit ends it at once.
    unsafe {
        plan.report.write_volatile(Some(failure));
        libc::_exit(127)
    }
}

fn carry_out(plan: &Plan<'_>) -> Result<Infallible, Failure> {
    // SAFETY: plain integers. A new process leads no group, so that it may lead a session.
    done(Step::Process, unsafe {
        match plan.group {
            Group::Own => libc::setpgid(0, 0),
            Group::Session => libc::setsid(),
            Group::Shared => 0,
        }
    })?;
    reset_signals();
    for (number, source) in plan.descriptors.iter().enumerate() {
        // SAFETY: plain integers; the sources all lie above the numbers.
        done(Step::Descriptors, unsafe {
            libc::dup2(*source, number as libc::c_int)
        })?;
    }
    if let Some(number) = plan.lifeline {
        tie(number as libc::c_int, plan.group)?;
    }
    // Before the user changes, who may not set all of them.
    for (resource, bounds) in plan.limits {
        // SAFETY: `bounds` is a whole structure.
        done(Step::Limit(*resource), unsafe {
            libc::setrlimit(resource.number() as _, bounds)
        })?;
    }
    if let Some(credentials) = plan.credentials {
        become_user(credentials)?;
    }
    if let Some(path) = plan.cwd {
        // SAFETY: the path ends in NUL.
        done(Step::Directory, unsafe { libc::chdir(path.as_ptr()) })?;
    }
    // SAFETY: an empty set is written before it is read.
    unsafe {
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
    execute(plan)
}

/// Has SIGIO sent to this process's group, if that is its own, at the hangup of a pipe. The setting belongs to the open file, whose owner is thus
/// set before the program runs: from then on there is no moment at which its end could be missed.
fn tie(reader: libc::c_int, group: Group) -> Result<(), Failure> {
    // SAFETY: these commands take plain integers; a negative owner is a group.
    unsafe {
        let owner = match group {
            Group::Own | Group::Session => -libc::getpid(),
            Group::Shared => libc::getpid(),
        };
        done(Step::Descriptors, libc::fcntl(reader, libc::F_SETOWN, owner))?;
        done(
            Step::Descriptors,
            libc::fcntl(reader, libc::F_SETFL, libc::O_ASYNC),
        )
    }
}

/// Gives every signal its default action. Execve does so for those with a handler, but one that is ignored would stay so;
/// Rust ignores SIGPIPE.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: a zeroed structure is the default action without flags. For a number that can't be set, the call fails
        // and changes nothing.
        unsafe {
            let action = MaybeUninit::<libc::sigaction>::zeroed();
            libc::sigaction(signal, action.as_ptr(), ptr::null_mut());
        }
    }
}

/// Groups go first: whoever has given up being root can't change them. By the bare system calls, for those of the C library
/// make all threads of a process follow, and here they would be the parent's.
fn become_user(credentials: Credentials) -> Result<(), Failure> {
    let Credentials { user, group } = credentials;
    let (mut users, mut groups) = ([0 as libc::uid_t; 3], [0 as libc::gid_t; 3]);
    let ([u1, u2, u3], [g1, g2, g3]) = (&mut users, &mut groups);
    // SAFETY: plain integers, an empty list of groups, and three places each for the numbers.
    let others = unsafe {
        done(Step::Groups, call(libc::SYS_setgroups, [0, 0, 0]))?;
        done(Step::Group, call(libc::SYS_setresgid, [group; 3]))?;
        done(Step::User, call(libc::SYS_setresuid, [user; 3]))?;
        done(Step::Check, libc::getresuid(u1, u2, u3))?;
        done(Step::Check, libc::getresgid(g1, g2, g3))?;
        libc::getgroups(0, ptr::null_mut())
    };
    if users != [user; 3] || groups != [group; 3] || others != 0 {
        let errno = libc::EPERM;
        return Err(Failure {
            step: Step::Check,
            errno,
        });
    }
    // SAFETY: this option takes plain integers.
    done(Step::Privileges, unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    })
}

/// A system call with three plain integers.
///
/// # Safety
/// The call must be one to which no integer is an address that it uses.
unsafe fn call(number: libc::c_long, arguments: [u32; 3]) -> libc::c_int {
    let [a, b, c] = arguments.map(libc::c_ulong::from);
    // SAFETY: promised by the caller.
    unsafe { libc::syscall(number, a, b, c) as libc::c_int }
}

/// Tries each file that the program's name may mean, as execvp does, but takes no file without a known format for a script.
fn execute(plan: &Plan<'_>) -> Result<Infallible, Failure> {
    let mut found = libc::ENOENT;
    for file in plan.candidates {
        // SAFETY: both lists end in null and hold strings that end in NUL.
        unsafe { libc::execve(file.as_ptr(), plan.argv.as_ptr(), plan.env.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT => {}
            // A later directory may have one that can be executed.
            libc::EACCES => found = libc::EACCES,
            other => {
                found = other;
                break;
            }
        }
    }
    Err(Failure {
        step: Step::Program,
        errno: found,
    })
}

fn done(step: Step, result: libc::c_int) -> Result<(), Failure> {
    match result {
        -1 => Err(Failure { step, errno: errno() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::Exit;
    use std::os::fd::AsFd;

    fn try_spawn(words: &[&str], cwd: Option<&str>, limits: &[Limit]) -> Result<Exit, (Step, i32)> {
        let argv: Vec<_> = words
            .iter()
            .map(|word| c_string(word.as_ref()).unwrap())
            .collect();
        let null = crate::sys::descriptor::no_input().unwrap();
        let child = spawn(&Program {
            argv: &argv,
            env: &[c_string("A=b".as_ref()).unwrap()],
            group: Group::Own,
            cwd: cwd.map(Path::new),
            descriptors: &[null.as_fd(), null.as_fd(), null.as_fd()],
            lifeline: None,
            limits,
            credentials: None,
        });
        let child = child.map_err(|failed| (failed.step, failed.error.raw_os_error().unwrap()))?;
        let mut ended = libc::pollfd {
            fd: child.as_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure, and its number.
        assert_eq!(unsafe { libc::poll(&mut ended, 1, 60_000) }, 1);
        Ok(child.reap().unwrap())
    }

    fn check(words: &[&str], expected: Result<Exit, (Step, i32)>) {
        assert_eq!(try_spawn(words, None, &[]), expected, "{words:?}");
    }

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let missing = Err((Step::Program, libc::ENOENT));
        check(&["true"], Ok(Exit::Code(0)));
        check(&["/bin/true"], Ok(Exit::Code(0)));
        check(&["no-such-program"], missing);
        check(&["/bin/true/x"], missing);
        check(&[""], missing);
        check(&[], missing);
        check(&["/etc/passwd"], Err((Step::Program, libc::EACCES)));
        check(&["/"], Err((Step::Program, libc::EACCES)));
    }

    #[test]
    fn a_program_starts_with_what_it_was_given_only() {
        let shell = |line| try_spawn(&["/bin/sh", "-c", line], Some("/"), &[]);
        assert_eq!(shell("test \"$A$HOME$(pwd)\" = b/"), Ok(Exit::Code(0)));
        // Its group is its own, and a signal that Rust ignores ends it.
        assert_eq!(shell("kill -PIPE -$$"), Ok(Exit::Signal(libc::SIGPIPE)));
        assert_eq!(shell("exit 7"), Ok(Exit::Code(7)));
    }

    #[test]
    fn the_step_that_failed_is_told() {
        let missing = try_spawn(&["true"], Some("/no/such/directory"), &[]);
        assert_eq!(missing, Err((Step::Directory, libc::ENOENT)));
        let small = [Limit {
            resource: Resource::OpenFiles,
            most: 30,
        }];
        let line = ["/bin/sh", "-c", "test $(ulimit -n) = 30"];
        assert_eq!(try_spawn(&line, None, &small), Ok(Exit::Code(0)));
    }
}
