"""Plays nexus for the tests of the runtimes: speaks to real pools, with its own small msgpack.

No wait in it is without a limit. It knows no language: how a pool is written and started is told by the tests of each
runtime. It tests nothing by itself.
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
import tempfile
import threading
import unittest

WAIT_S = 30
MIB = 1 << 20


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


class Exact(bytes):
    """Bytes that stand for themselves."""


def packed(value):
    if isinstance(value, Exact):
        return value
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


    def hosts(self, mid, *args, steps):
        """The error and the result of a call whose function asks of nexus exactly these: (method, params, answer). An
        answer in a Failure is an error."""
        id = self.request("call", [mid, *args])
        for method, params, answer in steps:
            message = self.receive()
            assert message[:1] + message[2:] == [0, method, params], (message, method, params)
            self.send([1, message[1], *([answer.error, None] if isinstance(answer, Failure) else [None, answer])])
        message = self.receive()
        assert message[:2] == [1, id], message
        return message[2:]


class Failure:
    """An error as an answer."""

    def __init__(self, kind, message, **more):
        self.error = {"kind": kind, "message": message, **more}


class Pipes:
    """A pair of pipes as a socket."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def settimeout(self, _):
        pass  # both wait with a limit of their own

    def sendall(self, data):
        data = memoryview(data)
        while data:
            assert select.select([], [self.writer], [], WAIT_S)[1], "the worker does not read"
            data = data[os.write(self.writer.fileno(), data[:select.PIPE_BUF]):]

    def recv(self, size):
        assert select.select([self.reader], [], [], WAIT_S)[0], "the worker says nothing"
        return os.read(self.reader.fileno(), size)

    def close(self):
        self.reader.close()
        self.writer.close()


def dies_with(life_reader, pid):
    """The end of nexus, which closes its end of the life pipe, is a signal to a process, or to a group if it is negative."""
    fcntl.fcntl(life_reader, fcntl.F_SETOWN, pid)
    fcntl.fcntl(life_reader, fcntl.F_SETFL, os.O_ASYNC)


def end_group(process):
    """Ends a pool with all that it started, and waits until nobody can print to it any more."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=WAIT_S)


class Pool:
    """A running pool, which starts its workers itself, and nexus's ends of its descriptors.

    `code` is the folder with its code, which goes with it; `command` is run with the variables `env`.
    """

    def __init__(self, name, code, command, env, cwd=None):
        self.dir = tempfile.mkdtemp(prefix="nexus.")
        self.code = code
        self.path = os.path.join(self.dir, "pipe-" + name)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(16)
        control, theirs = socket.socketpair()
        life_reader, self.life = os.pipe()
        self.process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=os.setpgrp, pass_fds=(listener.fileno(), theirs.fileno(), life_reader),
            env={"NEXUS_PROTOCOL": "1", "NEXUS_POOL": name, "NEXUS_DIR": self.dir,
                 "NEXUS_LISTEN_FD": str(listener.fileno()), "NEXUS_CONTROL_FD": str(theirs.fileno()),
                 "NEXUS_LIFE_FD": str(life_reader), **env})
        dies_with(life_reader, -self.process.pid)
        for descriptor in (life_reader, listener.detach(), theirs.detach()):
            os.close(descriptor)
        self.control = Line(control)
        self.closed = threading.Event()

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
        """Ends a call as nexus does: a word on the connection, then a signal, again and again for half a second."""
        line.send([2, "cancel", [id]])

        def ask():
            try:
                self.control.send([2, "signal", [pid, signal.SIGINT]])
                return True
            except OSError:
                return False

        def ask_again():
            while len(asked) < 10 and not self.closed.wait(0.05) and ask():
                asked.append(None)

        asked = [ask()]
        threading.Thread(target=ask_again, daemon=True).start()

    def shut_down(self):
        """The exit code and what the pool printed."""
        self.control.send([2, "shutdown", []])
        output, _ = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, output.decode()

    def close(self):
        self.closed.set()
        end_group(self.process)
        self.control.socket.close()
        os.close(self.life)
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.code)


class PoolTest(unittest.TestCase):
    """Tests with pools of the class `Pool`, which each runtime sets."""

    Pool = None

    def pool(self, *args, **kwargs):
        pool = self.Pool(*args, **kwargs)
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


class LateInterrupt:
    """SIGINT at the worst moment of a worker that runs with the variables `env`: see late_interrupt.c."""

    def __init__(self, test):
        folder = tempfile.mkdtemp(prefix="nexus-late.")
        test.addCleanup(shutil.rmtree, folder)
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "late_interrupt.c")
        library, self.fifo = os.path.join(folder, "late_interrupt.so"), os.path.join(folder, "fifo")
        subprocess.run([os.environ.get("CXX", "c++"), "-x", "c", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library,
                        source, "-ldl"], check=True, timeout=WAIT_S)
        self.env = {"LD_PRELOAD": library, "LATE_INTERRUPT": self.fifo}
        self.test = test

    def aim(self):
        """From now on, the first long sleep does not begin before `strike`."""
        os.mkfifo(self.fifo)

    def strike(self):
        self.test.addCleanup(os.close, os.open(self.fifo, os.O_RDWR))  # waits for nobody


class WorkersTest:
    """What the pool of every language does with workers, asked of nexus in exactly these words: the functions 61 to 66.
    `parent` tells whether it says which call starts a worker."""

    parent = False

    def started(self, line, what, answer):
        call = [line.last_id + 1] if self.parent else []
        return ("run", [what, *call], answer)

    def check_workers(self, mid, steps, expected):
        line = self.line()
        steps = [self.started(line, *step[1:]) if step[0] == "run" else step for step in steps]
        self.assertEqual(line.hosts(mid, steps=steps), [None, expected])

    def test_a_program_of_lines(self):
        self.check_workers(61, [
            ("run", {"argv": ["cat", "-n"], "timeout_ms": 1500, "env": {"A": "b"}, "cwd": "/tmp", "stderr": "null"}, [7, 4321]),
            ("send", [7, "ä".encode()], None),
            ("receive", [7, 250], ["1 ä".encode()]),
            ("send", [7, b"two"], None),
            ("receive", [7, None], [b"2 two"]),
            ("close", [7], None),
            ("receive", [7, None], []),
            ("status", [7], {"pid": 4321, "alive": True}),
            ("status", [7], {"pid": 4321, "alive": True}),
            ("kill", [7, 15], None),
            ("wait", [7, 2000], {"signal": 15}),
            ("status", [7], {"pid": 4321, "alive": False, "exit_code": 3}),
        ], "1 ä,2 two,end,yes,none,143,3,4321")

    def test_a_command_without_schemas(self):
        self.check_workers(62, [
            ("run", {"command": "mean"}, [8, 4322]),
            ("send", [8, [[1, 2], "x"]], None),
            ("receive", [8, None], [[None, 5]]),
            ("send", [8, [3, "y"]], None),
            ("receive", [8, None], [[{"kind": "raised", "message": "no y", "pid": 4322, "trace": []}, None]]),
        ], "5,raised,no y,4322")

    def test_a_command_with_schemas(self):
        self.check_workers(63, [
            ("run", {"command": "mean"}, [9, 4323]),
            ("send", [9, [floats(1, 2.5)]], None),
            ("receive", [9, None], [[None, ints(1, 2)]]),
            ("close", [9], None),
        ], "2")

    def test_errors_have_kinds(self):
        died = Failure("terminated", "worker sort ended", pid=4324, exit_code=2)
        self.check_workers(64, [
            ("run", {"argv": ["sort"]}, [10, 4324]),
            ("receive", [10, 0], Failure("timeout", "late")),
            ("receive", [10, None], died),
            ("run", {"argv": ["no such"]}, Failure("spawn_failed", "no such program")),
        ], "timeout,terminated 4324 2,spawn_failed")

    def test_the_first_of_several(self):
        self.check_workers(65, [
            ("run", {"argv": ["one"]}, [1, 11]),
            ("run", {"argv": ["two"]}, [2, 12]),
            ("select", [[1, 2], None], [1, [b"a"]]),
            ("select", [[1, 2], 1000], [0, []]),
        ], "12 a,11 end")

    def test_bytes_as_a_whole_and_detached(self):
        self.check_workers(66, [
            ("run", {"argv": ["gzip"], "framing": "whole"}, [3, 13]),
            ("send", [3, b"\xff\n\x00"], None),
            ("close", [3], None),
            ("receive", [3, None], [b"\xfe\n"]),
            ("run", {"argv": ["daemon"], "detach": True}, [4, 14]),
        ], "3 14")


def play_nexus(pool, call):
    """Gives a pool two workers, calls in one of them a function that does not end, if any, and waits to be killed."""
    pool.hello()
    pool.control.request("grow", [1])
    pool.control.receive()
    lines = [pool.connect(), pool.connect()]
    if call:
        lines[0][0].request("call", call)
    print(pool.dir, pool.code, pool.process.pid, *[hello["pid"] for _, hello in lines], flush=True)
    signal.pause()
