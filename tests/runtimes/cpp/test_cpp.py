"""Drives a real C++ pool through the pool protocol, as nexus would.

A small nexus stands in: it makes the sockets, spawns the pool, and speaks frames. It has a msgpack codec of its own,
so that the runtime is not checked against itself. Needs a C++ compiler ($CXX, default c++). Every wait is bounded.
"""

import fcntl
import os
import random
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

import played

HEADER_DIR = os.path.join(HERE, "..", "..", "..", "src", "runtimes", "cpp")
WAIT_S = 30
COMPILER = [os.environ.get("CXX", "c++"), "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread", "-I", HEADER_DIR]
PACKED = {1: "b", 2: "h", 3: "i", 4: "q", 5: "B", 6: "H", 7: "I", 8: "Q", 9: "f", 10: "d"}


# msgpack: Ext and Raw are what Python has no type for.

class Ext(tuple):
    """(tag, data)"""


class Raw(bytes):
    """msgpack as it stands"""


def packed(tag, items):
    return Ext((tag, struct.pack("<%d%s" % (len(items), PACKED[tag]), *items)))


def length(n, fix, fix_max, tags):
    if n < fix_max:
        return bytes([fix | n])
    for tag, code, top in zip(tags, ">B >H >I".split(), (0xFF, 0xFFFF, 0xFFFFFFFF)):
        if tag and n <= top:
            return bytes([tag]) + struct.pack(code, n)
    raise ValueError(n)


def pack(v):
    if isinstance(v, Raw):
        return bytes(v)
    if isinstance(v, Ext):
        return length(len(v[1]), 0, 0, (0xC7, 0xC8, 0xC9)) + bytes([v[0] & 0xFF]) + v[1]
    if v is None:
        return b"\xc0"
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        if 0 <= v < 128 or -32 <= v < 0:
            return struct.pack("b", v)
        return struct.pack(">Bq", 0xD3, v) if v < 1 << 63 else struct.pack(">BQ", 0xCF, v)
    if isinstance(v, float):
        return struct.pack(">Bd", 0xCB, v)
    if isinstance(v, str):
        v = v.encode()
        return length(len(v), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + v
    if isinstance(v, (bytes, bytearray)):
        return length(len(v), 0, 0, (0xC4, 0xC5, 0xC6)) + v
    if isinstance(v, (list, tuple)):
        return length(len(v), 0x90, 16, (0, 0xDC, 0xDD)) + b"".join(map(pack, v))
    if isinstance(v, dict):
        return length(len(v), 0x80, 16, (0, 0xDE, 0xDF)) + b"".join(pack(k) + pack(x) for k, x in v.items())
    raise TypeError(type(v))


def unpack(data):
    at = 0

    def take(n):
        nonlocal at
        if at + n > len(data):
            raise ValueError("truncated msgpack")
        at += n
        return data[at - n:at]

    def num(code):
        return struct.unpack(">" + code, take(struct.calcsize(code)))[0]

    def ext(n):
        tag = num("b")
        body = bytes(take(n))
        if tag in PACKED:
            return list(struct.unpack("<%d%s" % (n // struct.calcsize(PACKED[tag]), PACKED[tag]), body))
        return Ext((tag, body))

    def value():
        b = num("B")
        if b < 0x80:
            return b
        if b >= 0xE0:
            return b - 256
        if b < 0x90:
            return {value(): value() for _ in range(b & 15)}
        if b < 0xA0:
            return [value() for _ in range(b & 15)]
        if b < 0xC0:
            return str(take(b & 31), "utf8")
        if b in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[b]
        if 0xD4 <= b <= 0xD8:
            return ext(1 << (b - 0xD4))
        code = {0xC4: "B", 0xC5: "H", 0xC6: "I", 0xC7: "B", 0xC8: "H", 0xC9: "I", 0xCA: "f", 0xCB: "d", 0xCC: "B",
                0xCD: "H", 0xCE: "I", 0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q", 0xD9: "B", 0xDA: "H",
                0xDB: "I", 0xDC: "H", 0xDD: "I", 0xDE: "H", 0xDF: "I"}[b]
        n = num(code)
        if b in (0xC4, 0xC5, 0xC6):
            return bytes(take(n))
        if b in (0xC7, 0xC8, 0xC9):
            return ext(n)
        if b in (0xD9, 0xDA, 0xDB):
            return str(take(n), "utf8")
        if b in (0xDC, 0xDD):
            return [value() for _ in range(n)]
        if b in (0xDE, 0xDF):
            return {value(): value() for _ in range(n)}
        return n

    out = value()
    if at != len(data):
        raise ValueError("trailing bytes")
    return out


# The stand-in for nexus.

class Peer:
    """Frames over a socket."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(WAIT_S)

    def send(self, message):
        body = pack(message)
        self.sock.sendall(struct.pack(">I", len(body)) + body)

    def recv(self):
        def exactly(n):
            parts = bytearray()
            while len(parts) < n:
                got = self.sock.recv(min(n - len(parts), 1 << 20))
                if not got:
                    raise EOFError
                parts += got
            return memoryview(parts)
        return unpack(exactly(struct.unpack(">I", exactly(4))[0]))

    def close(self):
        self.sock.close()


class Pipes:
    """Two files as a socket."""

    def __init__(self, to, back):
        self.to, self.back = to, back

    def settimeout(self, _):
        pass

    def sendall(self, data):
        # While it is written, what comes back may have to be read: not in these tests, whose answers follow the whole.
        self.to.write(data)
        self.to.flush()

    def recv(self, n):
        return self.back.read1(n)


class Worker(Peer):
    last_id = 0
    holds = 0  # how often it said that function values live in it

    def call(self, mid, *args, serve=None):
        return self.request("call", [mid, *args], serve)

    def request(self, method, params, serve=None):
        """The (error, result) of a request. `serve` answers what the worker asks meanwhile."""
        self.last_id += 1
        mine = self.last_id
        self.send([0, mine, method, params])
        while True:
            message = self.recv()
            if message[0] == 1:
                assert message[1] == mine, message
                return message[2], message[3]
            if message == [2, "holds", [1]]:
                self.holds += 1
                continue
            answer = serve(self, message)
            if message[0] == 0:
                self.send([1, message[1], *answer])


class Pool:
    """A spawned pool with its control channel."""

    def __init__(self, exe, **more):
        self.dir = tempfile.mkdtemp(prefix="nexus-test.")
        path = os.path.join(self.dir, "pipe-cpp")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        listener.setblocking(False)
        ours, theirs = socket.socketpair()
        life_read, self.life = os.pipe()
        self.path = path
        self.output = tempfile.TemporaryFile()
        given = (listener.fileno(), theirs.fileno(), life_read)
        env = dict(os.environ, NEXUS_LISTEN_FD=str(given[0]), NEXUS_CONTROL_FD=str(given[1]),
                   NEXUS_LIFE_FD=str(given[2]), NEXUS_POOL="cpp", NEXUS_DIR=self.dir, NEXUS_PROTOCOL="1", **more)
        self.process = subprocess.Popen([exe], stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
                                        pass_fds=given, env=env, process_group=0)
        fcntl.fcntl(life_read, fcntl.F_SETOWN, -self.process.pid)
        fcntl.fcntl(life_read, fcntl.F_SETFL, os.O_ASYNC)
        os.close(life_read)
        theirs.close()
        listener.close()
        self.control = Peer(ours)
        self.hello = self.control.recv()

    def connect(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(WAIT_S)
        sock.connect(self.path)
        worker = Worker(sock)
        worker.hello = worker.recv()
        return worker

    def printed(self):
        self.output.seek(0)
        return self.output.read().decode()

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(WAIT_S)
        self.control.close()
        if self.life is not None:
            os.close(self.life)
        self.output.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def setUpModule():
    """Compiles the pool for each class of tests, at the same time."""
    build_dir = tempfile.mkdtemp(prefix="nexus-build.")
    unittest.addModuleCleanup(shutil.rmtree, build_dir)
    compilers = []
    for tests, source, flags in ((Ordinary, "pool.cpp", Ordinary.flags), (Sanitized, "pool.cpp", Sanitized.flags),
                                 (Threads, "pool.cpp", Threads.flags),
                                 (Conformance, "../../programs/languages/pools/pool.cpp", ("-std=c++20", "-O1"))):
        tests.exe = os.path.join(build_dir, tests.__name__)
        compilers.append(subprocess.Popen([*COMPILER, *flags, os.path.join(HERE, source), "-o", tests.exe]))
    for compiler in compilers:
        if compiler.wait(WAIT_S * 10) != 0:
            raise RuntimeError("the pool does not compile")


def gone(pid_fd):
    """Whether the process ends in time."""
    ready, _, _ = select.select([pid_fd], [], [], WAIT_S)
    os.close(pid_fd)
    return bool(ready)


TYPES = ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "s", "y", "z", "?i4", "[i1]", "[i2]", "[i4]",
         "[i8]", "[u1]", "[u2]", "[u4]", "[u8]", "[f4]", "[f8]", "[b]", "[s]", "[[f8]]", "a:3f8", "a:2s", "(s,b)", "()",
         "(i4,s,[i4])", "Point", "[Point]", "Node"]
MID = {name: 100 + i for i, name in enumerate(TYPES)}
NODE = {"size": 1, "kids": [{"size": 2, "kids": [], "label": None}], "label": "root"}


class Shared:
    """The tests, run for an ordinary and for a sanitized build."""

    def setUp(self):
        self.pool = Pool(self.exe)
        self.addCleanup(self.pool.close)
        self.worker = self.pool.connect()
        self.addCleanup(lambda: self.worker.close())

    def check(self, mid, args, expected, serve=None):
        error, result = self.worker.call(mid, *args, serve=serve)
        self.assertIsNone(error)
        self.assertEqual(repr(result), repr(expected))

    def check_error(self, mid, args, *words, kind="raised", serve=None):
        error, result = self.worker.call(mid, *args, serve=serve)
        self.assertIsNone(result)
        self.assertEqual(error["kind"], kind)
        for word in words:
            self.assertIn(word, error["message"])
        return error

    def test_hello(self):
        kind, method, [hello] = self.pool.hello
        self.assertEqual((kind, method, hello["protocol"], hello["lang"], hello["workers"]), (2, "hello", 1, "cpp", 1))
        self.assertEqual(hello["pid"], self.pool.process.pid)
        kind, method, [hello] = self.worker.hello
        self.assertEqual((kind, method, hello["protocol"], hello["reentrant"]), (2, "hello", 1, True))
        self.assertRegex(hello["runtime"], r"^(gcc|clang) \d+\.")

    def test_values(self):
        big, small = 2**64 - 1, -2**63
        for name, sent, expected in [
            ("bool", True, True), ("bool", False, False),
            ("i1", -128, -128), ("i2", 32767, 32767), ("i4", -2**31, -2**31), ("i8", small, small), ("i8", 5, 5),
            ("i8", Raw(b"\xcf" + b"\0" * 7 + b"\x09"), 9), ("i1", Raw(b"\xd2\xff\xff\xff\xff"), -1),
            ("u1", 255, 255), ("u2", Raw(b"\xd1\x01\x00"), 256), ("u4", 2**32 - 1, 2**32 - 1), ("u8", big, big),
            ("f4", 0.5, 0.5), ("f4", Raw(b"\xca\x3f\x80\x00\x00"), 1.0), ("f4", float("inf"), float("inf")),
            ("f8", 0.1, 0.1), ("f8", 3, 3.0), ("f8", -7, -7.0), ("f8", float("nan"), float("nan")),
            ("f8", -0.0, -0.0), ("f8", 5e-324, 5e-324),
            ("s", "", ""), ("s", "h\u00e9 \u4e2d \U0001f33c" * 9, "h\u00e9 \u4e2d \U0001f33c" * 9),
            ("s", Raw(b"\xdb\0\0\0\x02ab"), "ab"), ("s", "x" * 70000, "x" * 70000),
            ("y", b"", b""), ("y", b"\0\xff" * 200, b"\0\xff" * 200), ("y", b"z" * 70000, b"z" * 70000), ("z", None, None),
            ("?i4", None, None), ("?i4", 4, 4),
            ("[b]", [True, False], [True, False]), ("[s]", ["a", ""], ["a", ""]), ("[s]", ["q"] * 70000, ["q"] * 70000),
            ("[[f8]]", [[1.5], []], [[1.5], []]), ("[[f8]]", [packed(10, [2.5, 3.5])], [[2.5, 3.5]]),
            ("a:3f8", [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), ("a:3f8", packed(10, [1, 2, 3]), [1.0, 2.0, 3.0]),
            ("a:2s", ["a", "b"], ["a", "b"]), ("(s,b)", ["a", True], ["a", True]), ("()", [], []),
            ("(i4,s,[i4])", [1, "b", [3]], [1, "b", [3]]),
            ("Point", {"x": 1.0, "y": 2.0}, {"x": 1.0, "y": 2.0}), ("Point", {"y": 2.0, "x": 1.0}, {"x": 1.0, "y": 2.0}),
            ("Point", [1.0, 2.0], {"x": 1.0, "y": 2.0}), ("[Point]", [[1, 2]], [{"x": 1.0, "y": 2.0}]),
            ("Node", NODE, NODE), ("Node", {"size": 3, "kids": []}, {"size": 3, "kids": [], "label": None}),
        ]:
            with self.subTest(type=name, sent=repr(sent)[:60]):
                self.check(MID[name], [sent], expected)

    def test_packed_lists(self):
        for tag, name in enumerate("i1 i2 i4 i8 u1 u2 u4 u8 f4 f8".split(), 1):
            items = [1, 2, 100] if tag < 9 else [1.0, -2.5, 100.0]
            for sent in (packed(tag, items), items, packed(tag, []), [], packed(tag, items * 9)):
                with self.subTest(type=name, sent=repr(sent)[:60]):
                    expected = unpack(pack(sent))
                    self.check(MID["[%s]" % name], [sent], expected)
        # Sent packed, and with the tag of its own type; converted from another type if each element fits.
        self.worker.send([0, 1000, "call", [MID["[i4]"], packed(4, [1, -1])]])
        self.assertIn(bytes(self.raw_frame()), [b"\x94\x01\xcd\x03\xe8\xc0\xd7\x03\x01\0\0\0\xff\xff\xff\xff"])
        self.check(MID["[f8]"], [packed(1, [-1, 2])], [-1.0, 2.0])
        self.check_error(MID["[u1]"], [packed(3, [1, 256])], "argument 1 of same", "at [1]", "expected u1", "256")
        self.check_error(MID["[i4]"], [packed(10, [1.0])], "at [0]", "expected i4, found the float 1")
        self.check_error(MID["[f8]"], [Ext((10, b"1234567"))], "within an element")

    def raw_frame(self):
        def exactly(n):
            got = b""
            while len(got) < n:
                got += self.worker.sock.recv(n - len(got))
            return got
        return exactly(struct.unpack(">I", exactly(4))[0])

    def test_calls(self):
        self.check(1, [packed(10, [1, 2, 3.5])], 6.5)
        self.check(2, ["a", "b", "c"], "abc")
        self.check(15, [21], 42)
        self.check(16, [], None)
        self.assertEqual(self.worker.request("ping", []), (None, None))
        self.worker.send([2, "unheard_of", [1, 2]])
        self.worker.send([2, "cancel", [77]])
        self.check(15, [4], 8)
        self.worker.sock.sendall(b"\0\0\0\x08\x94\x00\x07\xa4call")
        self.assertIn("the bytes end", self.worker.recv()[2]["message"])
        self.check_error(999, [], "no function of mid 999", kind="protocol")
        self.assertEqual(self.worker.request("dance", [])[0]["kind"], "protocol")
        self.assertIn("dance", self.worker.request("dance", [])[0]["message"])

    def test_errors(self):
        for how, message in [("runtime", "plain text"), ("text", "a bare text"), ("bytes", "caf?"), ("string", "a bare string"),
                             ("int", "an exception of type int was thrown")]:
            error = self.check_error(3, [how])
            self.assertEqual(error["message"], message)
        self.check_error(3, ["memory"], "there was not enough memory (std::bad_alloc): give the function less at once")
        error = self.check_error(3, ["range"], "std::out_of_range: vector")
        self.assertEqual((error["function"], error["pool"], error["pid"]), ("fail", "cpp", self.pool.process.pid))
        [entry] = error["trace"]
        self.assertEqual((entry["lang"], entry["function"]), ("cpp", "fail"))
        self.assertTrue(entry["file"].endswith("pool.cpp"))
        with open(os.path.join(HERE, "pool.cpp")) as source:
            self.assertIn('"fail"', source.read().splitlines()[entry["line"] - 1])
        self.check_error(3, ["own"], "not today", kind="cancelled")
        self.check_error(4, [], "not valid UTF-8 at byte 0")
        self.check(15, [1], 2)

    def test_bad_arguments(self):
        deep = Raw(b"\x82\xa4size\x01\xa4kids\x91" * 600)
        for mid, args, words in [
            (15, [], ["twice takes 1 arguments, found 0"]),
            (15, [1, 2], ["twice takes 1 arguments, found 2"]),
            (2, ["a", 5, "c"], ["argument 2 of join", "expected s, found the integer 5"]),
            (15, [1.5], ["argument 1 of twice: expected i8, found the float 1.5"]),
            (15, [2**63], ["expected i8, found the integer 9223372036854775808"]),
            (15, [Ext((11, b"\x01" * 9))], ["expected i8, found an integer of 9 bytes"]),
            (15, [Ext((99, b""))], ["an extension of unknown type 99"]),
            (15, [None], ["found nil"]), (15, [True], ["found the bool true"]),
            (15, ["x" * 100], ["found the string \"xxxx", "...\""]),
            (15, [b"ab"], ["found 2 raw bytes"]), (15, [[1]], ["found a list of 1"]),
            (15, [{}], ["found a record of 0"]), (1, ["no"], ["expected [f8], found the string \"no\""]),
            (1, [[1, "two"]], ["argument 1 of sum at [1]: expected f8, found the string \"two\""]),
            (MID["f4"], [1e300], ["expected f4, found the float 1e+300"]),
            (MID["i1"], [128], ["expected i1"]), (MID["i1"], [-129], ["expected i1"]), (MID["u8"], [-1], ["expected u8"]),
            (MID["s"], [b"abc"], ["expected s"]), (MID["y"], ["abc"], ["expected y"]),
            (MID["s"], [Raw(b"\xa3a\xc0\x80")], ["not valid UTF-8 at byte 1"]),
            (MID["s"], [Raw(b"\xa3\xed\xa0\x80")], ["not valid UTF-8 at byte 0"]),
            (MID["s"], [Raw(b"\xa4\xf4\x90\x80\x80")], ["not valid UTF-8"]), (MID["s"], [Raw(b"\xa2a\xe2")], ["byte 1"]),
            (MID["a:3f8"], [[1, 2]], ["expected a list of 3, found a list of 2"]),
            (MID["(s,b)"], [["a"]], ["expected (s,b), found a list of 1"]),
            (MID["(s,b)"], [["a", 1]], ["at [1]", "expected b"]),
            (MID["Point"], [{"x": 1}], ["\"y\" is missing, expected {x:f8,y:f8}"]),
            (MID["Point"], [{"x": 1, "z": 1}], ["unknown key \"z\""]),
            (MID["Point"], [Raw(b"\x82\xa1x\x01\xa1x\x01")], ["\"x\" comes twice"]),
            (MID["Point"], [{1: 1, 2: 2}], ["expected a key of {x:f8,y:f8}, found the integer 1"]),
            (MID["Point"], [[1]], ["expected {x:f8,y:f8}"]),
            (MID["[Point]"], [[{"x": 1, "y": "q"}]], ["at [0].y: expected f8"]),
            (MID["Node"], [{"size": 1, "kids": [{"size": 1, "kids": [{"size": "q"}]}]}], ["at .kids[0].kids[0].size"]),
            (MID["Node"], [deep], ["nested deeper than 512"]),
            # Bytes that end too early, and lengths that nothing stands behind.
            (15, [Raw(b"\xd3\0\0")], ["the bytes end within a value"]),
            (15, [Raw(b"")], ["a list claims 2 elements, but only 1 bytes follow"]), (15, [Raw(b"\xc1")], ["0xc1"]),
            (1, [Raw(b"\xdd\xff\xff\xff\xff")], ["claims 4294967295 elements, but only 0 bytes follow"]),
            (MID["[s]"], [Raw(b"\xdd\x7f\xff\xff\xff\xa1")], ["claims 2147483647 elements"]),
            (1, [Raw(b"\xc9\xff\xff\xff\xff\x0a12345678")], ["claims 4294967295 bytes, but only 8 follow"]),
            (MID["s"], [Raw(b"\xdb\xff\xff\xff\xff")], ["claims 4294967295 bytes"]),
            (MID["y"], [Raw(b"\xc6\xff\xff\xff\xffa")], ["claims 4294967295 bytes"]),
            (MID["Point"], [Raw(b"\xdf\xff\xff\xff\xff\xa1x")], ["claims 4294967295 elements"]),
            (15, [Raw(b"\x01\x02")], ["1 bytes follow the last value"]),
        ]:
            with self.subTest(mid=mid, args=repr(args)[:60]):
                self.check_error(mid, args, *words)
        self.check(15, [5], 10)

    def test_random_bytes(self):
        seed = 20240607
        dice = random.Random(seed)
        whole = pack(NODE)
        for turn in range(1500):
            data = bytearray(whole if turn % 2 else dice.randbytes(dice.randrange(40)))
            for _ in range(dice.randrange(4)):
                if data:
                    data[dice.randrange(len(data))] = dice.choice(b"\x00\xc0\xc4\xc9\xd9\xdd\xdf\x80\x90\xff\x0a")
            mid = dice.choice(list(MID.values()))
            self.assertEqual(len(self.worker.call(mid, Raw(data))), 2, (seed, turn))
        self.check(15, [5], 10)

    def test_bad_frames(self):
        for seen, body in enumerate((b"", b"\xc0", b"\x93\x00\x01\x02", b"\x94\x07\x01\xa1x\x90", b"\x94\x00\xa1x\xa4call\x90",
                     b"\xdd\xff\xff\xff\xff", b"\x93\x02\xa6cancel\x91\xa1x")):
            with self.subTest(body=body):
                worker = self.pool.connect() if body else self.worker
                worker.sock.sendall(struct.pack(">I", len(body)) + body)
                with self.assertRaises(EOFError):
                    worker.recv()
                worker.close()
                self.assertEqual(self.pool.printed().count("bad frame"), seen + 1)
        worker = self.pool.connect()
        self.assertEqual(worker.call(15, 3), (None, 6))
        worker.sock.sendall(b"\xff\xff\xff\xff12345")  # 4 GiB that never come
        worker.close()
        worker = self.pool.connect()
        self.assertEqual(worker.call(15, 3), (None, 6))
        worker.close()

    def test_prints(self):
        self.check(5, ["no newline"], None)
        self.assertEqual(self.pool.printed(), "loaded\nno newline")
        self.check(5, [" and\nmore"], None)
        self.assertEqual(self.pool.printed(), "loaded\nno newline and\nmore")

    def test_foreign_calls(self):
        def serve(worker, message):
            self.assertEqual(message[2:], ["call", ["py", 2, "height"]])
            return None, 1.75
        self.check(7, ["height"], 1.75, serve)

        def wrong(worker, message):
            return None, "tall"
        self.check_error(7, ["height"], "result of py 2: expected f8, found the string \"tall\"", serve=wrong)
        self.assertIn("take nexus::caller() in the function", self.worker.call(14)[1])

    def test_foreign_errors(self):
        remote = {"kind": "timeout", "message": "took too long", "pool": "py", "pid": 5, "stderr_tail": ["a", "b"],
                  "trace": [{"lang": "py", "function": "inner", "file": "a.py", "line": 3, "more": 1}]}

        def serve(worker, message):
            return remote, None
        error, _ = self.worker.call(7, "x", serve=serve)
        trace = error.pop("trace")
        self.assertEqual(error, {k: v for k, v in remote.items() if k != "trace"})
        self.assertEqual([(t["lang"], t["function"]) for t in trace], [("py", "inner"), ("cpp", "ask")])
        self.check(8, ["x"], "timeout|took too long|inner", serve)
        for odd, message in [({}, "the call failed without a message"), ({"kind": "raised", 5: [1]}, "without a message"),
                             ("text", "response: expected a map, found the string \"text\""),
                             ({"kind": 5}, "response: expected s, found the integer 5"),
                             ({"trace": [{"line": "x"}]}, "response: expected i8")]:
            error, _ = self.worker.call(7, "x", serve=lambda worker, _: (odd, None))
            self.assertIn(message, error["message"])

    def test_commands_and_notices(self):
        seen = []

        def serve(worker, message):
            seen.append(message[-2:])
            return None, "done"
        self.check(11, ["other"], "done", serve)
        self.assertEqual(seen, [["log", ["info", "about to run other"]], ["progress", [1, 2, "half"]],
                                ["command", ["other", "x", 1, 2.5]]])

    def test_alternating_recursion(self):
        """10,000 calls of one worker nested in each other, each waiting for a foreign call."""
        depth = 10_000
        open_calls, next_id = [], 1
        self.worker.send([0, next_id, "call", [6, depth]])
        while True:
            message = self.worker.recv()
            if message[0] == 0:
                open_calls.append(message[1])
                next_id += 1
                self.worker.send([0, next_id, "call", [6, message[3][2]]])
            else:
                self.assertIsNone(message[2])
                if not open_calls:
                    break
                self.worker.send([1, open_calls.pop(), None, message[3]])
        self.assertEqual(message[3], depth)

    def test_stack_limit(self):
        """Recursion without end is an error, not a crash. Each call takes 16 KiB of stack."""
        depth = 0
        message = [0]
        while message[0] == 0:
            depth += 1
            self.worker.send([0, depth, "call", [17]])
            message = self.worker.recv()
        self.assertGreater(depth, 10_000)
        self.assertEqual(message[1], depth)
        self.assertEqual(message[2]["kind"], "raised")
        self.assertIn("calls are nested too deep: %d of them" % depth, message[2]["message"])

    def test_answers_out_of_order(self):
        self.worker.send([0, 1, "call", [6, 1]])
        outer = self.worker.recv()
        self.worker.send([0, 2, "call", [6, 2]])
        inner = self.worker.recv()
        self.worker.send([1, 4711, None, 9])  # nobody waits for it
        self.worker.send([1, outer[1], None, 10])
        self.assertEqual(self.worker.request("ping", []), (None, None))
        self.worker.send([1, inner[1], None, 20])
        self.assertEqual([self.worker.recv(), self.worker.recv()], [[1, 2, None, 21], [1, 1, None, 11]])

    def test_crossing_frames(self):
        """8 MiB each way at once, while neither side reads first."""
        size = 8 << 20
        data = bytes(range(256)) * (size // 256)
        self.worker.send([0, 1, "call", [9, size]])
        head = self.worker.sock.recv(1, socket.MSG_PEEK)  # it is sending by now
        self.assertEqual(len(head), 1)
        self.worker.send([0, 2, "call", [10, data]])
        kind, foreign, method, [pool, mid, out] = self.worker.recv()
        self.assertEqual((kind, method, pool, mid, len(out)), (0, "call", "py", 3, size))
        self.worker.sock.settimeout(WAIT_S)
        self.worker.send([1, foreign, None, data])
        answers = [self.worker.recv(), self.worker.recv()]
        self.assertEqual([a[1] for a in answers], [2, 1])
        self.assertEqual(answers[0][3], data[::-1])
        self.assertEqual(answers[1][3], size)

    def test_split_frames(self):
        body = pack([0, 1, "call", [15, 21]])
        for byte in struct.pack(">I", len(body)) + body:
            self.worker.sock.sendall(bytes([byte]))
        self.assertEqual(self.worker.recv(), [1, 1, None, 42])
        both = b"".join(struct.pack(">I", len(b)) + b for b in (pack([0, n, "call", [15, n]]) for n in range(2, 60)))
        self.worker.sock.sendall(both)
        self.assertEqual([self.worker.recv()[3] for _ in range(2, 60)], [2 * n for n in range(2, 60)])

    def test_children_inherit_nothing(self):
        self.check(12, [], 0)

    def test_grow(self):
        self.pool.control.send([0, 1, "grow", [3]])
        self.assertEqual(self.pool.control.recv(), [1, 1, None, 4])
        self.worker.send([0, 1, "call", [7, "a"]])  # keeps the first one busy
        others = [self.pool.connect() for _ in range(3)]
        for other in others:
            self.assertEqual(other.call(15, 8), (None, 16))
            other.close()
        for params, kind in (([5000], "raised"), (["x"], "raised"), ([], "raised")):
            self.pool.control.send([0, 2, "grow", params])
            self.assertEqual(self.pool.control.recv()[2]["kind"], kind)
        self.pool.control.send([0, 3, "grow", [0]])
        self.assertEqual(self.pool.control.recv(), [1, 3, None, 4])

    def test_one_connection_after_the_other(self):
        for n in range(5):
            self.worker.close()
            self.worker = self.pool.connect()
            self.assertEqual(self.worker.call(15, n), (None, 2 * n))

    def test_shutdown(self):
        self.worker.close()
        self.pool.control.send([2, "shutdown", []])
        self.assertEqual(self.pool.process.wait(WAIT_S), 0)

    def test_shutdown_lets_a_call_finish(self):
        self.worker.send([0, 1, "call", [7, "a"]])
        foreign = self.worker.recv()
        self.pool.control.send([2, "shutdown", []])
        self.worker.send([1, foreign[1], None, 2.5])
        self.assertEqual(self.worker.recv(), [1, 1, None, 2.5])
        self.assertEqual(self.pool.process.wait(WAIT_S), 0)

    def test_control_eof(self):
        self.worker.send([0, 1, "call", [13]])
        self.assertEqual(self.worker.recv(), [2, "progress", [0, 0, "hanging"]])
        self.pool.control.close()
        self.assertEqual(self.pool.process.wait(WAIT_S), -signal.SIGKILL)
        self.assertFalse(os.path.exists(self.pool.dir))

    def test_nexus_killed(self):
        """SIGKILL of nexus: no process and no directory is left."""
        nexus = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--nexus", self.exe],
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(nexus.stdout.close)
        pool, child, path = nexus.stdout.readline().split()
        watched = [os.pidfd_open(int(pid)) for pid in (pool, child)]
        self.assertTrue(os.path.exists(path))
        nexus.kill()
        nexus.wait(WAIT_S)
        self.assertEqual([gone(fd) for fd in watched], [True, True])
        self.assertFalse(os.path.exists(path))

    def test_started_by_hand(self):
        ours, theirs = os.openpty()
        done = subprocess.run([self.exe], stdin=theirs, capture_output=True, text=True, timeout=WAIT_S)
        os.close(ours)
        os.close(theirs)
        self.assertEqual((done.returncode, done.stdout), (1, "loaded\n"))
        self.assertIn("this is a pool of a nexus program: run the program, not the pool", done.stderr)
        self.assertIn("1  sum ([f8]) -> f8", done.stderr)
        self.assertIn("25  apply (\\(i8)i8,i8) -> i8", done.stderr)
        self.assertIn("&4Node{size:i4,kids:[^4Node],label:?s}", done.stderr)

    def test_views(self):
        """Lists of numbers that are looked at where they lie, at each alignment, and some that can't be."""
        mids = [33, 36] if "-std=c++20" in self.flags else [33]
        for mid in mids:
            for size in range(9):
                for n in (0, 1, 2, 3, 40, 5000):
                    a, b = [float(x) for x in range(n)], [float(x) for x in range(n // 2)]
                    self.check(mid, ["x" * size, packed(10, a), packed(10, b)], sum(a) + 10.0 * sum(b))
            self.check(mid, ["", [1, 2], packed(5, [3])], 33.0)
            self.check_error(mid, ["", [1, "x"], []], "argument 2 of", "at [1]: expected f8")
        self.check(34, [], [1, -2, 3], lambda worker, message: (None, packed(3, [1, -2, 3])))
        self.check(35, ["abc", "é"], 5)
        self.check(35, ["abc", None], 3)

    def test_big_integers(self):
        for v in (0, 1, -1, 127, 128, -128, -129, 255, 2**31, 2**63 - 1, -2**63, 2**63, 2**64 - 1):
            self.check(44, [v], v)
        for v in (2**64, -2**63 - 1, 3**200, -3**200):
            data = v.to_bytes((v if v > 0 else ~v).bit_length() // 8 + 1, "big", signed=True)
            self.check(44, [Ext((11, data))], Ext((11, data)))
            self.check(44, [Ext((11, (b"\0" if v > 0 else b"\xff") * 3 + data))], Ext((11, data)))
        self.check(44, [Ext((11, b"\0" * 7 + b"\x05"))], 5)
        self.check(44, [Ext((11, b""))], 0)
        self.check_error(44, ["5"], "expected j, found the string")

    def test_log_and_progress(self):
        seen = []

        def serve(worker, message):
            seen.append(message[1:])
        self.check(39, [100_000], None, serve)
        self.assertEqual(seen[0], ["progress", [1, 100_000, "stormy"]])
        self.assertEqual(seen[-1], ["progress", [100_000, 100_000, "stormy"]])
        self.assertEqual(len([note for note in seen if note == seen[-1]]), 1)
        self.assertLess(len(seen), 400)
        seen.clear()
        self.check(40, [100_000], None, serve)
        self.assertEqual((seen[0], seen[-1]), (["progress", [1, None, ""]], ["progress", [100_000, None, ""]]))
        self.assertLess(len(seen), 400)
        for size, shown in ((0, 0), (32 << 10, 32 << 10), (20 << 20, 32 << 10)):
            seen.clear()
            self.check(41, [size], None, serve)
            [[method, [level, text]]] = seen
            self.assertEqual((method, level, text[:shown]), ("log", "warn", "x" * shown))
            self.assertEqual(text[shown:], " ... (%d bytes)" % size if size > shown else "")

class Concurrent:
    """What concerns several threads, or calls that are out at once; run with the thread sanitizer too."""

    def setUp(self):
        self.pool = Pool(self.exe)
        self.addCleanup(self.pool.close)
        self.worker = self.pool.connect()
        self.addCleanup(lambda: self.worker.close())

    def until_answered(self, ids, serve):
        """Receives until all of these requests are answered: their (error, result)."""
        answers = {}
        while len(answers) < len(ids):
            message = self.worker.recv()
            if message[0] == 1:
                self.assertIn(message[1], ids)
                answers[message[1]] = (message[2], message[3])
            else:
                serve(message)
        return answers

    def test_fan(self):
        """All calls are out before the first is answered; answers come in any order; each names its parent."""
        count = 300
        self.worker.send([0, 77, "call", [20, count]])
        calls = [self.worker.recv() for _ in range(count)]
        self.assertEqual([c[3] for c in calls], [[["py", 77], 4, n] for n in range(1, count + 1)])
        random.Random(3).shuffle(calls)
        for call in calls[1:]:
            self.worker.send([1, call[1], None, call[3][2]])
        self.assertEqual(self.worker.request("ping", []), (None, None))
        self.worker.send([1, calls[0][1], None, calls[0][3][2]])
        self.assertEqual(self.worker.recv(), [1, 77, None, sum(range(count + 1))])
        self.worker.send([0, 78, "call", [7, "x"]])  # a plain call is plain again
        call = self.worker.recv()
        self.assertEqual(call[3][0], "py")
        self.worker.send([1, call[1], None, 1.0])
        self.assertEqual(self.worker.recv(), [1, 78, None, 1.0])

    def test_fan_that_fails(self):
        """The function ends with the last call's error; late answers harm nobody."""
        self.worker.send([0, 1, "call", [20, 10]])
        calls = [self.worker.recv() for _ in range(10)]
        self.worker.send([1, calls[-1][1], {"kind": "raised", "message": "no"}, None])
        self.assertEqual(self.worker.recv()[2]["message"], "no")
        for call in calls:
            self.worker.send([1, call[1], None, 1])
        self.assertEqual(self.worker.call(15, 4), (None, 8))

    def test_too_many_calls_at_once(self):
        self.worker.send([0, 1, "call", [20, 65_537]])
        for _ in range(65_536):
            self.worker.recv()
        self.assertIn("can't have more than 65536 calls open", self.worker.recv()[2]["message"])
        self.assertEqual(self.worker.call(15, 4), (None, 8))

    def test_crowd(self):
        """Threads that call at once, while calls come in that one of them has to run."""
        threads, rounds = 8, 40
        self.worker.send([0, 1, "call", [21, threads, rounds]])
        nested = 1000
        waiting = {1}

        def serve(message):
            nonlocal nested
            self.assertEqual(message[2:3] + message[3][:2], ["call", ["py", 1], 4])
            if message[3][2] % 5 == 0:
                nested += 1
                waiting.add(nested)
                self.worker.send([0, nested, "call", [15, nested]])
            self.worker.send([1, message[1], None, message[3][2]])
        answers = self.until_answered(waiting, serve)
        self.assertEqual(answers.pop(1), (None, threads * sum(range(rounds))))
        self.assertEqual(answers, {n: (None, 2 * n) for n in range(1001, nested + 1)})

    def test_crowd_and_large_frames(self):
        """Each side sends much at once, nobody blocks."""
        self.worker.send([0, 1, "call", [21, 4, 3]])
        calls = [self.worker.recv() for _ in range(4)]
        data = bytes(1 << 20)
        for n in range(2, 6):
            self.worker.send([0, n, "call", [10, data]])
        for call in calls:
            self.worker.send([1, call[1], None, 1])
        answers = self.until_answered(set(range(1, 6)), lambda m: self.worker.send([1, m[1], None, 1]))
        self.assertEqual(answers[1], (None, 12))
        self.assertEqual([len(answers[n][1]) for n in range(2, 6)], [1 << 20] * 4)

    def test_attached_thread(self):
        f = Ext((12, pack(["py", 99, -5, 7])))
        self.worker.send([0, 1, "call", [22, f]])
        self.assertEqual(self.worker.recv(), [2, "log", ["info", "from a thread"]])
        self.assertEqual(self.worker.recv(), [2, "progress", [1, None, ""]])
        call = self.worker.recv()
        self.assertEqual(call[3], [["py", 1], 4, 20])
        self.worker.send([1, call[1], None, 20])
        call = self.worker.recv()
        self.assertEqual(call[3], [["py", 1, 99], -5, 7, 1])
        self.worker.send([1, call[1], None, 300])
        self.worker.send([2, "cancel", [1]])
        self.assertEqual(self.worker.recv(), [1, 1, None, "320 then cancelled"])

    def test_stale_caller(self):
        self.assertEqual(self.worker.call(23), (None, "first"))
        self.assertIn("the call has ended for which this thread works", self.worker.call(23)[1])

    def test_ready(self):
        self.worker.send([0, 1, "call", [24]])
        call = self.worker.recv()
        self.worker.send([1, call[1], None, 5])
        self.assertEqual(self.worker.recv(), [1, 1, None, 5])
        self.worker.send([0, 2, "call", [24]])
        self.worker.recv()
        self.worker.send([2, "cancel", [2]])
        self.assertEqual(self.worker.recv()[2]["kind"], "cancelled")

    def test_cancel(self):
        """While it waits, while it computes, before it starts, and one that is not the innermost."""
        self.worker.send([0, 1, "call", [7, "a"]])
        late = self.worker.recv()
        self.worker.send([2, "cancel", [4711]])
        self.worker.send([2, "cancel", [1]])
        answer = self.worker.recv()
        self.assertEqual((answer[1], answer[2]["kind"]), (1, "cancelled"))
        self.worker.send([1, late[1], None, 1.0])
        self.worker.send([0, 2, "call", [37]])
        self.assertEqual(self.worker.recv()[1], "progress")
        self.worker.send([0, 3, "call", [37]])
        self.worker.send([2, "cancel", [3]])  # it waits behind the other
        self.worker.send([2, "cancel", [2]])
        self.assertEqual([(a[1], a[2]["kind"]) for a in (self.worker.recv(), self.worker.recv())],
                         [(2, "cancelled"), (3, "cancelled")])
        self.worker.send([0, 4, "call", [7, "outer"]])
        outer = self.worker.recv()
        self.worker.send([0, 5, "call", [7, "inner"]])
        inner = self.worker.recv()
        self.worker.send([2, "cancel", [4]])
        self.assertEqual(self.worker.request("ping", []), (None, None))  # the inner one runs on
        self.worker.send([1, inner[1], None, 2.0])
        self.assertEqual(self.worker.recv(), [1, 5, None, 2.0])
        answer = self.worker.recv()
        self.assertEqual((answer[1], answer[2]["kind"]), (4, "cancelled"))
        self.worker.send([1, outer[1], None, 1.0])
        self.assertEqual(self.worker.call(8, "x", serve=lambda w, m: (None, None)), (None, "nothing was thrown"))

    def test_function_values(self):
        def call(mid, *args, serve=None):
            error, result = self.worker.call(mid, *args, serve=serve)
            self.assertIsNone(error)
            return result
        pid = self.pool.process.pid
        tag, data = call(26, 5)
        pool, where, mid = unpack(data)
        add5 = Ext((tag, data))
        self.assertEqual((tag, pool, where), (12, "cpp", pid))
        self.assertLess(mid, -2**32)
        self.assertEqual(self.worker.holds, 1)
        self.assertEqual(call(mid, 10), 15)             # called from elsewhere
        self.assertEqual(call(25, add5, 1), 6)          # come home: no call goes out
        self.assertEqual(call(28, add5), add5)          # given away again, it is the same
        composed = call(27, add5, call(26, 100))
        self.assertEqual(call(unpack(composed[1])[2], 1), 106)
        self.assertEqual(unpack(call(29)[1]), ["cpp", None, 30])
        # Another's, with a bound argument; it is passed on as it came.
        foreign = Ext((12, pack(["py", 99, -7, "bound"])))
        self.assertEqual(call(28, foreign), foreign)

        def serve(worker, message):
            self.assertEqual(message[2:], ["call", [["py", None, 99], -7, "bound", 3]])
            return None, 33
        self.assertEqual(call(25, foreign, 3, serve=serve), 33)

        def anywhere(worker, message):
            self.assertEqual(message[2:], ["call", ["cpp", 30, 3]])
            return None, 6
        self.assertEqual(call(25, Ext((12, pack(["cpp", None, 30]))), 3, serve=anywhere), 6)
        # Own, but of other types than it was given with: called as another's would be, so that types convert.
        joiner = call(32, "-")
        self.assertEqual(call(unpack(joiner[1])[2], ["a", "b"]), "a-b")
        error, _ = self.worker.call(25, joiner, 1, serve=lambda w, m: (None, m[3][0][2]))
        self.assertIsNone(error)
        for bad, words in ((Ext((12, pack(["cpp", pid, mid - 999]))), "the function value is no longer there"),
                           (Ext((12, pack(["cpp"]))), "function value: expected"),
                           (Ext((12, b"\xff")), "function value"), (Ext((12, pack([1, 2, 3]))), "expected s"),
                           (5, "expected \\(i8)i8")):
            self.assertIn(words, self.worker.call(25, bad, 1)[0]["message"])
        error, _ = self.worker.call(mid - 999, 1)
        self.assertEqual((error["kind"], error["message"][:39]), ("terminated", "the function value is no longer there: "))
        self.assertEqual(self.worker.call(15, 4), (None, 8))

    def test_function_values_limit(self):
        for _ in range(6):
            self.assertIsNone(self.worker.call(31, 10_000)[0])
        error, _ = self.worker.call(31, 10_000)
        self.assertIn("65536 function values, the limit", error["message"])
        self.assertEqual(self.worker.call(15, 4), (None, 8))


class Workers(played.WorkersTest):
    """What the pool asks of nexus about worker processes."""

    def check_workers(self, mid, steps, expected):
        error, result = self.hosts(mid, [], steps)
        self.assertEqual((error, result), (None, expected))

    def hosts(self, mid, args, steps):
        left = iter(steps)

        def serve(worker, message):
            method, params, answer = next(left)
            if method == "run":
                params = [params[0] if isinstance(params, list) else params, worker.last_id]
            self.assertEqual([message[0], *message[2:]], [0, method, plain(params)])
            return (answer.error, None) if isinstance(answer, played.Failure) else (None, plain(answer))
        answered = self.worker.call(mid, *args, serve=serve)
        self.assertEqual(list(left), [])
        return answered

    def test_wrong_messages(self):
        began = ("run", {"argv": ["cat"]}, [1, 2])
        ends = [began, ("send", [1, b"x"], None), ("receive", [1, None], [])]
        for what, steps, kind, message in (
                ("number", [began], "raised", "a program takes one message at a time, a text or nexus::bytes"),
                ("ended", ends, "io", "the output of the worker process 2 has ended"),
                ("type", [began, ("receive", [1, None], [b"1"])], "raised", "result of receive: expected f8, found 1 raw bytes")):
            error, _ = self.hosts(67, [what], steps)
            self.assertEqual((error["kind"], error["message"]), (kind, message))
            self.assertEqual(error["trace"], [{"lang": "cpp", "function": "mistaken", "file": "mistakes.cpp", "line": 12}])


def plain(value):
    """Packed lists of played.py as lists."""
    if isinstance(value, played.Ext):
        form = PACKED[value.code]
        return list(struct.unpack("<%d%s" % (len(value.data) // struct.calcsize(form), form), value.data))
    return list(map(plain, value)) if isinstance(value, list) else value


class Ordinary(Shared, Concurrent, Workers, unittest.TestCase):
    flags = ("-std=c++17", "-O2")

    def test_memory_limit(self):
        """A message that doesn't fit into the memory is refused, and the worker goes on."""
        with open("/proc/%d/statm" % self.pool.process.pid) as statm:
            used = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(self.pool.process.pid, resource.RLIMIT_AS, (used + (32 << 20),) * 2)
        size = 128 << 20
        head = b"\x94\x00\x05\xa4call\x92" + pack(10) + b"\xc6" + struct.pack(">I", size)
        self.worker.sock.sendall(struct.pack(">I", len(head) + size) + head)
        for _ in range(size >> 20):
            self.worker.sock.sendall(bytes(1 << 20))
        _, id, error, _ = self.worker.recv()
        self.assertEqual((id, error["kind"]), (5, "raised"))
        self.assertIn("there was not enough memory for a message of 134217", error["message"])
        self.assertEqual(self.worker.call(15, 4), (None, 8))

    def test_no_pool(self):
        """A program that has the header but serves nothing keeps its input and output."""
        with tempfile.TemporaryDirectory(prefix="nexus-build.") as folder:
            exe = os.path.join(folder, "plain")
            subprocess.run([*COMPILER, "-x", "c++", "-", "-o", exe], check=True, timeout=WAIT_S * 4, text=True,
                           input='#include "nexus.hpp"\nint main() { std::printf("%d\\n", std::getchar()); }\n')
            done = subprocess.run([exe], input=b"A", capture_output=True, timeout=WAIT_S)
        self.assertEqual((done.stdout, done.stderr), (b"65\n", b""))


class Sanitized(Shared, Concurrent, Workers, unittest.TestCase):
    flags = ("-std=c++20", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


class Threads(Concurrent, unittest.TestCase):
    flags = ("-std=c++17", "-O1", "-fsanitize=thread")

    def tearDown(self):
        self.assertNotIn("ThreadSanitizer", self.pool.printed())


class Transports(unittest.TestCase):
    """Workers that are processes: forked by a parent, or started one by one."""

    @classmethod
    def setUpClass(cls):
        cls.exe = Ordinary.exe

    def isolated(self):
        pool = Pool(self.exe, NEXUS_ISOLATE="1")
        self.addCleanup(pool.close)
        return pool

    def start(self, stdin, stdout, **more):
        """A pool without a parent; its errors go to `self.output`."""
        self.output = tempfile.TemporaryFile()
        self.addCleanup(self.output.close)
        process = subprocess.Popen([self.exe], stdin=stdin, stdout=stdout, stderr=self.output, process_group=0, **more)
        self.addCleanup(process.wait, WAIT_S)
        self.addCleanup(process.kill)
        return process

    def printed(self):
        self.output.seek(0)
        return self.output.read().decode()

    def connect(self, pool):
        worker = pool.connect()
        self.addCleanup(worker.close)
        return worker

    def test_isolated(self):
        pool = self.isolated()
        self.assertEqual(pool.hello[2][0]["features"], ["signal"])
        first = self.connect(pool)
        self.assertEqual((first.hello[2][0]["features"], first.call(42)), (["retire"], (None, first.hello[2][0]["pid"])))
        pool.control.send([0, 1, "grow", [2]])
        self.assertEqual(pool.control.recv(), [1, 1, None, 3])
        second, third = self.connect(pool), self.connect(pool)
        pids = [w.call(42)[1] for w in (first, second, third)]
        self.assertEqual(len({*pids, pool.process.pid}), 4)
        # Its closures are its own.
        mids = [unpack(w.call(26, 1)[1][1])[1:] for w in (first, second)]
        self.assertEqual([mid[0] for mid in mids], pids[:2])
        self.assertNotEqual(mids[0][1], mids[1][1])
        # One is retired, one killed, one crashes; the parent lives on.
        first.send([2, "retire", []])
        self.assertEqual(pool.control.recv(), [2, "worker_exit", [{"pid": pids[0], "exit_code": 0}]])
        pool.control.send([2, "signal", [pids[0], 9]])  # no longer there
        pool.control.send([2, "signal", [os.getpid(), 9]])  # not its own
        pool.control.send([2, "signal", [pids[1], 1]])  # no such signal
        pool.control.send([2, "signal", [pids[1], 9]])
        self.assertEqual(pool.control.recv(), [2, "worker_exit", [{"pid": pids[1], "signal": 9}]])
        third.send([0, 1, "call", [43]])
        self.assertEqual(pool.control.recv(), [2, "worker_exit", [{"pid": pids[2], "signal": 11}]])
        pool.control.send([0, 2, "grow", [1]])
        self.assertEqual(pool.control.recv(), [1, 2, None, 1])
        last = pool.connect()
        self.assertEqual(last.call(15, 2), (None, 4))
        last.close()
        last = pool.connect()  # a worker whose connection was closed takes another
        self.assertEqual(last.call(15, 2), (None, 4))
        last.close()
        watched = os.pidfd_open(last.hello[2][0]["pid"])
        pool.control.send([2, "shutdown", []])
        self.assertEqual(pool.process.wait(WAIT_S), 0)
        self.assertTrue(gone(watched))

    def test_interrupt(self):
        """A cancel and SIGINT end what sleeps or computes; SIGINT alone does nothing."""
        pool = self.isolated()
        worker = pool.connect()
        pid = worker.hello[2][0]["pid"]
        for mid in (38, 37):
            worker.send([0, mid, "call", [mid]])
            self.assertEqual(worker.recv()[1], "progress")
            pool.control.send([2, "signal", [pid, 2]])
            pool.control.send([0, 1, "ping", []])
            self.assertEqual(pool.control.recv(), [1, 1, None, None])
            worker.send([2, "cancel", [mid]])
            while True:  # as nexus does: a signal may come just before a sleep
                pool.control.send([2, "signal", [pid, 2]])
                if select.select([worker.sock], [], [], 0.05)[0]:
                    break
            answer = worker.recv()
            self.assertEqual((answer[1], answer[2]["kind"]), (mid, "cancelled"))
        pool.control.send([2, "signal", [pid, 2]])
        self.assertEqual(worker.call(15, 2), (None, 4))
        worker.close()

    def test_isolated_depth(self):
        worker = self.isolated().connect()
        for depth in range(1, 10_001):
            worker.send([0, depth, "call", [6, 10_001 - depth]])
            call = worker.recv()
            self.assertEqual(call[0], 0)
        worker.send([1, call[1], None, 0])
        for back in range(9_999):
            answer = worker.recv()
            worker.send([1, 9_999 - back, None, answer[3]])
        self.assertEqual(worker.recv(), [1, 1, None, 10_000])
        worker.close()

    def test_other_protocol(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        with theirs:
            process = self.start(subprocess.DEVNULL, subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                                 env=dict(os.environ, NEXUS_WORKER_FD=str(theirs.fileno()), NEXUS_PROTOCOL="2",
                                          NEXUS_POOL="x"))
        self.assertEqual(process.wait(WAIT_S), 1)
        self.assertIn("nexus pool x: nexus speaks version 2 of the pool protocol, this pool version 1", self.printed())

    def test_direct(self):
        ours, theirs = socket.socketpair()
        with theirs:
            process = self.start(subprocess.DEVNULL, subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                                 env=dict(os.environ, NEXUS_WORKER_FD=str(theirs.fileno()), NEXUS_POOL="cpp"))
        worker = Worker(ours)
        self.assertEqual(worker.recv()[2][0]["pid"], process.pid)
        self.assertEqual(worker.call(15, 2), (None, 4))
        self.assertEqual(worker.call(12), (None, 0))  # children inherit nothing
        worker.send([0, 9, "call", [38]])
        self.assertEqual(worker.recv()[1], "progress")
        worker.send([2, "cancel", [9]])
        process.send_signal(signal.SIGINT)
        self.assertEqual(worker.recv()[2]["kind"], "cancelled")
        worker.close()
        self.assertEqual(process.wait(WAIT_S), 0)

    def over_stdio(self, process, stdin, stdout):
        """Speaks with a pool over its standard input and output, as far as the end of it."""
        worker = Worker(Pipes(stdin, stdout))
        self.assertEqual(worker.recv()[2][0]["pid"], process.pid)
        worker.send([2, "hello", [{"protocol": 1, "pool": "far", "more": [1]}]])
        self.assertEqual(worker.call(5, "printed\n"), (None, None))
        self.assertEqual(worker.call(12), (None, 0))
        error, _ = worker.call(3, "runtime")
        self.assertEqual((error["message"], error["pool"]), ("plain text", "far"))
        data = bytes(range(256)) * (20 << 10)  # 5 MiB
        self.assertEqual(worker.call(10, data), (None, data[::-1]))
        self.assertEqual(worker.call(7, "x", serve=lambda w, m: (None, 2.0)), (None, 2.0))
        self.assertEqual(self.printed(), "loaded\nprinted\n")
        return worker

    def test_stdio_pipes(self):
        process = self.start(subprocess.PIPE, subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.over_stdio(process, process.stdin, process.stdout)
        process.stdin.close()
        self.assertEqual(process.wait(WAIT_S), 0)

    def test_stdio_sockets(self):
        ours, theirs = socket.socketpair()
        with theirs:
            process = self.start(theirs, theirs)
        with ours, ours.makefile("wb") as stdin, ours.makefile("rb") as stdout:
            self.over_stdio(process, stdin, stdout)
        self.assertEqual(process.wait(WAIT_S), 0)

    def test_stdio_end_while_user_code_runs(self):
        """Whether it computes or waits: it ends, and so does what it started."""
        for mid, code in ((13, -signal.SIGKILL), (45, 0)):
            process = self.start(subprocess.PIPE, subprocess.PIPE)
            self.addCleanup(process.stdout.close)
            worker = self.over_stdio(process, process.stdin, process.stdout)
            worker.send([0, 9, "call", [mid]])
            worker.recv()
            children = []
            for task in os.listdir("/proc/%d/task" % process.pid):
                with open("/proc/%d/task/%s/children" % (process.pid, task)) as listed:
                    children += listed.read().split()
            watched = os.pidfd_open(int(children[0]))
            process.stdin.close()
            self.assertEqual(process.wait(WAIT_S), code)
            self.assertTrue(gone(watched))

    def test_stdio_other_protocol(self):
        process = self.start(subprocess.PIPE, subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        worker = Worker(Pipes(process.stdin, process.stdout))
        worker.recv()
        worker.send([2, "hello", [{"protocol": 3, "pool": "far"}]])
        self.assertEqual(process.wait(WAIT_S), 1)
        process.stdin.close()
        self.assertIn("nexus speaks version 3 of the pool protocol, this pool version 1", self.printed())


class Conformance(unittest.TestCase):
    """The functions that the pools of all languages have."""

    def test_functions(self):
        pool = Pool(self.exe)
        self.addCleanup(pool.close)
        worker = pool.connect()
        self.addCleanup(worker.close)

        def check(mid, args, expected, serve=None):
            error, result = worker.call(mid, *args, serve=serve)
            self.assertIsNone(error)
            self.assertEqual(result, expected)

        def answer(value):
            return lambda _, message: (None, value)
        notes = []
        check(1, [packed(10, [1.5, -2])], [1.5, -2])
        check(2, [2, -5], -3)
        check(3, [{"name": "é", "tags": ["a"]}], {"name": "é", "age": None, "tags": ["a"]})
        check(4, [[True, -5, b"\0", 0.5]], [True, -5, b"\0", 0.5])
        self.assertEqual(worker.call(5, "no")[0]["message"], "no")
        check(6, ["py", 2, 3], 7, answer(6))
        check(7, [0.001], None)
        check(8, ["hello"], None)
        self.assertIn("hello\n", pool.printed())
        check(9, ["info", "text"], None, lambda _, m: notes.append(m[1:]))
        check(10, [1.5, 3.0, "x"], None, lambda _, m: notes.append(m[1:]))
        self.assertEqual(notes, [["log", ["info", "text"]], ["progress", [1.5, 3.0, "x"]]])
        check(11, ["py", 2, 10], 110, lambda _, m: (None, 2 * m[3][2]))
        _, add3 = worker.call(13, 3)
        check(12, [add3, 4], 7)
        check(15, [0.001], None)
        check(16, [packed(3, [1]), packed(5, [2]), packed(4, [3]), packed(9, [4])], [[1], [2], [3], [4]])
        check(17, [b"xyz"], b"xyz")
        check(18, ["té"], "té")
        check(19, ["other", 4], 5, answer(5))
        check(20, ["py", 2, 1], "", answer(1))
        check(20, ["py", 2, 1], "odd", lambda _, m: ({"kind": "odd", "message": ""}, None))
        check(21, [["py", "cpp"], 0], 0)
        check(21, [["py", "cpp"], 3], 3, answer(2))
        _, add6 = worker.call(22, add3, add3)
        check(12, [add6, 4], 10)
        check(23, [packed(10, [1.5, 2])], 3.5)
        check(24, [4], [0, 1, 2, 3])
        check(25, [4], 8)
        check(26, [1], 1)
        check(27, [Ext((11, b"\x01" + bytes(8)))], Ext((11, b"\x01" + bytes(8))))
        check(28, [], pool.process.pid)
        check(29, [{"value": 1, "kids": [{"value": 2, "kids": []}, {"value": 3, "kids": []}]}], 6)
        worker.send([0, 90, "call", [14, 5]])
        self.assertEqual(pool.process.wait(WAIT_S), 5)


def be_nexus(exe):
    """A nexus with a hanging call, for being killed. Prints the pool, the pool's child and the directory."""
    pool = Pool(exe)
    with open(os.path.join(pool.dir, "left"), "w"):
        os.makedirs(os.path.join(pool.dir, "a", "b"))
    worker = pool.connect()
    worker.send([0, 1, "call", [13]])
    worker.recv()
    with open("/proc/%d/task/%d/children" % (pool.process.pid, pool.process.pid)) as main:
        children = main.read().split()
    for task in os.listdir("/proc/%d/task" % pool.process.pid):
        with open("/proc/%d/task/%s/children" % (pool.process.pid, task)) as listed:
            children += listed.read().split()
    print(pool.process.pid, children[0], pool.dir, flush=True)
    signal.pause()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--nexus"]:
        be_nexus(sys.argv[2])
    unittest.main()
