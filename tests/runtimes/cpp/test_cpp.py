"""Drives a real C++ pool through the pool protocol, as nexus would.

A small nexus stands in: it makes the sockets, spawns the pool, and speaks frames. It has a msgpack codec of its own,
so that the runtime is not checked against itself. Needs a C++ compiler ($CXX, default c++). Every wait is bounded.
"""

import fcntl
import os
import random
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
HEADER_DIR = os.path.join(HERE, "..", "..", "..", "src", "runtimes", "cpp")
WAIT_S = 30
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


class Worker(Peer):
    last_id = 0

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
            answer = serve(self, message)
            if message[0] == 0:
                self.send([1, message[1], *answer])


class Pool:
    """A spawned pool with its control channel."""

    def __init__(self, exe):
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
                   NEXUS_LIFE_FD=str(given[2]), NEXUS_POOL="cpp", NEXUS_DIR=self.dir)
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
    for tests in (Ordinary, Sanitized):
        tests.exe = os.path.join(build_dir, tests.__name__)
        command = [os.environ.get("CXX", "c++"), "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread",
                   *tests.flags, "-I", HEADER_DIR, os.path.join(HERE, "pool.cpp"), "-o", tests.exe]
        compilers.append(subprocess.Popen(command))
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
        for how, message in [("runtime", "plain text"), ("text", "a bare text"), ("bytes", "caf?"),
                             ("int", "an exception of type int was thrown")]:
            error = self.check_error(3, [how])
            self.assertEqual(error["message"], message)
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
        self.assertEqual(self.pool.printed(), "no newline")
        self.check(5, [" and\nmore"], None)
        self.assertEqual(self.pool.printed(), "no newline and\nmore")

    def test_foreign_calls(self):
        def serve(worker, message):
            self.assertEqual(message[2:], ["call", ["py", 2, "height"]])
            return None, 1.75
        self.check(7, ["height"], 1.75, serve)

        def wrong(worker, message):
            return None, "tall"
        self.check_error(7, ["height"], "result of py 2: expected f8, found the string \"tall\"", serve=wrong)
        self.assertIn("outside of a function", self.worker.call(14)[1])

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
        self.assertIn("leave too little of its stack", message[2]["message"])

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

    def test_cancel(self):
        self.worker.send([0, 1, "call", [7, "a"]])
        late = self.worker.recv()
        self.worker.send([2, "cancel", [1]])
        self.assertEqual(self.worker.recv()[2]["kind"], "cancelled")
        self.worker.send([1, late[1], None, 1.0])
        self.check(15, [4], 8)

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
        done = subprocess.run([self.exe], capture_output=True, text=True, timeout=WAIT_S)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("1  sum ([f8]) -> f8", done.stderr)
        self.assertIn("&4Node{size:i4,kids:[^4Node],label:?s}", done.stderr)


class Ordinary(Shared, unittest.TestCase):
    flags = ("-O2",)


class Sanitized(Shared, unittest.TestCase):
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


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
