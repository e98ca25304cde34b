"""Drives a real Python pool through its protocol: this process plays nexus, with its own small msgpack.

Run it with the interpreter to be tested: /usr/bin/python3 tests/runtimes/test_python.py
It does not test nexus, and no wait in it is without a limit.
"""
import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import unittest

RUNTIME_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "runtimes", "python")
WAIT_S = 20
MIB = 1 << 20

FUNCTIONS = '''
    import collections, dataclasses, enum, os, sys, time
    import nexus_pool

    cpp_fact = nexus_pool.foreign("cpp", 7, args=["j"], returns="j")
    cpp_blob = nexus_pool.foreign("cpp", 8, args=["y"], returns="y")
    cpp_point = nexus_pool.foreign("cpp", 9, args=["{x:f8,y:?f8}", "[i4]"], returns="(s,[f8])")

    @dataclasses.dataclass
    class Person:
        name: str
        age: int

    Pair = collections.namedtuple("Pair", "name age")
    class Plain: name, age = "Eve", 3
    class Level(enum.IntEnum): LOW = 1
    class Word(str): pass

    MADE = {
        "dataclass": lambda: Person("Ann", 5), "namedtuple": lambda: Pair("Bob", 6), "object": Plain,
        "dict": lambda: {"age": 4, "name": "Cyd"}, "no_age": lambda: {"name": "Cyd"},
        "extra": lambda: {"name": "Cyd", "age": 1, "agee": 2}, "bad_age": lambda: {"name": "Cyd", "age": "x"},
        "str": lambda: "text", "surrogate": lambda: "a\\udcff", "word": lambda: Word("sub"), "bool": lambda: True,
        "int": lambda: 3, "level": lambda: Level.LOW, "float": lambda: 2.5, "none": lambda: None,
        "big": lambda: 1 << 70,
        "bytes": lambda: b"\\x00\\xff", "bytearray": lambda: bytearray(b"ab"), "list": lambda: [1, 2, 3],
        "tuple": lambda: (1, 2, 3), "range": lambda: range(4), "set": lambda: {1}, "pair": lambda: ("x", 1),
        "floats": lambda: [1, 2.5],
        "with_bool": lambda: [1, True], "with_300": lambda: [1, 300],
        "nested_bad": lambda: [{"name": "x", "age": None}],
        "huge_floats": lambda: [1e300], "too_big_int": lambda: [1 << 2000],
        "array": lambda: __import__("array").array("d", [1.5, 2.5]),
        "np_f8": lambda: __import__("numpy").array([1.5, 2.5]),
        "np_i4": lambda: __import__("numpy").array([1, 2], "i4"),
        "np_rows": lambda: __import__("numpy").array([[1.5, 2.5], [3.5, 4.5]]),
        "np_strided": lambda: __import__("numpy").arange(6.0)[::2],
        "np_scalar": lambda: __import__("numpy").int64(7), "np_float": lambda: __import__("numpy").float32(0.5),
    }

    def make(name): return MADE[name]()
    def same(value): return value
    def kind(value): return type(value).__name__
    def add(a, b): return a + b
    def fails(text): raise ValueError(text)
    def fails_deep(text):
        def inner(): fails(text)
        inner()
    def runs_away(): return runs_away()
    def fact(n): return 1 if n < 2 else n * cpp_fact(n - 1)
    def depth(n): return 0 if n == 0 else 1 + cpp_fact(n - 1)
    def deepest_runs_away(n): return runs_away() if n == 0 else cpp_fact(n - 1)
    def blob(size): return len(cpp_blob(b"x" * size))
    def catches(n):
        try:
            return cpp_fact(n)
        except nexus_pool.RemoteError as error:
            return "%s|%s|%s" % (error.kind, error.message, error.trace[0]["function"])
    def point(): return cpp_point({"x": 1}, [1, 2])
    def point_bad(): return cpp_point({"x": 1}, [1, 1 << 40])
    def noisy():
        print("out", "half", end="")
        print("err", file=sys.stderr)
        return 1
    def leaves(code): sys.exit(code)
    def leaves_saying(why): sys.exit(why)
    def interrupts(): raise KeyboardInterrupt
    def dies(): os.kill(os.getpid(), 9)
    def sleeps(): time.sleep(1000)
    def spins():
        while True: pass
    def tells():
        nexus_pool.log("info", "hello")
        nexus_pool.progress(1, 2, "half")
        return nexus_pool.command("mean", [1.5, 2], xs(), {"a": None}, 1 << 80, Person("P", 1))
    def xs(): return (True, b"y")
    def in_thread():
        import threading
        caught = []
        def run():
            try: cpp_fact(1)
            except RuntimeError as error: caught.append(str(error))
        thread = threading.Thread(target=run); thread.start(); thread.join()
        return caught[0]
    def forks():
        pid = os.fork()
        if pid == 0:
            try: cpp_fact(1)
            except RuntimeError: os._exit(9)
            os._exit(1)
        return os.waitpid(pid, 0)[1] >> 8
    def inherited():
        path = os.path.join(os.environ["NEXUS_DIR"], "open")
        os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", "ls -l /proc/self/fd > " + path], os.environ), 0)
        return [line.split(" -> ")[1] for line in open(path) if "socket" in line or "pipe" in line]
    def unprintable():
        class Odd(Exception):
            def __str__(self): raise RuntimeError
        raise Odd
'''
SIGNATURES = {
    1: ("add", ["j", "j"], "j"), 2: ("fails", ["s"], "z"), 3: ("fails_deep", ["s"], "z"), 4: ("fact", ["j"], "j"),
    5: ("depth", ["j"], "j"), 6: ("blob", ["j"], "j"), 7: ("catches", ["j"], "s"), 8: ("point", [], "(s,[f8])"),
    9: ("noisy", [], "j"), 10: ("leaves", ["?j"], "z"), 11: ("dies", [], "z"), 12: ("sleeps", [], "z"),
    13: ("tells", [], "j"), 14: ("in_thread", [], "s"), 15: ("forks", [], "j"), 16: ("inherited", [], "[s]"),
    17: ("unprintable", [], "z"), 18: ("runs_away", [], "z"), 19: ("deepest_runs_away", ["j"], "z"),
    20: ("same", ["y"], "y"), 21: ("point_bad", [], "(s,[f8])"), 23: ("spins", [], "z"),
    25: ("leaves_saying", ["s"], "z"), 26: ("interrupts", [], "z"),
}


# ---- msgpack, plainly -----------------------------------------------------------------------------------------------

class Ext:
    def __init__(self, code, data):
        self.code, self.data = code, data

    def __eq__(self, other):
        return type(other) is Ext and (self.code, self.data) == (other.code, other.data)

    def __repr__(self):
        return "Ext(%d, %r)" % (self.code, self.data)


def floats(*values):
    return Ext(10, struct.pack("<%dd" % len(values), *values))


def ints(*values):
    return Ext(3, struct.pack("<%di" % len(values), *values))


def big(value):
    return Ext(11, value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True))


def packed(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value) if value < 1 << 63 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, Ext):
        return b"\xc9" + struct.pack(">IB", len(value.data), value.code) + value.data
    if isinstance(value, dict):
        return b"\xdf" + struct.pack(">I", len(value)) + b"".join([packed(k) + packed(v) for k, v in value.items()])
    head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdd" + struct.pack(">I", len(value))
    return head + b"".join([packed(element) for element in value])


def framed(message):
    data = packed(message)
    return struct.pack(">I", len(data)) + data


def unpacked(data):
    value, end = unpacked_at(data, 0)
    assert end == len(data), "trailing bytes"
    return value


def unpacked_at(data, at):
    tag, at = data[at], at + 1
    sizes = {0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2,
             0xdf: 4}
    numbers = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h",
               0xd2: ">i", 0xd3: ">q"}
    if tag < 0x80 or tag >= 0xe0:
        return tag - (256 if tag >= 0xe0 else 0), at
    if tag in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[tag], at
    if tag in numbers:
        return struct.unpack_from(numbers[tag], data, at)[0], at + struct.calcsize(numbers[tag])
    if tag in sizes:
        size = int.from_bytes(data[at:at + sizes[tag]], "big")
        at += sizes[tag]
    elif 0xd4 <= tag <= 0xd8:
        size = 1 << tag - 0xd4
    else:
        size = tag & (0x1f if 0xa0 <= tag < 0xc0 else 0x0f)
    if 0xa0 <= tag < 0xc0 or 0xd9 <= tag <= 0xdb:
        return data[at:at + size].decode(), at + size
    if 0xc4 <= tag <= 0xc6:
        return data[at:at + size], at + size
    if 0xc7 <= tag <= 0xc9 or 0xd4 <= tag <= 0xd8:
        return Ext(data[at], data[at + 1:at + 1 + size]), at + 1 + size
    items = []
    pairs = tag < 0x90 or tag >= 0xde
    for _ in range(2 * size if pairs else size):
        item, at = unpacked_at(data, at)
        items.append(item)
    return (dict(zip(items[::2], items[1::2])) if pairs else items), at


# ---- nexus, roughly -------------------------------------------------------------------------------------------------

class Line:
    """One end of a connection: sends and receives messages."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(WAIT_S)
        self.last_id = 0

    def send(self, message):
        self.socket.sendall(framed(message))

    def receive(self):
        """The next message, or None at the end."""
        head = self.exactly(4)
        return None if head is None else unpacked(self.exactly(struct.unpack(">I", head)[0]))

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            chunk = self.socket.recv(min(size - len(data), MIB))
            if not chunk:
                return None
            data += chunk
        return bytes(data)

    def request(self, method, params):
        self.last_id += 1
        self.send([0, self.last_id, method, params])
        return self.last_id

    def call(self, mid, *args, foreign=None):
        """The error and the result of a call. `foreign` answers what the function calls: it gets the params and
        returns a result, or raises KeyError with an error value."""
        id = self.request("call", [mid, *args])
        while True:
            message = self.receive()
            if message is None:
                raise EOFError("the worker closed the connection")
            if message[0] == 1 and message[1] == id:
                return message[2], message[3]
            assert message[0] == 0, message
            try:
                self.send([1, message[1], None, foreign(message[3])])
            except KeyError as error:
                self.send([1, message[1], error.args[0], None])


class Pool:
    """A running pool and nexus's ends of its descriptors."""

    def __init__(self, signatures=None, functions=FUNCTIONS, env=(), executable=sys.executable):
        self.dir = tempfile.mkdtemp(prefix="nexus.")
        self.code = tempfile.mkdtemp(prefix="pool.")
        with open(os.path.join(self.code, "functions.py"), "w") as file:
            file.write(textwrap.dedent(functions))
        with open(os.path.join(self.code, "pool.py"), "w") as file:
            file.write("import nexus_pool\nimport functions\n")
            for mid, (name, args, returns) in (signatures or SIGNATURES).items():
                file.write("nexus_pool.register(%d, functions.%s, args=%r, returns=%r)\n" % (mid, name, args, returns))
            file.write("nexus_pool.serve()\n")
        self.path = os.path.join(self.dir, "pipe-py")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(16)
        control, theirs = socket.socketpair()
        life_reader, self.life = os.pipe()
        self.process = subprocess.Popen(
            [executable, "pool.py"], cwd=self.code, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=os.setpgrp, pass_fds=(listener.fileno(), theirs.fileno(), life_reader),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": RUNTIME_DIR, "PYTHONDONTWRITEBYTECODE": "1",
                 "NEXUS_POOL": "py", "NEXUS_DIR": self.dir, "NEXUS_LISTEN_FD": str(listener.fileno()),
                 "NEXUS_CONTROL_FD": str(theirs.fileno()), "NEXUS_LIFE_FD": str(life_reader), **dict(env)})
        fcntl.fcntl(life_reader, fcntl.F_SETOWN, -self.process.pid)
        fcntl.fcntl(life_reader, fcntl.F_SETFL, os.O_ASYNC)
        for descriptor in (life_reader, listener.detach(), theirs.detach()):
            os.close(descriptor)
        self.control = Line(control)

    def connect(self):
        """A connection to a worker, and what the worker said first."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(WAIT_S)
        connection.connect(self.path)
        line = Line(connection)
        kind, method, (hello,) = line.receive()
        assert (kind, method) == (2, "hello")
        return line, hello

    def hello(self):
        kind, method, (hello,) = self.control.receive()
        assert (kind, method) == (2, "hello")
        return hello

    def shut_down(self):
        """The exit code and what the pool printed."""
        self.control.send([2, "shutdown", []])
        output, _ = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, output.decode()

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=WAIT_S)
        self.control.socket.close()
        os.close(self.life)
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.code)


class PoolTest(unittest.TestCase):
    def pool(self, *args, **kwargs):
        pool = Pool(*args, **kwargs)
        self.addCleanup(pool.close)
        return pool

    def line(self, *args, **kwargs):
        line, _ = self.pool(*args, **kwargs).connect()
        self.addCleanup(line.socket.close)
        return line

    def gone(self, pid):
        """Waits until a process that is not ours has ended."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        self.assertTrue(poll.poll(WAIT_S * 1000), "process %d still runs" % pid)
        os.close(descriptor)


class TestTypes(PoolTest):
    def check_same(self, *table):
        """(schema, sent, expected or None for the same): a value goes through a function that returns it."""
        line = self.line({i: ("same", [row[0]], row[0]) for i, row in enumerate(table)})
        for i, (schema, sent, *expected) in enumerate(table):
            with self.subTest(schema=schema, sent=sent):
                error, result = line.call(i, sent)
                self.assertIsNone(error)
                self.assertEqual(repr(result), repr(expected[0] if expected else sent))

    def test_values_come_back(self):
        self.check_same(
            ("z", None), ("b", True), ("b", False), ("<hint<$1>>b", True),
            ("i1", -128), ("i1", 127), ("i2", -32768), ("i4", 2**31 - 1), ("i4", -2**31), ("i8", -2**63),
            ("i8", 2**63 - 1),
            ("u1", 255), ("u2", 65535), ("u4", 2**32 - 1), ("u8", 2**64 - 1), ("u8", 0), ("i8", -1), ("i8", -33),
            ("j", 0), ("j", 2**64 - 1), ("j", -2**63), ("j", big(2**64)), ("j", big(-2**63 - 1)), ("j", big(3**500)),
            ("j", big(-3**500)), ("j", Ext(11, b"\x05"), 5),
            ("f8", 0.1), ("f8", float("inf")), ("f8", -0.0), ("f8", 5e-324), ("f8", float("nan")), ("f8", 3, 3.0),
            ("f4", 0.1, struct.unpack("<f", struct.pack("<f", 0.1))[0]), ("f4", 1.5),
            ("s", ""), ("s", "å€😀"), ("s", "x" * 40), ("s", "y" * 300), ("s", "z" * 70000),
            ("y", b""), ("y", bytes(range(256))), ("y", b"k" * 70000),
            ("?j", None), ("?j", 4), ("??j", None), ("?[s]", ["a"]),
            ("[s]", []), ("[s]", ["a", "b"]), ("as", ["a"]), ("[b]", [True] * 20), ("[[s]]", [["a"], []]),
            ("[s]", ["%d" % i for i in range(70000)]), ("a:2s", ["a", "b"]), ("a:bb", [True] * 11),
            ("a:2 s", ["a", "b"]),
            ("[f8]", floats(1.5, float("-inf"))), ("[f8]", [1.5, 2], floats(1.5, 2.0)), ("[f8]", floats()),
            ("af8", floats(2.5)), ("[i4]", ints(1, -2)), ("[i4]", [1, -2], ints(1, -2)), ("a:2i4", ints(1, 2)),
            ("[f8]", ints(1, 2), floats(1.0, 2.0)), ("[f4]", [1.5], Ext(9, struct.pack("<f", 1.5))),
            ("[u1]", [0, 255], Ext(5, b"\x00\xff")), ("[i1]", [-1], Ext(1, b"\xff")),
            ("[u8]", [2**64 - 1], Ext(8, b"\xff" * 8)), ("[u2]", [258], Ext(6, b"\x02\x01")),
            ("[i2]", [-2], Ext(2, b"\xfe\xff")), ("[u4]", [1], Ext(7, b"\x01\0\0\0")),
            ("[i8]", [1], Ext(4, b"\x01" + bytes(7))),
            ("[[f8]]", [floats(1.0), floats()]), ("[j]", [1, big(1 << 64)]), ("[?f8]", [1.5, None]),
            ("(s,j)", ["a", 1]), ("()", []), ("t0", []), ("t2s?j", ["a", None]),
            ("([f8],(b,b))", [floats(1.0), [True, False]]),
            ("(i4,i4)", ints(1, 2), [1, 2]),
            ("{name:s,age:?j}", {"name": "a", "age": 1}), ("m24names3age?j", {"name": "a", "age": None}),
            ("{name:s,age:?j}", {"age": 2, "name": "a"}, {"name": "a", "age": 2}),
            ("{name:s,age:?j}", {"name": "a"}, {"name": "a", "age": None}),
            ("{name:s,age:?j}", ["a", 5], {"name": "a", "age": 5}), ("{}", {}),
            ("{x:f8,y:f8}", floats(1.0, 2.0), {"x": 1.0, "y": 2.0}),
            ("m12éj", {"é": 1}), ("[{x:m11yas}]", [{"x": {"y": ["q"]}}]),
            ("&4Trie<dict>m23val?j4subsat2s^4Trie", {"val": 1, "subs": [["a", {"val": None, "subs": []}]]}),
            ("&1L?{v:j,next:^1L}", {"v": 1, "next": {"v": 2, "next": None}}))

    def test_many_values(self):
        # With msgpack installed this takes another way through the runtime.
        rows = [{"name": "row %d" % i, "big": big(1 << 70 + i % 9), "xs": ints(i, i), "y": bytes([i % 256])}
                for i in range(12000)]
        self.check_same(("[{name:s,big:j,xs:[i4],y:y}]", rows), ("[j]", list(range(-20000, 20000))),
                        ("[?b]", [True, None] * 200000))
        error, _ = self.line({1: ("same", ["[s]"], "z")}).call(1, ["x" * 100] * 12000 + [1])
        self.assertEqual(error["message"],
                         "argument 1 of same, [12000]: expected s (a str, valid as UTF-8), found int 1")

    def test_deep_values(self):
        chain, tree = None, []
        for number in range(250):
            chain, tree = {"v": number, "next": [chain]}, [tree]
        self.check_same(("&1C?{v:j,next:[^1C]}", chain), ("&1T[^1T]", [tree] * 2))

    def test_plain_python_values_are_taken(self):
        self.check_made(
            ("{name:s,age:j}", "dataclass", {"name": "Ann", "age": 5}),
            ("{name:s,age:j}", "namedtuple", {"name": "Bob", "age": 6}),
            ("{name:s,age:j}", "object", {"name": "Eve", "age": 3}),
            ("{name:s,age:j}", "dict", {"name": "Cyd", "age": 4}),
            ("s", "word", "sub"), ("j", "level", 1), ("y", "bytearray", b"ab"), ("[j]", "tuple", [1, 2, 3]),
            ("[i4]", "range", ints(0, 1, 2, 3)),
            ("f8", "int", 3.0), ("[f8]", "floats", floats(1.0, 2.5)), ("[f8]", "array", floats(1.5, 2.5)),
            ("[u1]", "bytes", Ext(5, b"\x00\xff")), ("(j,j,j)", "list", [1, 2, 3]), ("j", "big", big(1 << 70)))

    def test_numpy_values_are_taken(self):
        try:
            import numpy  # noqa: F401
        except ImportError:
            self.skipTest("NumPy is not installed")
        self.check_made(
            ("[f8]", "np_f8", floats(1.5, 2.5)), ("[i4]", "np_i4", ints(1, 2)), ("[f8]", "np_i4", None),
            ("[?f8]", "np_f8", [1.5, 2.5]),
            ("[i8]", "np_i4", Ext(4, struct.pack("<2q", 1, 2))), ("[f8]", "np_strided", floats(0.0, 2.0, 4.0)),
            ("[[f8]]", "np_rows", [floats(1.5, 2.5), floats(3.5, 4.5)]), ("j", "np_scalar", 7),
            ("f8", "np_float", 0.5),
            ("a:2f8", "np_f8", floats(1.5, 2.5)))

    def check_made(self, *table):
        """(schema, name of a value that Python makes, expected result)"""
        line = self.line({i: ("make", ["s"], row[0]) for i, row in enumerate(table)})
        for i, (schema, name, expected) in enumerate(table):
            with self.subTest(schema=schema, name=name):
                error, result = line.call(i, name)
                self.assertIsNone(error)
                self.assertEqual(repr(result), repr(floats(1.0, 2.0) if expected is None else expected))

    def test_wrong_results_say_what_is_wrong(self):
        table = [
            ("j", "bool", ": expected j (an integer), found bool True"),
            ("f8", "bool", ": expected f8 (a float), found bool True"),
            ("b", "int", ": expected b (a bool), found int 3"),
            ("j", "float", ": expected j (an integer), found float 2.5"),
            ("i8", "big", ": expected i8 (an integer from -9223372036854775808 to 9223372036854775807), "
                          "found int 1180591620717411303424"),
            ("s", "none", ": expected s (a str, valid as UTF-8), found NoneType"),
            ("s", "surrogate", ": expected s (a str, valid as UTF-8), found str 'a\\udcff'"),
            ("z", "int", ": expected z (None), found int 3"),
            ("y", "str", ": expected y (bytes), found str 'text'"),
            ("[j]", "set", ": expected [j], found set"),
            ("[s]", "str", ": expected [s], found str 'text'"),
            ("[i4]", "with_bool", ", [1]: expected i4 (an integer from -2147483648 to 2147483647), found bool True"),
            ("[u1]", "with_300", ", [1]: expected u1 (an integer from 0 to 255), found int 300"),
            ("[f4]", "huge_floats", ", [0]: expected f4 (a float in single precision), found float 1e+300"),
            ("[f8]", "too_big_int", ", [0]: expected f8 (a float), found int of 2001 bits"),
            ("a:2j", "list", ": expected a:2j, found list of length 3"),
            ("a:2i4", "list", ": expected a:2i4, found list of length 3"),
            ("(j,j)", "list", ": expected (j,j), found list of length 3"),
            ("(j,j)", "int", ": expected (j,j), found int 3"),
            ("{name:s,age:j}", "no_age", ": expected {name:s,age:j}, found no key 'age'"),
            ("{name:s,age:j}", "extra", ": expected {name:s,age:j}, found an unknown key, str 'agee'"),
            ("{name:s,age:j}", "bad_age", ", .age: expected j (an integer), found str 'x'"),
            ("{name:s,age:j}", "int", ": expected {name:s,age:j}, found int 3"),
            ("{name:s,age:j}", "pair", ": expected {name:s,age:j}, found tuple of length 2"),
            ("[{name:s,age:j}]", "nested_bad", ", [0].age: expected j (an integer), found NoneType"),
        ]
        line = self.line({i: ("make", ["s"], row[0]) for i, row in enumerate(table)})
        for i, (schema, name, message) in enumerate(table):
            with self.subTest(schema=schema, name=name):
                error, _ = line.call(i, name)
                self.assertEqual((error["kind"], error["message"], error["function"]),
                                 ("raised", "the result of make" + message, "make"))

    def test_wrong_arguments_say_what_is_wrong(self):
        table = [
            ("u1", 256, "argument 1 of same: expected u1 (an integer from 0 to 255), found int 256"),
            ("[u1]", [1, 256], "argument 1 of same, [1]: expected u1 (an integer from 0 to 255), found int 256"),
            ("[u1]", floats(1.5), "argument 1 of same, [0]: expected u1 (an integer from 0 to 255), found float 1.5"),
            ("s", floats(1.5), "argument 1 of same: expected s (a str, valid as UTF-8), found Numbers"),
            ("{a:s}", ["x", "y"], "argument 1 of same: expected {a:s}, found list of length 2"),
            ("{a:s}", {"b": 1}, "argument 1 of same: expected {a:s}, found no key 'a'"),
            ("[f8", None, "SchemaError: schema '[f8' at 3: expected ']'"),
            ("q", None, "SchemaError: schema 'q' at 0: expected a type that Python can hold"),
            ("{a:s,a:s}", None, "SchemaError: record {a:s,a:s} repeats a key"),
            ("^1x", None, "SchemaError: schema '^1x' at 3: expected a name declared with '&'"),
            ("t9s", None, "SchemaError: schema 't9s' at 3: expected 1 more characters"),
            ("t-s", None, "SchemaError: schema 't-s' at 2: expected a base-62 digit"),
            ("js", None, "SchemaError: schema 'js' at 1: expected the end"),
            ("a:-s", None, "SchemaError: schema 'a:-s' at 3: expected a base-62 digit"),
            ("{as}", None, "SchemaError: schema '{as}' at 1: expected a key and ':'"),
            ("(s;s)", None, "SchemaError: schema '(s;s)' at 2: expected ',' or ')'"),
            ("", None, "SchemaError: schema '' at 0: expected 1 more characters"),
        ]
        line = self.line({i: ("same", [row[0]], "z") for i, row in enumerate(table)})
        for i, (schema, sent, message) in enumerate(table):
            with self.subTest(schema=schema, sent=sent):
                error, _ = line.call(i, sent)
                self.assertEqual((error["kind"], error["message"], error["function"]), ("raised", message, "same"))

    def test_number_of_arguments(self):
        error, _ = self.line().call(1, 5)
        self.assertEqual(error["message"], "add: expected 2 arguments, found 1")

    def test_values_arrive_as_plain_python(self):
        table = [("[f8]", floats(1.0), "list"), ("(j,j)", [1, 2], "tuple"), ("{a:j}", {"a": 1}, "dict"),
                 ("f8", 1, "float"),
                 ("f4", 1, "float"), ("y", b"", "bytes"), ("j", big(1 << 70), "int"), ("z", None, "NoneType")]
        line = self.line({i: ("kind", [row[0]], "s") for i, row in enumerate(table)})
        for i, (schema, sent, kind) in enumerate(table):
            with self.subTest(schema=schema):
                self.assertEqual(line.call(i, sent), (None, kind))

    def test_garbled_payload_is_an_error_of_the_call(self):
        line = self.line()
        for params in (b"\x93\x01\x02\xc1", b"\x93\x01\x02\xa5abc", b"\x93\x01\x02\xdd\xff\xff\xff\xff\x01",
                       b"\x93\x01\x02\xa1\xff",
                       b"\x93\x01\x02", b"\x93\x01\x02\x03\x04", b"\x92\x01\xc7\x03\x0aabc", b"\x92\x01\xd4\x7fx",
                       b"\x92\x01\x82\x01\x01\x01\x01"):
            with self.subTest(params=params):
                data = b"\x94\x00\x05\xa4call" + params
                line.socket.sendall(struct.pack(">I", len(data)) + data)
                kind, id, error, _ = line.receive()
                self.assertEqual((kind, id, error["kind"]), (1, 5, "raised"))
                self.assertIn("can't be read", error["message"])
        self.assertEqual(line.call(1, 2, 3), (None, 5))


class TestCalls(PoolTest):
    def test_hellos(self):
        pool = self.pool()
        version = "python %d.%d.%d" % sys.version_info[:3]
        self.assertEqual(pool.hello(), {"protocol": 1, "lang": "py", "runtime": version, "pid": pool.process.pid,
                                        "workers": 1})
        line, hello = pool.connect()
        self.assertEqual({**hello, "pid": 0}, {"protocol": 1, "lang": "py", "runtime": version, "pid": 0,
                                               "reentrant": True})
        self.assertNotEqual(hello["pid"], pool.process.pid)
        line.socket.close()
        again, second = pool.connect()
        self.assertEqual(second["pid"], hello["pid"])
        again.socket.close()

    def test_methods(self):
        line = self.line()
        line.send([2, "no such notification", [1]])
        line.send([2, "cancel", [77]])
        line.request("ping", [])
        self.assertEqual(line.receive(), [1, 1, None, None])
        line.request("dance", [])
        kind, id, error, _ = line.receive()
        self.assertEqual((kind, id, error["kind"]), (1, 2, "protocol"))
        self.assertIn("'dance'", error["message"])
        error, _ = line.call(999)
        self.assertEqual((error["kind"], error["message"]), ("protocol", "the pool has no function int 999"))

    def test_frames_in_pieces_and_together(self):
        line = self.line()
        data = framed([0, 1, "call", [1, 2, 3]])
        for byte in data:
            line.socket.sendall(bytes([byte]))
        line.socket.sendall(data * 3)
        self.assertEqual([line.receive() for _ in range(4)], [[1, 1, None, 5]] * 4)

    def test_exceptions(self):
        pool = self.pool()
        line, hello = pool.connect()
        error, _ = line.call(3, "no such thing")
        file = os.path.join(pool.code, "functions.py")
        self.assertEqual({key: error[key] for key in ("kind", "message", "function", "pool", "pid")},
                         {"kind": "raised", "message": "ValueError: no such thing", "function": "fails_deep",
                          "pool": "py", "pid": hello["pid"]})
        names = ["fails", "fails_deep.<locals>.inner" if sys.version_info >= (3, 11) else "inner", "fails_deep"]
        self.assertEqual([(entry["lang"], entry["function"], entry["file"]) for entry in error["trace"]],
                         [("py", name, file) for name in names])
        self.assertTrue(all(entry["line"] > 1 for entry in error["trace"]))
        self.assertEqual(line.call(17)[0]["message"], "Odd: (its message can't be made)")
        self.assertEqual(line.call(2, "")[0]["message"], "ValueError")
        error, _ = line.call(18)
        self.assertTrue(error["message"].startswith("RecursionError: maximum recursion depth"), error["message"])
        self.assertEqual(len(error["trace"]), 100)
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        line.socket.close()

    def test_prints_go_to_the_output(self):
        pool = self.pool()
        line, _ = pool.connect()
        self.assertEqual(line.call(9), (None, 1))
        output = b""
        while len(output) < len(b"out halferr\n"):
            self.assertTrue(select.select([pool.process.stdout], [], [], WAIT_S)[0], output)
            output += os.read(pool.process.stdout.fileno(), 100)
        self.assertEqual(sorted(output), sorted(b"out halferr\n"))
        line.socket.close()

    def test_requests_and_notifications(self):
        line = self.line()
        line.request("call", [13])
        self.assertEqual(line.receive(), [2, "log", ["info", "hello"]])
        self.assertEqual(line.receive(), [2, "progress", [1, 2, "half"]])
        kind, id, method, params = line.receive()
        self.assertEqual((kind, method), (0, "command"))
        self.assertEqual(params, ["mean", [1.5, 2], [True, b"y"], {"a": None}, big(1 << 80), {"name": "P", "age": 1}])
        line.send([1, id, None, 42])
        self.assertEqual(line.receive(), [1, 1, None, 42])

    def test_only_the_function_itself_may_call(self):
        line = self.line()
        self.assertIn("can be called only by a function", line.call(14)[1])
        self.assertEqual(line.call(15), (None, 9))
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_programs_that_user_code_starts_inherit_nothing(self):
        error, descriptors = self.line().call(16)
        self.assertEqual((error, len(descriptors)), (None, 1), descriptors)  # standard error: the output pipe

    def test_little_is_imported(self):
        functions = "import nexus_pool\ndef imported(): return sorted(__import__('sys').modules)\n"
        _, modules = self.line({1: ("imported", [], "[s]")}, functions).call(1)
        heavy = {"socket", "selectors", "enum", "traceback", "threading", "subprocess", "json", "re", "typing",
                 "signal", "struct"}
        plain = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], stdout=subprocess.PIPE,
                               timeout=WAIT_S)
        self.assertEqual(heavy & set(modules) - set(plain.stdout.decode().split()), set())


class TestForeignCalls(PoolTest):
    def test_there_and_back_three_deep(self):
        line = self.line()

        def foreign(params):
            pool, mid, n = params
            self.assertEqual((pool, mid), ("cpp", 7))
            if n < 2:
                return 1
            error, result = line.call(4, n - 1, foreign=foreign)
            self.assertIsNone(error)
            return n * result

        self.assertEqual(line.call(4, 7, foreign=foreign), (None, 5040))

    def test_values_both_ways(self):
        def foreign(params):
            self.assertEqual(repr(params), repr(["cpp", 9, {"x": 1.0, "y": None}, ints(1, 2)]))
            return ["ok", [1.5, 2]]

        line = self.line()
        self.assertEqual(line.call(8, foreign=foreign), (None, ["ok", floats(1.5, 2.0)]))
        error, _ = line.call(8, foreign=lambda params: [1, []])
        self.assertEqual(error["message"], "Mismatch: the result of function 9 of pool cpp, [0]: expected s (a str, "
                                           "valid as UTF-8), found int 1")
        error, _ = line.call(21)
        self.assertIn("Mismatch: argument 2 of function 9 of pool cpp, [1]: expected i4 (", error["message"])

    def test_answers_of_outer_requests_wait(self):
        line = self.line()
        line.request("call", [4, 3])
        outer = line.receive()
        line.request("call", [4, 5])
        inner = line.receive()
        line.send([1, 12345, None, 99])
        line.send([1, outer[1], None, 2])
        line.send([1, inner[1], None, 24])
        self.assertEqual([line.receive(), line.receive()], [[1, 2, None, 120], [1, 1, None, 6]])

    def test_errors_keep_kind_message_and_grow_one_trace(self):
        entry = {"lang": "cpp", "function": "f", "file": "f.cpp", "line": 3}
        remote = {"kind": "terminated", "message": "it died", "trace": [entry], "signal": 11}

        def foreign(params):
            if params[2] == 2:
                raise KeyError(remote)
            error, _ = line.call(4, params[2] - 1, foreign=foreign)
            raise KeyError(error)

        line = self.line()
        error, _ = line.call(4, 5, foreign=foreign)
        self.assertEqual((error["kind"], error["message"], error["signal"]), ("terminated", "it died", 11))
        self.assertEqual([(each["lang"], each["function"]) for each in error["trace"]],
                         [("cpp", "f"), ("py", "fact"), ("py", "fact")])
        self.assertEqual(line.call(7, 2, foreign=foreign), (None, "terminated|it died|f"))

    def descend(self, line, mid, depth):
        """An alternating recursion: each of our calls makes a foreign call, until `depth` reaches 0."""
        line.request("call", [mid, depth])
        waiting = []
        while True:
            message = line.receive()
            if message is None:
                self.fail("the worker closed the connection at depth %d" % len(waiting))
            if message[0] == 0:
                waiting.append(message[1])
                line.request("call", [mid, message[3][2]])
            elif waiting:
                line.send([1, waiting.pop(), message[2], message[3]])
            else:
                return message[2], message[3]

    def test_alternating_recursion_of_depth_1000(self):
        line = self.line()
        self.assertEqual(self.descend(line, 5, 1000), (None, 1000))
        self.assertEqual(self.descend(line, 5, 1000), (None, 1000))

    def test_recursion_too_deep_is_an_error(self):
        line = self.line()
        error, _ = self.descend(line, 5, 5000)
        self.assertEqual((error["kind"], error["message"][:34]), ("raised", "RecursionError: calls are nested 1"))
        self.assertEqual(len(error["trace"]), 100)
        error, _ = self.descend(line, 19, 1000)
        self.assertTrue(error["message"].startswith("RecursionError: maximum recursion depth"), error["message"])
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_large_frames_cross(self):
        line = self.line()
        line.request("call", [6, 8 * MIB])
        line.request("call", [20, b"k" * (8 * MIB)])  # written whole before anything is read
        kind, id, method, params = line.receive()
        self.assertEqual((kind, method, len(params[2])), (0, "call", 8 * MIB))
        self.assertEqual(line.receive(), [1, 2, None, b"k" * (8 * MIB)])
        line.send([1, id, None, b"r" * (8 * MIB)])
        self.assertEqual(line.receive(), [1, 1, None, 8 * MIB])

    def test_cancel(self):
        line = self.line()
        line.request("call", [4, 3])
        line.receive()
        line.request("call", [7, 5])
        line.receive()
        line.send([2, "cancel", [1]])
        answers = [line.receive(), line.receive()]
        self.assertEqual([(id, error["kind"]) for _, id, error, _ in answers], [(2, "cancelled"), (1, "cancelled")])
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_closing_the_connection_ends_its_calls(self):
        pool = self.pool()
        line, hello = pool.connect()
        line.request("call", [7, 3])
        line.receive()
        line.socket.close()
        line, again = pool.connect()
        self.assertEqual(again["pid"], hello["pid"])
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        line.socket.close()


class TestProcesses(PoolTest):
    def test_shutdown(self):
        pool = self.pool()
        pool.hello()
        line, hello = pool.connect()
        line.call(9)
        line.socket.close()
        code, output = pool.shut_down()
        self.assertEqual((code, sorted(output)), (0, sorted("out half" + "err\n")))
        self.gone(hello["pid"])

    def test_prints_and_exit_hooks_happen_once(self):
        pool = self.pool({1: ("late", [], "z")}, """
            import atexit
            print("once,", end=" ")
            atexit.register(print, "of the parent")
            def late(): atexit.register(print, "of the worker")
        """)
        line, _ = pool.connect()
        self.assertEqual(line.call(1), (None, None))
        line.socket.close()
        self.assertEqual(pool.shut_down(), (0, "once, of the worker\nof the parent\n"))

    def test_signals_end_the_pool_quietly(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            pool = self.pool()
            pool.hello()
            line, hello = pool.connect()
            line.socket.close()
            os.killpg(pool.process.pid, number)
            output, _ = pool.process.communicate(timeout=WAIT_S)
            self.assertEqual((pool.process.returncode, output), (-number, b""))
            self.gone(hello["pid"])

    def test_grow(self):
        pool = self.pool()
        pool.hello()
        for number, total in ((2, 3), (0, 3), (1, 4)):
            id = pool.control.request("grow", [number])
            self.assertEqual(pool.control.receive(), [1, id, None, total])
        lines = [pool.connect() for _ in range(4)]
        self.assertEqual(len({hello["pid"] for _, hello in lines}), 4)
        for line, _ in lines:
            self.assertEqual(line.call(1, 2, 3), (None, 5))
            line.socket.close()
        together = b"".join(framed([0, id, "grow", [0]]) for id in (11, 12, 13))
        pool.control.socket.sendall(together)
        self.assertEqual([pool.control.receive() for _ in range(3)], [[1, id, None, 4] for id in (11, 12, 13)])
        for params in ([-1], ["x"], [], [1 << 40]):
            id = pool.control.request("grow", params)
            kind, answered, error, _ = pool.control.receive()
            self.assertEqual((kind, answered, error["kind"]), (1, id, "protocol"))
        id = pool.control.request("shrink", [1])
        self.assertEqual(pool.control.receive()[2]["kind"], "protocol")
        self.assertEqual(pool.shut_down()[0], 0)
        for _, hello in lines:
            self.gone(hello["pid"])

    def test_deaths_are_reported(self):
        pool = self.pool()
        pool.hello()
        for mid, args, how in ((10, [3], {"exit_code": 3}), (10, [None], {"exit_code": 0}), (11, [], {"signal": 9}),
                               (25, ["why"], {"exit_code": 1}), (26, [], {"exit_code": 130})):
            line, hello = pool.connect()
            line.request("call", [mid, *args])
            self.assertIsNone(line.receive())
            self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": hello["pid"], **how}]])
            line.socket.close()
            id = pool.control.request("grow", [1])
            self.assertEqual(pool.control.receive(), [1, id, None, 1])

    def test_a_frame_that_is_no_message_ends_the_worker(self):
        pool = self.pool()
        pool.hello()
        line, hello = pool.connect()
        line.socket.sendall(b"\0\0\0\1\xc1")
        self.assertIsNone(line.receive())
        self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": hello["pid"], "exit_code": 70}]])
        line.socket.close()

    def test_code_that_does_not_load(self):
        pool = self.pool({}, "import no_such_module")
        output, _ = pool.process.communicate(timeout=WAIT_S)
        self.assertEqual(pool.process.returncode, 1)
        self.assertIn("no_such_module", output.decode())
        self.assertIsNone(pool.control.receive())

    def test_started_by_hand(self):
        done = subprocess.run([sys.executable, "-c", "import nexus_pool; nexus_pool.serve()"], stderr=subprocess.PIPE,
                              env={**os.environ, "PYTHONPATH": RUNTIME_DIR}, timeout=WAIT_S)
        self.assertEqual((done.returncode, done.stderr.decode()),
                         (1, "this is a pool of a nexus program: run the program, not the pool\n"))

    def test_the_parent_dies(self):
        pool = self.pool()
        pool.hello()
        line, _ = pool.connect()
        pool.process.kill()
        self.assertIsNone(pool.control.receive())
        line.socket.close()

    def check_abandoned(self, pool, pids):
        self.assertEqual(pool.process.wait(timeout=WAIT_S), -signal.SIGKILL)
        for pid in pids:
            self.gone(pid)
        self.assertFalse(os.path.exists(pool.dir))

    def test_control_ends(self):
        for mid in (12, 23):
            pool = self.pool()
            pool.hello()
            line, hello = pool.connect()
            line.request("call", [mid])
            pool.control.socket.close()
            self.check_abandoned(pool, [hello["pid"]])
            line.socket.close()

    def test_life_pipe_ends_while_user_code_loads(self):
        pool = self.pool({}, "import os, sys\nprint('loading')\nwhile True: pass")
        self.assertEqual(pool.process.stdout.readline(), b"loading\n")
        os.makedirs(os.path.join(pool.dir, "a", "b"))
        os.symlink("/", os.path.join(pool.dir, "a", "link"))
        os.close(pool.life)
        pool.life = os.open(os.devnull, os.O_RDONLY)
        self.check_abandoned(pool, [])

    def test_nexus_is_killed(self):
        for mid in (12, 23, 0):
            with self.subTest(mid=mid):
                nexus = subprocess.Popen([sys.executable, __file__, "--play-nexus", str(mid)], stdout=subprocess.PIPE)
                dir, code, *pids = nexus.stdout.readline().decode().split()
                self.addCleanup(shutil.rmtree, code)
                nexus.kill()
                nexus.communicate(timeout=WAIT_S)
                for pid in pids:
                    self.gone(int(pid))
                self.assertFalse(os.path.exists(dir))


def play_nexus(mid):
    """Starts a pool with two workers, one of which runs a function that does not end, and waits to be killed."""
    pool = Pool()
    pool.hello()
    pool.control.request("grow", [1])
    pool.control.receive()
    lines = [pool.connect(), pool.connect()]
    if mid:
        lines[0][0].request("call", [mid])
    print(pool.dir, pool.code, pool.process.pid, *[hello["pid"] for _, hello in lines], flush=True)
    signal.pause()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--play-nexus"]:
        play_nexus(int(sys.argv[2]))
    else:
        sys.setrecursionlimit(10_000)  # deep values, in the plainest of codecs
    unittest.main()
