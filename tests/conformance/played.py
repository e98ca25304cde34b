"""Plays nexus to a real pool program: starts it by one of the three transports, and speaks the protocol with it.

It holds what comes against the rules that every message obeys (an answer to an open call, a known method, an id that is
free); what an answer should be is for the checks. Every wait ends with the time of the check, and `Kit.clear` leaves no
process and no file. It does no relaying: a check decides what a foreign call gets.
"""
import collections
import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
import tempfile
import time

import wire

READ_BYTES = 1 << 20
# A frame that is larger than any check asks for is a mistake.
FRAME_BYTES_MAX = 256 << 20
SHORT_BYTES = 4096
PAUSE_S = 0.005
# From a word that ends a process to its end: generous, for a busy machine; what has a limit of its own says so.
END_S = 5
MARK = "POOL_CONFORMANCE_RUN"
VERSION = 1


class Failure(Exception):
    """A check that failed: what was wrong, and lines of detail."""

    def __init__(self, message, *details):
        super().__init__(message)
        self.details = details


class Skip(Exception):
    """A check that can't be made here, and why."""


class Closed(Failure):
    """The pool closed the connection, or ended, where an answer was expected."""


Request = collections.namedtuple("Request", "id method name parent pid params")
Reply = collections.namedtuple("Reply", "error result")


class Kit:
    """One check's pools, its clock and its complaints."""

    def __init__(self, command, transport, name, timeout):
        self.command, self.transport, self.name, self.timeout = command, transport, name, timeout
        self.mark = "%d-%d" % (os.getpid(), time.time_ns())
        self.pools, self.children, self.complaints, self.notes = [], [], [], []
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
            pool.forget()
        self.pools, self.children = [], []


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
            self.dir = tempfile.mkdtemp(prefix="pool-conformance.")
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
        for each in self.connections:
            each.shut()
        for fd in self.lifelines:
            os.close(fd)
        self.lifelines = []
        self.release_queue()

    def forget(self):
        self.output.close()
        if self.dir is not None:
            shutil.rmtree(self.dir, ignore_errors=True)


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


class Channel:
    """Frames over descriptors, both directions at once; on its own the control channel of a `unix` pool."""

    def __init__(self, pool, label, reader, writer=None):
        self.pool, self.kit, self.label = pool, pool.kit, label
        self.reader, self.writer = reader, reader if writer is None else writer
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.incoming, self.outgoing = bytearray(), collections.deque()
        self.hello, self.last_id, self.over = None, 0, False
        self.lenient = False  # after garbage: what it made the worker answer and ask is no mistake
        self.open, self.replies, self.asked = {}, {}, {}
        self.requests, self.told, self.order = collections.deque(), [], []
        pool.connections.append(self)

    # ---- bytes ----

    def send(self, data, reading=True):
        """Writes bytes; unless told otherwise it takes in what comes meanwhile, as nexus does."""
        self.outgoing.append(memoryview(bytes(data)))
        while self.outgoing:
            self.turn("room to send", reading)

    def turn(self, what, reading=True, seconds=None):
        """Waits for one piece of what can be read or written, at most `seconds`; False when there was none."""
        self.kit.waiting(what)
        if self.over and not self.outgoing:
            raise Closed("the pool closed the connection (%s), where %s was expected" % (self.label, what))
        poll = select.poll()
        if reading and not self.over:
            poll.register(self.reader, select.POLLIN)
        if self.outgoing:
            events = select.POLLOUT | (select.POLLIN if reading and not self.over and self.writer == self.reader else 0)
            poll.register(self.writer, events)
        wait = self.kit.left() if seconds is None else min(seconds, self.kit.left())
        ready = dict(poll.poll(max(wait, 0) * 1000))
        if self.outgoing and ready.get(self.writer, 0) & ~select.POLLIN:
            self.flush()
        if reading and not self.over and ready.get(self.reader, 0) & ~select.POLLOUT:
            self.fill()
        return bool(ready)

    def flush(self):
        try:
            written = os.write(self.writer, self.outgoing[0][:READ_BYTES])
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self.outgoing.clear()
            self.over = True
            raise Closed("the pool closed the connection (%s) while it was written to" % self.label) from None
        rest = self.outgoing.popleft()[written:]
        if rest:
            self.outgoing.appendleft(rest)

    def fill(self, size=READ_BYTES):
        """Reads once, and takes the messages that are whole."""
        try:
            data = os.read(self.reader, size)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.over = True
            if self.incoming:
                raise Failure("the connection (%s) ended in the middle of a frame" % self.label)
            return
        self.incoming += data
        while len(self.incoming) >= 4:
            length = int.from_bytes(self.incoming[:4], "big")
            if length > FRAME_BYTES_MAX:
                raise Failure("a frame on the connection (%s) claims %d bytes" % (self.label, length),
                              "came      %s" % bytes(self.incoming[:40]).hex())
            if len(self.incoming) - 4 < length:
                break
            data = bytes(self.incoming[4:4 + length])
            del self.incoming[:4 + length]
            try:
                message = wire.decode(data)
            except wire.Malformed as error:
                raise Failure("a frame is not msgpack: %s" % error, "came      %s" % data[:60].hex()) from None
            self.kit.note(self.label, "came", message, length)
            self.take(message)

    def shut(self):
        """Closes the connection, as nexus does when it needs the worker no more."""
        for fd in {self.reader, self.writer}:
            if fd is not None:
                os.close(fd)
        self.reader = self.writer = None
        self.pool.connections.remove(self)

    def half_shut(self):
        """Says that nothing more will come, and goes on reading."""
        if self.writer != self.reader:
            os.close(self.writer)
            self.writer = None
        else:
            half = socket.socket(fileno=os.dup(self.reader))
            with contextlib.suppress(OSError):
                half.shutdown(socket.SHUT_WR)
            half.close()

    def until_over(self, what="the end of the connection", seconds=None):
        """Waits until the pool has closed the connection."""
        end = time.monotonic() + (self.kit.left() if seconds is None else seconds)
        while not self.over:
            self.turn(what, seconds=max(end - time.monotonic(), 0))
            if not self.over and time.monotonic() >= end:
                raise Failure("%s did not come within %g s" % (what, seconds or self.kit.timeout))

    # ---- messages ----

    def say(self, message):
        data = wire.frame(message)
        self.kit.note(self.label, "sent", message, len(data))
        self.send(data)

    def notify(self, method, params):
        self.say([2, method, params])

    def request(self, method, params):
        """Sends a request; its id."""
        self.last_id += 1
        self.open[self.last_id] = method
        self.say([0, self.last_id, method, params])
        return self.last_id

    def take(self, message):
        def wrong(why):
            raise Failure("what came on the connection (%s) is no message: %s" % (self.label, why),
                          "came      %s" % wire.show(message))

        if not isinstance(message, list) or not message or (message[0], len(message)) not in ((0, 4), (1, 4), (2, 3)):
            wrong("expected [0, id, method, params], [1, id, error, result] or [2, method, params]")
        kind = message[0]
        if kind == 1:
            _, id, error, result = message
            if type(id) is not int or id not in self.open:
                if self.lenient:
                    return
                raise Failure("an answer has the id %s, which no open request has" % wire.show(id),
                              "open      %s" % (sorted(self.open) or "none"), "came      %s" % wire.show(message))
            del self.open[id]
            if error is not None and not self.lenient and not (isinstance(error, dict) and isinstance(error.get("kind"), str)
                                          and isinstance(error.get("message"), str)):
                raise Failure("an error is not a map with a kind and a message", "came      %s" % wire.show(message))
            self.replies[id] = Reply(error, result)
            self.order.append(id)
            return
        method, params = message[-2:]
        if not isinstance(method, str) or not isinstance(params, list):
            wrong("its method is no string or its params are no array")
        if kind == 0:
            self.take_request(message[1], method, params, wrong)
        elif method == "hello":
            if self.hello is not None:
                wrong("a second hello")
            self.hello = params[0] if params and isinstance(params[0], dict) else wrong("hello takes [map]")
        else:
            self.take_notification(method, params, wrong)

    def take_request(self, id, method, params, wrong):
        wrong("the control channel has no requests from the pool")

    def take_notification(self, method, params, wrong):
        if method == "worker_exit":
            about = params[0] if params else None
            if not isinstance(about, dict) or type(about.get("pid")) is not int:
                wrong("worker_exit takes [{pid, exit_code or signal}]")
            self.pool.exits.append(about)

    def meet(self):
        """Waits for the hello, which comes before anything else."""
        while self.hello is None:
            try:
                self.turn("its hello")
            except Closed as error:
                raise Closed(str(error), *self.endings()) from None
            if self.hello is None and (self.order or self.requests or self.told):
                raise Failure("something else than hello came first on the connection (%s)" % self.label)
        self.check_hello()

    def endings(self):
        with contextlib.suppress(Failure):
            self.kit.until_true("", lambda: self.pool.leaders and self.pool.code() is not None, 0.2)
        codes = {pid: self.pool.code(pid) for pid in self.pool.leaders}
        return ["ended     process %d with %d" % each for each in codes.items() if each[1] is not None]

    def check_hello(self):
        hello = self.hello
        for key, kind in (("protocol", int), ("lang", str), ("runtime", str), ("pid", int), self.own_key):
            if type(hello.get(key)) is not kind:
                raise Failure("hello says %s for %s, expected %s" % (wire.show(hello.get(key)), key, kind.__name__),
                              "came      %s" % wire.show(hello))
        if hello["protocol"] != VERSION:
            raise Failure("hello names protocol %d, expected %d" % (hello["protocol"], VERSION))

    own_key = ("workers", int)

    def reply(self, id):
        """Waits for the answer to a request."""
        while id not in self.replies:
            self.turn("the answer to request %d" % id)
        return self.replies.pop(id)

    def result(self, method, params):
        """The result of a request that must not fail."""
        reply = self.reply(self.request(method, params))
        if reply.error is not None:
            raise Failure("%s failed: %s" % (method, wire.show(reply.error)), "sent      %s" % wire.show(params))
        return reply.result


class Connection(Channel):
    """A connection to a worker."""

    own_key = ("reentrant", bool)
    held = 0  # how many of its functions live elsewhere, as the worker says

    @property
    def pid(self):
        return self.hello["pid"]

    def needs(self, what):
        """Skips the check if the worker is not reentrant, or lacks the feature."""
        if what == "reentrant" and not self.hello["reentrant"]:
            raise Skip("the worker says that it is not reentrant")
        if what != "reentrant" and what not in self.hello.get("features", []):
            raise Skip('the worker does not name the feature "%s"' % what)

    @property
    def concurrent(self):
        """Whether calls on this worker run side by side instead of nested."""
        return "concurrent" in self.hello.get("features", [])

    @property
    def is_thread(self):
        """Whether the worker is a thread of the pool's parent."""
        return self.pool.control is not None and self.pid == self.pool.control.hello["pid"]

    def take_request(self, id, method, params, wrong):
        if self.lenient:
            self.outgoing.append(memoryview(wire.frame([1, id, {"kind": "raised", "message": "nobody answers"}, None])))
            return
        if type(id) is not int or id < 0:
            wrong("its id is no natural number")
        if id in self.asked:
            wrong("the id %d is that of a request that is still open" % id)
        if method not in ("call", "command"):
            wrong("nexus has no method %r" % method)
        target = params[0] if params else None
        parts = target if isinstance(target, list) else [target]
        name, parent, pid = (parts + [None, None])[:3]
        if not isinstance(name, str) or not 1 <= len(parts) <= 3 or method == "command" and len(parts) > 2:
            wrong("its target is neither a name, nor [name, parent], nor [pool, parent, pid]")
        if parent is not None and self.open.get(parent) != "call":
            wrong("its parent %s is no open call" % wire.show(parent))
        if pid is not None and type(pid) is not int:
            wrong("its pid is no integer")
        if method == "call" and (len(params) < 2 or type(params[1]) is not int):
            wrong("it names no mid")
        request = Request(id, method, name, parent, pid, params[1:])
        self.asked[id] = request
        self.requests.append(request)

    def take_notification(self, method, params, wrong):
        if method == "log" and not (len(params) == 2 and all(isinstance(each, str) for each in params)):
            wrong("log takes [level, text]")
        if method == "progress" and len(params) != 3:
            wrong("progress takes [done, total, label]")
        if method == "holds":
            if not (params and type(params[0]) is int and params[0] > 0):
                wrong("holds takes [n], n from 1")
            self.held = params[0]
            return
        self.told.append((method, params))

    # ---- calls ----

    def begin(self, mid, *args):
        """Sends a call; its id."""
        return self.request("call", [mid, *args])

    def asks(self):
        """Waits for the next foreign call or command that the worker makes."""
        while not self.requests:
            if self.replies:
                id, reply = next(iter(self.replies.items()))
                raise Failure("call %d ended before it made its foreign call" % id, "came      %s" % (reply,))
            self.turn("a foreign call")
        return self.requests.popleft()

    def gives(self, request, result=None, error=None):
        """Answers a foreign call."""
        del self.asked[request.id]
        self.say([1, request.id, error, result])

    def finish(self, id, serve=None):
        """Waits for the answer to a call. `serve(request)` answers the foreign calls made meanwhile."""
        while id not in self.replies:
            while self.requests and serve is not None:
                serve(self.requests.popleft())
            if id in self.replies:
                break
            if self.requests and serve is None:
                raise Failure("call %d made a foreign call that it should not make" % id,
                              "came      %s" % (self.requests[0],))
            self.turn("the answer to call %d" % id)
        return self.replies.pop(id)

    def value(self, id, serve=None):
        """The result of a call that must succeed."""
        reply = self.finish(id, serve)
        if reply.error is not None:
            raise Failure("call %d failed, expected a result" % id, "came      %s" % wire.show(reply.error))
        return reply.result

    def call(self, mid, *args, serve=None):
        return self.value(self.begin(mid, *args), serve)

    def error(self, mid, *args, serve=None):
        """The error of a call that must fail."""
        return self.failed(self.begin(mid, *args), serve)

    def failed(self, id, serve=None):
        reply = self.finish(id, serve)
        if reply.error is None:
            raise Failure("call %d succeeded, expected an error" % id, "came      %s" % wire.show(reply.result))
        return reply.error

    def works(self):
        """The worker still serves."""
        if self.result("ping", []) is not None:
            raise Failure("ping is answered with something else than nil")
        found = self.call(2, 20, 22)
        if found != 42:
            raise Failure("add(20, 22) is %s afterwards, expected 42" % wire.show(found))

    def cancel(self, id):
        self.notify("cancel", [id])

    def interrupt(self):
        """Sends the worker SIGINT as nexus would; False where nexus can't."""
        if self.pool.transport == "stdio":
            return False
        if self.pool.transport == "direct":
            os.kill(self.process, signal.SIGINT)
            return True
        if "signal" not in self.pool.features():
            return False
        self.pool.send_signal(self.pid, signal.SIGINT)
        self.pool.grow(0)  # answered when the signal is on its way
        return True

    def settle(self):
        """Lets the worker get to work on what was sent. Right either way: it only makes the interesting order likely."""
        time.sleep(0.15)
