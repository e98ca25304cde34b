"""Plays nexus to a real pool program: starts it by one of the three transports, and ends it.

What is right is for the checks to say. Every wait ends with the time of the check, and `Kit.clear` leaves no process and
no file. It does no relaying: a check decides what a foreign call gets.
"""
import collections
import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import tempfile
import time

import wire
from channel import VERSION, Channel, Connection, Failure, Skip

# A message of which a failure shows all that it can.
SHORT_BYTES = 4096
PAUSE_S = 0.005
# From a word that ends a process to its end: generous, for a busy machine; what has a limit of its own says so.
END_S = 5
MARK = "POOL_CONFORMANCE_RUN"


class Kit:
    """One check's pools, its clock and its complaints."""

    def __init__(self, command, transport, name, timeout):
        self.command, self.transport, self.name, self.timeout = command, transport, name, timeout
        self.mark = "%d-%d" % (os.getpid(), time.time_ns())
        self.pools, self.children, self.complaints, self.notes = [], [], [], []
        self.temporary = None
        self.log = collections.deque(maxlen=24)
        self.until, self.met = time.monotonic() + timeout, False
        # What a pool leaves behind becomes a child of this process, which can wait for it then.
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def begin(self):
        self.renew()
        self.complaints, self.notes = [], []
        self.log.clear()

    def renew(self):
        """Gives the check its whole time again: for the next of many cases."""
        self.until = time.monotonic() + self.timeout

    def note(self, label, verb, message, size):
        """Remembers a message for the details of a failure; a large one only in short."""
        self.log.append((label, verb, message if size < SHORT_BYTES else wire.show(message, 80)))

    def messages(self):
        """The last messages, as text."""
        return ["%s: %s %s" % (label, verb, message if isinstance(message, str) else wire.show(message, 80))
                for label, verb, message in self.log]

    def left(self):
        """Seconds until the check's time is over."""
        return self.until - time.monotonic()

    def directory(self):
        """Where the directories of this check's pools are."""
        if self.temporary is None:
            self.temporary = tempfile.mkdtemp(prefix="pool-conformance.")
        return self.temporary

    def waiting(self, what):
        """Raises when the check's time is over."""
        if self.left() <= 0:
            raise Failure("%s did not happen within %g s" % (what, self.timeout))

    def until_true(self, what, ready, seconds=None):
        """Waits until `ready()`, for the check's time or for `seconds`; what it returned."""
        end = time.monotonic() + (self.left() if seconds is None else min(seconds, self.left()))
        while True:
            found = ready()
            if found:
                return found
            if time.monotonic() >= end:
                raise Failure(what + (" within %g s" % (self.timeout if seconds is None else seconds)))
            time.sleep(PAUSE_S)

    def skip(self, why):
        raise Skip(why)

    def complain(self, text):
        """Notes that something is wrong, and goes on."""
        self.complaints.append(text)

    def start(self, **options):
        return Pool(self, **options)

    def worker(self, **options):
        """A connection to a worker of a fresh pool."""
        return self.start(**options).connect()

    def marked(self):
        """The living processes that carry the kit's mark in their environment, or are in the group of a pool."""
        groups = {str(pid) for pool in self.pools for pid in pool.leaders}
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open("/proc/%s/stat" % entry) as file:
                    state, _, group = file.read().rsplit(")", 1)[1].split()[:3]
                with open("/proc/%s/environ" % entry, "rb") as file:
                    marked = ("%s=%s" % (MARK, self.mark)).encode() in file.read().split(b"\0")
            except OSError:
                continue
            if state not in "ZX" and (marked or group in groups):
                found.append(int(entry))
        return found

    def clear(self):
        """Ends everything that the check started."""
        for pool in self.pools:
            pool.release()
        for _ in range(400):
            found = self.marked()
            for pid in found + self.children:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not found:
                break
            time.sleep(PAUSE_S)
        for pool in self.pools:
            pool.output.close()
        if self.temporary is not None:
            shutil.rmtree(self.temporary, ignore_errors=True)
        self.pools, self.children, self.temporary = [], [], None


class Pool:
    """A pool that was started: for `unix` its parent process and control channel, else a maker of workers."""

    def __init__(self, kit, protocol=VERSION, isolate=False, bare=None, hello=True, by_hand=False):
        self.kit, self.transport = kit, kit.transport
        self.protocol, self.isolate = protocol, isolate
        self.bare = kit.transport == "stdio" if bare is None else bare
        self.leaders, self.codes, self.exits = [], {}, []
        self.lifelines, self.connections = [], []
        self.control = self.dir = self.queued = None
        self.output = tempfile.TemporaryFile()
        kit.pools.append(self)
        if by_hand:
            self.start_on_terminal()
        elif self.transport == "unix":
            self.dir = tempfile.mkdtemp(dir=kit.directory())
            self.start_parent(hello)

    # ---- starting ----

    def start_parent(self, hello):
        path = os.path.join(self.dir, "pipe")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        self.path = path
        own, control = socket.socketpair()
        life, self_life = os.pipe()
        self.lifelines.append(self_life)
        # As nexus does: the first connection waits in the queue before the pool runs.
        self.queued = self.dial()
        try:
            null = os.open("/dev/null", os.O_RDONLY)
            pid = self.spawn({0: null, 1: self.output.fileno(), 2: self.output.fileno(), 3: listener.fileno(),
                              4: control.fileno(), 5: life},
                             NEXUS_LISTEN_FD="3", NEXUS_CONTROL_FD="4", NEXUS_LIFE_FD="5", NEXUS_DIR=self.dir,
                             **{"NEXUS_ISOLATE": "1"} if self.isolate else {})
            tie(life, pid)
        finally:
            for each in (listener, control):
                each.close()
            os.close(null)
            os.close(life)
        self.pid = pid
        self.control = Channel(self, "control", own.detach())
        if hello:
            self.control.meet()
            if self.control.hello["workers"] == 0:
                self.grow(1)

    def start_on_terminal(self):
        """As a user would start it by mistake: on a terminal, without anything that nexus gives."""
        self.bare = True
        ours, theirs = os.openpty()
        self.lifelines.append(ours)
        self.spawn({0: theirs, 1: self.output.fileno(), 2: self.output.fileno()})
        os.close(theirs)

    def dial(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.path)
        return connection.detach()

    def spawn(self, descriptors, **variables):
        """Starts the command with exactly these descriptors, leading a group of its own; its process id."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("NEXUS_")}
        environment[MARK] = self.kit.mark
        if not self.bare:
            environment.update(NEXUS_PROTOCOL=str(self.protocol), NEXUS_POOL=self.kit.name,
                               NEXUS_RUN=self.kit.mark, **variables)
        # First out of the way of the numbers that they are to have.
        moved = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for number, fd in descriptors.items()}
        try:
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in moved.items()]
            pid = os.posix_spawnp(self.kit.command[0], self.kit.command, environment, file_actions=actions,
                                  setpgroup=0, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT])
        finally:
            for fd in moved.values():
                os.close(fd)
        self.leaders.append(pid)
        return pid

    def start_worker(self, greet=True):
        """Starts a process of its own for one connection; the connection. `greet`: with the hello of nexus, in stdio."""
        out = self.output.fileno()
        if self.transport == "direct":
            own, theirs = socket.socketpair()
            life, self_life = os.pipe()
            self.lifelines.append(self_life)
            null = os.open("/dev/null", os.O_RDONLY)
            pid = self.spawn({0: null, 1: out, 2: out, 3: theirs.fileno(), 4: life}, NEXUS_WORKER_FD="3",
                             NEXUS_LIFE_FD="4")
            tie(life, pid)
            theirs.close()
            os.close(life)
            os.close(null)
            connection = Connection(self, "worker %d" % pid, own.detach())
        else:
            theirs_in, own_out = os.pipe()
            own_in, theirs_out = os.pipe()
            pid = self.spawn({0: theirs_in, 1: theirs_out, 2: out})
            os.close(theirs_in)
            os.close(theirs_out)
            connection = Connection(self, "worker %d" % pid, own_in, own_out)
            if greet:
                connection.notify("hello", [{"protocol": self.protocol, "pool": self.kit.name}])
        connection.process = pid
        return connection

    def connect(self, hello=True):
        """A connection to a worker, by default with its hello; `direct` and `stdio` start the worker for it."""
        if self.transport == "unix":
            descriptor, self.queued = self.queued if self.queued is not None else self.dial(), None
            connection = Connection(self, "worker", descriptor)
            connection.process = None
        else:
            connection = self.start_worker()
        if hello:
            connection.meet()
        return connection

    def again(self, case="the connection was closed"):
        """Another connection after one that the pool closed; for `unix` in a new worker if it reported the old one's death."""
        if self.control is None:
            return self.connect()
        before = len(self.exits)
        self.control.result("grow", [0])  # what it has to report comes first
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            self.control.turn("a report", seconds=end - time.monotonic())
        for ended in self.exits[before:]:
            if "signal" in ended:
                raise Failure("%s: the worker was killed by signal %s" % (case, ended["signal"]))
            self.grow(1)
        return self.connect()

    def release_queue(self):
        """Closes the connection that waits to be taken."""
        if self.queued is not None:
            os.close(self.queued)
            self.queued = None

    # ---- the control channel ----

    def features(self):
        return self.control.hello.get("features", []) if self.control is not None else []

    def grow(self, count):
        return self.control.result("grow", [count])

    def send_signal(self, pid, number):
        self.control.notify("signal", [pid, number])

    def exit_of(self, pid):
        """How a worker ended, as the pool reports it."""
        def ended():
            return next((each for each in self.exits if each["pid"] == pid), None)

        while ended() is None:
            self.control.turn("a worker_exit for process %d" % pid)
        return ended()

    # ---- ends ----

    def code(self, pid=None):
        """The exit code of a process that the kit started (negative: its signal), or None while it runs."""
        pid = self.leaders[0] if pid is None else pid
        if pid not in self.codes:
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                return None
            if not ended:
                return None
            self.codes[pid] = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return self.codes[pid]

    def ended(self, pid=None, seconds=END_S):
        """Waits for the end of a process that the kit started; its exit code, negative for a signal."""
        self.kit.until_true("process %d did not end" % (pid or self.leaders[0]),
                            lambda: self.code(pid) is not None, seconds)
        return self.code(pid)

    def nobody_left(self, seconds=END_S):
        """Waits until none of the pool's processes is alive."""
        def gone():
            for pid in self.leaders:
                self.code(pid)
            return not self.kit.marked()

        try:
            self.kit.until_true("", gone, seconds)
        except Failure:
            alive = self.kit.marked()
            raise Failure("%d s later %d of its processes are alive: %s"
                          % (seconds, len(alive), ", ".join(map(describe_process, alive)))) from None

    def printed(self):
        """All that the pool has written to its standard output and error."""
        return os.pread(self.output.fileno(), 64 << 20, 0).decode(errors="replace")

    def release(self):
        while self.connections:
            self.connections[-1].shut()
        while self.lifelines:
            os.close(self.lifelines.pop())
        self.release_queue()


def tie(life, group):
    """Makes the kernel send SIGIO to the group when the writing end of the lifeline is gone."""
    fcntl.fcntl(life, fcntl.F_SETOWN, -group)
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC)


def describe_process(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return "%d (%s)" % (pid, file.read().replace(b"\0", b" ").decode(errors="replace").strip()[:60])
    except OSError:
        return str(pid)
