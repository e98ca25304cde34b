"""A pool program that does one thing wrong on purpose, for the test of the conformance kit: bad_pools.py FAULT

It is a whole pool of the conformance functions in plain Python, for all three transports, and without a fault a good one.
It shares msgpack with the kit and nothing with the runtimes. It is not fast, and not an example to copy: a real runtime
checks more than this. It ends after LIFETIME_S, whatever happens.
"""
import collections
import contextlib
import fcntl
import os
import random
import select
import shutil
import signal
import socket
import sys
import time

import wire

LIFETIME_S = 120
# Each fault, and the checks that must find it, and no others (of those that the test makes).
FAULTS = {
    "good": "nothing is wrong",
    "no-hello": "the pool says no hello, and a worker neither",
    "no-features": "hello has no list of features",
    "any-version": "speaks with a nexus of any version",
    "wrong-id": "the answer of fan has another id",
    "answers-twice": "an error is answered twice",
    "wrong-type": "own_pid is text",
    "no-sign": "zeros lose their sign",
    "unnamed": "an error does not say which argument is wrong",
    "any-count": "arguments that are too many are dropped",
    "dies-at-news": "a notification that it does not know ends the worker",
    "prints-into-protocol": "over stdio, descriptor 1 stays the connection",
    "loses-kind": "the error of a foreign call becomes one of its own",
    "no-parent": "several calls that are out at once don't name their parent",
    "one-by-one": "fan waits for each call before the next",
    "not-nested": "a worker that waits for an answer lets calls wait",
    "drops-answers": "an answer that is not for the innermost call is lost",
    "unpinned": "a call of a closure does not name its process",
    "no-homecoming": "a closure that comes home is called through nexus",
    "no-holds": "it does not say that functions live in it",
    "swallows-cancel": "cancel is ignored",
    "cancels-innermost": "cancel ends the innermost call, whichever it names",
    "dies-of-sigint": "SIGINT ends the worker",
    "grows-wrong": "grow answers how many it has made",
    "no-report": "a death is not reported",
    "signals-anyone": "signal is sent to any process",
    "never-retires": "retire is ignored",
    "one-connection": "a worker ends when nexus closes its connection",
    "outlives": "neither SIGIO nor the end of the control channel ends it",
    "leaves-stray": "a process of another group is left behind",
    "no-shutdown": "shutdown is ignored",
    "deaf-writer": "it does not read while it has no room to write",
    "hangs-at-garbage": "a message that it can't read hangs it",
    "crashes-at-garbage": "a message that it can't read crashes the worker",
}
FAULT = sys.argv[1] if len(sys.argv) == 2 and sys.argv[1] in FAULTS else sys.exit("usage: bad_pools.py FAULT")
POOL = os.environ.get("NEXUS_POOL", "kit")
RECORD = {"name": "s", "age": "?u1", "tags": ["s"]}


class Cancelled(BaseException):
    """Ends a call that nexus cancelled."""


class Over(BaseException):
    """The connection has ended."""


class Remote(Exception):
    """A foreign call that failed."""


class Refused(Exception):
    """A call that can't be made, with the error's kind."""


# ---- functions ------------------------------------------------------------------------------------------------------

def spin(worker, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def chain(worker, pools, n):
    return 0 if n == 0 else 1 + worker.foreign(pools[n % len(pools)], 21, [pools, n - 1])


def kind_of(worker, pool, mid, n):
    try:
        worker.foreign(pool, mid, [n])
    except Remote as error:
        return error.args[0].get("kind", "") if isinstance(error.args[0], dict) else "protocol"
    return ""


def fan(worker, pool, mid, n):
    if FAULT == "one-by-one":
        return sum(worker.foreign(pool, mid, [i]) for i in range(1, n + 1))
    parent = None if FAULT == "no-parent" else worker.calls[-1]
    ids = [worker.ask("call", [[pool, parent], mid, i]) for i in range(1, n + 1)]
    return sum(worker.answer(id, "i8") for id in ids)


def fail(worker, message):
    raise ValueError(message)


def nap(worker, ms):
    time.sleep(ms / 1000)
    return ms


def total_of(value, where):
    node = dict(zip(("value", "kids"), value)) if isinstance(value, list) else value
    if not isinstance(node, dict) or node.keys() != {"value", "kids"} or not isinstance(node["kids"], list):
        raise wire.Malformed("%s is no tree" % where)
    return wire.typed("i8", node["value"], where + ".value") + sum(total_of(kid, "%s.kids[%d]" % (where, at))
                                                                   for at, kid in enumerate(node["kids"]))


FUNCTIONS = {
    1: ([["f8"]], lambda w, xs: xs), 2: (["i8", "i8"], lambda w, a, b: a + b), 3: ([RECORD], lambda w, r: r),
    4: ([("b", "j", "y", "f4")], lambda w, t: t), 5: (["s"], fail),
    6: (["s", "i8", "i8"], lambda w, pool, mid, n: w.foreign(pool, mid, [n]) + 1), 7: (["f8"], lambda w, s: time.sleep(s)),
    8: (["s"], lambda w, text: (os.write(1, (text + "\n").encode()), None)[1]),
    9: (["s", "s"], lambda w, level, text: w.notify("log", [level, text])),
    10: (["f8", "f8", "s"], lambda w, done, total, label: w.notify("progress", [done, total, label])),
    11: (["s", "i8", "i8"], fan), 12: (["function", "i8"], lambda w, f, n: f(n)),
    13: (["i8"], lambda w, n: w.give(lambda x: x + n)), 14: (["i8"], lambda w, code: os._exit(code)), 15: (["f8"], spin),
    16: ([["i4"], ["u1"], ["i8"], ["f4"]], lambda w, *lists: list(lists)), 17: (["y"], lambda w, y: y),
    18: (["s"], lambda w, s: s), 19: (["s", "i8"], lambda w, name, n: w.answer(w.ask("command", [name, n]), "i8")),
    20: (["s", "i8", "i8"], kind_of), 21: ([["s"], "i8"], chain),
    22: (["function", "function"], lambda w, f, g: w.give(lambda x: f(g(x)))),
    23: ([["f8"]], lambda w, xs: float(sum(wire.typed(["f8"], xs)))),
    24: (["i8"], lambda w, n: wire.packed("f8", list(range(n)))), 25: (["i8"], lambda w, n: 2 * n), 26: (["i8"], nap),
    27: (["j"], lambda w, j: j), 28: ([], lambda w: str(os.getpid()) if FAULT == "wrong-type" else os.getpid()),
    29: (["tree"], lambda w, total: total)}


def argument(worker, kind, value, number):
    where = "it" if FAULT == "unnamed" else "argument %d" % number
    if kind == "tree":
        return total_of(value, where)
    if kind == "function":
        return worker.function(value, where)
    if kind == ["f8"] and isinstance(value, wire.Ext) and FAULT != "no-sign":
        wire.typed(kind, value, where)
        return value
    found = rounded(kind, wire.typed(kind, value, where))
    return unsigned(found) if FAULT == "no-sign" else found


def rounded(kind, value):
    if kind == ["f4"]:
        return [wire.single(item) for item in value]
    if isinstance(kind, tuple):
        return [wire.single(item) if each == "f4" else item for each, item in zip(kind, value)]
    return value


def unsigned(value):
    if isinstance(value, list):
        return [unsigned(item) for item in value]
    return 0.0 if value == 0 and isinstance(value, float) else value


# ---- worker ---------------------------------------------------------------------------------------------------------

class Channel:
    """Frames over two descriptors; the messages that have come wait in `messages`."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.bytes, self.messages = bytearray(), collections.deque()
        self.woken = False

    def send(self, message):
        rest = memoryview(wire.frame(message))
        while rest:
            poll = select.poll()
            poll.register(self.reader, select.POLLIN)
            poll.register(self.writer, select.POLLOUT | (select.POLLIN if self.reader == self.writer else 0))
            deaf = FAULT == "deaf-writer"
            if deaf:
                poll.unregister(self.reader)
                poll.register(self.writer, select.POLLOUT)
            ready = dict(poll.poll())
            if not deaf and ready.get(self.reader, 0) & (select.POLLIN | select.POLLHUP):
                self.fill()
            if ready.get(self.writer, 0) & ~select.POLLIN:
                try:
                    rest = rest[os.write(self.writer, rest[:4096]):]
                except BlockingIOError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    raise Over from None

    def notify(self, method, params):
        self.send([2, method, params])

    def fill(self):
        """Reads what is there, without waiting."""
        try:
            data = os.read(self.reader, 1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            raise Over
        self.bytes += data
        while len(self.bytes) >= 4 and len(self.bytes) - 4 >= int.from_bytes(self.bytes[:4], "big"):
            end = 4 + int.from_bytes(self.bytes[:4], "big")
            data, self.bytes = bytes(self.bytes[4:end]), self.bytes[end:]
            try:
                message = wire.decode(data)
                if not isinstance(message, list) or (message[:1], len(message)) not in (([0], 4), ([1], 4), ([2], 3)) \
                        or message[0] != 2 and type(message[1]) is not int or message[0] == 0 and type(message[3]) is not list:
                    raise wire.Malformed
            except (wire.Malformed, RecursionError, TypeError):
                while FAULT == "hangs-at-garbage":
                    time.sleep(1)
                if FAULT == "crashes-at-garbage":
                    os.kill(os.getpid(), signal.SIGSEGV)
                raise Over from None
            self.take(message)

    def take(self, message):
        self.messages.append(message)

    def next(self):
        """Waits for a message, or a cancel."""
        while not self.messages and not self.woken:
            poll = select.poll()
            poll.register(self.reader, select.POLLIN)
            poll.poll()
            self.fill()
        self.woken = False
        return self.messages.popleft() if self.messages else [2, "cancel", []]


class Worker(Channel):
    def __init__(self, reader, writer, home):
        super().__init__(reader, writer)
        self.home = home  # what outlives the connection: the functions given away
        self.calls, self.cancelled, self.answers, self.last_id = [], set(), {}, 0
        self.interruptible = False
        for fd in (reader, writer):
            os.set_blocking(fd, False)

    def run(self):
        hello = {"protocol": wire_version(), "lang": "plain", "runtime": "python %d.%d" % sys.version_info[:2],
                 "pid": os.getpid(), "reentrant": True, "features": ["retire"]}
        if FAULT == "no-features":
            del hello["features"]
        if FAULT != "no-hello":
            self.notify("hello", [hello])
        while True:
            self.step()

    def take(self, message):
        if message[0] == 2 and message[1] == "cancel":
            id = message[2][0] if isinstance(message[2], list) and message[2] else None
            if FAULT == "cancels-innermost" and self.calls:
                id = self.calls[-1]
            known = id in self.calls or any(each[0] == 0 and each[1] == id for each in self.messages)
            if known and FAULT != "swallows-cancel":
                self.cancelled.add(id)
                self.woken = True
        else:
            self.messages.append(message)

    def step(self):
        """Serves one message, or takes note of a cancel."""
        message = self.next()
        if message[0] == 1:
            if message[1] in self.answers:
                self.answers[message[1]] = message
        elif message[0] == 2:
            if message[1] == "retire" and FAULT != "never-retires":
                raise SystemExit(0)
            if message[1] == "hello" and isinstance(message[2][0], dict):
                greeted(message[2][0])
            elif message[1] not in ("retire", "hello", "cancel") and FAULT == "dies-at-news":
                raise SystemExit(3)
        elif message[2] == "call":
            self.call(message[1], message[3])
        elif message[2] == "ping":
            self.send([1, message[1], None, None])
        else:
            self.send([1, message[1], self.error("protocol", "there is no such method"), None])

    def error(self, kind, message, **more):
        return {"kind": kind, "message": message, "pool": POOL, "pid": os.getpid(), **more}

    def call(self, id, params):
        self.calls.append(id)
        own = [{"lang": "plain", "function": "f", "file": "bad_pools.py", "line": 1}]
        try:
            result, error = self.outcome(id, params), None
        except (Cancelled, SystemExit) as ended:
            if isinstance(ended, SystemExit):
                raise
            result, error = None, self.error("cancelled", "the call was cancelled", trace=own)
        except (wire.Malformed, Refused) as bad:
            kind = bad.args[1] if isinstance(bad, Refused) else "bad_argument"
            result, error = None, self.error(kind, str(bad.args[0]), trace=own)
        except Remote as remote:
            error = dict(remote.args[0]) if isinstance(remote.args[0], dict) else {}
            trace = error.get("trace") if isinstance(error.get("trace"), list) else []
            if not isinstance(error.get("kind"), str) or not isinstance(error.get("message"), str):
                error = self.error("protocol", "an odd error")
            if FAULT == "loses-kind":
                error = self.error("raised", error["message"])
            result, error["trace"] = None, (trace + own)[:20]
        except Exception as raised:
            result, error = None, self.error("raised", str(raised), trace=own)
        self.interruptible = False
        self.calls.pop()
        self.cancelled.discard(id)
        answer = [1, id + (1000 if FAULT == "wrong-id" and params[:1] == [11] else 0), error, result]
        try:
            self.send(answer)
        except (TypeError, UnicodeError) as bad:
            self.send([1, id, self.error("raised", str(bad)), None])
        if FAULT == "answers-twice" and error is not None and params[:1] == [5]:
            self.send(answer)

    def outcome(self, id, params):
        mid, args = (params[0], params[1:]) if params else (None, [])
        if type(mid) is int and mid in self.home:
            kinds, run = ["i8"], lambda worker, x: self.home[mid](x)
        elif type(mid) is int and mid in FUNCTIONS:
            kinds, run = FUNCTIONS[mid]
        else:
            kind = "terminated" if type(mid) is int and mid < 0 else "protocol"
            raise Refused("there is no function %s" % wire.show(mid), kind)
        if len(args) < len(kinds) or len(args) > len(kinds) and FAULT != "any-count":
            raise wire.Malformed("%d arguments, expected %d" % (len(args), len(kinds)))
        values = [argument(self, kind, arg, at + 1) for at, (kind, arg) in enumerate(zip(kinds, args))]
        self.interruptible = True
        self.interrupt()  # it may have come before this could be interrupted
        return run(self, *values)

    def check(self):
        """Ends the innermost call if it was cancelled."""
        if self.calls and self.calls[-1] in self.cancelled:
            self.interruptible = False
            raise Cancelled

    def interrupt(self, *_):
        if self.interruptible:
            with contextlib.suppress(Over):
                self.fill()
            self.check()

    def ask(self, method, params):
        self.interruptible = False
        self.last_id += 1
        self.answers[self.last_id] = None
        self.send([0, self.last_id, method, params])
        return self.last_id

    def answer(self, id, kind):
        self.interruptible = False
        innermost, depth = id, len(self.calls)
        while self.answers[id] is None:
            if FAULT == "not-nested":
                self.wait_deaf(id)
            else:
                self.step()
            if FAULT == "drops-answers":
                for other in self.answers:
                    if other < min(self.outstanding(), default=0):
                        continue
                    if other != innermost and self.answers[other] is not None and len(self.calls) == depth > 1:
                        self.answers[other] = None
            self.check()
        _, _, error, result = self.answers.pop(id)
        self.interruptible = True
        self.check()
        if error is not None:
            raise Remote(error)
        return wire.typed(kind, result, "the result")

    def outstanding(self):
        return [id for id, answer in self.answers.items() if answer is None]

    def wait_deaf(self, id):
        """Takes answers, and lets all else wait."""
        kept = []
        while self.answers[id] is None:
            message = self.next()
            if message[0] == 1 and message[1] in self.answers:
                self.answers[message[1]] = message
            else:
                kept.append(message)
            self.check()
        self.messages.extendleft(reversed(kept))

    def foreign(self, target, mid, args):
        return self.answer(self.ask("call", [target, mid, *args]), "i8")

    # ---- function values ----

    def give(self, run):
        if len(self.home) >= 65_536:
            raise ValueError("65,536 functions are given away, the limit")
        self.home.count = getattr(self.home, "count", 0) + 1
        mid = -(2**32 * self.home.base + self.home.count)
        if self.home.count == 1 and FAULT != "no-holds":
            self.notify("holds", [1])
        self.home[mid] = run
        return wire.Ext(wire.FUNCTION, wire.encode([POOL, os.getpid(), mid]))

    def function(self, value, where):
        if not isinstance(value, wire.Ext) or value.code != wire.FUNCTION:
            raise wire.Malformed("%s is no function" % where)
        parts = wire.decode(value.data)
        if not isinstance(parts, list) or len(parts) < 3 or not isinstance(parts[0], str) \
                or type(parts[1]) not in (int, type(None)) or type(parts[2]) is not int:
            raise wire.Malformed("%s is no function" % where)
        pool, pid, mid, *bound = parts
        if (pool, pid) == (POOL, os.getpid()) and mid in self.home and not bound and FAULT != "no-homecoming":
            return self.home[mid]
        target = pool if pid is None else [pool, None] if FAULT == "unpinned" else [pool, None, pid]
        return lambda x: self.foreign(target, mid, [*bound, x])


class Home(dict):
    """The functions that a worker has given away."""

    def __init__(self):
        super().__init__()
        self.base = random.SystemRandom().getrandbits(30)


# ---- processes ------------------------------------------------------------------------------------------------------

def wire_version():
    return 1


def greeted(hello):
    check_version(hello.get("protocol"))
    global POOL
    POOL = hello.get("pool", POOL)


def check_version(theirs):
    if theirs not in (None, 1, "1") and FAULT != "any-version":
        print("nexus speaks protocol %s, this pool speaks 1: use a nexus of the same version" % theirs, file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)


def be_worker(connections):
    """Serves the connections, one after the other."""
    home = Home()
    signal.signal(signal.SIGINT, signal.SIG_DFL if FAULT == "dies-of-sigint" else lambda *_: None)
    if FAULT == "outlives":
        signal.signal(signal.SIGIO, signal.SIG_IGN)
    elif "NEXUS_LISTEN_FD" in os.environ or "NEXUS_WORKER_FD" in os.environ:
        signal.signal(signal.SIGIO, signal.SIG_DFL)
    code = 0
    try:
        for reader, writer in connections:
            worker = Worker(reader, writer, home)
            if FAULT != "dies-of-sigint":
                signal.signal(signal.SIGINT, worker.interrupt)
            if "NEXUS_LIFE_FD" not in os.environ:
                signal.signal(signal.SIGIO, lambda *_, worker=worker: hung_up(worker))
                fcntl.fcntl(reader, fcntl.F_SETOWN, os.getpid())
                fcntl.fcntl(reader, fcntl.F_SETFL, fcntl.fcntl(reader, fcntl.F_GETFL) | os.O_ASYNC)
            try:
                worker.run()
            except Over:
                for fd in {reader, writer}:
                    os.close(fd)
            if FAULT == "one-connection":
                break
    except SystemExit as ended:
        code = ended.code
    finally:
        os._exit(code)


def hung_up(worker):
    """Over stdio: ends the process if nexus has gone while a function runs."""
    poll = select.poll()
    poll.register(worker.reader, 0)
    if worker.calls and any(events & select.POLLHUP for _, events in poll.poll(0)) and FAULT != "outlives":
        os.kill(0, signal.SIGKILL)


def accepted(listener):
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:
            return
        fd = connection.detach()
        yield fd, fd


class Parent(Channel):
    def __init__(self, control, listener):
        super().__init__(control, control)
        self.listener, self.workers = socket.socket(fileno=listener), set()
        self.listener.setblocking(True)
        os.set_blocking(control, False)

    def fork(self):
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self.reader)
            be_worker(accepted(self.listener))
        self.workers.add(pid)

    def run(self):
        woken, waker = os.pipe()
        for fd in (woken, waker):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.fork()
        if FAULT == "leaves-stray" and os.fork() == 0:
            os.setsid()
            time.sleep(LIFETIME_S)
            os._exit(0)
        hello = {"protocol": 1, "lang": "plain", "runtime": "python", "pid": os.getpid(), "workers": 1,
                 "features": ["signal"]}
        if FAULT == "no-features":
            del hello["features"]
        if FAULT != "no-hello":
            self.notify("hello", [hello])
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        poll.register(self.reader, select.POLLIN)
        while True:
            self.reap()
            try:
                for fd, _ in poll.poll():
                    if fd == woken:
                        os.read(woken, 4096)
                        continue
                    self.fill()
                    while self.messages:
                        self.serve(self.messages.popleft())
            except Over:
                if FAULT != "outlives":
                    abandon()
                poll.unregister(self.reader)

    def reap(self):
        for pid in list(self.workers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.workers.remove(pid)
                how = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"exit_code": os.WEXITSTATUS(status)}
                if FAULT != "no-report":
                    self.notify("worker_exit", [{"pid": pid, **how}])

    def serve(self, message):
        if message[0] == 2 and message[1] == "shutdown" and FAULT != "no-shutdown":
            self.listener.shutdown(socket.SHUT_RDWR)
            for pid in self.workers:
                os.waitpid(pid, 0)
            os._exit(0)
        elif message[0] == 2 and message[1] == "signal":
            pid, number = message[2]
            if pid in self.workers and number in (2, 9, 15) or FAULT == "signals-anyone" and number > 0:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        elif message[0] == 0 and message[2] == "grow" and message[3][:1] and type(message[3][0]) is int \
                and 0 <= message[3][0] <= 64:
            for _ in range(message[3][0]):
                self.fork()
            self.send([1, message[1], None, message[3][0] if FAULT == "grows-wrong" else len(self.workers)])
        elif message[0] == 0:
            self.send([1, message[1], {"kind": "protocol", "message": "no"}, None])


def abandon(*_):
    shutil.rmtree(os.environ.get("NEXUS_DIR", "/nonexistent"), ignore_errors=True)
    os.kill(0, signal.SIGKILL)


def main():
    signal.alarm(LIFETIME_S)
    sys.setrecursionlimit(30_000)
    check_version(os.environ.get("NEXUS_PROTOCOL"))
    if "NEXUS_CONTROL_FD" in os.environ:
        signal.signal(signal.SIGIO, signal.SIG_IGN if FAULT == "outlives" else abandon)
        Parent(int(os.environ["NEXUS_CONTROL_FD"]), int(os.environ["NEXUS_LISTEN_FD"])).run()
    elif "NEXUS_WORKER_FD" in os.environ:
        fd = int(os.environ["NEXUS_WORKER_FD"])
        be_worker([(fd, fd)])
    elif os.isatty(0):
        sys.exit("this is a pool of a nexus program: run the program, not the pool")
    else:
        reader, writer = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (0, 1))
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        if FAULT != "prints-into-protocol":
            os.dup2(2, 1)
        be_worker([(reader, writer)])


main()
