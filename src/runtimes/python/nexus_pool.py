"""The Python side of a Nexus pool: one file, standard library only, CPython 3.8 or later on Linux.

A pool's script imports this module first, then the user's code, registers functions and serves:

    import nexus_pool
    import stats
    nexus_pool.register(1, stats.mean, args=["[f8]"], returns="f8")
    nexus_pool.serve()

The parent process loads the code once, forks workers and reports their deaths; it never runs a function. A worker
takes connections from the listening socket it inherited, one at a time, and answers calls on it, one frame at a time;
while a function waits for a foreign call, calls that come back run nested on its stack.

What it does not do: start without nexus, run functions in threads, restart a worker that died (nexus asks for another).
It imports little, because the start of a pool is the start of a command: `socket`, `signal` and `struct` are layers
over the built-in modules used here, and cost milliseconds.
"""
import gc
import os
import sys
from itertools import repeat

import _signal
import _socket
import _thread
from _struct import Struct, error as StructError, pack, unpack

__all__ = ["Cancelled", "Mismatch", "RemoteError", "SchemaError", "command", "foreign", "log", "progress", "register",
           "serve"]

PROTOCOL = 1
RUNTIME = "python %d.%d.%d" % sys.version_info[:3]

# The length of a frame is a u32; nexus keeps 1 KiB of it for the envelope under which it passes the frame on.
FRAME_BYTES_MAX = 2**32 - 1 - 1024
# Read at once: more than a Unix socket holds by default, so that a large frame takes few system calls.
READ_BYTES = 1 << 18
# Grown at once, a guard against a nonsensical request: nexus asks for as many as there are cores.
GROW_WORKERS_MAX = 1024
# Calls nested on one worker's stack, and the frames that each grants beyond the interpreter's limit: the runtime's own
# and some of the user's. Before 3.11 frames lie on the C stack, where 8 MiB end at about 15 000 of them.
NESTED_CALLS_MAX = 1200
NESTED_CALL_FRAMES = 50 if sys.version_info >= (3, 11) else 8
# Frames of a worker without nested calls: a value of the 512 levels that nexus lets through takes four per level.
FRAMES_MIN = 4000
# What an error carries at most: a runaway recursion stays readable, and small to relay.
TRACE_ENTRIES_MAX = 100
MESSAGE_CHARS_MAX = 10_000
QUOTED_CHARS_MAX = 60
# From here on msgpack, where it is installed, repays the 5 to 10 ms of its import.
BULK_ELEMENTS = 10_000
BULK_BYTES = 1 << 18


# ---- when nexus dies ------------------------------------------------------------------------------------------------

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


# On import, not in serve(): user code that loads for minutes must not outlive nexus.
if "NEXUS_LIFE_FD" in os.environ:
    _signal.signal(_signal.SIGIO, abandon)
    for _name in ("NEXUS_LIFE_FD", "NEXUS_CONTROL_FD", "NEXUS_LISTEN_FD"):
        os.set_inheritable(int(os.environ[_name]), False)
    # Prints go to a pipe that nexus drains: they should arrive while the function still runs.
    sys.stdout.reconfigure(line_buffering=True)


# ---- the interface --------------------------------------------------------------------------------------------------

functions = {}  # by mid
running = None  # the Worker that this process is


def register(mid, fn, args, returns):
    """Makes `fn` callable as `mid`. `args` and `returns` are schemas; they are read when first used."""
    functions[mid] = fn, Signature(getattr(fn, "__qualname__", type(fn).__qualname__), args, returns)


def serve():
    """Forks the first worker and serves nexus; never returns."""
    if "NEXUS_CONTROL_FD" not in os.environ:
        raise SystemExit("this is a pool of a nexus program: run the program, not the pool")
    Parent(int(os.environ["NEXUS_CONTROL_FD"]), int(os.environ["NEXUS_LISTEN_FD"])).run()


def foreign(pool, mid, args, returns):
    """A callable that calls function `mid` of another pool. It raises RemoteError with whatever the function raised."""
    signature = Signature("function %d of pool %s" % (mid, pool), args, returns)

    def call(*values):
        params = [pool, mid, *signature.arguments("encode", values)]
        return signature.result("decode", here().request("call", params))

    return call


def command(name, *args):
    """The result of a command of this program. Arguments and result have no schema here: records are dicts."""
    return untyped(here().request("command", [name, *args]))


def log(level, text):
    """Sends a line to nexus's log, or to stderr from where nexus can't be reached: while loading, from a thread."""
    try:
        here().channel.send(frame([2, "log", [clean(str(level)), clean(str(text))]]))
    except RuntimeError:
        print("%s: %s" % (level, text), file=sys.stderr)


def progress(done, total=None, label=""):
    """Tells nexus that `done` of `total` steps are done."""
    here().channel.send(frame([2, "progress", [done, total, clean(str(label))]]))


def here():
    """The worker that this code runs in. Only the thread that runs the function may use its connection."""
    if running is None or _thread.get_ident() != running.thread:
        raise RuntimeError("nexus can be called only by a function that nexus called, in the same process and thread")
    return running


# ---- errors ---------------------------------------------------------------------------------------------------------

class RemoteError(Exception):
    """A foreign call or command that failed. `error` is all of it; `kind`, `message` and `trace` are its parts."""

    def __init__(self, error):
        self.error = error if type(error) is dict else {"kind": "protocol", "message": "an error that is not a map"}
        self.kind, self.message = self.error.get("kind"), self.error.get("message")
        self.trace = self.error.get("trace")
        super().__init__(self.message)


class Cancelled(BaseException):
    """Ends a function that waits for a foreign call: nexus cancelled its call `id`, or (None) closed the connection."""

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


def clean(text):
    """A text that UTF-8 can carry, cut to a bearable length."""
    return text[:MESSAGE_CHARS_MAX].encode("utf-8", "backslashreplace").decode()


def describe(error, function):
    """An exception as the error of a response; its trace is innermost first and leaves this file's frames out."""
    trace = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename != describe.__code__.co_filename:
            trace.append({"lang": "py", "function": clean(getattr(code, "co_qualname", code.co_name)),
                          "file": clean(code.co_filename), "line": step.tb_lineno})
        step = step.tb_next
    trace.reverse()
    remote = isinstance(error, RemoteError)
    if remote:
        trace = [*(error.trace or []), *trace]
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
    return {"kind": kind, "message": clean(message), "pool": os.environ["NEXUS_POOL"], "pid": os.getpid(), **more}


# ---- types ----------------------------------------------------------------------------------------------------------
# Wire values are what msgpack can say: None, bool, int (of any size: ext type 11), float, str, bytes, list or tuple,
# dict, and Numbers.

class Type:
    """A schema, compiled: `encode` checks a Python value and gives the wire value, `decode` the reverse."""

    def __init__(self, text, encode, decode):
        self.text, self.encode, self.decode = text, encode, decode


class Numbers:
    """A packed list: `code` is its msgpack ext type, `data` its elements, little-endian."""

    def __init__(self, code, data):
        self.code, self.data = code, data

    def list(self):
        name, form = ELEMENTS[self.code]
        return list(unpack("<%d%s" % (len(self.data) // int(name[1]), form), self.data))


# The msgpack ext types: name of the element, struct format.
ELEMENTS = {1: ("i1", "b"), 2: ("i2", "h"), 3: ("i4", "i"), 4: ("i8", "q"), 5: ("u1", "B"), 6: ("u2", "H"),
          7: ("u4", "I"), 8: ("u8", "Q"), 9: ("f4", "f"), 10: ("f8", "d")}
BIG_INTEGER = 11


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
    bits = 8 * int(text[1])
    allowed = range(-1 << bits - 1, 1 << bits - 1) if text[0] == "i" else range(1 << bits)
    return scalar(text, "an integer from %d to %d" % (allowed[0], allowed[-1]), [int],
                  lambda value: allowed[allowed.index(value)])


SCALARS = {atom.text: atom for atom in (
    *[integer(name) for name, _ in ELEMENTS.values() if name[0] != "f"],
    scalar("f4", "a float in single precision", [float, int], lambda value: unpack("<f", pack("<f", value))[0]),
    scalar("f8", "a float", [float, int], float),
    scalar("j", "an integer", [int]),
    scalar("b", "a bool", [bool]),
    scalar("s", "a str, valid as UTF-8", [str], lambda value: value if value.isascii() else value.encode().decode()),
    scalar("y", "bytes", [bytes, bytearray, memoryview], bytes),
    scalar("z", "None", [type(None)]))}


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


def list_of(inner, length=None):
    text = "[%s]" % inner.text if length is None else "a:%d%s" % (length, inner.text)

    def encode(values):
        return each(repeat(inner.encode), sequence(text, values, length))

    def decode(wire):
        return each(repeat(inner.decode), sequence(text, wire, length))

    for code, (name, form) in ELEMENTS.items():
        if inner.text == name:
            return packed(Type(text, encode, decode), code, form, length)
    return Type(text, encode, decode)


def packed(plain, code, form, length):
    """A list of numbers of one width: sent packed, read packed or as the plain list that it also is."""
    exact = {float, int} if form in "fd" else {int}

    def encode(values):
        data = buffer(values, form) if length is None else None
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
        return sequence(plain.text, wire, length) if same else plain.decode(wire)

    return Type(plain.text, encode, decode)


def buffer(values, form):
    """The elements of a NumPy array or other buffer of just this type, as they lie in memory; else None."""
    try:
        view = memoryview(values)
    except (BufferError, TypeError, ValueError):
        return None
    kinds = next(kinds for kinds in ("fd", "bhilq", "BHILQ") if form in kinds)
    same = view.ndim == 1 and view.format.lstrip("<=@") in kinds and view.itemsize == Struct("<" + form).size
    return view.tobytes() if same and sys.byteorder == "little" else None


def tuple_of(inners):
    text = "(%s)" % ",".join([inner.text for inner in inners])

    encoders, decoders = both(inners)
    return Type(text, lambda values: tuple(each(encoders, sequence(text, values, len(inners)))),
                lambda wire: tuple(each(decoders, sequence(text, wire, len(inners)))))


def both(inners):
    return [inner.encode for inner in inners], [inner.decode for inner in inners]


def record_of(fields):
    """A dict in Python; an object with these attributes is taken as well."""
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
        return convert(decoders, wire)

    encoders, decoders = both(fields.values())
    return Type(text, encode, decode)


DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class SchemaReader:
    """Reads a schema in the spelled-out form, the compact one, or a mixture."""

    def __init__(self, schema):
        # One character per byte: lengths count bytes.
        self.schema, self.at, self.declared = schema.encode().decode("latin-1"), 0, {}

    def whole(self):
        found = self.type()
        return found if self.at == len(self.schema) else self.fail("the end")

    def type(self):
        while self.skip("<"):
            depth = 1
            while depth:
                depth += {"<": 1, ">": -1}.get(self.take(), 0)
        tag = self.take()
        if tag in "iuf":
            tag += self.take()
        if tag in SCALARS:
            return SCALARS[tag]
        if tag == "?":
            return optional(self.type())
        if tag == "a":
            length = self.length() if self.skip(":") else None
            self.skip(" ")
            return list_of(self.type(), length)
        if tag == "[":
            inner = self.type()
            return list_of(inner) if self.skip("]") else self.fail("']'")
        if tag == "t":
            return tuple_of([self.type() for _ in range(self.size())])
        if tag == "(":
            return tuple_of(self.items(")", self.type))
        if tag == "m":
            return record_of([(self.name(), self.type()) for _ in range(self.size())])
        if tag == "{":
            return record_of(self.items("}", lambda: (self.key(), self.type())))
        if tag == "&":
            name = self.name()
            self.declared[name] = Type("^" + name, lambda value: outer.encode(value), lambda wire: outer.decode(wire))
            outer = self.type()
            return outer
        if tag == "^":
            return self.declared.get(self.name()) or self.fail("a name declared with '&'")
        self.at -= len(tag)
        return self.fail("a type that Python can hold")

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

    def __init__(self, name, args, returns):
        self.name, self.args, self.returns, self.read = name, args, returns, False

    def arguments(self, direction, values):
        if not self.read:
            args = [SchemaReader(schema).whole() for schema in self.args]
            self.args, self.returns, self.read = args, SchemaReader(self.returns).whole(), True
        if len(values) != len(self.args):
            raise Mismatch("%d arguments" % len(self.args), "%d" % len(values)).within(self.name)
        converts = [getattr(arg, direction) for arg in self.args]
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
    elif kind is Numbers:
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
        return data[at:at + size], at + size
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
        return ext_type(value.code, bytes(value.data)) if type(value) is Numbers else simpler(value)

    out.append(packer(default=default, use_bin_type=True).pack(values))


def read_bulk(data, at, count):
    rest = memoryview(data)[at:]
    reader = bulk()[2](raw=False, strict_map_key=False, ext_hook=extension, max_buffer_size=len(rest))
    reader.feed(rest)
    return [reader.unpack() for _ in range(count)], at + reader.tell()


# ---- frames ---------------------------------------------------------------------------------------------------------

def frame(message):
    """A message as the bytes that go over the socket."""
    out = [b""]
    write(message, out)
    size = sum(map(len, out))
    if size > FRAME_BYTES_MAX:
        raise ValueError("a message of %d bytes can't be sent: the limit is 4 GiB" % size)
    out[0] = pack(">I", size)
    return b"".join(out)


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
        self.chunks, self.bytes = [], 0

    def send(self, data):
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.socket.send(rest, _socket.MSG_DONTWAIT):]
            except BlockingIOError:
                self.wait()
            except (BrokenPipeError, ConnectionResetError):
                raise Cancelled from None

    def wait(self):
        """Until there is room to send; what arrives is taken in, for the other side may be stuck in just this place."""
        import select
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN | select.POLLOUT)
        while not poll.poll()[0][1] & ~select.POLLIN:
            self.fill()

    def receive(self):
        """The next frame, its length included."""
        while self.bytes < 4:
            self.fill()
        end = 4 + int.from_bytes(b"".join(self.chunks)[:4], "big")
        while self.bytes < end:
            self.fill()
        data = b"".join(self.chunks)
        rest = data[end:]
        self.chunks, self.bytes = [rest] if rest else [], len(rest)
        return data[:end]

    def fill(self):
        try:
            chunk = self.socket.recv(READ_BYTES)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise Cancelled
        self.chunks.append(chunk)
        self.bytes += len(chunk)


# ---- processes ------------------------------------------------------------------------------------------------------

class Worker:
    """Serves one connection at a time. `calls` are the ids of the calls on its stack, outermost first; `answers` has
    the ids of its own requests, each with None or what has arrived."""

    def __init__(self, listener):
        self.listener, self.channel, self.thread = listener, None, _thread.get_ident()
        self.calls, self.answers, self.last_id = [], {}, 0

    def run(self):
        hello = frame([2, "hello", [{"protocol": PROTOCOL, "lang": "py", "runtime": RUNTIME, "pid": os.getpid(),
                                     "reentrant": True}]])
        while True:
            try:
                descriptor, _ = self.listener._accept()
            except OSError as error:
                import errno
                if error.errno != errno.EINVAL:
                    raise
                return  # the parent has shut the listening socket down
            self.channel = Channel(descriptor)
            try:
                self.channel.send(hello)
                while True:
                    self.step()
            except Cancelled:
                self.channel.socket.close()

    def step(self):
        kind, id, method, values = opened(self.channel.receive())
        if kind == 1:
            if id in self.answers:
                self.answers[id] = values
        elif kind == 2:
            if method == "cancel" and type(values) is list and values and values[0] in self.calls:
                raise Cancelled(values[0])
        elif method == "call":
            self.call(id, values)
        elif method == "ping":
            self.channel.send(frame([1, id, None, None]))
        else:
            self.channel.send(frame([1, id, failure("protocol", "a worker has no method %r" % (method,)), None]))

    def call(self, id, params):
        name, cancelled = "a call", None
        self.calls.append(id)
        try:
            if isinstance(params, Malformed):
                raise params
            mid = params.pop(0) if params else None
            if type(mid) is int and mid in functions:
                fn, signature = functions[mid]
                name = signature.name
                answer = frame([1, id, None, signature.result("encode", fn(*taken(signature, params)))])
            else:
                answer = frame([1, id, failure("protocol", "the pool has no function %s" % quote(mid)), None])
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            if isinstance(error, Cancelled):
                cancelled = error
            answer = frame([1, id, describe(error, name), None])
        finally:
            self.calls.pop()
        flush()
        self.channel.send(answer)
        if cancelled is not None and cancelled.id != id:
            raise cancelled

    def request(self, method, params):
        """The result of a request to nexus; calls that arrive meanwhile run on this stack."""
        if len(self.calls) > NESTED_CALLS_MAX:
            raise RecursionError("calls are nested %d deep on one worker, the limit" % NESTED_CALLS_MAX)
        self.last_id += 1
        id = self.last_id
        self.answers[id] = None
        frames = sys.getrecursionlimit()
        sys.setrecursionlimit(frames + NESTED_CALL_FRAMES)
        try:
            self.channel.send(frame([0, id, method, params]))
            while self.answers[id] is None:
                self.step()
            answer = self.answers[id]
        finally:
            del self.answers[id]
            sys.setrecursionlimit(frames)
        if isinstance(answer, Malformed):
            raise answer
        if answer[0] is not None:
            raise RemoteError(answer[0])
        return answer[1]


def taken(signature, params):
    """The arguments in `params`, which lets go of them: they can be large."""
    args = signature.arguments("decode", params)
    params.clear()
    return args


class Parent:
    """Forks the workers, does as nexus says on the control channel, and reports the workers that died."""

    def __init__(self, control, listener):
        self.control, self.workers = Channel(control), set()
        self.listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, listener)
        os.set_blocking(listener, True)

    def run(self):
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.register_at_fork(after_in_child=disown)
        gc.freeze()  # what is loaded stays shared with the workers: their collector leaves it alone
        self.fork()
        self.control.send(frame([2, "hello", [{"protocol": PROTOCOL, "lang": "py", "runtime": RUNTIME,
                                               "pid": os.getpid(), "workers": 1}]]))
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
            self.become_worker()
        self.workers.add(pid)

    def become_worker(self):
        """Turns the forked process into a worker; never returns."""
        global running
        code = 70
        try:
            _signal.set_wakeup_fd(-1)
            _signal.signal(_signal.SIGIO, _signal.SIG_DFL)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            self.control.socket.close()
            if "atexit" in sys.modules:
                sys.modules["atexit"]._clear()  # what the parent registered is the parent's to run
            sys.setrecursionlimit(max(sys.getrecursionlimit(), FRAMES_MIN))
            running = Worker(self.listener)
            running.run()
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
        running.channel.socket.close()
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
