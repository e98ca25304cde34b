"""Plays nexus for the tests of the Python runtime: starts real pools and speaks to them, with its own small msgpack.

No wait in it is without a limit. It tests nothing by itself; as a program it is a nexus that waits to be killed.
"""
import contextlib
import ctypes
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

RUNTIME_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "src", "runtimes", "python")
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
        "np_big_endian": lambda: __import__("numpy").array([1.5, 2.5], ">f8"),
        "np_none": lambda: __import__("numpy").array([]), "np_bools": lambda: __import__("numpy").array([True]),
        "np_columns": lambda: MADE["np_rows"]().T, "np_wide": lambda: __import__("numpy").array([1, 256]),
        "np_huge": lambda: __import__("numpy").array([1e300]),
        "np_infinite": lambda: __import__("numpy").array([float("inf"), 1]),
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
    def waits_for(name, how):
        nexus_pool.log("info", "waiting")
        path = os.path.join(os.environ["NEXUS_DIR"], name)
        while not os.path.exists(path):
            if how == "sleeping": time.sleep(1000)
        return 5
    def cleans_up(how):
        try:
            nexus_pool.log("info", "waiting")
            time.sleep(1000)
        except KeyboardInterrupt as error:
            if how == "returns": return type(error).__name__
            raise
        finally:
            nexus_pool.log("info", "cleaned")
            cpp_fact(1)
    def big_log(size): nexus_pool.log("info", "x" * size)
    def steps(count, total):
        for step in range(1, count + 1): nexus_pool.progress(step, total, "step")
    def steps_in_thread():
        import threading
        thread = threading.Thread(target=nexus_pool.progress, args=(1, 2)); thread.start(); thread.join()
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
    25: ("leaves_saying", ["s"], "z"), 26: ("interrupts", [], "z"), 27: ("waits_for", ["s", "s"], "j"),
    28: ("cleans_up", ["s"], "s"), 29: ("big_log", ["j"], "z"), 30: ("steps", ["j", "?j"], "z"),
    31: ("steps_in_thread", [], "z"),
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
            if message[:2] == [2, "holds"]:
                continue
            assert message[0] == 0, message
            try:
                self.send([1, message[1], None, foreign(message[3])])
            except KeyError as error:
                self.send([1, message[1], error.args[0], None])


class PipeLine(Line):
    """The same over a pair of pipes."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.last_id = reader, writer, 0

    def send(self, message):
        data = memoryview(framed(message))
        while data:
            assert select.select([], [self.writer], [], WAIT_S)[1], "the worker does not read"
            data = data[os.write(self.writer, data[:4096]):]

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            assert select.select([self.reader], [], [], WAIT_S)[0], "the worker says nothing"
            chunk = os.read(self.reader, min(size - len(data), MIB))
            if not chunk:
                return None
            data += chunk
        return bytes(data)


def written(signatures, functions=FUNCTIONS):
    """A directory with the code of a pool."""
    code = tempfile.mkdtemp(prefix="pool.")
    with open(os.path.join(code, "functions.py"), "w") as file:
        file.write(textwrap.dedent(functions))
    with open(os.path.join(code, "pool.py"), "w") as file:
        file.write("import nexus_pool\nimport functions\n")
        for mid, (name, args, returns) in signatures.items():
            file.write("nexus_pool.register(%d, functions.%s, args=%r, returns=%r)\n" % (mid, name, args, returns))
        file.write("nexus_pool.serve()\n")
    return code


class Pool:
    """A running pool and nexus's ends of its descriptors."""

    def __init__(self, signatures=None, functions=FUNCTIONS, env=(), executable=sys.executable):
        self.dir = tempfile.mkdtemp(prefix="nexus.")
        self.code = written(signatures or SIGNATURES, functions)
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
                 "NEXUS_PROTOCOL": "1", "NEXUS_POOL": "py", "NEXUS_DIR": self.dir,
                 "NEXUS_LISTEN_FD": str(listener.fileno()),
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

    def cancel(self, line, id, pid):
        """Ends a call as nexus does: a word on the connection, then a signal."""
        line.send([2, "cancel", [id]])
        self.control.send([2, "signal", [pid, signal.SIGINT]])

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
        return self.connected(*args, **kwargs)[1]

    def connected(self, *args, **kwargs):
        """A pool, a connection to its worker, and the worker's pid."""
        pool = self.pool(*args, **kwargs)
        line, hello = pool.connect()
        self.addCleanup(line.socket.close)
        return pool, line, hello["pid"]

    def gone(self, pid):
        """Waits until a process that is not ours has ended."""
        descriptor = ctypes.CDLL(None).syscall(434, pid, 0)  # pidfd_open, which Python has since 3.9
        if descriptor < 0:
            return
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        self.assertTrue(poll.poll(WAIT_S * 1000), "process %d still runs" % pid)
        os.close(descriptor)


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
    play_nexus(int(sys.argv[1]))
