"""Drives a real R pool through its protocol: this process plays nexus, with played.py.

It compiles the runtime's C file once, into a temporary directory: /usr/bin/python3 tests/runtimes/r/test_r.py
It does not test nexus, and no wait in it is without a limit.
"""
import atexit
import contextlib
import os
import pty
import random
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

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

import played
from played import MIB, WAIT_S, Ext, Line, Pipes, WorkersTest, big, floats, framed, ints, packed, unpacked

RUNTIME_DIR = os.path.join(HERE, "..", "..", "..", "src", "runtimes", "r")
NAN, INF = float("nan"), float("inf")


def built():
    """A directory with the runtime, compiled as a program's author would."""
    folder = tempfile.mkdtemp(prefix="nexus-r.")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("nexus_pool.R", "nexus_pool.c"):
        shutil.copy(os.path.join(RUNTIME_DIR, name), folder)
    done = subprocess.run(["R", "CMD", "SHLIB", "-o", "nexus_r.so", "nexus_pool.c"], cwd=folder, stdout=subprocess.PIPE, timeout=120,
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
    fails_within <- function() {
        each <- function(x) {
            withCallingHandlers(optimize(function(y) stop("no"), c(0, x)), warning = function(w) NULL)
        }
        vapply(1:2, each, 0)
    }
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
    37: ("as_condition", [], "z"), 39: ("fails_within", [], "[f8]"), 38: ("late_finalizer", [], "z"),
}

WORKERS = r'''
    lines <- function() {
        w <- nexus_run(c("cat", "-n"), timeout = 1.5, env = c(A = "b"), cwd = "/tmp", stderr = "null")
        nexus_send(w, "\u00e4")
        said <- c(nexus_receive(w, timeout = 0.25), nexus_call(w, "two"))
        nexus_close(w)
        said <- c(said, nexus_receive(w, end = "end"), if (nexus_alive(w)) "yes" else "no", if (is.null(nexus_exit_code(w))) "none")
        nexus_kill(w, 15)
        paste(c(said, nexus_wait(w, 2), nexus_exit_code(w), nexus_pid(w)), collapse = ",")
    }
    command_untyped <- function() {
        w <- nexus_run(command = "mean")
        said <- nexus_call(w, c(1, 2), "x")
        tryCatch(nexus_call(w, 3, "y"), nexus_error = function(e) paste(said, e$kind, conditionMessage(e), e$pid, sep = ","))
    }
    command_typed <- function() {
        w <- nexus_run(command = "mean", args = "[f8]", returns = "[i4]")
        found <- nexus_call(w, c(1, 2.5))
        nexus_close(w)
        as.character(if (is.integer(found)) length(found))
    }
    worker_errors <- function() {
        w <- nexus_run("sort")
        late <- tryCatch(nexus_receive(w, timeout = 0), nexus_timeout = function(e) e$kind)
        died <- tryCatch(nexus_receive(w), nexus_error = function(e) paste(e$kind, e$pid, e$exit_code))
        paste(late, died, tryCatch(nexus_run("no such"), nexus_error = function(e) e$kind), sep = ",")
    }
    first <- function() {
        workers <- list(nexus_run("one"), nexus_run("two"))
        one <- nexus_select(workers)
        two <- nexus_select(workers, timeout = 1, end = "end")
        paste0(nexus_pid(workers[[one$position]]), " ", one$message, ",", nexus_pid(workers[[two$position]]), " ", two$message)
    }
    blobs <- function() {
        w <- nexus_run("gzip", bytes = TRUE, whole = TRUE)
        nexus_send(w, as.raw(c(255, 10, 0)))
        nexus_close(w)
        paste(length(nexus_receive(w)) + 1, nexus_pid(nexus_run("daemon", detach = TRUE)))
    }
    wrong <- function(what) {
        w <- if (what == "program") nexus_run("cat") else nexus_run(command = "mean", args = "i4", returns = "i4")
        if (what == "program") nexus_send(w, c("a", "b"), "dropped")
        if (what == "typed") nexus_send(w, "x")
        if (what == "two") nexus_send(w, 1, 2)
        if (what == "result") nexus_select(list(w))
    }
    torture <- function(on) if (on) {
        compiler::enableJIT(0)  # it allocates far more than all of this
        gctorture(on)
    }
'''
WORKER_SIGNATURES = {
    61: ("lines", [], "s"), 62: ("command_untyped", [], "s"), 63: ("command_typed", [], "s"), 64: ("worker_errors", [], "s"),
    65: ("first", [], "s"), 66: ("blobs", [], "s"), 67: ("wrong", ["s"], "z"), 68: ("torture", ["b"], "z"),
}


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


class Pool(played.Pool):
    def __init__(self, signatures=None, functions=FUNCTIONS, env=(), arguments=()):
        code = tempfile.mkdtemp(prefix="pool.")
        write_pool(code, SIGNATURES if signatures is None else signatures, functions)
        super().__init__("r", code, command(code, arguments), {**ENVIRONMENT, **dict(env)})


class PoolTest(played.PoolTest):
    Pool = Pool


def f4(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


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
            ("i8", 2**63 - 1), ("i8", 2**53), ("i8", 2**53 + 1), ("i8", -2**53 - 1), ("u8", 2**63),
            ("u1", 255), ("u2", 65535), ("u4", 2**32 - 1), ("u8", 2**64 - 1), ("u8", 0), ("i8", -1), ("i8", -33),
            ("j", 0), ("j", 2**64 - 1), ("j", -2**63), ("j", big(2**64)), ("j", big(-2**63 - 1)), ("j", big(3**500)),
            ("j", big(-3**500)), ("j", big(10**5000)), ("j", big(-2**127), Ext(11, b"\x80" + bytes(15))), ("j", big(2**127)), ("j", big(-2**128 + 1)),
            ("j", Ext(11, b"\x05"), 5), ("j", Ext(11, b"\xff\xfe"), -2), ("j", Ext(11, bytes(9) + b"\x05"), 5),
            ("i8", Ext(11, b"\x05"), 5),
            ("f8", 0.1), ("f8", INF), ("f8", -INF), ("f8", -0.0), ("f8", 5e-324), ("f8", NAN), ("f8", 3, 3.0),
            ("f4", 0.1, f4(0.1)), ("f4", 1.5), ("f8", 2**64 - 1, float(2**64)),
            ("s", ""), ("s", "å€😀"), ("s", "x" * 40), ("s", "y" * 300), ("s", "z" * 70000), ("s", "NA"),
            ("y", b""), ("y", bytes(range(256))), ("y", b"k" * 70000),
            ("?j", None), ("?j", 4), ("??j", None), ("?[s]", ["a"]), ("?s", None), ("?{a:i4}", None),
            ("[s]", []), ("[s]", ["a", "b"]), ("as", ["a"]), ("[b]", [True] * 20), ("[[s]]", [["a"], []]),
            ("[s]", ["%d" % i for i in range(70000)]), ("a:2s", ["a", "b"]), ("a:bb", [True] * 11),
            ("a:2 s", ["a", "b"]), ("[z]", [None, None]), ("[y]", [b"a", b""]),
            ("[f8]", floats(1.5, -INF, -0.0)), ("[f8]", [1.5, 2], floats(1.5, 2.0)), ("[f8]", floats()),
            ("[f8]", floats(NAN)), ("af8", floats(2.5)), ("[i4]", ints(1, -2)), ("[i4]", [1, -2], ints(1, -2)),
            ("a:2i4", ints(1, 2)), ("[i4]", ints(5, -2**31, 7)), ("[i4]", ints()),
            ("[f8]", ints(1, 2), floats(1.0, 2.0)), ("[f4]", [1.5], Ext(9, struct.pack("<f", 1.5))),
            ("[f4]", Ext(9, struct.pack("<2f", 0.1, NAN))),
            ("[u1]", [0, 255], Ext(5, b"\x00\xff")), ("[i1]", [-1], Ext(1, b"\xff")), ("[i1]", Ext(1, b"\x80\x7f")),
            ("[u8]", [2**64 - 1], Ext(8, b"\xff" * 8)), ("[u8]", Ext(8, b"\xff" * 8 + b"\x01" + bytes(7))),
            ("[u2]", [258], Ext(6, b"\x02\x01")), ("[u2]", Ext(6, b"\xff\xff")), ("[u4]", Ext(7, b"\xff\xff\xff\xff")),
            ("[i2]", [-2], Ext(2, b"\xfe\xff")), ("[u4]", [1], Ext(7, b"\x01\0\0\0")),
            ("[i8]", [1], Ext(4, b"\x01" + bytes(7))), ("[i8]", Ext(4, struct.pack("<4q", 1, -2**63, 2**53 + 1, -7))),
            ("[i8]", [5, 2**62, -3], Ext(4, struct.pack("<3q", 5, 2**62, -3))),
            ("[[f8]]", [floats(1.0), floats()]), ("[j]", [1, big(1 << 64)]), ("[j]", [-2**53, 2**53]),
            ("[?f8]", [1.5, None, NAN]), ("[?i4]", [None, 1]), ("[?b]", [None, True]), ("[?s]", ["", None, "a"]),
            ("[?i8]", [None, 2**60, 5]), ("[?j]", [None, None]), ("[?u1]", [255, None]), ("[?[f8]]", [None, floats(1.0)]),
            ("(s,j)", ["a", 1]), ("()", []), ("t0", []), ("t2s?j", ["a", None]),
            ("([f8],(b,b))", [floats(1.0), [True, False]]),
            ("(i4,i4)", ints(1, 2), [1, 2]),
            ("{name:s,age:?j}", {"name": "a", "age": 1}), ("m24names3age?j", {"name": "a", "age": None}),
            ("{name:s,age:?j}", {"age": 2, "name": "a"}, {"name": "a", "age": 2}),
            ("{name:s,age:?j}", {"name": "a"}, {"name": "a", "age": None}),
            ("{name:s,age:?j}", ["a", 5], {"name": "a", "age": 5}), ("{}", {}), ("[{}]", [{}, {}]),
            ("{x:f8,y:f8}", floats(1.0, 2.0), {"x": 1.0, "y": 2.0}),
            ("m12éj", {"é": 1}), ("[{x:m11yas}]", [{"x": {"y": ["q"]}}]),
            ("[{a:i4,b:s,c:?f8,d:b}]", [{"a": 1, "b": "x", "c": None, "d": True}, {"a": -2**31, "b": "", "c": 2.5, "d": False}]),
            ("[{a:i4,b:?s}]", []), ("[{a:?i8}]", [{}, {"a": 2**60}, {"a": 1}], [{"a": None}, {"a": 2**60}, {"a": 1}]),
            ("[{x:f8,y:f8}]", [floats(1.0, 2.0), [3, 4]], [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}]),
            ("{a:[f8],b:[s]}", {"a": floats(1.0, 2.0), "b": ["x", "y"]}),
            ("&4Trie<dict>m23val?j4subsat2s^4Trie", {"val": 1, "subs": [["a", {"val": None, "subs": []}]]}),
            ("&1L?{v:j,next:^1L}", {"v": 1, "next": {"v": 2, "next": None}}))

    def test_deep_values(self):
        chain, tree = None, []
        for number in range(250):
            chain, tree = {"v": number, "next": [chain]}, [tree]
        self.check_same(("&1C?{v:j,next:[^1C]}", chain), ("&1T[^1T]", [tree] * 2))
        deeper = []
        for _ in range(1500):
            deeper = [deeper]
        error, _ = self.line({1: ("same", ["&1T[^1T]"], "z")}).call(1, deeper)
        self.assertIn("at most 512 levels", error["message"])

    def check_made(self, *table):
        """(schema, R expression, expected result)"""
        functions = "".join("f%d <- function() %s\n" % (i, row[1]) for i, row in enumerate(table))
        line = self.line({i: ("f%d" % i, [], row[0]) for i, row in enumerate(table)}, functions)
        for i, (schema, text, expected) in enumerate(table):
            with self.subTest(schema=schema, text=text):
                error, result = line.call(i)
                if isinstance(expected, str) and expected.startswith(("the ", ": ", ", ")):
                    self.assertIsNotNone(error)
                    self.assertEqual(error["message"], "the result of f%d%s" % (i, expected))
                else:
                    self.assertIsNone(error)
                    self.assertEqual(repr(result), repr(expected))

    def test_plain_r_values_are_taken(self):
        self.check_made(
            ("i4", "3", 3), ("i4", "3L", 3), ("u8", "2^53", 2**53), ("i8", "'9007199254740993'", 2**53 + 1),
            ("j", "'-123456789012345678901234567890'", big(-123456789012345678901234567890)), ("j", "1e20", big(10**20)),
            ("u8", "1e19", 10**19), ("i8", "structure(5e-324, class = 'integer64')", 1),
            ("[i8]", "structure(c(5e-324, 1e-323), class = 'integer64')", Ext(4, struct.pack("<2q", 1, 2))),
            ("i2", "-0.0", 0), ("f8", "3L", 3.0), ("f8", "NA", NAN), ("f4", "NaN", NAN), ("f8", "c(a = 2)", 2.0),
            ("?f8", "NA", None), ("?f8", "NA_real_", None), ("?f8", "NaN", NAN), ("?i4", "NA", None), ("?s", "NA", None),
            ("?b", "NA", None), ("?[f8]", "NULL", None), ("?s", "NULL", None),
            ("s", "factor('b', levels = c('a', 'b'))", "b"), ("[s]", "factor(c('b', 'a', 'b'))", ["b", "a", "b"]),
            ("[?s]", "factor(c('b', NA))", ["b", None]), ("s", "iconv('é', 'UTF-8', 'latin1')", "é"),
            ("[f8]", "1:3", floats(1.0, 2.0, 3.0)), ("[i4]", "c(1, 2)", ints(1, 2)), ("[f8]", "list(1, 2L)", floats(1.0, 2.0)),
            ("[f8]", "NULL", floats()), ("[s]", "c()", []), ("[s]", "character()", []), ("[u1]", "as.raw(1:2)", Ext(5, b"\1\2")),
            ("[s]", "list('a', 'b')", ["a", "b"]), ("[?f8]", "c(1, NA, NaN)", [1.0, None, NAN]), ("[?i4]", "list(1, NULL, NA)", [1, None, None]),
            ("[?b]", "c(NA, TRUE)", [None, True]), ("[?j]", "NA", [None]), ("[f8]", "table(c('a', 'b', 'a'))", floats(2.0, 1.0)),
            ("[[f8]]", "matrix(1:4, 2)", [floats(1.0, 3.0), floats(2.0, 4.0)]), ("[[s]]", "matrix(c('a', 'b'), 1)", [["a", "b"]]),
            ("[(f8,f8)]", "list(c(1, 2), list(3, 4))", [[1.0, 2.0], [3.0, 4.0]]),
            ("(s,s)", "c('a', 'b')", ["a", "b"]), ("(i4,s)", "list(1, 'b')", [1, "b"]),
            ("{a:i4,b:?s}", "c(a = 1)", {"a": 1, "b": None}), ("{a:i4,b:?s}", "list(b = NULL, a = 1)", {"a": 1, "b": None}),
            ("{a:[f8],b:[s]}", "data.frame(b = c('x', 'y'), a = 1:2, stringsAsFactors = TRUE)", {"a": floats(1.0, 2.0), "b": ["x", "y"]}),
            ("[{a:i4,b:s,c:?f8}]", "data.frame(b = factor(c('x', 'y')), a = c(1, 2))",
             [{"a": 1, "b": "x", "c": None}, {"a": 2, "b": "y", "c": None}]),
            ("[{a:i4,b:[f8]}]", "structure(list(a = 1:2, b = list(1, 2:3)), class = 'data.frame', row.names = 1:2)",
             [{"a": 1, "b": floats(1.0)}, {"a": 2, "b": floats(2.0, 3.0)}]),
            ("[{a:i4}]", "list(list(a = 1), c(a = 2))", [{"a": 1}, {"a": 2}]), ("[{a:i4}]", "data.frame(a = integer())", []),
            ("z", "5", None), ("f8", "as.Date('1970-01-02')", 1.0))

    def test_wrong_results_say_what_is_wrong(self):
        i4 = "i4 (an integer from -2147483648 to 2147483647)"
        missing = "found NA; ? before the type lets NA through"
        text = "s (a character string, valid as UTF-8)"
        self.check_made(
            ("i4", "2.5", ": expected %s, found numeric 2.5" % i4), ("i4", "2^31", ": expected %s, found numeric 2147483648" % i4),
            ("i4", "TRUE", ": expected %s, found logical TRUE" % i4), ("i4", "'x'", ": expected %s, found character \"x\"" % i4),
            ("i4", "NA_integer_", ": expected %s, %s" % (i4, missing)), ("i4", "NULL", ": expected %s, found NULL" % i4),
            ("i4", "1:3", ": expected %s, found integer of length 3" % i4), ("i4", "Inf", ": expected %s, found numeric Inf" % i4),
            ("i4", "NaN", ": expected %s, found numeric NaN" % i4), ("i4", "factor('a')", ": expected %s, found a factor's level" % i4),
            ("i4", "mean", ": expected %s, found a function" % i4),
            ("u8", "-1", ": expected u8 (an integer from 0 to 18446744073709551615), found numeric -1"),
            ("j", "1e400", ": expected j (an integer), found numeric Inf"), ("j", "'1e5'", ': expected j (an integer), found character "1e5"'),
            ("f4", "1e300", ": expected f4 (a number in single precision), found numeric 1e+300"),
            ("f8", "TRUE", ": expected f8 (a number), found logical TRUE"), ("f8", "'1'", ': expected f8 (a number), found character "1"'),
            ("b", "1", ": expected b (TRUE or FALSE), found numeric 1"), ("b", "NA", ": expected b (TRUE or FALSE), " + missing),
            ("s", "NA_character_", ": expected %s, %s" % (text, missing)), ("s", "1", ": expected %s, found numeric 1" % text),
            ("s", "rawToChar(as.raw(255))", ": expected %s, found character that is not valid as UTF-8" % text),
            ("s", "list('a')", ": expected %s, found list of length 1" % text),
            ("y", "'a'", ': expected y (a raw vector), found character "a"'),
            ("[i4]", "c(1L, NA)", ", [2]: expected %s, %s" % (i4, missing)), ("[i4]", "c(1, 2, 3.5)", ", [3]: expected %s, found numeric 3.5" % i4),
            ("[b]", "c(TRUE, NA)", ", [2]: expected b (TRUE or FALSE), " + missing), ("[s]", "c('a', NA)", ", [2]: expected %s, %s" % (text, missing)),
            ("[u1]", "c(1, 300)", ", [2]: expected u1 (an integer from 0 to 255), found numeric 300"),
            ("[f8]", "list(1, 'x')", ', [2]: expected f8 (a number), found character "x"'),
            ("[f8]", "list(1, 2:3)", ", [[2]]: expected f8 (a number), found integer of length 2"),
            ("[f8]", "matrix(1, 2, 2)", ": expected [f8], found a numeric matrix of 2 x 2"), ("[f8]", "mean", ": expected [f8], found a function"),
            ("[f8]", "quote(a + b)", ": expected [f8], found language"),
            ("[[f8]]", "1:2", ": expected [[f8]], found integer of length 2"), ("a:2f8", "1:3", ": expected a:2f8, found integer of length 3"),
            ("(i4,i4)", "1:3", ": expected (i4,i4), found integer of length 3"), ("(i4,s)", "list(1, 2)", ", [[2]]: expected %s, found numeric 2" % text),
            ("{a:i4,b:s}", "list(a = 1)", ": expected {a:i4,b:s}, found nothing named 'b'"),
            ("{a:i4}", "list(a = 1, c = 2)", ": expected {a:i4}, found an unknown name, 'c'"),
            ("{a:i4}", "list(1)", ": expected {a:i4}, found list of length 1 without names"),
            ("{a:i4}", "list(a = 1, a = 2)", ": expected {a:i4}, found the name 'a' twice"),
            ("{a:{b:[i4]}}", "list(a = list(b = c(1, 0.5)))", ", $a$b[2]: expected %s, found numeric 0.5" % i4),
            ("[{a:i4,b:?s}]", "data.frame(a = c(1, NA))", ", [[2]]$a: expected %s, %s" % (i4, missing)),
            ("[{a:i4,b:s}]", "data.frame(a = 1)", ": expected {a:i4,b:s}, found nothing named 'b'"),
            ("[{a:i4}]", "list(list(a = 1), list(a = 'x'))", ", [[2]]$a: expected %s, found character \"x\"" % i4),
            (r"\(i4)i4", "5", r": expected \(i4)i4, found numeric 5"))

    def test_wrong_arguments_say_what_is_wrong(self):
        u1 = "u1 (an integer from 0 to 255)"
        table = [
            ("u1", 256, "argument 1 of same: expected %s, found integer 256" % u1),
            ("[u1]", [1, 256], "argument 1 of same, [2]: expected %s, found integer 256" % u1),
            ("[u1]", ints(1, -1), "argument 1 of same, [2]: expected %s, found integer -1" % u1),
            ("[u1]", floats(1.5), "argument 1 of same, [1]: expected %s, found float 1.5" % u1),
            ("s", floats(1.5), "argument 1 of same: expected s (a character string, valid as UTF-8), found a packed list or ext type 10"),
            ("s", "a\0b", "argument 1 of same: expected s (a character string, valid as UTF-8), found a text with a NUL character, which R can't hold"),
            ("i8", big(2**64), "argument 1 of same: expected i8 (an integer from -9223372036854775808 to 9223372036854775807), found an integer beyond 64 bits"),
            ("{a:s}", ["x", "y"], "argument 1 of same: expected {a:s}, found 2 elements"),
            ("{a:s}", {"b": 1}, "argument 1 of same: expected {a:s}, found an unknown key, 'b'"),
            ("{a:s}", {}, "argument 1 of same: expected {a:s}, found no key 'a'"),
            ("[{a:s}]", [{"a": ""}, {"a": 1}], "argument 1 of same, [[2]]$a: expected s (a character string, valid as UTF-8), found integer 1"),
            ("a:2i4", ints(1), "argument 1 of same: expected a:2i4, found 1 elements"),
            ("b", None, "argument 1 of same: expected b (TRUE or FALSE), found nil"),
            ("y", "x", "argument 1 of same: expected y (a raw vector), found text \"x\""),
            (r"\(i4)i4", Ext(12, b"\x90"), r"argument 1 of same: expected \(i4)i4, found a function value that can't be read"),
        ]
        line = self.line({i: ("same", [row[0]], "z") for i, row in enumerate(table)})
        for i, (schema, sent, message) in enumerate(table):
            with self.subTest(schema=schema, sent=sent):
                error, _ = line.call(i, sent)
                self.assertEqual((error["kind"], error["message"], error["function"]), ("raised", message, "same"))

    def test_schemas_are_read_when_registered(self):
        for schema, message in (
                ("[f8", "schema '[f8' at 3: expected ']'"), ("q", "schema 'q' at 0: expected a type that R can hold"),
                ("{a:s,a:s}", "schema '{a:s,a:s}': a record repeats the key 'a'"),
                ("^1x", "schema '^1x' at 3: expected a name declared with '&'"), ("t9s", "schema 't9s' at 3: expected 1 more character"),
                ("t-s", "schema 't-s' at 1: expected a base-62 digit"),
                ("js", "schema 'js' at 1: expected the end"), ("{as}", "schema '{as}' at 1: expected a key and ':'"),
                ("(s;s)", "schema '(s;s)' at 2: expected ',' or ')'"), ("&1L^1L", "schema '&1L^1L': the type has no value"),
                ("i3", "schema 'i3' at 0: expected a type that R can hold")):
            with self.subTest(schema=schema):
                pool = self.pool({1: ("same", [schema], "z")})
                output, _ = pool.process.communicate(timeout=WAIT_S)
                self.assertEqual(pool.process.returncode, 1)
                self.assertIn(message, output.decode().replace("\n  ", " "))

    def test_values_arrive_as_r_has_them(self):
        describe = """
            kind <- function(x) paste(class(x)[1], typeof(x), length(x), paste(names(x), collapse = ","))
            rows <- function(x) paste(nrow(x), paste(vapply(x, typeof, ""), collapse = ","), paste(row.names(x), collapse = ","))
        """
        table = [("[f8]", floats(1.0), "numeric double 1 "), ("(j,j)", [1, 2], "list list 2 "), ("{a:j}", {"a": 1}, "list list 1 a"),
                 ("f8", 1, "numeric double 1 "), ("y", b"", "raw raw 0 "), ("j", big(1 << 70), "character character 1 "),
                 ("i8", 2**53 + 1, "character character 1 "), ("i4", 5, "integer integer 1 "), ("i4", -2**31, "numeric double 1 "),
                 ("u2", 5, "integer integer 1 "), ("u4", 5, "numeric double 1 "), ("i8", 5, "numeric double 1 "), ("b", True, "logical logical 1 "),
                 ("z", None, "NULL NULL 0 "), ("?i4", None, "NULL NULL 0 "), ("[?i4]", [None], "integer integer 1 "), ("[?s]", [None], "character character 1 "),
                 ("[i8]", Ext(4, bytes(8)), "numeric double 1 "), ("[{a:i4,b:s}]", [], "data.frame list 2 a,b"), ("[{a:[i4]}]", [], "list list 0 "),
                 (r"\(i4)i4", Ext(12, packed(["py", None, 5])), "function closure 1 ")]
        line = self.line({**{i: ("kind", [row[0]], "s") for i, row in enumerate(table)}, 100: ("rows", ["[{a:i4,b:?s,c:f8}]"], "s")}, describe)
        for i, (schema, sent, kind) in enumerate(table):
            with self.subTest(schema=schema):
                self.assertEqual(line.call(i, sent), (None, kind))
        self.assertEqual(line.call(100, [{"a": 1, "c": 1.5}, {"a": 2, "b": "x", "c": 2}]), (None, "2 integer,character,double 1,2"))

    def test_garbled_payload_is_an_error_of_the_call(self):
        line = self.line()
        for params in (b"\x93\x01\x02\xc1", b"\x93\x01\x02\xa5abc", b"\x93\x01\x02\xdd\xff\xff\xff\xff\x01",
                       b"\x93\x01\x02", b"\x93\x01\x02\x03\x04", b"\x92\x01\xc7\x09\x0aabc", b"", b"\x90", b"\x01"):
            with self.subTest(params=params):
                data = b"\x94\x00\x05\xa4call" + params
                line.socket.sendall(struct.pack(">I", len(data)) + data)
                kind, id, error, _ = line.receive()
                self.assertEqual((kind, id, error["kind"]), (1, 5, "raised"))
                self.assertIn("can't be read", error["message"])
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_random_payloads_never_end_the_worker(self):
        schemas = ["[i4]", "[f8]", "[{a:i4,b:?s,c:[u8]}]", "[{a:?j,b:b,c:?f4}]", "&1T?{v:j,next:[^1T]}", "(b,j,y,f4)", r"\(i4)i4", "[?s]", "[[u1]]", "j"]
        line, seed = self.line({i: ("same", [schema], schema) for i, schema in enumerate(schemas)}), random.randrange(1 << 30)
        chance = random.Random(seed)
        heads = list(range(0xc0, 0xe0)) + [0x90, 0x93, 0x81, 0x83, 0xa1, 1, 0xff]
        for _ in range(4000):
            body = bytes(chance.choice(heads) if chance.random() < 0.5 else chance.randrange(256) for _ in range(chance.randrange(1, 40)))
            if chance.random() < 0.5:
                body = packed(chance.choice([[{"a": 1, "b": "x", "c": [1, 2]}] * 3, [1, 2, 3], {"v": 1, "next": []}, [True, big(1 << 70), b"a", 1.5],
                                             floats(1.0, 2.0), Ext(12, packed(["r", None, 3])), ["a", None]]))
                where = chance.randrange(len(body))
                body = body[:where] + bytes([chance.randrange(256)]) + body[where + 1:]
            data = b"\x94\x00\x07\xa4call\x92" + bytes([chance.randrange(len(schemas))]) + body
            line.socket.sendall(struct.pack(">I", len(data)) + data)
            answer = line.exactly(4)
            self.assertIsNotNone(answer, "seed %d, frame %s" % (seed, data.hex()))
            line.exactly(struct.unpack(">I", answer)[0])
        self.assertEqual(line.call(9, 5), (None, 5))


    def test_with_a_collection_at_every_allocation(self):
        rows = [{"a": 1, "b": None, "c": 2**60, "d": "x"}, {"a": -2**31, "b": "y", "c": 5, "d": "z"}]
        table = [("[{a:i4,b:?s,c:i8,d:s}]", rows), ("[?s]", ["a", None, "é"]), ("[f8]", floats(1.5, 2.5)), ("[u8]", Ext(8, b"\xff" * 16)),
                 ("{a:[i4],b:(s,y,j)}", {"a": ints(1, 2), "b": ["q", b"r", big(3**90)]}), ("&1T{v:j,k:[^1T]}", {"v": 1, "k": [{"v": 2, "k": []}]}),
                 ("[[f4]]", [Ext(9, bytes(8)), Ext(9, b"")])]
        functions = FUNCTIONS + """
            torture <- function(on) {
                compiler::enableJIT(0)  # it allocates far more than all of this
                gctorture(on)
            }
        """
        line = self.line({**{i: ("same", [schema], schema) for i, (schema, _) in enumerate(table)}, 20: ("torture", ["b"], "b"), 21: ("fails_deep", ["s"], "z"),
                          22: ("fact", ["j"], "j"), 23: ("adder", ["i8"], "\\(i8)i8"), 24: ("apply_to", ["\\(i8)i8", "i8"], "i8"), 25: ("starts", ["j"], "j"),
                          26: ("catches", ["j"], "s"), 27: ("tells", [], "j"), 28: ("point", [], "(s,[f8])")}, functions)
        line.call(20, True)
        for i, (schema, sent) in enumerate(table):
            with self.subTest(schema=schema):
                self.assertEqual(repr(line.call(i, sent)), repr((None, sent)))
        self.assertIn("expected", line.call(0, [{"a": "x", "d": 1}])[0]["message"])
        self.assertEqual(line.call(22, 5, foreign=lambda params: 24), (None, 120))
        _, adder = line.call(23, 5)
        self.assertEqual(line.call(24, adder, 4), (None, 9))
        self.assertEqual(line.call(24, Ext(12, packed(["py", None, 3, "bound"])), 4, foreign=lambda params: params[-1]), (None, 4))
        self.assertEqual(line.call(25, 3, foreign=lambda params: params[2]), (None, 6))
        self.assertEqual(line.call(28, foreign=lambda params: ["ok", [1.5]]), (None, ["ok", floats(1.5)]))

        def raises(params):
            raise KeyError({"kind": "raised", "message": "m", "trace": [{"function": "f", "line": 3}]})
        self.assertEqual(line.call(26, 3, foreign=raises), (None, "raised|m|f"))
        self.assertEqual(len(line.call(22, 3, foreign=raises)[0]["trace"]), 2)
        self.assertEqual(line.call(21, "deep")[0]["message"], "deep")


class TestCalls(PoolTest):
    def test_hellos(self):
        pool = self.pool()
        hello = pool.hello()
        self.assertRegex(hello.pop("runtime"), r"^R \d+\.\d+")
        self.assertEqual(hello, {"protocol": 1, "lang": "r", "pid": pool.process.pid, "workers": 1, "features": ["signal"]})
        line, hello = pool.connect()
        self.assertEqual({**hello, "pid": 0, "runtime": ""}, {"protocol": 1, "lang": "r", "runtime": "", "pid": 0,
                                                              "reentrant": True, "features": ["retire"]})
        self.assertNotEqual(hello["pid"], pool.process.pid)
        line.socket.close()
        again, second = pool.connect()
        self.assertEqual(second["pid"], hello["pid"])
        again.socket.close()

    def test_methods(self):
        line = self.line()
        line.send([2, "no such notification", [1]])
        line.send([2, "cancel", [77]])
        line.send([2, "cancel", []])
        line.request("ping", [])
        self.assertEqual(line.receive(), [1, 1, None, None])
        line.request("dance", [])
        kind, id, error, _ = line.receive()
        self.assertEqual((kind, id, error["kind"]), (1, 2, "protocol"))
        self.assertIn("'dance'", error["message"])
        error, _ = line.call(999)
        self.assertEqual((error["kind"], error["message"]), ("protocol", "the pool has no function 999"))
        error, _ = line.call(-5 << 40)
        self.assertEqual((error["kind"], error["message"]), ("terminated", "the function value is no longer there"))
        error, _ = line.call(1, 5)
        self.assertEqual(error["message"], "add: expected 2 arguments, found 1")

    def test_frames_in_pieces_and_together(self):
        line = self.line()
        data = framed([0, 1, "call", [1, 2, 3]])
        for byte in data:
            line.socket.sendall(bytes([byte]))
        line.socket.sendall(data * 3)
        self.assertEqual([line.receive() for _ in range(4)], [[1, 1, None, 5]] * 4)

    def test_errors(self):
        pool = self.pool()
        line, hello = pool.connect()
        for _ in range(4):  # interpreted at first, compiled later
            error, _ = line.call(3, "no such thing")
            file = os.path.join(pool.code, "functions.R")
            self.assertEqual({key: error[key] for key in ("kind", "message", "function", "pool", "pid")},
                             {"kind": "raised", "message": "no such thing", "function": "fails_deep", "pool": "r", "pid": hello["pid"]})
            with open(file) as source:
                text = source.read().split("\n")
            lines = [text.index(each) + 1 for each in ("fails <- function(text) stop(text)", "        fails(text)", "    inner()")]
            self.assertEqual(error["trace"], [{"lang": "r", "function": name, "file": "functions.R", "line": number}
                                              for name, number in zip(("fails", "inner", "fails_deep"), lines)])
        error, _ = line.call(39)
        start = text.index("fails_within <- function() {") + 1
        self.assertEqual([(entry["function"], entry["file"], entry["line"] - start) for entry in error["trace"]],
                         [("f", "functions.R", 2), ("FUN", "functions.R", 2), ("fails_within", "functions.R", 4)])
        error, _ = line.call(22)
        self.assertEqual((error["message"], [entry["function"] for entry in error["trace"]]),
                         ("non-numeric argument to mathematical function", ["fails_in_r"]))
        self.assertEqual(line.call(17)[0]["kind"], "raised")
        self.assertEqual(line.call(37)[0]["message"], "custom words")
        self.assertEqual(line.call(26)[0]["message"], "the function was left by a jump to code outside of it")
        error, _ = line.call(18)
        self.assertTrue(error["message"].startswith("evaluation nested too deeply"), error["message"])
        self.assertEqual(line.call(2, "x" * 100000)[0]["message"][:10], "x" * 10)
        self.assertEqual(line.call(2, "å€😀")[0]["message"], "å€😀")
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        line.socket.close()

    def test_prints_and_warnings_go_to_the_output(self):
        pool = self.pool()
        line, _ = pool.connect()
        self.assertEqual(line.call(9), (None, 1))
        line.socket.close()
        code, output = pool.shut_down()
        self.assertEqual(code, 0)
        for part in ("out half", "err\n", "[1] 1 2 3\n", "careful", "said\n"):
            self.assertIn(part, output)

    def test_requests_and_notifications(self):
        line = self.line()
        line.request("call", [13])
        self.assertEqual(line.receive(), [2, "log", ["info", "hello"]])
        self.assertEqual(line.receive(), [2, "progress", [1, 2, "half"]])
        kind, id, method, params = line.receive()
        self.assertEqual((kind, method), (0, "command"))
        self.assertEqual(params, ["mean", [1.5, 2], [True, b"y"], {"a": None}, 5, ["x"], [{"n": 1, "s": "a"}, {"n": 2, "s": None}]])
        line.send([1, id, None, 42])
        self.assertEqual(line.receive(), [1, 1, None, 42])

    def test_only_the_function_itself_may_call(self):
        line = self.line()
        self.assertIn("can be called only by a function", line.call(15)[1])
        self.assertEqual(line.call(38), (None, None))
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_programs_that_user_code_starts_inherit_nothing(self):
        error, descriptors = self.line().call(16)
        self.assertIsNone(error)
        self.assertEqual({each.split(":")[0] for each in descriptors}, {"pipe"}, descriptors)  # output, and R's own

    def test_default_packages_load_when_used(self):
        line = self.line({1: ("lazies", [], "[f8]"), 2: ("loaded", [], "[s]")}, FUNCTIONS + "\n    loaded <- function() loadedNamespaces()\n")
        self.assertNotIn("stats", line.call(2)[1])
        self.assertEqual(line.call(1), (None, floats(2.0, 1.0, 3.0)))
        self.assertIn("stats", line.call(2)[1])

    def test_temporary_files_lie_in_the_directory_of_the_run(self):
        pool = self.pool()
        line, _ = pool.connect()
        self.assertTrue(line.call(25)[1].startswith(pool.dir + "/"))
        line.socket.close()


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
        self.assertEqual(error["message"], "the result of function 9 of pool cpp, [[1]]: expected s (a character string, valid as UTF-8), found integer 1")
        error, _ = line.call(21)
        self.assertIn("argument 2 of function 9 of pool cpp, [2]: expected i4 (", error["message"])
        self.assertEqual([entry["function"] for entry in error["trace"]], ["point_bad"])

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
        remote = {"kind": "terminated", "message": "it died", "trace": [entry], "signal": 11, "stderr_tail": ["one"]}

        def foreign(params):
            if params[2] == 2:
                raise KeyError(remote)
            error, _ = line.call(4, params[2] - 1, foreign=foreign)
            raise KeyError(error)

        line = self.line()
        error, _ = line.call(4, 5, foreign=foreign)
        self.assertEqual((error["kind"], error["message"], error["signal"], error["stderr_tail"]), ("terminated", "it died", 11, ["one"]))
        self.assertEqual([(each["lang"], each["function"]) for each in error["trace"]], [("cpp", "f"), ("r", "fact"), ("r", "fact")])
        self.assertEqual(line.call(7, 2, foreign=foreign), (None, "terminated|it died|f"))
        for odd in ({"message": 5}, {}, {"kind": "raised", "message": "m", "trace": 5}):
            def raises(params):
                raise KeyError(odd)
            self.assertEqual(len(line.call(4, 5, foreign=raises)[0]["trace"]), 1)

    def descend(self, line, mid, depth):
        """An alternating recursion: each of our calls makes a foreign call, until `depth` reaches 0."""
        line.request("call", [mid, depth])
        waiting, failed = [], None
        while True:
            message = line.receive()
            if message is None:
                self.fail("the worker closed the connection at depth %d" % len(waiting))
            if message[0] == 0:
                waiting.append(message[1])
                line.request("call", [mid, message[3][2]])
            elif waiting:
                failed = failed or message[2]
                line.send([1, waiting.pop(), message[2] and {"kind": "raised", "message": "below"}, message[3]])
            else:
                return failed or message[2], message[3]

    def test_alternating_recursion_of_depth_1000_and_10000(self):
        line = self.line()
        for depth in (1000, 10000, 1000):
            self.assertEqual(self.descend(line, 5, depth), (None, depth))

    def test_recursion_too_deep_is_an_error(self):
        line = self.line()
        error, _ = self.descend(line, 5, 13000)
        self.assertEqual(error["kind"], "raised")
        self.assertRegex(error["message"], "nested|stack")
        error, _ = self.descend(line, 19, 1000)
        self.assertRegex(error["message"], "nested too deeply|stack")
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_a_short_protection_stack_is_an_error_too(self):
        pool = Pool(arguments=("--max-ppsize=10000",))
        self.addCleanup(pool.close)
        line, _ = pool.connect()
        error, _ = self.descend(line, 5, 10000)
        self.assertRegex(error["message"], "stack")
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        line.socket.close()

    def test_large_frames_cross(self):
        line = self.line()
        line.request("call", [6, 8 * MIB])
        line.request("call", [20, b"k" * (8 * MIB)])  # written whole before anything is read
        kind, id, method, params = line.receive()
        self.assertEqual((kind, method, len(params[2])), (0, "call", 8 * MIB))
        self.assertEqual(line.receive(), [1, 2, None, b"k" * (8 * MIB)])
        line.send([1, id, None, b"r" * (8 * MIB)])
        self.assertEqual(line.receive(), [1, 1, None, 8 * MIB])

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

    def test_several_calls_out_at_once(self):
        line = self.line()
        id = line.request("call", [29, 5])
        asked = [line.receive() for _ in range(5)]
        self.assertEqual([message[3] for message in asked], [[["cpp", id], 7, n] for n in range(1, 6)])
        self.assertEqual(line.call(1, 2, 3), (None, 5))  # it serves while it waits
        for _, request, _, (_, _, n) in reversed(asked):
            line.send([1, request, None, 10 * n])
        self.assertEqual(line.receive(), [1, id, None, 150])
        error, _ = line.call(30, foreign=lambda params: 1)
        self.assertIn("was taken already", error["message"])
        self.assertEqual(line.call(31, foreign=lambda params: params[2]), (None, 3))

    def test_function_values(self):
        pool = self.pool()
        line, hello = pool.connect()
        asked = []

        def foreign(params):
            asked.append(params)
            return params[-1] * 10

        value = Ext(12, packed(["py", None, 3]))
        self.assertEqual(line.call(32, value, 4, foreign=foreign), (None, 40))
        value = Ext(12, packed(["py", 77, -(1 << 33), "bound", 5]))
        self.assertEqual(line.call(32, value, 4, foreign=foreign), (None, 40))
        self.assertEqual(asked, [["py", 3, 4], [["py", None, 77], -(1 << 33), "bound", 5, 4]])
        error, adder = line.call(33, 5)
        self.assertEqual((error, adder.code), (None, 12))
        home, pid, mid = unpacked(adder.data)
        self.assertEqual((home, pid, mid < -(1 << 32)), ("r", hello["pid"], True))
        self.assertEqual(line.call(mid, 2), (None, 7))
        self.assertEqual(line.call(32, adder, 4), (None, 9))  # at home it is the function itself
        error, both = line.call(34, adder, value)
        self.assertEqual(line.call(unpacked(both.data)[2], 1, foreign=foreign), (None, 15))
        self.assertEqual(line.call(mid - 100, 2)[0]["kind"], "terminated")
        self.assertIn("no longer there", line.call(32, Ext(12, packed(["r", hello["pid"], mid - 100])), 1)[0]["message"])
        error, given = line.call(35)
        self.assertEqual(unpacked(given.data), ["r", None, 1])
        self.assertEqual(line.call(36, given), (None, True))
        line.socket.close()


class TestCancel(PoolTest):
    def check_cancelled(self, line, id):
        message = line.receive()
        self.assertEqual((message[0], message[1], message[2] and message[2]["kind"]), (1, id, "cancelled"))

    def started(self, pool):
        pool.hello()
        line, hello = pool.connect()
        self.addCleanup(line.socket.close)
        return line, hello["pid"]

    def test_cancel_ends_what_computes_or_sleeps(self):
        pool = self.pool()
        line, pid = self.started(pool)
        for args in ([12, 100], [23], [12, 100], [23]):
            id = line.request("call", args)
            line.send([2, "cancel", [id]])
            pool.control.send([2, "signal", [pid, 2]])
            self.check_cancelled(line, id)
            self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_a_signal_just_before_a_sleep_ends_it(self):
        late = played.LateInterrupt(self)
        line, pid = self.started(self.pool(env=late.env))
        late.aim()
        for strike in (late.strike, lambda: os.kill(pid, signal.SIGINT)):
            id = line.request("call", [12, 1000])
            line.send([2, "cancel", [id]])
            strike()
            self.check_cancelled(line, id)
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_cancel_runs_what_is_left_to_do(self):
        pool = self.pool()
        line, pid = self.started(pool)
        path = os.path.join(pool.dir, "cleaned")
        id = line.request("call", [27, path])
        line.send([2, "cancel", [id]])
        pool.control.send([2, "signal", [pid, 2]])
        self.check_cancelled(line, id)
        self.assertTrue(os.path.exists(path))

    def test_signals_without_a_cancel_are_harmless(self):
        pool = self.pool()
        line, pid = self.started(pool)
        os.kill(pid, signal.SIGINT)
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        id = line.request("call", [12, 0.5])
        line.send([2, "cancel", [id + 100]])
        start = time.monotonic()
        while time.monotonic() - start < 0.3:
            os.kill(pid, signal.SIGINT)
            time.sleep(0.01)
        self.assertEqual(line.receive(), [1, id, None, None])
        self.assertGreater(time.monotonic() - start, 0.45)
        id = line.request("call", [23])
        for _ in range(20):
            os.kill(pid, signal.SIGINT)
        line.send([2, "cancel", [id]])
        os.kill(pid, signal.SIGINT)
        self.check_cancelled(line, id)

    def test_cancel_while_waiting(self):
        line = self.line()
        line.request("call", [4, 3])
        line.receive()
        line.send([2, "cancel", [1]])
        self.check_cancelled(line, 1)
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_cancel_of_an_outer_call_waits_for_the_inner(self):
        line = self.line()
        line.request("call", [4, 3])
        line.receive()
        line.request("call", [7, 5])
        _, inner, _, _ = line.receive()
        line.send([2, "cancel", [1]])
        line.request("ping", [])
        self.assertEqual(line.receive(), [1, 3, None, None])
        line.send([1, inner, {"kind": "raised", "message": "m", "trace": [{"function": "f"}]}, None])
        self.assertEqual(line.receive(), [1, 2, None, "raised|m|f"])
        self.check_cancelled(line, 1)
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_what_arrives_with_a_cancel_stays(self):
        pool = self.pool()
        line, pid = self.started(pool)
        id = line.request("call", [23])
        later = framed([0, 70, "call", [20, b"x" * MIB]]) + framed([0, 71, "ping", []])
        line.socket.sendall(framed([2, "nothing", []]) + framed([2, "cancel", [id]]) + framed([0, 72, "ping", []]))
        os.kill(pid, signal.SIGINT)
        self.check_cancelled(line, id)
        line.socket.sendall(later)
        self.assertEqual(line.receive(), [1, 72, None, None])
        self.assertEqual(line.receive(), [1, 70, None, b"x" * MIB])
        self.assertEqual(line.receive(), [1, 71, None, None])

    def test_a_function_may_catch_it(self):
        pool = self.pool()
        line, pid = self.started(pool)
        id = line.request("call", [28])
        self.asleep_in(pid)
        line.send([2, "cancel", [id]])
        os.kill(pid, signal.SIGINT)
        message = line.receive()
        self.assertEqual(message[1], id)
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def asleep_in(self, pid):
        """Waits until the worker sleeps for its function: in select, not in its own recv."""
        while True:
            with contextlib.suppress(OSError):
                with open("/proc/%d/wchan" % pid) as file:
                    if file.read() in ("do_select", "poll_schedule_timeout", "poll_schedule_timeout.constprop.0", "0"):
                        return

    def test_retire(self):
        pool = self.pool()
        line, pid = self.started(pool)
        line.send([2, "retire", []])
        self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": pid, "exit_code": 0}]])


class TestProcesses(PoolTest):
    def test_shutdown(self):
        pool = self.pool()
        pool.hello()
        line, hello = pool.connect()
        line.call(1, 2, 3)
        line.socket.close()
        self.assertEqual(pool.shut_down(), (0, ""))
        self.gone(hello["pid"])
        self.assertEqual(os.listdir(pool.dir), ["pipe-r"])

    def test_a_signal_ends_the_pool_quietly(self):
        pool = self.pool()
        pool.hello()
        line, hello = pool.connect()
        line.socket.close()
        os.killpg(pool.process.pid, signal.SIGTERM)
        output, _ = pool.process.communicate(timeout=WAIT_S)
        self.assertEqual((pool.process.returncode, output), (-signal.SIGTERM, b""))
        self.gone(hello["pid"])

    def test_grow(self):
        pool = self.pool()
        pool.hello()
        for number, total in ((2, 3), (0, 3), (1, 4)):
            id = pool.control.request("grow", [number])
            self.assertEqual(pool.control.receive(), [1, id, None, total])
        lines = [pool.connect() for _ in range(4)]
        self.assertEqual(len({hello["pid"] for _, hello in lines}), 4)
        self.assertEqual(len({line.call(25)[1] for line, _ in lines}), 4)
        for line, _ in lines:
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
        for mid, args, how in ((10, [3], {"exit_code": 3}), (10, [None], {"exit_code": 0}), (11, [], {"signal": 9})):
            line, hello = pool.connect()
            line.request("call", [mid, *args])
            self.assertIsNone(line.receive())
            self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": hello["pid"], **how}]])
            line.socket.close()
            id = pool.control.request("grow", [1])
            self.assertEqual(pool.control.receive(), [1, id, None, 1])

    def test_signals_that_nexus_asks_for(self):
        pool = self.pool()
        pool.hello()
        line, hello = pool.connect()
        for params in ([os.getpid(), 9], [pool.process.pid, 9], [hello["pid"], 11], [], ["x", 9]):
            pool.control.send([2, "signal", params])
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        pool.control.send([2, "signal", [hello["pid"], 15]])
        self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": hello["pid"], "signal": 15}]])
        line.socket.close()

    def test_a_frame_that_is_no_message_ends_the_worker(self):
        for garbage in (b"\0\0\0\1\xc1", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\2\x91\0", b"\0\0\0\4\x94\0\xc0\xc0"):
            pool = self.pool()
            pool.hello()
            line, hello = pool.connect()
            line.socket.sendall(garbage)
            self.assertIsNone(line.receive())
            self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": hello["pid"], "exit_code": 70}]])
            line.socket.close()

    def test_code_that_does_not_load(self):
        for text, message in (("library(no_such_package)", "no_such_package"), ("x <- (", "unexpected end of input"),
                              ("nexus_register(1, 5)", "expected a function"),
                              ("f <- function() 1; nexus_register(1, f); nexus_register(1, f)", "is registered already")):
            pool = self.pool({}, text)
            output, _ = pool.process.communicate(timeout=WAIT_S)
            self.assertEqual(pool.process.returncode, 1)
            self.assertIn(message, output.decode())
            self.assertIsNone(pool.control.receive())

    def test_the_wrong_protocol(self):
        pool = self.pool(env={"NEXUS_PROTOCOL": "2"})
        output, _ = pool.process.communicate(timeout=WAIT_S)
        self.assertEqual((pool.process.returncode, output), (1, b"this pool speaks protocol 1, nexus speaks protocol 2: they don't fit together\n"))

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
        for args in ([12, 1000], [23]):
            pool = self.pool()
            pool.hello()
            line, hello = pool.connect()
            line.request("call", args)
            pool.control.socket.close()
            self.check_abandoned(pool, [hello["pid"]])
            line.socket.close()

    def test_life_pipe_ends_while_user_code_loads(self):
        pool = self.pool({}, "cat('loading\\n')\nrepeat NULL")
        self.assertEqual(pool.process.stdout.readline(), b"loading\n")
        os.makedirs(os.path.join(pool.dir, "a", "b"))
        os.symlink("/", os.path.join(pool.dir, "a", "link"))
        for number in range(200):
            open(os.path.join(pool.dir, "a", "b", "file %d" % number), "w").close()
        os.close(pool.life)
        pool.life = os.open(os.devnull, os.O_RDONLY)
        self.check_abandoned(pool, [])

    def test_nexus_is_killed(self):
        for call in (["12", "1000"], ["23"], []):
            with self.subTest(call=call):
                nexus = subprocess.Popen([sys.executable, __file__, "--play-nexus", BUILT, *call], stdout=subprocess.PIPE)
                dir, code, *pids = nexus.stdout.readline().decode().split()
                self.addCleanup(shutil.rmtree, code)
                nexus.kill()
                nexus.communicate(timeout=WAIT_S)
                for pid in pids:
                    self.gone(int(pid))
                self.assertFalse(os.path.exists(dir))

    def test_a_script_that_loads_the_runtime_itself(self):
        code = tempfile.mkdtemp(prefix="pool.")
        self.addCleanup(shutil.rmtree, code)
        with open(os.path.join(code, "pool.R"), "w") as file:
            file.write('source("%s/nexus_pool.R")\nnexus_register(1, function(x) x + 1, "f8", "f8")\nnexus_serve()\n' % BUILT)
        with Stdio(["R", "--vanilla", "--no-echo", "-f", os.path.join(code, "pool.R")]) as line:
            self.assertEqual(line.call(1, 2), (None, 3.0))


class Stdio(Line):
    """A pool that speaks over its standard input and output."""

    def __init__(self, arguments, env=()):
        self.temporary = tempfile.mkdtemp(prefix="nexus-r.")  # of R: a killed one leaves its own there
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**ENVIRONMENT, "TMPDIR": self.temporary, **dict(env)})
        super().__init__(Pipes(self.process.stdout, self.process.stdin))
        hello = self.receive()
        assert hello and hello[:2] == [2, "hello"], self.process.communicate(timeout=WAIT_S)[1]
        self.hello = hello[2][0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=WAIT_S)
        shutil.rmtree(self.temporary)


class TestStdio(PoolTest):
    def stdio(self, functions=FUNCTIONS, signatures=SIGNATURES):
        code = tempfile.mkdtemp(prefix="pool.")
        self.addCleanup(shutil.rmtree, code)
        write_pool(code, signatures, functions)
        line = Stdio(command(code))
        self.addCleanup(line.__exit__)
        return line

    def test_calls_and_prints(self):
        line = self.stdio('    cat("loading\\n")\n' + FUNCTIONS)
        self.assertEqual(line.hello["pid"], line.process.pid)
        line.send([2, "hello", [{"protocol": 1, "pool": "far"}]])
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        self.assertEqual(line.call(9), (None, 1))
        self.assertEqual(line.call(2, "x")[0]["pool"], "far")
        self.assertEqual(line.call(20, b"k" * MIB), (None, b"k" * MIB))
        self.assertEqual(line.call(4, 5, foreign=lambda params: 24), (None, 120))
        _, error = line.process.communicate(timeout=WAIT_S)
        self.assertEqual(line.process.returncode, 0)
        self.assertEqual(os.listdir(line.temporary), [])
        for part in ("loading\n", "out half", "err\n"):
            self.assertIn(part, error.decode())

    def test_large_frames_cross(self):
        line = self.stdio()
        id = line.request("call", [6, MIB])
        feeder = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"],
                                  stdin=subprocess.PIPE, stdout=line.process.stdin)
        feeder.communicate(framed([0, 99, "call", [20, b"k" * (4 * MIB)]]), timeout=WAIT_S)
        kind, asked, method, params = line.receive()
        self.assertEqual((kind, method, len(params[2])), (0, "call", MIB))
        self.assertEqual(line.receive(), [1, 99, None, b"k" * (4 * MIB)])
        line.send([1, asked, None, b"xy"])
        self.assertEqual(line.receive(), [1, id, None, 2])

    def test_a_wrong_protocol(self):
        line = self.stdio()
        line.send([2, "hello", [{"protocol": 9, "pool": "far"}]])
        _, error = line.process.communicate(timeout=WAIT_S)
        self.assertEqual((line.process.returncode, error), (1, b"this pool speaks protocol 1, nexus speaks protocol 9: they don't fit together\n"))

    def test_the_end_of_input_ends_what_runs(self):
        for args in ([12, 1000], [23], [4, 5]):
            line = self.stdio()
            line.request("call", args)
            if args[0] == 4:
                line.receive()
            line.process.stdin.close()
            line.process.stdin = None
            line.process.communicate(timeout=WAIT_S)
            self.assertIn(line.process.returncode, (0, -signal.SIGKILL))
            self.assertEqual(os.listdir(line.temporary), [])

    def test_a_worker_of_its_own(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        code = tempfile.mkdtemp(prefix="pool.")
        self.addCleanup(shutil.rmtree, code)
        write_pool(code, SIGNATURES, FUNCTIONS)
        process = subprocess.Popen(command(code), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   pass_fds=(theirs.fileno(),), preexec_fn=os.setpgrp,
                                   env={**ENVIRONMENT, "NEXUS_PROTOCOL": "1", "NEXUS_POOL": "mine", "NEXUS_WORKER_FD": str(theirs.fileno())})
        self.addCleanup(process.kill)
        theirs.close()
        line = Line(ours)
        self.assertEqual(line.receive()[2][0]["pid"], process.pid)
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        id = line.request("call", [23])
        line.send([2, "cancel", [id]])
        os.kill(process.pid, signal.SIGINT)
        self.assertEqual(line.receive()[2]["kind"], "cancelled")
        ours.close()
        process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, 0)

    def test_started_by_hand(self):
        ours, theirs = pty.openpty()
        code = tempfile.mkdtemp(prefix="pool.")
        self.addCleanup(shutil.rmtree, code)
        write_pool(code, {}, "")
        done = subprocess.run(command(code), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=WAIT_S)
        os.close(ours)
        os.close(theirs)
        self.assertEqual((done.returncode, done.stderr), (1, b"this is a pool of a nexus program: run the program, not the pool\n"))


class TestConformanceFunctions(PoolTest):
    def test_them(self):
        folder = os.path.join(HERE, "..", "..", "programs", "languages", "pools")
        with Stdio(command(folder)) as line:
            line.send([2, "hello", [{"protocol": 1, "pool": "r"}]])
            record = {"name": "a", "age": None, "tags": ["x"]}
            lists = [ints(1, -2), Ext(5, b"\xff"), Ext(4, struct.pack("<2q", 1, -2**63)), Ext(9, struct.pack("<f", 0.5))]
            tree = {"value": 1, "kids": [{"value": 2, "kids": []}, {"value": 3, "kids": [{"value": 4, "kids": []}]}]}
            times10 = Ext(12, packed(["py", None, 3]))
            for mid, args, result in (
                    (1, [floats(1.0, NAN)], floats(1.0, NAN)), (2, [2, 3], 5), (3, [record], record), (4, [[True, big(1 << 70), b"y", 0.5]], [True, big(1 << 70), b"y", 0.5]),
                    (6, ["py", 25, 4], 41), (7, [0.01], None), (8, ["text"], None), (11, ["py", 25, 4], 100), (12, [times10, 4], 40), (15, [0.01], None), (16, lists, lists),
                    (17, [b"b"], b"b"), (18, ["å"], "å"), (19, ["mean", 5], 50), (20, ["py", 25, 4], ""), (21, [["py"], 3], 21), (21, [["py"], 0], 0), (23, [floats(1.0, 2.5)], 3.5),
                    (24, [3], floats(0.0, 1.0, 2.0)), (24, [0], floats()), (25, [-4], -8), (26, [5], 5), (27, [big(3**100)], big(3**100)), (28, [], line.process.pid), (29, [tree], 10)):
                with self.subTest(mid=mid):
                    self.assertEqual(repr(line.call(mid, *args, foreign=lambda params: 20 if params[1] == 21 else 10 * params[-1])), repr((None, result)))
            self.assertEqual(line.call(5, "why")[0]["message"], "why")
            for mid, args, sent in ((9, ["info", "text"], [2, "log", ["info", "text"]]), (10, [1.5, 3.0, "of"], [2, "progress", [1.5, 3, "of"]])):
                line.request("call", [mid, *args])
                self.assertEqual(line.receive(), sent)
                self.assertEqual(line.receive()[2:], [None, None])
            _, adder = line.call(13, 5)
            _, both = line.call(22, adder, times10)
            self.assertEqual(line.call(12, both, 2, foreign=lambda params: 10 * params[-1]), (None, 25))
            line.request("call", [14, 3])
            self.assertEqual((line.receive(), line.process.wait(timeout=WAIT_S)), (None, 3))


class TestWorkers(WorkersTest, PoolTest):
    def line(self):
        _, line, _ = self.connected(WORKER_SIGNATURES, WORKERS)
        line.call(68, self.tortured)
        return line

    tortured = False

    def test_each_element_is_a_message(self):
        steps = [("run", [{"argv": ["cat"]}], [1, 2]), ("send", [1, b"a"], None), ("send", [1, b"b"], None)]
        self.assertEqual(self.line().hosts(67, "program", steps=steps), [None, None])

    def test_wrong_messages(self):
        line = self.line()
        began = ("run", [{"command": "mean"}], [1, 2])
        for what, message in (("typed", "argument 1 of command mean: expected i4 (an integer from -2147483648 to 2147483647), "
                                        "found character \"x\""),
                              ("two", "command mean: expected 1 arguments, found 2")):
            error, _ = line.hosts(67, what, steps=[began])
            self.assertEqual((error["message"], [entry["function"] for entry in error["trace"]]), (message, ["wrong"]))
        for answer, message in (([0, [[None, "x"]]], "the result of command mean: expected i4 (an integer from -2147483648 to "
                                                     "2147483647), found text \"x\""),
                                (["x", 5], "the answer of nexus_select can't be read")):
            error, _ = line.hosts(67, "result", steps=[began, ("select", [[1], None], answer)])
            self.assertEqual(error["message"], message)


class TestWorkersWithACollectionAtEveryAllocation(TestWorkers):
    tortured = True


if __name__ == "__main__":
    sys.setrecursionlimit(20_000)  # deep values, in the plainest of codecs
    if sys.argv[1:2] == ["--play-nexus"]:
        BUILT = sys.argv[2]
        played.play_nexus(Pool(), [int(arg) for arg in sys.argv[3:]])
    else:
        BUILT = built()
        unittest.main()
