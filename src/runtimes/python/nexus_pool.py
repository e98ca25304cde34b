"""The Python side of a Nexus pool: one file, standard library only, CPython 3.8 or later on Linux.

A pool's script imports this module first, then the user's code, registers functions and serves:

    import nexus_pool
    import stats
    nexus_pool.register(1, stats.mean, args=["[f8]"], returns="f8")
    nexus_pool.serve()

What a function may use:

    f = nexus_pool.foreign("cpp", 1, args=["[f8]"], returns="f8")
    f(xs)                     calls function 1 of the pool cpp and waits for its result
    x = f.start(xs)           the same without waiting, as often as needed; later x.result() or x.result(timeout=2),
                              in any order; x.done() tells whether it is there
    nexus_pool.command("mean", xs)    the result of a command of this program; command.start likewise
    nexus_pool.log("info", text)      a line for nexus's log
    nexus_pool.progress(3, 10, "rows read")
    w = nexus_pool.run(["jq", "-c", ".items[]"], json=True)       a program as a worker process beside this one; or
    w = nexus_pool.run("mean")                                    a command of this program, which takes item after item
    w.send(x); w.receive(timeout=2); w.call(x); w.close()         messages to it and from it, each a line; its input ends
    for x in w: ...           until its output ends; w.wait(), w.kill(), w.alive, w.pid, w.exit_code as one expects

What goes wrong on the other side is a RemoteError: `kind`, `message`, `trace`, `pid`, `exit_code`; Timeout, which is also
a TimeoutError, if its kind is that. A call that nexus cancels ends with Cancelled, a kind of KeyboardInterrupt, wherever
its code stands; `finally` blocks run.

    schema            in Python
    z b s y           None, bool, str, bytes
    <Json>s           what the module json makes of the text: any JSON
    i1..i8 u1..u8 j   int
    f4 f8             float
    ?X                None or X
    [X] a:N X         list; tuple, range, array and NumPy array are taken as well
    [f8] [i4] ...     list; a NumPy array, array.array or memoryview for a parameter that is annotated so (np.ndarray,
                      NDArray[...], as text too), or behind the hint <ndarray>, <array>, <memoryview>; the first two are
                      writable; a large NumPy array or memoryview is the memory that was received, without a copy
    (X,Y)             tuple
    {k:X,l:Y}         dict; an object with such attributes is taken as well. Behind the hint <Person> what the class of that
                      name that the function sees makes of the fields: a dataclass, a NamedTuple
    \\(X,Y)Z           a function: any callable one way; the other way a callable that has `start` too

The parent process loads the code once, forks workers and reports their deaths; it never runs a function. A worker
takes connections from the listening socket it inherited, one at a time, and answers calls on it, one frame at a time;
while a function waits for a foreign call, calls that come back run nested on its stack. Where nexus starts each worker
itself, or speaks through standard input and output (behind ssh and the like), this process is the worker.

What it does not do: run functions in threads, restart a worker that died (nexus asks for another).
It imports little, because the start of a pool is the start of a command: `socket`, `signal` and `struct` are layers
over the built-in modules used here, and cost milliseconds.
"""
import gc
import os
import sys
from itertools import repeat
from time import monotonic

import _signal
import _socket
import _thread
from _struct import Struct, error as StructError, pack, unpack

__all__ = ["Cancelled", "EndOfStream", "Future", "Mismatch", "RemoteError", "SchemaError", "Timeout", "Worker", "command",
           "foreign", "log", "progress", "register", "run", "select", "serve"]

PROTOCOL = 1
RUNTIME = "python %d.%d.%d" % sys.version_info[:3]

# The length of a frame is a u32; nexus keeps 1 KiB of it for the envelope under which it passes the frame on.
FRAME_BYTES_MAX = 2**32 - 1 - 1024
# Read at once: more than a Unix socket holds by default, so that a large frame takes few system calls.
READ_BYTES = 1 << 18
# A frame from here on is sent from where its parts lie, and received into memory that its numbers may stay in.
LARGE_BYTES = 1 << 20
# A part that is worth a system call of its own.
PART_BYTES = 1 << 16
# Written at once to a pipe: what it takes whole, without blocking, once it has room.
PIPE_BYTES = 4096
# A cancel is shorter; larger messages need not be looked into to find one.
CANCEL_BYTES_MAX = 64
# Grown at once, a guard against a nonsensical request: nexus asks for as many as there are cores.
GROW_WORKERS_MAX = 1024
# Calls nested on one worker's stack; nexus stops at 65 536 open ones. Before 3.12 the machine's stack may end earlier:
# it is raised to so much (the kernel keeps 128 MiB free below it in any case), half of it for the last call's own code.
NESTED_CALLS_MAX = 60_000
STACK_BYTES = 192 << 20
# Nested calls between two looks at the stack, and interpreter frames that each call may take without one. From 3.12 on
# frames of Python code lie on the heap, and what C code takes of the stack is counted apart.
LOOK_CALLS = 32
CALL_FRAMES = 50 if sys.version_info >= (3, 12) else 10
# What this file needs of either count to take a call and answer it.
ROOM_FRAMES = 24
# Frames of a worker without nested calls: a value of the 512 levels that nexus lets through takes four per level.
FRAMES_MIN = 4000
# Function values that a worker keeps for others: they stay as long as it lives.
GIVEN_MAX = 65_536
# What an error carries at most: a runaway recursion stays readable, and small to relay.
TRACE_ENTRIES_MAX = 100
MESSAGE_BYTES_MAX = 10_000
QUOTED_CHARS_MAX = 60
LOG_BYTES_MAX = 1 << 20
# Twenty steps a second are as much as an eye sees.
PROGRESS_S = 0.05
# From here on msgpack, where it is installed, repays the 5 to 10 ms of its import.
BULK_ELEMENTS = 10_000
BULK_BYTES = 1 << 18


# ---- from nexus's start to its death --------------------------------------------------------------------------------
# On import, not in serve(): user code that loads for minutes must not outlive nexus, nor print into the protocol.

def check_version(theirs):
    if str(theirs) != str(PROTOCOL):
        raise SystemExit("nexus speaks version %s of the pool protocol, this nexus_pool.py version %d: "
                         "replace it with the output of `nexus runtime py`" % (theirs, PROTOCOL))


def abandon(*_signal_arguments):
    """Nexus is gone: removes its temporary directory and kills the whole process group, this process included."""
    try:
        for path, folders, files in os.walk(os.environ.get("NEXUS_DIR", ""), topdown=False):
            for name in files + folders:
                remove(os.path.join(path, name))
            remove(path)
    finally:
        os.kill(0, _signal.SIGKILL)


def remove(path):
    """Removes a file or an empty directory, if it can: the other pools of the program are at it too."""
    for attempt in (os.unlink, os.rmdir):
        try:
            return attempt(path)
        except OSError:
            pass


def descriptor(name):
    """One that nexus passed, no longer for programs that this process starts; None without it."""
    number = os.environ.get(name)
    try:
        number is not None and os.set_inheritable(int(number), False)
    except OSError:
        number = None  # a program that was started by a pool has the variable, not the descriptor
    return None if number is None else int(number)


def take_stdio():
    """Takes standard input and output for the protocol: their new numbers. What user code and its children read and
    print under the old ones is nothing, and standard error."""
    if os.isatty(0):
        raise SystemExit("this is a pool of a nexus program: run the program, not the pool")
    taken = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return taken


def imported_by_script():
    """Whether the script that runs imports this itself, as a pool does; not a test or tool that uses its functions."""
    step = sys._getframe(1)
    while step is not None and (step.f_globals is globals() or step.f_code.co_filename.startswith("<frozen importlib")):
        step = step.f_back
    return step is not None and step.f_globals.get("__name__") == "__main__"


check_version(os.environ.get("NEXUS_PROTOCOL", PROTOCOL))
# Of the pool's script: files below it are named from there in traces.
folder = os.path.join(os.path.dirname(os.path.abspath(getattr(sys.modules["__main__"], "__file__", ""))), "")
LIBRARY = os.path.join(os.path.dirname(os.__file__), "")  # Python's own code, and <frozen ...>, stay out of traces
pool_name = os.environ.get("NEXUS_POOL", "")
control_fd, listen_fd, worker_fd = map(descriptor, ("NEXUS_CONTROL_FD", "NEXUS_LISTEN_FD", "NEXUS_WORKER_FD"))
stdio_fds = None
if control_fd is not None:
    _signal.signal(_signal.SIGIO, abandon)
elif worker_fd is None and imported_by_script() and not os.isatty(0):
    stdio_fds = take_stdio()
if control_fd is not None or worker_fd is not None or stdio_fds is not None:
    descriptor("NEXUS_LIFE_FD")
    # Prints go to a pipe that nexus drains: they should arrive while the function still runs.
    sys.stdout.reconfigure(line_buffering=True)


# ---- the interface --------------------------------------------------------------------------------------------------

CO_COROUTINE = 0x80  # as inspect has it
functions = {}  # by mid; those with a negative one are function values that this worker gave away
running = None  # the Server that this process is


def register(mid, fn, args, returns, keywords=()):
    """Makes `fn` callable as `mid`. `args` and `returns` are schemas; they are read when first used. The last arguments are
    passed by the names in `keywords`."""
    signature = Signature(getattr(fn, "__qualname__", type(fn).__qualname__), args, returns, fn)
    if getattr(getattr(fn, "__code__", None), "co_flags", 0) & CO_COROUTINE:
        fn = waited(fn)
    functions[mid] = by_name(fn, keywords) if keywords else fn, signature


def waited(fn):
    """What calls an async function and waits for its result."""
    def call(*args, **keywords):
        import asyncio
        return asyncio.run(fn(*args, **keywords))
    return call


def by_name(fn, keywords):
    def call(*args):
        first = len(args) - len(keywords)
        return fn(*args[:first], **dict(zip(keywords, args[first:])))
    return call


def serve():
    """Serves nexus; never returns."""
    if control_fd is not None:
        Parent(control_fd, listen_fd).run()
    if worker_fd is not None:
        serve_alone(Channel(worker_fd))
    serve_alone(Stdio(*(stdio_fds or take_stdio())))


def foreign(pool, mid, args, returns):
    """A callable that calls function `mid` of another pool. It raises RemoteError with whatever the function raised.
    Its `start` takes the same arguments and returns a Future."""
    return caller([pool, None, mid], Signature("function %d of pool %s" % (mid, pool), args, returns))


def command(name, *args):
    """The result of a command of this program. Arguments and result have no schema here: records are dicts.
    `command.start` takes the same arguments and returns a Future."""
    return untyped(here().talk(Server.request, "command", [name, *args]))


def start_command(name, *args):
    worker = here()
    return Future(worker.talk(Server.start, "command", [[name, worker.calls[-1]], *args]), untyped)


command.start = start_command


def log(level, text):
    """Sends a line to nexus's log, or to stderr from where nexus can't be reached: while loading, from a thread."""
    level, text = clean(str(level)), clean(str(text), LOG_BYTES_MAX)
    try:
        worker = here()
    except RuntimeError:
        return print("%s: %s" % (level, text), file=sys.stderr)
    worker.talk(Server.tell, "log", [level, text])


def progress(done, total=None, label=""):
    """Tells nexus that `done` of `total` steps are done. It may be called as often as is convenient: nexus hears of it
    some twenty times a second, of the first and the last in any case, and from a thread not at all."""
    done, total = [number if number is None or type(number) is int else float(number) for number in (done, total)]
    try:
        worker = here()
    except RuntimeError:
        return
    worker.progress([done, total, clean(str(label))])


def here():
    """The worker that this code runs in. Only the thread that runs the function may use its connection."""
    if running is None or _thread.get_ident() != running.thread or not running.user:
        raise RuntimeError("nexus can be called only by a function that nexus called, in the same process and thread")
    return running


class Future:
    """The result to come of a call that was started. It belongs to the call that started it, and ends with it; dropped
    without a look at the result, it leaves nothing behind."""

    def __init__(self, id, decode):
        self.id, self.decode, self.answer = id, decode, None

    def result(self, timeout=None):
        """Waits for the result, at most `timeout` seconds. Raises RemoteError if the call failed, or TimeoutError."""
        if self.answer is None:
            self.answer = here().talk(Server.collect, self.id, None if timeout is None else monotonic() + timeout)
            if self.answer is None:
                raise TimeoutError("the result of a call did not come in %s s" % timeout)
        return self.decode(succeeded(self.answer))

    def done(self):
        """Whether the result is there. Calls that came back meanwhile are run first."""
        if self.answer is None:
            self.answer = here().talk(Server.collect, self.id, 0)
        return self.answer is not None

    def __del__(self):
        if running is not None:
            running.answers.pop(self.id, None)


def succeeded(answer):
    """The result in what nexus answered, or the error in it, raised."""
    if isinstance(answer, Malformed):
        raise answer
    error, result = answer
    if error is not None:
        late = type(error) is dict and error.get("kind") == "timeout"
        raise (Timeout if late else RemoteError)(error)
    return result


# ---- worker processes -----------------------------------------------------------------------------------------------

# What a worker that is left alone has to end by itself, as at the end of its call.
GRACE_S = 2


def run(what, *, json=False, text=True, timeout=None, env=None, cwd=None, stdin=None, stdout=None, stderr=None,
        detach=False, whole=False, args=None, returns=None):
    """Starts a process beside this one: its Worker.

    A list is a program and its arguments, never a shell. Its messages are lines: of text; bytes, without `text`; JSON
    texts of any values, with `json`. With `whole`, what is sent goes as it is, and all of its output is one message.
    A name is a command of this program: its messages are arguments and results, by the schemas `args` and `returns` as
    for `foreign`, or without.

    It is ended after `timeout` seconds, and with the call that started it, unless `detach`. The streams are "pipe" (of
    `stderr`: "inherit"), "inherit" or "null"; `env` is added to the environment."""
    options = {"timeout_ms": milliseconds(timeout), "env": env, "cwd": None if cwd is None else os.fspath(cwd),
               "stdin": stdin, "stdout": stdout, "stderr": stderr, "detach": detach or None,
               "framing": "whole" if whole else None}
    if isinstance(what, str):
        worker, start = Worker(what, *command_messages(what, args, returns)), {"command": what}
    else:
        words = list(map(os.fspath, what))
        worker, start = Worker(" ".join(words), *program_messages(json, text)), {"argv": words}
    start.update({key: value for key, value in options.items() if value is not None})
    worker.handle, worker.pid = host("run", start)
    return worker


def program_messages(json, text):
    """What makes the bytes of a message, and the message of bytes."""
    def encoded(message):
        if json:
            message = dumps(message)
        return message.encode() if isinstance(message, str) else bytes(memoryview(message))

    if json:
        from json import dumps, loads
        return encoded, loads
    return encoded, bytes.decode if text else bytes


def command_messages(name, args, returns):
    """The same: a message to a command is its arguments, one from it its error and its result."""
    if args is returns is None:
        return lambda *message: message, lambda wire: untyped(succeeded(wire))
    signature = Signature("command " + name, args or [], returns or "z")
    return (lambda *message: signature.arguments("encode", message),
            lambda wire: signature.result("decode", succeeded(wire)))


def select(workers, timeout=None):
    """The first of these that has a message, and the message. EndOfStream, with its `worker`, if its output ended."""
    at, found = host("select", [worker.handle for worker in workers], milliseconds(timeout))
    return workers[at], workers[at].opened(found)


def host(method, *params):
    return here().talk(Server.request, method, list(params))


def milliseconds(seconds):
    return None if seconds is None else max(0, round(seconds * 1000))


class Worker:
    """A program or command that runs in a process of its own. As a context manager it is closed at the end, and killed
    if it has not ended two seconds later; killed at once if the block fails."""

    def __init__(self, name, encoded, decoded):
        self.name, self.encoded, self.decoded = name, encoded, decoded

    def __repr__(self):
        return "worker %s, process %s" % (self.name, self.pid)

    def send(self, *message):
        """Returns at once. RemoteError of kind `io` if a thousand messages wait already, or its input is closed."""
        host("send", self.handle, self.encoded(*message))

    def receive(self, timeout=None):
        """The next message, waited for at most `timeout` seconds, then Timeout. EndOfStream when there will be none."""
        return self.opened(host("receive", self.handle, milliseconds(timeout)))

    def call(self, *message, timeout=None):
        """Sends, and receives one message."""
        self.send(*message)
        return self.receive(timeout)

    def close(self):
        """Its input ends. It may have been closed before."""
        host("close", self.handle)

    def kill(self, signal=_signal.SIGKILL):
        host("kill", self.handle, int(signal))

    def wait(self, timeout=None):
        """Its exit code, once it has ended; 128 and the signal's number if one ended it."""
        return code_of(host("wait", self.handle, milliseconds(timeout)))

    @property
    def alive(self):
        return host("status", self.handle)["alive"]

    @property
    def exit_code(self):
        """None while it runs."""
        return code_of(host("status", self.handle))

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.receive()
        except EndOfStream:
            raise StopIteration from None

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if failed is None:
            self.close()
            try:
                self.wait(GRACE_S)
            except Timeout:
                self.kill()
        elif not issubclass(failed, Cancelled):  # nexus ends those of a cancelled call
            self.kill()

    def opened(self, found):
        if not found:
            raise EndOfStream(self)
        return self.decoded(found[0])


def code_of(status):
    return 128 + status["signal"] if status.get("signal") else status.get("exit_code")


# ---- errors ---------------------------------------------------------------------------------------------------------

class RemoteError(Exception):
    """A foreign call, command or worker that failed. `error` is all of it; `kind`, `message`, `trace`, `pid` and `exit_code`
    are its parts."""

    def __init__(self, error):
        self.error = error if type(error) is dict else {}
        self.kind, self.message = self.error.get("kind"), self.error.get("message")
        if type(self.kind) is not str or type(self.message) is not str:
            self.kind, self.message = "protocol", "an error came without a kind and a message: " + quote(error)
            self.error = {**self.error, "kind": self.kind, "message": self.message}
        self.trace, self.pid, self.exit_code = map(self.error.get, ("trace", "pid", "exit_code"))
        super().__init__(self.message)


class Timeout(RemoteError, TimeoutError):
    """What did not come in time."""


class EndOfStream(EOFError):
    """The output of `worker` has ended, and all of it was received."""

    def __init__(self, worker):
        super().__init__("the output of %s has ended" % worker)
        self.worker = worker


class Cancelled(KeyboardInterrupt):
    """Ends a function: nexus cancelled its call `id`, or (None) closed the connection. What people and libraries do on
    Ctrl-C is right here too."""

    def __init__(self, id=None):
        super().__init__("nexus closed the connection" if id is None else "the call was cancelled")
        self.id = id


class SchemaError(ValueError):
    """A schema that can't be read, or that Python has no value for."""


class Malformed(ValueError):
    """Bytes that are not the message they should be."""


class Mismatch(TypeError):
    """A value that does not have the declared type; `path` leads to it."""

    def __init__(self, expected, found):
        super().__init__(expected, found)
        self.path = ""

    def within(self, step):
        """The same error, seen from the container of the value."""
        self.path = step + self.path
        return self

    def __str__(self):
        return "%s: expected %s, found %s" % (self.path.rstrip(", ") or "a value", *self.args)


def quote(value):
    """A value in an error: its type, and its text where that is cheap to make."""
    kind = type(value).__name__
    if isinstance(value, (list, tuple, dict)):
        return "%s of length %d" % (kind, len(value))
    if isinstance(value, (str, bytes)):
        return "%s %r%s" % (kind, value[:QUOTED_CHARS_MAX], "..." if len(value) > QUOTED_CHARS_MAX else "")
    if isinstance(value, int) and value.bit_length() > 256:
        return "%s of %d bits" % (kind, value.bit_length())
    return "%s %r" % (kind, value) if isinstance(value, (int, float)) else kind


def clean(text, limit=MESSAGE_BYTES_MAX):
    """A text that UTF-8 can carry, cut to a bearable length."""
    data = text[:limit + 1].encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    return "%s... (cut: %d characters)" % (data[:limit].decode("utf-8", "ignore"), len(text))


def describe(error, function):
    """An exception as the error of a response; its trace is innermost first and has the frames of the user's code."""
    trace = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        file = os.path.normpath(code.co_filename)
        if code.co_filename != describe.__code__.co_filename and (not file.startswith((LIBRARY, "<frozen")) or "-packages" in file):
            trace.append({"lang": "py", "function": clean(getattr(code, "co_qualname", code.co_name)),
                          "file": clean(file[len(folder):] if file.startswith(folder) else file), "line": step.tb_lineno})
        step = step.tb_next
    trace.reverse()
    remote = isinstance(error, RemoteError)
    if remote:
        trace = [*(error.trace if type(error.trace) is list else []), *trace]
    del trace[TRACE_ENTRIES_MAX // 2:-(TRACE_ENTRIES_MAX // 2)]
    if remote:
        return {**error.error, "trace": trace}
    try:
        message = str(error)
    except Exception:
        message = "(its message can't be made)"
    kind = "cancelled" if isinstance(error, Cancelled) else "raised"
    # What this file found wrong around the function is a sentence by itself, without the name of a Python type.
    if kind == "raised" and (trace or not isinstance(error, (Mismatch, Malformed))):
        message = type(error).__name__ + (": " + message if message else "")
    return failure(kind, message, function=clean(function), trace=trace)


def failure(kind, message, **more):
    return {"kind": kind, "message": clean(message), "pool": pool_name, "pid": os.getpid(), **more}


# ---- types ----------------------------------------------------------------------------------------------------------
# Wire values are what msgpack can say: None, bool, int (of any size: ext type 11), float, str, bytes, list or tuple,
# dict, Numbers, and Ext for function values.

class Type:
    """A schema, compiled: `encode` checks a Python value and gives the wire value, `decode` the reverse."""

    def __init__(self, text, encode, decode):
        self.text, self.encode, self.decode = text, encode, decode


class Ext:
    """A value of one of msgpack's ext types."""

    def __init__(self, code, data):
        self.code, self.data = code, data


class Numbers(Ext):
    """A packed list: `code` is its ext type, `data` its elements, little-endian."""

    def list(self):
        name, form = ELEMENTS[self.code]
        return list(unpack("<%d%s" % (len(self.data) // int(name[1]), form), self.data))


# The msgpack ext types: name of the element, struct format.
ELEMENTS = {1: ("i1", "b"), 2: ("i2", "h"), 3: ("i4", "i"), 4: ("i8", "q"), 5: ("u1", "B"), 6: ("u2", "H"),
          7: ("u4", "I"), 8: ("u8", "Q"), 9: ("f4", "f"), 10: ("f8", "d")}
BIG_INTEGER = 11
FUNCTION = 12


def exactly(value, kinds):
    """`value` as exactly one of these types, also from a subclass or a NumPy scalar; else TypeError."""
    if getattr(value, "shape", None) == ():
        value = value.item()
    for kind in kinds:
        if isinstance(value, kind) and (kind is bool or type(value) is not bool):
            return PLAIN.get(kind, kind)(value)
    raise TypeError


# What makes the plain value of a subclass: calling the type asks the subclass, and an enum answers with its name.
PLAIN = {int: int.__index__, float: float.__float__, str: str.__str__}


def scalar(text, meaning, kinds, convert=None):
    def checked(value):
        try:
            exact = value if type(value) is kinds[0] else exactly(value, kinds)
            return exact if convert is None else convert(exact)
        except (TypeError, ValueError, OverflowError):
            raise Mismatch("%s (%s)" % (text, meaning), quote(value)) from None

    return Type(text, checked, checked)


def integer(text):
    low, high = limits(text)
    allowed = range(low, high + 1)
    return scalar(text, "an integer from %d to %d" % (low, high), [int], lambda value: allowed[allowed.index(value)])


def limits(text):
    bits = 8 * int(text[1])
    return (-1 << bits - 1, (1 << bits - 1) - 1) if text[0] == "i" else (0, (1 << bits) - 1)


SCALARS = {atom.text: atom for atom in (
    *[integer(name) for name, _ in ELEMENTS.values() if name[0] != "f"],
    scalar("f4", "a float in single precision", [float, int], lambda value: unpack("<f", pack("<f", value))[0]),
    scalar("f8", "a float", [float, int], float),
    scalar("j", "an integer", [int]),
    scalar("b", "a bool", [bool]),
    scalar("s", "a str, valid as UTF-8", [str], lambda value: value if value.isascii() else value.encode().decode()),
    scalar("y", "bytes", [bytes, bytearray, memoryview], bytes),
    scalar("z", "None", [type(None)]))}


def any_json():
    """Any JSON, on the wire as its text."""
    import json

    def encode(value):
        try:
            return json.dumps(value, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError):
            raise Mismatch("<Json>s (what JSON can hold)", quote(value)) from None

    return Type("<Json>s", encode, json.loads)


def optional(inner):
    def maybe(convert):
        return lambda value: None if value is None else convert(value)

    return Type("?" + inner.text, maybe(inner.encode), maybe(inner.decode))


def each(converts, values, step="[%d]".__mod__):
    """The converted values; `step` is the path from the container to the one that does not fit."""
    converted = []
    try:
        for convert, value in zip(converts, values):
            converted.append(convert(value))
    except Mismatch as error:
        raise error.within(step(len(converted)))
    return converted


def sequence(text, values, length):
    """`values` if they are a list, tuple, range, array or NumPy array, or a packed list, of that length (None: any)."""
    values = values.list() if type(values) is Numbers else values
    if not isinstance(values, (list, tuple, range)):
        if not hasattr(values, "tolist") or getattr(values, "shape", None) == ():
            raise Mismatch(text, quote(values))
    if length is not None and len(values) != length:
        raise Mismatch(text, quote(values))
    return values


def list_of(inner, length=None, made=None):
    text = "[%s]" % inner.text if length is None else "a:%d%s" % (length, inner.text)

    def encode(values):
        return each(repeat(inner.encode), sequence(text, values, length))

    def decode(wire):
        return each(repeat(inner.decode), sequence(text, wire, length))

    for code, (name, form) in ELEMENTS.items():
        if inner.text == name:
            return packed(Type(text, encode, decode), code, form, length, made)
    return Type(text, encode, decode)


def packed(plain, code, form, length, made):
    """A list of numbers of one width: sent packed, read packed or as the plain list that it also is. `made`, if it is
    given, makes what user code gets instead of a list."""
    name, exact = ELEMENTS[code][0], {float, int} if form in "fd" else {int}

    def encode(values):
        data = buffer(values, form, name) if length is None else None
        if data is None:
            values = sequence(plain.text, values, length)
            if not exact.issuperset(map(type, values)):
                values = plain.encode(values)
            try:
                data = pack("<%d%s" % (len(values), form), *values)
            except (StructError, OverflowError):
                plain.encode(values)  # finds the number that is out of range
                raise
        return Numbers(code, data)

    def decode(wire):
        same = type(wire) is Numbers and wire.code == code
        if made is not None:
            whole = same and length is None
            return made(name, form, wire.data if whole else b"", () if whole else plain.decode(wire))
        return sequence(plain.text, wire, length) if same else plain.decode(wire)

    return Type(plain.text, encode, decode)


def buffer(values, form, name):
    """The elements of a one-dimensional NumPy array or other buffer, as they go over the wire; None if their type or
    their range does not fit, or it is no such thing: then each is looked at."""
    try:
        view = memoryview(values)
    except (BufferError, TypeError, ValueError):
        return None
    kinds = next(kinds for kinds in ("fd", "bhilq", "BHILQ") if form in kinds)
    if view.ndim != 1 or sys.byteorder != "little":
        return None
    if view.format.lstrip("<=@") in kinds and view.itemsize == Struct("<" + form).size:
        lies = view.nbytes >= LARGE_BYTES and view.c_contiguous and view.format in kinds
        return view.cast("B") if lies else view.tobytes()
    kind = getattr(getattr(values, "dtype", None), "kind", None)
    if kind not in ("iuf" if form in "fd" else "iu") or not len(values):
        return None
    import numpy
    if form in "fd":
        with numpy.errstate(over="ignore"):
            cast = values.astype("<" + name)
        fits = (numpy.isfinite(cast) | ~numpy.isfinite(values)).all()
    else:
        low, high = limits(name)
        fits = low <= int(values.min()) and int(values.max()) <= high
        cast = values.astype("<" + name) if fits else None
    return cast.tobytes() if fits else None


def as_ndarray(name, _form, data, values):
    """A NumPy array with memory of its own, or that of a large frame: writable, and aligned."""
    import numpy
    if not data:
        return numpy.array(values, name)
    found = numpy.frombuffer(data, "<" + name)
    return found if found.flags.behaved else found.astype(name)


def as_array(_name, form, data, values):
    from array import array
    made = array(form, values)
    made.frombytes(data)
    if data and sys.byteorder == "big":
        made.byteswap()
    return made


def as_view(name, form, data, values):
    if data and sys.byteorder == "little":
        return memoryview(data).cast(form)
    return memoryview(as_array(name, form, data, values))


def wanted(text, otherwise=None):
    """What makes a list of numbers that `text`, a hint or an annotation, asks for."""
    if "ndarray" in text.lower():
        return as_ndarray
    if "array.array" in text or text == "array" or text.startswith("array["):
        return as_array
    if "memoryview" in text:
        return as_view
    return None if text == "list" else otherwise


def annotations(fn):
    """What the parameters of a function are annotated with, in order, as texts; and the names that it sees."""
    try:
        while hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        if isinstance(fn, type):
            fn = fn.__init__.__get__(fn)
        elif not hasattr(fn, "__code__"):
            fn = fn.__call__
        code, found, seen = fn.__code__, fn.__annotations__, fn.__globals__
    except Exception:  # a function of C has none; to look at them may run user code
        return repeat(""), {}
    positional, named = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    names = [*code.co_varnames[hasattr(fn, "__self__"):positional]]
    if code.co_flags & 4:  # *args
        names += [code.co_varnames[named]] * 256
    else:
        names += code.co_varnames[positional:named]
    notes = [found.get(name, "") for name in names]
    return [*[note if isinstance(note, str) else repr(note) for note in notes], *[""] * 256], seen


def tuple_of(inners):
    text = "(%s)" % ",".join([inner.text for inner in inners])

    encoders, decoders = both(inners)
    return Type(text, lambda values: tuple(each(encoders, sequence(text, values, len(inners)))),
                lambda wire: tuple(each(decoders, sequence(text, wire, len(inners)))))


def both(inners):
    return [inner.encode for inner in inners], [inner.decode for inner in inners]


def record_of(fields, made=dict):
    """A dict in Python, or what a class makes of the fields; an object with these attributes is taken as well."""
    text = "{%s}" % ",".join(["%s:%s" % (key, inner.text) for key, inner in fields])
    count, fields = len(fields), dict(fields)
    keys = list(fields)
    if len(keys) != count:
        raise SchemaError("record %s repeats a key" % text)

    def step(index):
        return "." + keys[index]

    def convert(converts, value):
        if not isinstance(value, dict):
            raise Mismatch(text, quote(value))
        if value.keys() != fields.keys():
            missing = [key for key in keys if key not in value and not fields[key].text.startswith("?")]
            unknown = [key for key in value if key not in fields]
            if missing or unknown:
                raise Mismatch(text, "no key %r" % missing[0] if missing else "an unknown key, " + quote(unknown[0]))
        return dict(zip(keys, each(converts, [value.get(key) for key in keys], step)))

    def encode(value):
        if not isinstance(value, dict):
            value = {key: getattr(value, key) for key in keys if hasattr(value, key)} or value
        return convert(encoders, value)

    def decode(wire):
        if type(wire) is not dict:
            wire = dict(zip(keys, sequence(text, wire, len(keys))))
        found = convert(decoders, wire)
        return found if made is dict else made(**found)

    encoders, decoders = both(fields.values())
    return Type(text, encode, decode)


def function_of(args, returns):
    """A function value: a reference to a function in some pool, which calls it there."""
    text = "\\(%s)%s" % (",".join([arg.text for arg in args]), returns.text)

    def signed(name):
        return Signature(name, args, returns, read=True)

    def encode(fn):
        if not callable(fn):
            raise Mismatch(text, quote(fn))
        reference = getattr(fn, "nexus_reference", None)
        out = []
        write(reference if type(reference) is list else given(fn, text, signed), out)
        return Ext(FUNCTION, b"".join(out))

    def decode(wire):
        try:
            if type(wire) is not Ext:
                raise Malformed
            (pool, pid, mid, *bound), end = read(wire.data, 0)
            types = [end == len(wire.data), type(pool) is str, type(mid) is int, pid is None or type(pid) is int]
            if not all(types):
                raise Malformed
        except Exception:
            raise Mismatch(text, quote(wire)) from None
        if pool != pool_name or pid not in (None, os.getpid()):
            return caller([pool, pid, mid, *bound], signed("a function value of pool %s" % pool))
        if mid not in functions:
            raise RemoteError(no_function(mid))
        return at_home([pool, pid, mid, *bound])

    return Type(text, encode, decode)


def given(fn, text, signed):
    """The reference to a function of this worker: registered with these types, given away before, or new."""
    for mid in mids_of.get(id(fn), ()) or remember_mids(fn):
        known, signature = functions[mid]
        if known is fn and signature.text() == text:
            return [pool_name, os.getpid() if mid < 0 else None, mid]
    global given_count, given_base
    if given_count >= GIVEN_MAX:
        raise ValueError("this worker has given away %d function values, the limit" % GIVEN_MAX)
    if not given_count:
        given_base = int.from_bytes(os.urandom(4), "big") >> 2 << 32
    given_count += 1
    if given_count == 1:
        here().talk(Server.tell, "holds", [given_count])  # from now on nexus may not end this worker
    mid = -(given_base + given_count)
    functions[mid] = fn, signed(getattr(fn, "__qualname__", type(fn).__qualname__))
    mids_of.setdefault(id(fn), []).append(mid)
    return [pool_name, os.getpid(), mid]


def remember_mids(fn):
    """The mids of a registered function; all are noted, which happens once."""
    if not mids_of:
        for mid, (known, _) in functions.items():
            mids_of.setdefault(id(known), []).append(mid)
    return mids_of.get(id(fn), ())


mids_of = {}  # by id of a function in `functions`, which keeps it alive
given_count = given_base = 0


def no_function(mid):
    if type(mid) is int and mid < 0:
        return failure("terminated", "the function value is no longer there: it lived in a worker that has ended")
    return failure("protocol", "the pool has no function %s" % quote(mid))


def caller(reference, signature):
    """A callable for the function of `reference`: pool, pid (None: any worker), mid, and arguments that go first."""
    pool, pid, *first = reference

    def call(*values):
        target = pool if pid is None else [pool, None, pid]
        params = [target, *first, *signature.arguments("encode", values)]
        return signature.result("decode", here().talk(Server.request, "call", params))

    def start(*values):
        worker = here()
        target = [pool, worker.calls[-1]] if pid is None else [pool, worker.calls[-1], pid]
        params = [target, *first, *signature.arguments("encode", values)]
        return Future(worker.talk(Server.start, "call", params), lambda wire: signature.result("decode", wire))

    call.start, call.nexus_reference, call.__qualname__ = start, reference, signature.name
    return call


def at_home(reference):
    """The same for a function of this worker, which runs as it is, without nexus."""
    _, _, mid, *bound = reference
    fn, signature = functions[mid]
    first = each([arg.decode for arg in signature.types()], bound)

    def call(*values):
        return fn(*first, *values)

    def start(*values):
        future = Future(None, lambda value: value)
        try:
            future.answer = [None, call(*values)]
        except Exception as error:
            future.answer = [describe(error, signature.name), None]
        return future

    call.start, call.nexus_reference, call.__qualname__ = start, reference, signature.name
    return call


DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class SchemaReader:
    """Reads a schema in the spelled-out form, the compact one, or a mixture."""

    def __init__(self, schema, made=None, seen={}):
        # One character per byte: lengths count bytes.
        self.schema, self.at, self.declared = schema.encode().decode("latin-1"), 0, {}
        self.made = made  # of lists of numbers
        self.seen = seen  # where the classes of records are looked up

    def whole(self):
        found = self.type()
        return found if self.at == len(self.schema) else self.fail("the end")

    def type(self):
        if not self.schema.startswith("<", self.at):
            return self.bare()
        outer, hint = self.made, ""
        while self.skip("<"):
            start, depth = self.at, 1
            while depth:
                depth += {"<": 1, ">": -1}.get(self.take(), 0)
            hint = self.schema[start:self.at - 1].encode("latin-1").decode()
            self.made = wanted(hint, self.made)
        found, self.made = self.bare(hint), outer
        return found

    def bare(self, hint=""):
        tag = self.take()
        if tag in "iuf":
            tag += self.take()
        if tag == "s" and hint == "Json":
            return any_json()
        if tag in SCALARS:
            return SCALARS[tag]
        if tag == "?":
            return optional(self.type())
        if tag == "a":
            length = self.length() if self.skip(":") else None
            self.skip(" ")
            return list_of(self.type(), length, self.made)
        if tag == "[":
            inner = self.type()
            return list_of(inner, None, self.made) if self.skip("]") else self.fail("']'")
        if tag == "t":
            return tuple_of([self.type() for _ in range(self.size())])
        if tag == "(":
            return tuple_of(self.items(")", self.type))
        if tag == "m":
            return record_of([(self.name(), self.type()) for _ in range(self.size())], self.maker(hint))
        if tag == "{":
            return record_of(self.items("}", lambda: (self.key(), self.type())), self.maker(hint))
        if tag == "\\":
            args = self.items(")", self.type) if self.skip("(") else self.fail("'('")
            return function_of(args, self.type())
        if tag == "&":
            name = self.name()
            self.declared[name] = Type("^" + name, lambda value: outer.encode(value), lambda wire: outer.decode(wire))
            outer = self.type()
            return outer
        if tag == "^":
            return self.declared.get(self.name()) or self.fail("a name declared with '&'")
        self.at -= len(tag)
        return self.fail("a type that Python can hold")

    def maker(self, hint):
        """The class of a record: dataclass, NamedTuple, or what else takes the fields by name."""
        found = self.seen.get(hint)
        return found if isinstance(found, type) else dict

    def items(self, end, item):
        found = []
        while not self.skip(end):
            if found and not self.skip(","):
                self.fail("',' or '%s'" % end)
            found.append(item())
        return found

    def key(self):
        key = self.name(max(self.schema.find(":", self.at) - self.at, 0))
        return key if self.skip(":") else self.fail("a key and ':'")

    def name(self, size=None):
        return self.take(self.size() if size is None else size).encode("latin-1").decode()

    def length(self):
        """Of a list: a decimal number, or one base-62 digit that is a letter; no type starts with a decimal digit."""
        end = self.at
        while self.schema[end:end + 1].isdigit():
            end += 1
        return int(self.take(end - self.at)) if end > self.at else self.size()

    def size(self):
        size = DIGITS.find(self.take())
        return size if size >= 0 else self.fail("a base-62 digit")

    def skip(self, expected):
        found = self.schema.startswith(expected, self.at)
        self.at += len(expected) if found else 0
        return found

    def take(self, count=1):
        if self.at + count > len(self.schema):
            self.fail("%d more characters" % count)
        self.at += count
        return self.schema[self.at - count:self.at]

    def fail(self, expected):
        raise SchemaError("schema %r at %d: expected %s" % (self.schema, self.at, expected))


class Signature:
    """The types of a function's arguments and result, read from their schemas when first used."""

    def __init__(self, name, args, returns, fn=None, read=False):
        self.name, self.args, self.returns, self.fn, self.read = name, args, returns, fn, read

    def types(self):
        if not self.read:
            notes, seen = annotations(self.fn)
            args = [SchemaReader(schema, wanted(note), seen).whole() for schema, note in zip(self.args, notes)]
            self.args, self.returns, self.read = args, SchemaReader(self.returns, seen=seen).whole(), True
        return self.args

    def text(self):
        return "\\(%s)%s" % (",".join([arg.text for arg in self.types()]), self.returns.text)

    def arguments(self, direction, values):
        args = self.types() if not self.read else self.args
        if len(values) != len(args):
            raise Mismatch("%d arguments" % len(args), "%d" % len(values)).within(self.name)
        converts = [getattr(arg, direction) for arg in args]
        return each(converts, values, lambda index: "argument %d of %s, " % (index + 1, self.name))

    def result(self, direction, value):
        return each([getattr(self.returns, direction)], [value], lambda _: "the result of %s, " % self.name)[0]


# ---- msgpack --------------------------------------------------------------------------------------------------------

CONSTANTS = {0xc0: None, 0xc2: False, 0xc3: True}
FORMS = {0xca: Struct(">f"), 0xcb: Struct(">d"), 0xcc: Struct("B"), 0xcd: Struct(">H"), 0xce: Struct(">I"),
           0xcf: Struct(">Q"), 0xd0: Struct("b"), 0xd1: Struct(">h"), 0xd2: Struct(">i"), 0xd3: Struct(">q")}
INTEGERS = [(0xcc, 0, 1 << 8), (0xcd, 0, 1 << 16), (0xce, 0, 1 << 32), (0xcf, 0, 1 << 64),
            (0xd0, -1 << 7, 0), (0xd1, -1 << 15, 0), (0xd2, -1 << 31, 0), (0xd3, -1 << 63, 0)]


def write(value, out):
    """Appends the bytes of a wire value, or of any Python value that says by itself what it is, to a list."""
    kind = type(value)
    if kind is int:
        if -32 <= value < 128:
            out.append(pack("b", value))
        else:
            write_integer(value, out)
    elif kind is str:
        data = value.encode()
        out += head(len(data), 0xa0, 32, 0xd9), data
    elif kind is float:
        out.append(b"\xcb" + FORMS[0xcb].pack(value))
    elif value is None:
        out.append(b"\xc0")
    elif kind is bool:
        out.append(b"\xc3" if value else b"\xc2")
    elif kind is list or kind is tuple:
        if len(value) >= BULK_ELEMENTS and bulk():
            write_bulk(value, out)
        else:
            out.append(head(len(value), 0x90, 16, 0xdb))
            for element in value:
                write(element, out)
    elif kind is dict:
        out.append(head(len(value), 0x80, 16, 0xdd))
        for key, field in value.items():
            write(key, out)
            write(field, out)
    elif kind is bytes:
        out += head(len(value), 0, 0, 0xc4), value
    elif kind is Numbers or kind is Ext:
        out += head(len(value.data), 0, 0, 0xc7), pack("B", value.code), value.data
    else:
        write(simpler(value), out)


def write_integer(value, out):
    for tag, low, end in INTEGERS:
        if low <= value < end:
            out += pack("B", tag), FORMS[tag].pack(value)
            return
    write(big(value), out)


def big(value):
    """An integer beyond 64 bits, as short as possible."""
    return Numbers(BIG_INTEGER, value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True))


def simpler(value):
    """A value as one of a type that msgpack knows; its parts may have to follow."""
    for kind in (int, float, str):
        if isinstance(value, kind):
            return PLAIN[kind](value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__dataclass_fields__"):
        return {key: getattr(value, key) for key in value.__dataclass_fields__}
    for kind, like in ((dict, dict), (list, (list, tuple, range)), (bytes, (bytearray, memoryview))):
        if isinstance(value, like):
            return kind(value)
    raise TypeError("a value of type %s can't be sent without a schema" % type(value).__name__)


def head(size, fixed, room, tag):
    """What precedes `size` bytes or elements: `tag` is the one with an 8-bit length, which arrays and maps lack."""
    if size < room:
        return pack("B", fixed | size)
    if size < 1 << 8 and tag not in (0xdb, 0xdd):
        return pack("BB", tag, size)
    if size < 1 << 16:
        return pack(">BH", tag + 1, size)
    if size < 1 << 32:
        return pack(">BI", tag + 2, size)
    raise ValueError("a value of %d bytes or elements can't be sent: the limit is 4 GiB" % size)


def read(data, at):
    """The value at `at` and where it ends. A slice beyond the data is short, not an error: who reads the last value
    compares its end with the end of the data. Nothing is allocated for a length that is only claimed."""
    tag = data[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if tag >= 0xe0:
        return tag - 256, at
    if tag in CONSTANTS:
        return CONSTANTS[tag], at
    if tag in FORMS:
        form = FORMS[tag]
        return form.unpack_from(data, at)[0], at + form.size
    if tag < 0xa0:
        kind, size = "array" if tag & 0x10 else "map", tag & 0x0f
    elif tag < 0xc0:
        kind, size = "str", tag & 0x1f
    else:
        kind, width, size = SIZED[tag]
        size = size or int.from_bytes(data[at:at + width], "big")
        at += width
    if kind == "str":
        return str(data[at:at + size], "utf-8"), at + size
    if kind == "array":
        values = []
        for _ in range(size):
            value, at = read(data, at)
            values.append(value)
        return values, at
    if kind == "map":
        fields = {}
        for _ in range(size):
            key, at = read(data, at)
            fields[key], at = read(data, at)
        if len(fields) != size:
            raise Malformed("a map repeats a key")
        return fields, at
    if kind == "bin":
        return bytes(data[at:at + size]), at + size
    return extension(data[at], memoryview(data)[at + 1:at + 1 + size]), at + 1 + size


# tag: (kind, bytes of the length that follows, or the length itself)
SIZED = {0xc4: ("bin", 1, 0), 0xc5: ("bin", 2, 0), 0xc6: ("bin", 4, 0),
         0xc7: ("ext", 1, 0), 0xc8: ("ext", 2, 0), 0xc9: ("ext", 4, 0),
         0xd4: ("ext", 0, 1), 0xd5: ("ext", 0, 2), 0xd6: ("ext", 0, 4), 0xd7: ("ext", 0, 8), 0xd8: ("ext", 0, 16),
         0xd9: ("str", 1, 0), 0xda: ("str", 2, 0), 0xdb: ("str", 4, 0),
         0xdc: ("array", 2, 0), 0xdd: ("array", 4, 0), 0xde: ("map", 2, 0), 0xdf: ("map", 4, 0)}


def extension(code, data):
    if code == BIG_INTEGER:
        return int.from_bytes(data, "big", signed=True)
    if code == FUNCTION:
        return Ext(code, bytes(data))
    if code not in ELEMENTS or len(data) % int(ELEMENTS[code][0][1]):
        raise Malformed("%d bytes of ext type %d are no list of numbers" % (len(data), code))
    return Numbers(code, data)


def untyped(wire):
    """A wire value as a Python value, where no schema says its type."""
    if type(wire) is Numbers:
        return wire.list()
    if type(wire) is list:
        return [untyped(element) for element in wire]
    if type(wire) is dict:
        return {key: untyped(field) for key, field in wire.items()}
    return wire


def bulk():
    """msgpack's ExtType and compiled Packer and Unpacker, ten times as fast; None if it is not installed."""
    global _bulk
    if _bulk is NotImplemented:
        try:
            from msgpack import ExtType
            from msgpack._cmsgpack import Packer, Unpacker
            _bulk = ExtType, Packer, Unpacker
        except ImportError:
            _bulk = None
    return _bulk


_bulk = NotImplemented  # not looked for yet


def write_bulk(values, out):
    ext_type, packer, _ = bulk()

    def default(value):
        value = big(value) if type(value) is int else value
        return ext_type(value.code, bytes(value.data)) if isinstance(value, Ext) else simpler(value)

    out.append(packer(default=default, use_bin_type=True).pack(values))


def read_bulk(data, at, count):
    rest = memoryview(data)[at:]
    reader = bulk()[2](raw=False, strict_map_key=False, ext_hook=extension, max_buffer_size=len(rest))
    reader.feed(rest)
    return [reader.unpack() for _ in range(count)], at + reader.tell()


# ---- frames ---------------------------------------------------------------------------------------------------------

def frame(message):
    """A message as the bytes that go over the socket; a large one as a list of parts that are not copied."""
    out = [b""]
    write(message, out)
    size = sum(map(len, out))
    if size > FRAME_BYTES_MAX:
        raise ValueError("a message of %d bytes can't be sent: the limit is 4 GiB" % size)
    out[0] = pack(">I", size)
    return b"".join(out) if size < LARGE_BYTES else joined(out)


def joined(parts):
    """The same parts, small neighbours joined."""
    found, small = [], []
    for part in parts:
        if len(part) < PART_BYTES:
            small.append(part)
        else:
            found += b"".join(small), part
            small = []
    return [*found, b"".join(small)]


def opened(data):
    """The message in a frame: kind, id, method, and the params or the error and the result. In place of the last comes
    Malformed if they can't be read: whoever waits for them can be told."""
    id = method = None
    try:
        parts, at = array_head(data, 4)
        kind, at = read(data, at)
        if (kind, parts) not in ((0, 4), (1, 4), (2, 3)):
            raise Malformed("a message starts with the bytes %s" % data[4:8].hex())
        if kind != 2:
            id, at = read(data, at)
        if kind != 1:
            method, at = read(data, at)
        count, at = array_head(data, at) if kind != 1 else (2, at)
    except Exception as error:
        raise Malformed("nexus sent what is no message: %r" % error) from None
    try:
        values = []
        while len(values) < count:
            if len(data) - at >= BULK_BYTES and (0x80 <= data[at] < 0xa0 or 0xdc <= data[at] < 0xe0) and bulk():
                rest, at = read_bulk(data, at, count - len(values))
                values += rest
            else:
                value, at = read(data, at)
                values.append(value)
        if at != len(data):
            raise Malformed("the message has %d bytes, its last value ends at %d" % (len(data), at))
    except Exception as error:
        values = Malformed("the values of a message can't be read: %r" % error)
    return kind, id, method, values


def array_head(data, at):
    width = {0xdc: 2, 0xdd: 4}.get(data[at], 0)
    if not width and data[at] & 0xf0 != 0x90:
        raise Malformed("no array at byte %d" % at)
    count = int.from_bytes(data[at + 1:at + 1 + width], "big") if width else data[at] & 0x0f
    return count, at + 1 + width


class Channel:
    """Frames over a connected socket. Raises Cancelled when the other side has closed it."""

    def __init__(self, descriptor):
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
        self.ends = descriptor, descriptor  # to read from, to write to
        # What has come and was not yet taken, and the size of the first frame in it, 0 if that is not yet known.
        self.chunks, self.bytes, self.size = [], 0, 0

    def put(self, data):
        return self.socket.send(data, _socket.MSG_DONTWAIT)

    def get(self, wait):
        return self.socket.recv(READ_BYTES, 0 if wait else _socket.MSG_DONTWAIT)

    def get_into(self, view):
        return self.socket.recv_into(view)

    def close(self):
        self.socket.close()

    def send(self, data):
        sent = 0
        try:
            for part in data if type(data) is list else (data,):
                rest = memoryview(part)
                while rest:
                    try:
                        taken = self.put(rest)
                        sent += taken
                        rest = rest[taken:]
                    except BlockingIOError:
                        self.wait(room=True)
        except (BrokenPipeError, ConnectionResetError):
            raise Cancelled from None
        except BaseException:
            if sent:
                self.close()  # half a frame can't be taken back
            raise

    def wait(self, room=False, deadline=None):
        """Until something comes, which is taken in, or until there is `room` to send: the other side may be stuck in
        just this place. False if the deadline passes first."""
        import select
        reader, writer = self.ends
        poll = select.poll()
        poll.register(writer, select.POLLOUT if room else 0)
        poll.register(reader, select.POLLIN | (select.POLLOUT if room and reader == writer else 0))
        ready = dict(poll.poll(None if deadline is None else max(deadline - monotonic(), 0) * 1000))
        if ready.get(reader, 0) & ~select.POLLOUT:
            self.fill()
        return bool(ready)

    def whole(self):
        """Whether a whole frame is here."""
        if not self.size and self.bytes >= 4:
            self.chunks = [b"".join(self.chunks)]
            self.size = 4 + int.from_bytes(self.chunks[0][:4], "big")
        return 0 < self.size <= self.bytes

    def receive(self):
        """The next frame, its length included."""
        while not self.whole():
            if self.size >= LARGE_BYTES:
                return self.receive_large()
            self.fill()
        data, size = b"".join(self.chunks), self.size
        rest = data[size:]
        self.chunks, self.bytes, self.size = [rest] if rest else [], len(rest), 0
        return data[:size]

    def receive_large(self):
        """A frame of which a part is here, in memory of its own: mapped, so that what is only claimed takes none."""
        import mmap
        front = b"".join(self.chunks)
        # Its first list of numbers is to be aligned. If this is not where that begins, it is merely not.
        long_list = front.find(b"\xc9", 4, 64) + 6
        pad = -long_list % 8
        memory = mmap.mmap(-1, pad + self.size)
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except (AttributeError, OSError, ValueError):
            pass  # a kernel without: more page faults
        view = memoryview(memory)[pad:]
        view[:len(front)] = front
        at = len(front)
        while at < self.size:
            try:
                taken = self.get_into(view[at:])
            except ConnectionResetError:
                taken = 0
            if not taken:
                raise Cancelled
            at += taken
        self.chunks, self.bytes, self.size = [], 0, 0
        return view

    def fill(self, wait=True):
        try:
            chunk = self.get(wait)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise Cancelled
        self.chunks.append(chunk)
        self.bytes += len(chunk)

    def take_cancels(self, known):
        """Reads what has come, without waiting, and takes those cancel notifications out that are `known` to be for a
        call that runs. All else stays, in order."""
        try:
            while True:
                self.fill(wait=False)
        except BlockingIOError:
            pass
        data, at, kept = b"".join(self.chunks), 0, []
        while self.bytes - at >= 4:
            end = at + 4 + int.from_bytes(data[at:at + 4], "big")
            if end > self.bytes:
                break
            if end - at > CANCEL_BYTES_MAX or not cancels(data[at:end], known):
                kept.append(data[at:end])
            at = end
        if sum(map(len, kept)) < at:
            kept.append(data[at:])
            self.chunks, self.bytes, self.size = [b"".join(kept)], sum(map(len, kept)), 0


def cancels(data, known):
    try:
        kind, _, method, values = opened(data)
    except Malformed:
        return False
    return kind == 2 and method == "cancel" and known(values)


class Stdio(Channel):
    """Frames over what were standard input and output. Their other ends may share them: they are not made non-blocking,
    but asked first. What comes in sends a signal, so that the end of nexus is noticed while user code runs."""

    def __init__(self, reader, writer):
        import fcntl
        import select
        self.ends, self.chunks, self.bytes, self.size = (reader, writer), [], 0, 0
        self.input, self.room = select.poll(), select.poll()
        self.input.register(reader, select.POLLIN)
        self.room.register(writer, select.POLLOUT)
        try:
            os.setpgid(0, 0)  # this process and what it will start, and nothing that started it
        except PermissionError:
            pass  # the leader of a session is that already
        _signal.signal(_signal.SIGIO, interrupt)
        try:
            fcntl.fcntl(reader, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(reader, fcntl.F_SETFL, fcntl.fcntl(reader, fcntl.F_GETFL) | os.O_ASYNC)
        except OSError:
            pass  # not for this kind of descriptor

    def put(self, data):
        if not self.room.poll(0):
            raise BlockingIOError
        return os.write(self.ends[1], data[:PIPE_BYTES])

    def get(self, wait):
        if not wait and not self.input.poll(0):
            raise BlockingIOError
        return os.read(self.ends[0], READ_BYTES)

    def get_into(self, view):
        return os.readv(self.ends[0], [view])

    def close(self):
        for end in self.ends:
            os.close(end)

    def take_cancels(self, known):
        try:
            super().take_cancels(known)
        except Cancelled:
            abandon()


# ---- processes ------------------------------------------------------------------------------------------------------

class Server:
    """This process as nexus's worker: serves one connection at a time. `calls` are the ids of the calls on its stack, outermost first; `answers` has
    the ids of its own requests, each with None or what has arrived; `cancelled` those of its calls that nexus wants to
    end, each with whether the call was told.

    A cancel comes with a signal, which may arrive at any moment. While user code runs (`user`), its handler looks for
    the cancel and raises; else it leaves a note (`interrupted`), and whoever lets user code go on looks then. So no
    frame is ever read or written in part."""

    def __init__(self):
        self.channel, self.listener, self.thread = None, None, _thread.get_ident()
        self.calls, self.answers, self.last_id, self.cancelled = [], {}, 0, {}
        self.user = self.interrupted = False
        self.next_progress, self.said, self.unsaid = 0, None, None
        self.stack_start = None

    def serve(self, channel):
        """Until the connection ends."""
        self.channel = channel
        try:
            channel.send(frame([2, "hello", [{"protocol": PROTOCOL, "lang": "py", "runtime": RUNTIME,
                                              "pid": os.getpid(), "reentrant": True, "features": ["retire"]}]]))
            if given_count:
                self.tell("holds", [given_count])
            while True:
                self.step()
        except Cancelled:
            channel.close()

    def step(self):
        kind, id, method, values = opened(self.channel.receive())
        if kind == 1:
            if id in self.answers:
                self.answers[id] = values
        elif kind == 2:
            if method == "cancel":
                self.cancel(values)
            elif method == "retire" and not self.calls:
                raise SystemExit
            elif method == "hello":
                greeted(values)
        elif method == "call":
            self.call(id, values)
        elif method == "ping":
            self.channel.send(frame([1, id, None, None]))
        else:
            self.channel.send(frame([1, id, failure("protocol", "a worker has no method %r" % (method,)), None]))

    def call(self, id, params):
        name, closed, first, open_before = "a call", False, self.last_id, len(self.answers)
        if self.unsaid:
            self.say()
        self.next_progress, self.said = 0, None
        self.calls.append(id)
        if self.channel.bytes:
            self.interrupted = True  # what was read before may hold the cancel of this very call
        try:
            try:
                if isinstance(params, Malformed):
                    raise params
                mid = params.pop(0) if params else None
                if type(mid) is int and mid in functions:
                    fn, signature = functions[mid]
                    name = signature.name
                    held = [taken(signature, params)]
                    self.resume()
                    answer = frame([1, id, None, signature.result("encode", fn(*held.pop()))])
                else:
                    answer = frame([1, id, no_function(mid), None])
            finally:
                self.user = False
        except BaseException as error:
            self.user = False  # where Cancelled came just before the same words above; it does not come twice
            closed = isinstance(error, Cancelled) and error.id is None
            if isinstance(error, (SystemExit, KeyboardInterrupt)) and not isinstance(error, Cancelled):
                raise
            answer = frame([1, id, describe(error, name), None])
        finally:
            self.calls.pop()
            self.cancelled.pop(id, None)
            if len(self.answers) > open_before:
                self.forget(first)
        flush()
        if closed:
            raise Cancelled
        if self.unsaid:
            self.say()
        self.channel.send(answer)

    def forget(self, first):
        """Calls that were started after `first`, and never asked for."""
        for id in list(self.answers):
            if id > first:
                self.answers.pop(id, None)

    # What user code does through `talk`, each with two arguments.

    def talk(self, action, one, two):
        """Talks to nexus while user code waits: no signal interrupts it, nor the end of the interpreter's stack."""
        ROOM == SAME_ROOM  # to compare them takes that much stack: if it isn't there, RecursionError comes here and now
        limit, self.user = sys.getrecursionlimit(), False
        try:
            sys.setrecursionlimit(limit + CALL_FRAMES)
            return action(self, one, two)
        finally:
            sys.setrecursionlimit(limit)
            self.resume()

    def tell(self, method, params):
        self.channel.send(frame([2, method, params]))

    def start(self, method, params):
        """Sends a request; its id."""
        self.last_id += 1
        self.answers[self.last_id] = None
        self.channel.send(frame([0, self.last_id, method, params]))
        params.clear()  # what was sent from where it lies may be changed again
        return self.last_id

    def request(self, method, params):
        """The result of a request."""
        if len(self.calls) % LOOK_CALLS == 0:
            self.look_at_stack()  # before anything is sent
        id = self.start(method, params)
        try:
            return succeeded(self.outcome(id))
        finally:
            self.answers.pop(id, None)

    def collect(self, id, deadline):
        """The answer to a request that was started, None if it is not here by the deadline."""
        if len(self.calls) % LOOK_CALLS == 0:
            self.look_at_stack()
        if id not in self.answers:
            raise RuntimeError("the call that started this one has ended")
        return self.outcome(id, deadline)

    def outcome(self, id, deadline=None):
        """As `collect`. Calls that arrive meanwhile run on this stack."""
        while self.answers[id] is None:
            if self.cancelled:
                self.obey_cancel()
            while deadline is not None and not self.channel.whole():
                if not self.channel.wait(deadline=deadline):
                    return None
            self.step()
        return self.answers.pop(id)

    def progress(self, params):
        done, total, _ = params
        last = done is not None and total is not None and done >= total
        now = monotonic()
        if now < self.next_progress and not last:
            self.unsaid = params
        elif params != self.said:
            self.next_progress, self.said, self.unsaid = now + PROGRESS_S, params, None
            self.talk(Server.tell, "progress", params)

    def say(self):
        said, self.unsaid = self.unsaid, None
        self.tell("progress", said)

    # Cancelling.

    def cancel(self, values):
        """Notes that a call is to end. Whether it runs."""
        id = values[0] if type(values) is list and values else None
        runs = type(id) is int and id in self.calls
        if runs:
            self.cancelled.setdefault(id, False)
        return runs

    def resume(self):
        """Lets user code go on, unless its call is to end."""
        self.user = True
        if self.interrupted or self.cancelled:
            self.obey()

    def obey(self):
        while True:
            self.user = self.interrupted = False
            try:
                self.channel.take_cancels(self.cancel)
            except RecursionError:
                self.interrupted = True  # it came where the stack ends: looked for again when that has gone back
                raise
            finally:
                self.user = True
            self.obey_cancel()
            if not self.interrupted:
                return

    def obey_cancel(self):
        id = self.calls[-1]
        if self.cancelled.get(id) is False:
            self.cancelled[id] = True
            raise Cancelled(id)

    # Depth.

    def look_at_stack(self):
        """Raises the interpreter's limit by what the last calls took; an error before the machine's stack ends."""
        step, frames, calls = sys._getframe(), 0, 0
        while step is not None and calls <= LOOK_CALLS:
            frames += 1
            calls += step.f_code is Server.call.__code__
            step = step.f_back
        sys.setrecursionlimit(sys.getrecursionlimit() + max(0, frames * 3 // 2 - LOOK_CALLS * CALL_FRAMES))
        depth = len(self.calls)
        if self.stack_start is None:
            self.stack_start, self.stack_bytes = stack_pointer(), raise_stack()
        # Where the kernel does not tell, calls of 4 KiB are assumed.
        used = self.stack_start - stack_pointer() if self.stack_start else depth << 12
        if used > self.stack_bytes // 2 or depth >= NESTED_CALLS_MAX:
            raise RecursionError("calls are nested %d deep on one worker, which is all that its stack holds" % depth)


def nested(depth):
    lists = []
    for _ in range(depth):
        lists = [lists]
    return lists


ROOM, SAME_ROOM = nested(ROOM_FRAMES), nested(ROOM_FRAMES)


def stack_pointer():
    """Of this thread; 0 if the kernel does not tell."""
    try:
        descriptor = os.open("/proc/self/syscall", os.O_RDONLY)
        try:
            return int(os.read(descriptor, 256).split()[-2], 16)
        finally:
            os.close(descriptor)
    except (OSError, ValueError, IndexError):
        return 0


def raise_stack():
    """The main thread's stack grows as it is used, up to a limit that may be raised at any time: what it is now."""
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    soft, hard = [STACK_BYTES if limit == resource.RLIM_INFINITY else limit for limit in (soft, hard)]
    if soft < min(hard, STACK_BYTES):
        soft = min(hard, STACK_BYTES)
        resource.setrlimit(resource.RLIMIT_STACK, (soft, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    return soft


def interrupt(number, _frame):
    if running is not None:
        running.interrupted = True
        if running.user:
            running.obey()
    elif number == _signal.SIGINT:
        raise KeyboardInterrupt  # in a process that user code forked


def greeted(values):
    """Nexus's hello, where the environment does not come through."""
    global pool_name
    hello = values[0] if type(values) is list and values and type(values[0]) is dict else {}
    check_version(hello.get("protocol"))
    pool_name = str(hello.get("pool"))


def taken(signature, params):
    """The arguments in `params`, which lets go of them: they can be large."""
    args = signature.arguments("decode", params)
    params.clear()
    return args


def live(main):
    """Runs `main` as a worker's process; never returns."""
    global running
    code = 70
    try:
        _signal.signal(_signal.SIGINT, interrupt)
        sys.setrecursionlimit(max(sys.getrecursionlimit(), FRAMES_MIN))
        running = Server()
        main(running)
        code = 0
    except SystemExit as error:
        code = 0 if error.code is None else error.code
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        code = 128 + _signal.SIGINT
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        leave(code)


def serve_alone(channel):
    """Serves as the worker that nexus started itself; never returns."""
    os.register_at_fork(after_in_child=disown)
    live(lambda worker: worker.serve(channel))


class Parent:
    """Forks the workers, does as nexus says on the control channel, and reports the workers that died."""

    def __init__(self, control, listener):
        self.control, self.workers = Channel(control), set()  # the pids of those that live
        self.listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, listener)
        os.set_blocking(listener, True)

    def run(self):
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.register_at_fork(after_in_child=disown)
        gc.freeze()  # what is loaded stays shared with the workers: their collector leaves it alone
        self.fork()
        try:
            self.control.send(frame([2, "hello", [{"protocol": PROTOCOL, "lang": "py", "runtime": RUNTIME,
                                                   "pid": os.getpid(), "workers": 1, "features": ["signal"]}]]))
        except Cancelled:
            abandon()
        # What follows delays nobody any more: the first worker is at work.
        import select
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        poll.register(self.control.socket.fileno(), select.POLLIN)
        try:
            while True:
                self.reap()
                for descriptor, _ in poll.poll():
                    if descriptor == woken:
                        os.read(woken, 4096)
                        continue
                    self.step()
                    while self.control.bytes:  # arrived together with the frame before
                        self.step()
        except Cancelled:
            abandon()

    def fork(self):
        flush()
        pid = os.fork()
        if pid == 0:
            live(self.work)
        self.workers.add(pid)

    def work(self, worker):
        """In the forked process: serves one connection after the other."""
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGIO, _signal.SIG_DFL)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        self.control.close()
        if "atexit" in sys.modules:
            sys.modules["atexit"]._clear()  # what the parent registered is the parent's to run
        worker.listener = self.listener
        while True:
            try:
                descriptor, _ = self.listener._accept()
            except OSError as error:
                import errno
                if error.errno != errno.EINVAL:
                    raise
                return  # the parent has shut the listening socket down
            worker.serve(Channel(descriptor))

    def reap(self):
        for pid in list(self.workers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.workers.remove(pid)
                died = os.WIFSIGNALED(status)
                how = {"signal": os.WTERMSIG(status)} if died else {"exit_code": os.WEXITSTATUS(status)}
                self.control.send(frame([2, "worker_exit", [{"pid": pid, **how}]]))

    def step(self):
        kind, id, method, values = opened(self.control.receive())
        if kind == 2 and method == "shutdown":
            self.shut_down()
        elif kind == 2 and method == "signal":
            self.signal(values)
        elif kind == 0 and method == "grow":
            error = self.grow(values)
            self.control.send(frame([1, id, error, None if error else len(self.workers)]))
        elif kind == 0:
            self.control.send(frame([1, id, failure("protocol", "a pool has no method %r" % (method,)), None]))

    def grow(self, values):
        """Forks as many workers as asked for; an error value if that fails."""
        count = values[0] if type(values) is list and values else None
        if type(count) is not int or not 0 <= count <= GROW_WORKERS_MAX:
            return failure("protocol", "grow takes a number up to %d, found %s" % (GROW_WORKERS_MAX, quote(count)))
        try:
            for _ in range(count):
                self.fork()
        except OSError as error:
            return failure("spawn_failed", "worker %d can't be forked: %s" % (len(self.workers) + 1, error.strerror))
        return None

    def signal(self, values):
        """Sends a signal to a worker. It may have just died: until it is reaped, its pid is nobody else's."""
        if type(values) is list and len(values) == 2 and all([type(value) is int for value in values]):
            pid, number = values
            if pid in self.workers and number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGKILL):
                os.kill(pid, number)

    def shut_down(self):
        """Wakes the workers from accept, waits for them and exits."""
        self.listener.shutdown(_socket.SHUT_RDWR)
        for pid in self.workers:
            os.waitpid(pid, 0)
        leave(0)


def disown():
    """A process that user code forked must neither answer its parent's calls nor hold its connection open."""
    global running
    if running is not None:
        running.channel.close()
        if running.listener is not None:
            running.listener.close()
        running = None


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def leave(code):
    """Ends the process without taking the interpreter down piece by piece, which costs milliseconds."""
    try:
        if "atexit" in sys.modules:
            sys.modules["atexit"]._run_exitfuncs()
    finally:
        flush()
        os._exit(code & 0xff)
