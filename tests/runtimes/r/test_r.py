"""Drives a real R pool through its protocol: this process plays nexus, with its own small msgpack.

It compiles the runtime's C file once, into a temporary directory: /usr/bin/python3 tests/runtimes/r/test_r.py
It does not test nexus, and no wait in it is without a limit.
"""
import atexit
import contextlib
import fcntl
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

RUNTIME_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "src", "runtimes", "r")
WAIT_S = 30
MIB = 1 << 20
NAN, INF = float("nan"), float("inf")


def built():
    """A directory with the runtime, compiled as a program's author would."""
    folder = tempfile.mkdtemp(prefix="nexus-r.")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("nexus_pool.R", "nexus_pool.c"):
        shutil.copy(os.path.join(RUNTIME_DIR, name), folder)
    done = subprocess.run(["R", "CMD", "SHLIB", "nexus_pool.c"], cwd=folder, stdout=subprocess.PIPE, timeout=120,
                          stderr=subprocess.STDOUT, env={**os.environ, "PKG_CFLAGS": "-Wall -Wextra -Werror -Wno-cast-function-type"})
    if done.returncode:
        sys.exit(done.stdout.decode())
    return folder


FUNCTIONS = r'''
    same <- function(x) x
    add <- function(a, b) a + b
    cpp_fact <- nexus_foreign("cpp", 7, args = "j", returns = "j")
    cpp_blob <- nexus_foreign("cpp", 8, args = "y", returns = "y")
    cpp_point <- nexus_foreign("cpp", 9, args = c("{x:f8,y:?f8}", "[i4]"), returns = "(s,[f8])")
    fails <- function(text) stop(text)
    fails_deep <- function(text) {
        inner <- function() {
            fails(text)
        }
        inner()
    }
    fails_in_r <- function() log("a")
    runs_away <- function() runs_away()
    fact <- function(n) if (n < 2) 1 else n * cpp_fact(n - 1)
    depth <- function(n) if (n == 0) 0 else 1 + cpp_fact(n - 1)
    deepest_runs_away <- function(n) if (n == 0) runs_away() else cpp_fact(n - 1)
    blob <- function(size) length(cpp_blob(raw(size)))
    catches <- function(n) tryCatch(cpp_fact(n), nexus_error = function(e)
        paste(e$kind, conditionMessage(e), e$trace[[1]][["function"]], sep = "|"))
    point <- function() cpp_point(list(x = 1L), 1:2)
    point_bad <- function() cpp_point(list(x = 1), c(1, 2^40))
    noisy <- function() {
        cat("out half")
        cat("err\n", file = stderr())
        print(1:3)
        warning("careful")
        message("said")
        1
    }
    leaves <- function(code) quit(status = if (is.null(code)) 0 else code)
    dies <- function() system(paste("kill -9", Sys.getpid()))
    sleeps <- function(s) Sys.sleep(s)
    spins <- function() repeat NULL
    tells <- function() {
        nexus_log("info", "hello")
        nexus_progress(1, 2, "half")
        nexus_command("mean", c(1.5, 2), list(TRUE, as.raw(121)), list(a = NULL), 5, I("x"), data.frame(n = 1:2, s = c("a", NA)))
    }
    forks <- function() {
        job <- parallel::mcparallel(tryCatch(cpp_fact(1), error = conditionMessage))
        parallel::mccollect(job)[[1]]
    }
    inherited <- function() {
        found <- system("ls -l /proc/self/fd", intern = TRUE)
        sub(".* -> ", "", grep("socket|pipe|eventfd", found, value = TRUE))
    }
    lazies <- function() c(median(c(1, 5, 2)), sd(c(1, 2, 3)), length(head(1:10, 3)))
    temporary <- function() tempfile()
    jumps <- function() invokeRestart("abort")
    cleans_up <- function(path) {
        on.exit(writeLines("cleaned", path))
        Sys.sleep(1000)
    }
    swallows <- function() {
        tryCatch(Sys.sleep(1000), interrupt = function(e) NULL)
        "swallowed"
    }
    starts <- function(n) {
        waiting <- lapply(seq_len(n), function(i) nexus_start(cpp_fact, i))
        sum(vapply(waiting, nexus_result, 0))
    }
    starts_twice <- function() {
        f <- nexus_start(cpp_fact, 1)
        nexus_result(f)
        nexus_result(f)
    }
    forgets <- function() {
        nexus_start(cpp_fact, 1)
        nexus_start(cpp_fact, 2)
        gc()
        cpp_fact(3)
    }
    apply_to <- function(f, n) f(n)
    adder <- function(n) function(x) x + n
    compose <- function(f, g) function(x) f(g(x))
    give <- function() add
    is_add <- function(f) identical(f, add)
    unprintable <- function() stop(structure(class = c("odd", "error", "condition"), list()))
    conditionMessage.odd <- function(c) stop("no")
    as_condition <- function() stop(errorCondition("custom words", class = "custom", data = 1))
    late_finalizer <- function() {
        e <- new.env()
        reg.finalizer(e, function(e) nexus_log("info", "from a finalizer"))
        NULL
    }
'''
SIGNATURES = {
    1: ("add", ["j", "j"], "j"), 2: ("fails", ["s"], "z"), 3: ("fails_deep", ["s"], "z"), 4: ("fact", ["j"], "j"),
    5: ("depth", ["j"], "j"), 6: ("blob", ["j"], "j"), 7: ("catches", ["j"], "s"), 8: ("point", [], "(s,[f8])"),
    9: ("noisy", [], "j"), 10: ("leaves", ["?j"], "z"), 11: ("dies", [], "z"), 12: ("sleeps", ["f8"], "z"),
    13: ("tells", [], "j"), 15: ("forks", [], "s"), 16: ("inherited", [], "[s]"),
    17: ("unprintable", [], "z"), 18: ("runs_away", [], "z"), 19: ("deepest_runs_away", ["j"], "z"),
    20: ("same", ["y"], "y"), 21: ("point_bad", [], "(s,[f8])"), 22: ("fails_in_r", [], "z"), 23: ("spins", [], "z"),
    24: ("lazies", [], "[f8]"), 25: ("temporary", [], "s"), 26: ("jumps", [], "z"), 27: ("cleans_up", ["s"], "z"),
    28: ("swallows", [], "s"), 29: ("starts", ["j"], "j"), 30: ("starts_twice", [], "j"), 31: ("forgets", [], "j"),
    32: ("apply_to", [r"\(i8)i8", "i8"], "i8"), 33: ("adder", ["i8"], r"\(i8)i8"),
    34: ("compose", [r"\(i8)i8", r"\(i8)i8"], r"\(i8)i8"), 35: ("give", [], r"\(j,j)j"), 36: ("is_add", [r"\(j,j)j"], "b"),
    37: ("as_condition", [], "z"), 38: ("late_finalizer", [], "z"),
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

    def __init__(self, signatures=None, functions=FUNCTIONS, env=(), arguments=(), start_time=False):
        self.dir = tempfile.mkdtemp(prefix="nexus.")
        self.code = tempfile.mkdtemp(prefix="pool.")
        write_pool(self.code, SIGNATURES if signatures is None else signatures, functions)
        self.path = os.path.join(self.dir, "pipe-r")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(16)
        control, theirs = socket.socketpair()
        life_reader, self.life = os.pipe()
        self.process = subprocess.Popen(
            command(self.code, arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=os.setpgrp, pass_fds=(listener.fileno(), theirs.fileno(), life_reader),
            env={**ENVIRONMENT, "NEXUS_PROTOCOL": "1", "NEXUS_POOL": "r", "NEXUS_DIR": self.dir,
                 "NEXUS_LISTEN_FD": str(listener.fileno()), "NEXUS_CONTROL_FD": str(theirs.fileno()),
                 "NEXUS_LIFE_FD": str(life_reader), **dict(env)})
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


ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "R_DEFAULT_PACKAGES": "NULL"}


def command(code, arguments=()):
    return ["R", "--vanilla", "--no-echo", "--max-ppsize=500000", *arguments, "-f", os.path.join(BUILT, "nexus_pool.R"),
            "--args", os.path.join(code, "pool.R")]


def write_pool(folder, signatures, functions):
    with open(os.path.join(folder, "functions.R"), "w") as file:
        file.write(textwrap.dedent(functions))
    with open(os.path.join(folder, "pool.R"), "w") as file:
        file.write('nexus_source("functions.R")\n')
        for mid, (name, args, returns) in signatures.items():
            quoted = ", ".join(['"%s"' % each.replace("\\", "\\\\") for each in [*args, returns]][:-1])
            file.write('nexus_register(%d, %s, args = c(%s), returns = "%s")\n' % (mid, name, quoted, returns.replace("\\", "\\\\")))
        file.write("nexus_serve()\n")


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


