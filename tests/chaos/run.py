"""One run of the program: starts nexus as a kind of fault wants it, waits for its end, and checks what it said and what it
left. Runs in a process that adopts every orphan below it, so that nothing can hide."""
import ctypes
import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import program

PR_SET_CHILD_SUBREAPER = 36
# Above what nexus is given: its own graces for calls, workers and pools, and a machine that is busy.
SLACK_S = 12
# README: whatever ends nexus, its processes end within a second; a busy machine needs longer to tell.
GONE_S = 1.0
BUSY_S = 4.0
# A process that was sent SIGKILL needs a moment to be gone.
DYING_S = 0.05
TEXT_MAX = 1 << 20


class Failure(Exception):
    """What a run did that it must not do."""


def adopt_orphans():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            found = [int(word) for word in file.read().split()]
    except OSError:
        return []
    if pid != os.getpid():
        # Threads have children of their own.
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                if task != str(pid):
                    with open("/proc/%d/task/%s/children" % (pid, task)) as file:
                        found += [int(word) for word in file.read().split()]
        except OSError:
            pass
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def read(path, most=TEXT_MAX):
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError:
        return b""


def variable(pid, name):
    for entry in read("/proc/%d/environ" % pid).split(b"\0"):
        if entry.startswith(name.encode() + b"="):
            return entry.split(b"=", 1)[1].decode()
    return None


def state(pid):
    """A letter: R, S, T, Z..., or nothing if there is no such process."""
    text = read("/proc/%d/stat" % pid)
    return text[text.rfind(b")") + 2:][:1].decode()


class Run:
    """What a kind of fault sets before the start, does while nexus runs, and allows."""

    def __init__(self, base, directory, seed, kind, random):
        self.base, self.directory, self.seed, self.kind, self.random = base, directory, seed, kind, random
        self.temp = os.path.join(directory, "tmp")
        os.makedirs(self.temp)
        self.policy, self.needs_all = program.draw_policy(random), random.random() < 0.5
        self.words, self.result = program.draw_command(random)
        self.timeout_s = 8
        self.before = []                # words before the program, as of strace
        self.environment = {}
        self.limits = []                # for setrlimit
        self.user = None
        self.stdout = self.stderr = None  # descriptors to use instead of files
        self.closed = ()                # descriptors that are closed
        self.act = lambda run: None     # what happens while it runs
        self.codes = set(program.CODES) - {1, 2, 3}
        self.signals = ()               # that may end nexus itself
        self.must_succeed = False
        self.is_mute = False            # a message may be lost
        self.names = []                 # what a message about a death must name: any of each
        self.may_stay = lambda run, file: False
        self.left_bare = False          # a directory that may stay has stayed
        self.was_killed = False         # nexus itself, so that others clean up
        self.done = []                  # what happened, for the report
        self.process = None
        self.started_s = self.ended_s = 0.0

    # ---- while it runs ----

    def note(self, text):
        self.done.append("%.1f ms: %s" % ((time.monotonic() - self.started_s) * 1000, text))

    @property
    def pid(self):
        """The process that is nexus."""
        if not self.before:
            return self.process.pid
        return (children(self.process.pid) or [0])[0]

    def is_running(self):
        return self.process.poll() is None

    def wait(self, seconds):
        """False if it has ended by then."""
        end = time.monotonic() + seconds
        while self.is_running():
            left = end - time.monotonic()
            if left <= 0:
                return True
            time.sleep(min(left, 0.002))
        return False

    def wait_for(self, find, seconds=2.0):
        """The first result of `find` that is true, while the run lasts; None if there is none."""
        end = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < end:
            found = find()
            if found:
                return found
            time.sleep(0.001)
        return None

    def members(self):
        """The processes of the pools: id, pool, whether nexus is their parent."""
        found = []
        for child in children(self.pid):
            for pid in [child, *descendants(child)]:
                pool = variable(pid, "NEXUS_POOL")
                if pool:
                    found.append((pid, pool, pid == child))
        return found

    def send(self, pid, number):
        try:
            os.kill(pid, number)
            self.note("%s to %d" % (signal.Signals(number).name, pid))
            return True
        except ProcessLookupError:
            return False

    # ---- from start to end ----

    def perform(self):
        """Raises Failure."""
        program.write(self.base, self.directory, self.policy, self.needs_all)
        out, err = (os.path.join(self.directory, name) for name in ("stdout", "stderr"))
        files = [open(out, "wb"), open(err, "wb")]
        environment = {"PATH": "/usr/bin:/bin", "TMPDIR": self.temp, "CHAOS_RUN": self.directory, **self.environment}
        environment = {name: value for name, value in environment.items() if value is not None}
        options = ["--timeout", str(self.timeout_s)] if self.timeout_s else []
        self.started_s = time.monotonic()
        try:
            self.process = subprocess.Popen(
                [*self.before, os.path.join(self.directory, "chaos"), *options, *self.words], stdin=subprocess.DEVNULL,
                stdout=files[0] if self.stdout is None else self.stdout, env=environment, cwd=self.directory,
                stderr=files[1] if self.stderr is None else self.stderr, start_new_session=True, preexec_fn=self.prepare)
            self.act(self)
            is_late = self.wait((self.timeout_s or 20) + SLACK_S)
            self.ended_s = time.monotonic()
            stuck = self.describe() if is_late else ""
            # Without memory nexus can do no more than say so.
            self.was_killed |= b"error: out of memory" in read(err, -1)
            left = [] if is_late else self.leftovers()
        finally:
            self.end_all()
            for file in files:
                file.close()
        self.check(is_late, stuck, left, read(out, -1), read(err, -1)[-TEXT_MAX:])

    def prepare(self):
        for number in (signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in self.closed:
            os.close(descriptor)
        if self.user is not None:
            os.setgroups([])
            os.setgid(self.user)
            os.setuid(self.user)
        for what, most in self.limits:
            resource.setrlimit(what, (most, most))

    def describe(self):
        """What all that still runs is at."""
        lines = []
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            words = read("/proc/%d/cmdline" % pid).replace(b"\0", b" ").decode(errors="replace")
            wchan = read("/proc/%d/syscall" % pid).decode().split()[:1]
            lines.append("%d %s %s %s" % (pid, state(pid), wchan, words))
        return "\n    ".join(lines)

    def leftovers(self):
        """Processes and files that stayed longer than they may."""
        allowed_s = (GONE_S + BUSY_S) if self.was_killed else DYING_S
        end = time.monotonic() + allowed_s
        zombies = [] if self.was_killed else ["%d, a zombie" % pid for pid in children(os.getpid()) if state(pid) == "Z"]
        while True:
            files = [os.path.join(path, name) for path, folders, names in os.walk(self.temp) for name in folders + names]
            processes = []
            for pid in descendants(os.getpid()):
                if state(pid) not in ("Z", ""):
                    processes.append("%d (%s)" % (pid, read("/proc/%d/cmdline" % pid).replace(b"\0", b" ").decode()))
            left = processes + [file for file in files if not self.may_stay(self, file)]
            if not left or time.monotonic() > end:
                break
            reap()
            time.sleep(0.003)
        self.ended_s = max(self.ended_s, time.monotonic()) if self.was_killed else self.ended_s
        return zombies + left

    def end_all(self):
        """Ends whatever is left, so that the next run starts alone."""
        end = time.monotonic() + 10
        if self.process is not None and self.is_running():
            self.process.kill()
            self.process.wait()
        while time.monotonic() < end:
            alive = descendants(os.getpid())
            for pid in alive:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            reap()
            if not alive:
                return
            time.sleep(0.005)

    # ---- what must be true ----

    def check(self, is_late, stuck, left, stdout, stderr):
        code, text = self.process.returncode, stderr.decode(errors="replace")
        self.code = code

        def fail(what):
            tail = text[-1500:]
            raise Failure("%s\n  code %s, stdout %r, after %.2f s\n  stderr ends with:\n%s" % (
                what, code, stdout[:80], self.ended_s - self.started_s, "    " + tail.replace("\n", "\n    ")))

        if is_late:
            fail("it hangs:\n    " + stuck)
        for word in ("panicked at", "RUST_BACKTRACE", "stack overflow", "memory allocation of"):
            if word in text:
                fail("it says '%s'" % word)
        if left:
            fail("left behind: %s" % "; ".join(left))
        if code < 0:
            if -code not in self.signals:
                fail("it was ended by %s" % signal.Signals(-code).name)
            if stdout not in (b"", self.result.encode()) and not self.result.encode().startswith(stdout):
                fail("a wrong result")
            return
        if code == 0:
            if self.stdout is None and 1 not in self.closed and stdout != self.result.encode():
                fail("a wrong result, expected %r" % self.result[:80])
            return
        if self.must_succeed or code not in self.codes:
            fail("the code is wrong")
        if self.stdout is None and stdout:
            fail("there is an error and a result")
        can_speak = self.stderr is None and 2 not in self.closed and not self.is_mute
        if can_speak and not re.search(r"^(chaos|.*chaos|nexus): error: ", text, re.M):
            fail("there is no message")
        if code in (4, 5):
            for names in self.names:
                if not any(name in text for name in names):
                    fail("the message names none of: %s" % ", ".join(names))


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def remove(directory):
    try:
        shutil.rmtree(directory)
    except OSError as error:
        if error.errno != errno.ENOENT:
            shutil.rmtree(directory, ignore_errors=True)
