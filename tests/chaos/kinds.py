"""The faults: each kind sets up a run, says what happens while nexus runs, and what may come of it beyond the right result.
All that varies is drawn from the run's own seed."""
import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import program
from run import children, descendants, state

KILL, SEGV, STOP, CONT = signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP, signal.SIGCONT
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
CALLS = ("chain", "fan", "carry", "fetch", "noise", "double")


def some_time(run, mean_s=0.06):
    """Lets nexus run for a while; false if it has ended by then."""
    return run.wait(min(run.random.expovariate(1 / mean_s), 1.0))


# ---- nothing ---------------------------------------------------------------------------------------------------------

def calm(run):
    run.must_succeed = True


# ---- a: pools and workers that die or stand still ---------------------------------------------------------------------

def choose(run):
    """Some processes of one pool: a worker, its parent, or all; with what a message may call them."""
    members = run.wait_for(run.members)
    if not members:
        return None
    pool = run.random.choice(sorted({pool for _, pool, _ in members}))
    members = [member for member in members if member[1] == pool]
    which = run.random.choice(["worker", "parent", "all"])
    chosen = {"worker": [m for m in members if not m[2]] or members, "parent": [m for m in members if m[2]],
              "all": members}[which]
    if which != "all" and chosen:
        chosen = [run.random.choice(chosen)]
    run.note("%s of %s" % (which, pool))
    return pool, [pid for pid, _, _ in chosen]


def kill(run):
    run.words, run.result = program.draw_command(run.random, CALLS)
    number = run.random.choice([KILL, KILL, SEGV, signal.SIGABRT, signal.SIGBUS])
    run.codes -= {124}

    def act(run):
        if some_time(run):
            chosen = choose(run)
            hit = chosen and any([run.send(pid, number) for pid in chosen[1]])
            if hit:
                run.names = [["pool '%s'" % chosen[0]], [number.name]]

    run.act = act


def stop(run):
    """Processes that stand still: for a while, or until they are killed."""
    run.words, run.result = program.draw_command(run.random, CALLS)
    run.timeout_s = run.random.choice([0.3, 1])
    for_s = run.random.choice([None, None, 0.02, 0.2])

    def act(run):
        if some_time(run):
            chosen = choose(run)
            for pid in chosen[1] if chosen else []:
                run.send(pid, STOP)
            if chosen and for_s and run.wait(for_s):
                for pid in chosen[1]:
                    run.send(pid, CONT)

    run.act = act
    run.codes |= {124}


# ---- b: workers that behave badly ------------------------------------------------------------------------------------

def slow(run):
    run.words, run.result = program.draw_command(run.random, ("chain", "carry", "fetch", "blob", "total")[:4])
    run.environment["CHAOS_SLOW"] = "1"
    run.codes |= {124}
    run.timeout_s = run.random.choice([0.5, 2, 8])


def noisy(run):
    run.words, run.result = program.draw_command(run.random, ("noise",))
    run.policy = {**run.policy, **run.random.choice([{}, {"stderr": "log"}, {"stdout": "log"}, {"stdout": "null"}])}
    run.must_succeed = True


def stubborn(run):
    run.words, run.result = program.draw_command(run.random, ("stubborn",))
    run.timeout_s = run.random.choice([0.1, 0.5])
    run.codes |= {124}
    number = run.random.choice([None, INT, TERM])
    run.act = lambda run: number and some_time(run) and run.send(run.pid, number)
    run.signals = (INT, TERM)


def bomb(run):
    run.words, run.result = program.draw_command(run.random, ("bomb",))
    number = run.random.choice([None, None, INT])
    run.act = lambda run: number and some_time(run) and run.send(run.pid, number)
    run.signals = (INT,)


# ---- c: signals to nexus ---------------------------------------------------------------------------------------------

def interrupt(run):
    """One or two signals that ask to end, at any moment. The first milliseconds belong to the system: nexus takes signals
    over when it starts the first pool, and gives them back when the last is gone."""
    run.words, run.result = program.draw_command(run.random, (*CALLS, "stubborn"))
    numbers = [run.random.choice([INT, INT, TERM, HUP]) for _ in range(run.random.choice([1, 1, 2, 3]))]
    mean_s = run.random.choice([0.003, 0.03, 0.1])

    def act(run):
        for number in numbers:
            if not some_time(run, mean_s):
                break
            run.send(run.pid, number)

    run.act = act
    run.signals = (INT, TERM, HUP)


def is_bare_directory(run, file):
    """Whether a file is a run's temporary directory with no more than a socket in it, or that socket."""
    place = file if os.path.isdir(file) else os.path.dirname(file)
    if os.path.dirname(place) != run.temp or not os.path.basename(place).startswith("nexus."):
        return False
    run.left_bare = all(name in program.POOLS for name in os.listdir(place))
    return run.left_bare


def sigkill(run):
    run.words, run.result = program.draw_command(run.random, (*CALLS, "stubborn"))
    mean_s = run.random.choice([0.003, 0.02, 0.1])
    may_stop = run.random.random() < 0.2

    def act(run):
        if some_time(run, mean_s):
            if may_stop:
                chosen = choose(run)
                stopped = [pid for pid in (chosen[1] if chosen else []) if run.send(pid, STOP)]
                # The kernel continues and ends them when nexus is gone, if they stand by then: by SIGHUP, after which
                # nobody may be left who removes the directory.
                run.may_stay = lambda run, file: True
                run.wait_for(lambda: all(state(pid) in "TZ" for pid in stopped))
            run.was_killed = run.send(run.pid, KILL)

    run.act = act
    run.signals = (KILL,)
    # While a pool's socket is made, for some 0.1 ms, nobody else can remove its directory.
    run.may_stay = is_bare_directory


# ---- d: nowhere to write ---------------------------------------------------------------------------------------------

def directory(run):
    """A temporary directory that is full, read-only, missing, no directory, or has a long name."""
    what = run.random.choice(["full", "full", "missing", "file", "long", "relative", "empty", "proc"])
    if what == "full" and os.geteuid() == 0 and mount(run.temp, "size=4k,nr_inodes=%d" % run.random.randint(1, 4)):
        pass
    elif what == "full":
        what = "limit of file size"
        run.limits = [(resource.RLIMIT_FSIZE, 0)]
        run.signals = (signal.SIGXFSZ,)
    elif what in ("missing", "proc"):
        run.environment["TMPDIR"] = {"missing": run.temp + "/no", "proc": "/proc/self"}[what]
    elif what == "file":
        run.environment["TMPDIR"] = os.path.join(run.directory, "chaos.manifest")
    elif what == "long":
        run.environment["TMPDIR"] = os.path.join(run.temp, run.random.choice(["x" * 100, "y" * 300]))
        if len(run.environment["TMPDIR"]) < 255:
            os.mkdir(run.environment["TMPDIR"])
            run.may_stay = lambda run, file: file == run.environment["TMPDIR"]
    elif what == "relative":
        run.environment["TMPDIR"] = "tmp"
        run.policy = {**run.policy, "cwd": "/"}
    else:
        run.environment["TMPDIR"] = ""
    run.done.append(what)


def mount(path, options):
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.mount(b"chaos", path.encode(), b"tmpfs", 0, options.encode()) == 0


def unmount(path):
    if os.geteuid() == 0 and os.path.ismount(path):
        ctypes.CDLL(None, use_errno=True).umount2(path.encode(), 2)


# ---- e: nothing left of something ------------------------------------------------------------------------------------

def descriptors(run):
    run.limits = [(resource.RLIMIT_NOFILE, run.random.randint(8, 40))]
    run.codes |= {1}
    run.done.append("%d descriptors" % run.limits[0][1])


def processes(run):
    run.user = 50_000 + run.seed % 10_000
    run.limits = [(resource.RLIMIT_NPROC, run.random.randint(1, 8))]
    run.codes |= {1}
    run.done.append("%d processes" % run.limits[0][1])
    os.chown(run.temp, run.user, run.user)


def memory(run):
    """From some moment on nexus itself gets no more memory, but a little."""
    run.words, run.result = program.draw_command(run.random, ("carry", "fetch", "blob", "fan", "noise"))
    room = run.random.choice([0, 64 << 10, 1 << 20, 16 << 20])

    def act(run):
        # What a program does before its main is Rust's; the pools get the same limit.
        if run.wait_for(lambda: children(run.pid)) and some_time(run, 0.03):
            try:
                with open("/proc/%d/statm" % run.pid) as file:
                    size = int(file.read().split()[0]) * resource.getpagesize()
                resource.prlimit(run.pid, resource.RLIMIT_AS, (size + room, size + room))
                run.note("%d bytes of addresses more" % room)
            except (OSError, ProcessLookupError):
                pass

    run.act = act
    run.codes |= {1}


# ---- f: outputs that take nothing ------------------------------------------------------------------------------------

def outputs(run):
    what = run.random.choice(["closed", "full device", "pipe", "no reader", "errors"])
    run.words, run.result = program.draw_command(run.random, ("noise", "blob", "double"))
    run.done.append(what)
    if what == "closed":
        run.closed = run.random.choice([(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
        run.done.append("closed %s" % (run.closed,))
    elif what == "full device":
        run.stdout = os.open("/dev/full", os.O_WRONLY)
        run.codes = {5}
    elif what == "no reader":
        reader, run.stdout = os.pipe()
        os.close(reader)
    else:
        # Nobody reads for a while: then all of it comes.
        reader, writer = os.pipe()
        for_s = run.random.choice([0.1, 0.5])
        if what == "pipe":
            run.stdout = writer
        else:
            run.stderr = writer

        def act(run):
            os.close(writer)
            run.wait(for_s)
            text = b""
            while True:
                piece = os.read(reader, 1 << 16)
                if not piece:
                    break
                text = (text + piece)[:len(run.result) + 1] if what == "pipe" else b""
            os.close(reader)
            run.note("read to the end")
            if what == "pipe" and text not in (b"", run.result.encode()):
                run.codes = set()

        run.act = act


def blocked(run):
    """Standard error is a pipe that nobody reads for ten seconds. What nexus passes on to it waits for a reader, and with it
    all else, a deadline and a signal too: so it is for now, and what is checked is that all ends well after that."""
    run.words, run.result = program.draw_command(run.random, ("noise",))
    run.timeout_s = 0.5
    reader, run.stderr = os.pipe()
    number = run.random.choice([None, INT, TERM])
    run.signals = (INT, TERM)
    run.codes |= {124}

    def act(run):
        os.close(run.stderr)
        if number and some_time(run, 0.2):
            run.send(run.pid, number)
        run.wait(10)
        os.close(reader)

    run.act = act


# ---- g: system calls that fail ---------------------------------------------------------------------------------------

# What each call that nexus makes may plausibly be answered. Left out: those that never fail (close frees the descriptor
# whatever it says) and those that belong to the start of any program.
ERRORS = {
    "openat": ["EMFILE", "ENFILE", "ENOMEM", "EIO", "EINTR", "EACCES"], "read": ["EINTR", "EIO", "EAGAIN"],
    "write": ["EINTR", "EIO", "ENOSPC", "EAGAIN"], "recvfrom": ["EINTR", "ECONNRESET", "ENOMEM"],
    "sendto": ["EINTR", "ENOBUFS", "EAGAIN"], "epoll_wait": ["EINTR"], "epoll_ctl": ["ENOMEM", "ENOSPC"],
    "epoll_create1": ["EMFILE", "ENOMEM"], "signalfd4": ["EMFILE", "ENOMEM"], "pipe2": ["EMFILE", "ENFILE"],
    "socket": ["EMFILE", "ENOBUFS"], "socketpair": ["EMFILE", "ENOMEM"], "bind": ["ENOSPC", "EACCES", "EIO", "ENOMEM"],
    "listen": ["ENOBUFS"], "connect": ["EINTR", "ECONNREFUSED", "EAGAIN", "ENOMEM"], "fcntl": ["EMFILE", "EINVAL"],
    "ioctl": ["EIO"], "mkdir": ["ENOSPC", "EROFS", "EIO"], "unlink": ["EIO", "EBUSY"], "rmdir": ["EIO", "EBUSY"],
    "unlinkat": ["EIO", "EBUSY"], "clone": ["EAGAIN", "ENOMEM"], "mmap": ["ENOMEM"], "brk": ["ENOMEM"], "mremap": ["ENOMEM"],
    "munmap": ["ENOMEM"], "madvise": ["ENOMEM", "EINVAL"], "fstat": ["EIO"], "statx": ["EIO"], "newfstatat": ["EIO"],
    "lseek": ["ESPIPE"], "waitid": ["EINTR", "ECHILD"], "wait4": ["EINTR", "ECHILD"], "prctl": ["EINVAL"], "kill": ["EPERM"],
    "sched_getaffinity": ["EINVAL"], "getdents64": ["EIO"], "rt_sigprocmask": ["EINVAL"], "getrandom": ["EAGAIN"],
    "accept4": ["EMFILE"], "prlimit64": ["EPERM"], "readlink": ["EIO"], "dup": ["EMFILE"],
}
# What passes by itself: it comes once or a few times, never for ever.
PASSING = ("EINTR", "EAGAIN")
FAULTY = ["py-chain", '["cpp","direct","py"]', "4", "0"]


def can_trace():
    """Whether strace is there and may trace."""
    if not shutil.which("strace"):
        return "strace is not installed"
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, timeout=20, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return "strace may not trace here"
    return None


def system_calls(base, directory):
    """Of each system call that nexus makes: how many come before it reads its manifest, and how many there are."""
    os.makedirs(os.path.join(directory, "tmp"))
    program.write(base, directory, {}, True)
    trace = os.path.join(directory, "trace")
    subprocess.run(["strace", "-o", trace, "-s", "200", os.path.join(directory, "chaos"), *FAULTY], check=True, timeout=60,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={"PATH": "/usr/bin:/bin", "TMPDIR": os.path.join(directory, "tmp")})
    before, all_of_them, is_own = {}, {}, False
    with open(trace) as file:
        for line in file:
            name = re.match(r"\w+(?=\()", line)
            if name:
                is_own = is_own or "chaos.manifest" in line
                if not is_own:
                    before[name[0]] = before.get(name[0], 0) + 1
                all_of_them[name[0]] = all_of_them.get(name[0], 0) + 1
    return {name: (before.get(name, 0), count) for name, count in all_of_them.items() if count > before.get(name, 0)}


calls = {}  # of system_calls(), set once


def syscalls(run):
    run.words, run.result, run.policy, run.needs_all = FAULTY, "4\n", {}, True
    name = run.random.choice(sorted(set(calls) & set(ERRORS)))
    error = run.random.choice(ERRORS[name])
    before, count = calls[name]
    first = run.random.randint(before + 1, count)
    # A process that may never be killed is waited for; and the poll tells once that a socket has room, so that a refusal
    # in spite of it may come once.
    if name == "kill" or name == "sendto" and error != "EINTR":
        when = "%d" % first
    elif error in PASSING:
        when = run.random.choice(["%d" % first, "%d..%d" % (first, first + 3)])
    else:
        when = run.random.choice(["%d" % first, "%d+" % first])
    run.done.append("%s:error=%s:when=%s" % (name, error, when))
    run.before = ["strace", "-o", os.path.join(run.directory, "trace"), "-e", "trace=" + name, "-e",
                  "inject=%s:error=%s:when=%s" % (name, error, when)]
    run.codes = run.codes - {124} | {3}  # the manifest can't be read; nothing that fails makes anything wait
    run.is_mute = name == "write"
    if name in ("unlink", "unlinkat", "rmdir", "openat", "getdents64", "fstat", "newfstatat", "statx", "lseek", "fcntl"):
        # What can't be removed, or looked at, can't be removed.
        run.may_stay = lambda run, file: True


KINDS = {kind.__name__: (kind, weight) for kind, weight in (
    (calm, 1), (kill, 4), (stop, 1), (slow, 1), (noisy, 1), (stubborn, 1), (bomb, 2), (interrupt, 4), (sigkill, 4),
    (directory, 2), (descriptors, 2), (processes, 2), (memory, 2), (outputs, 2), (blocked, 1), (syscalls, 6))}


def anyone_may_enter(path):
    """Whether a directory and all above it can be passed through by every user."""
    path = os.path.realpath(path)
    return os.stat(path).st_mode & 0o001 != 0 and (path == "/" or anyone_may_enter(os.path.dirname(path)))


def cannot(name):
    """Why a kind can't be done here; none if it can."""
    if name == "syscalls":
        return can_trace()
    if name == "processes" and os.geteuid() != 0:
        return "only root can become a user without processes"
    if name == "processes":
        for path in (tempfile.gettempdir(), os.path.dirname(__file__)):
            if not anyone_may_enter(path):
                return "another user can't enter " + path
    return None
