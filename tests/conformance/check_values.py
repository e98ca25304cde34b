"""Checks of values: every type in and out, at its edges, in every spelling that a reader has to take, and what is refused."""
import re

import wire
from channel import Closed, Failure
from table import (ADD, BLOB, DOUBLE, ECHO_BIG, ECHO_BYTES, ECHO_FLOATS, ECHO_LISTS, ECHO_RECORD, ECHO_TEXT, ECHO_TUPLE, FAIL,
                   NAP, OWN_PID, SLEEP, TOTAL, TREE, check)
from wire import Ext, Raw, packed, same, show, typed

NAN, INFINITY = float("nan"), float("inf")
RECORD = {"name": "s", "age": "?u1", "tags": ["s"]}
LISTS = (["i4"], ["u1"], ["i8"], ["f4"])


def gives(connection, mid, args, kind, expected):
    """Complains unless the call returns just this value of this type."""
    kit, case = connection.kit, "%d(%s)" % (mid, ", ".join(map(show, args)))
    reply = connection.finish(connection.begin(mid, *args))
    if reply.error is not None:
        return kit.complain("%s: expected %s, came the error %s" % (case, show(expected), show(reply.error)))
    try:
        found = typed(kind, reply.result)
    except wire.Malformed as error:
        return kit.complain("%s: %s" % (case, error))
    if not same(found, expected):
        kit.complain("%s: expected %s, came %s" % (case, show(expected), show(found)))


def place(index):
    """The pattern of a place in a list, counted from 0 or from 1, as the language does."""
    return r"\[\[?[%d%d]\]" % (index, index + 1)


def refuses(connection, mid, args, *named):
    """Complains unless the call fails, with a message that matches each of the patterns."""
    kit, case = connection.kit, "%d(%s)" % (mid, ", ".join(map(show, args)))
    reply = connection.finish(connection.begin(mid, *args))
    if reply.error is None:
        return kit.complain("%s: expected an error, came %s" % (case, show(reply.result)))
    for pattern in named:
        if not re.search(pattern, reply.error["message"], re.IGNORECASE):
            kit.complain("%s: expected an error that names %s, came %s" % (case, pattern, show(reply.error["message"])))


@check("values.integers")
def integers(kit):
    """i8: sums up to 53 bits, limits as they are, and every spelling that msgpack has for an int"""
    worker = kit.worker()
    for a, b in ((0, 0), (2**53 - 1, 0), (-2**53 + 1, 0), (2**52, 2**52 - 1), (127, 1), (128, 0), (-32, -1), (-33, 0), (255, 1),
                 (65535, 1), (2**31, 0), (2**32, -1), (-2**31, -1)):
        gives(worker, ADD, [a, b], "i8", a + b)
    for spelling, value in (("d0 05", 5), ("d1 0005", 5), ("d2 00000005", 5), ("d3 0000000000000005", 5), ("cc 05", 5),
                            ("cd 0005", 5), ("ce 00000005", 5), ("cf 0000000000000005", 5), ("d3 ffffffffffffffff", -1),
                            ("d0 80", -128), ("d1 8000", -32768)):
        gives(worker, ADD, [Raw(bytes.fromhex(spelling)), 0], "i8", value)
    gives(worker, DOUBLE, [-21], "i8", -42)
    limits = [[], [], [2**63 - 1, -2**63, 2**53 + 1, -2**53 - 1, 2**63 - 512, 1], []]
    gives(worker, ECHO_LISTS, limits, LISTS, limits)


@check("values.integers_64")
def integers_64(kit):
    """i8: sums beyond 53 bits are exact, or refused by a language that has no such integers"""
    worker = kit.worker()
    most, least, refused = 2**63 - 1, -2**63, 0
    cases = ((most, 0), (least, 0), (most, least), (least, most), (most - 1, 1), (least + 1, -1), (2**62, 2**62 - 1),
             (2**60 + 1, 1))
    for a, b in cases:
        reply = worker.finish(worker.begin(ADD, a, b))
        refused += reply.error is not None
        if reply.error is None and not same(reply.result, a + b):
            kit.complain("2(%d, %d): expected %d or an error, came %s" % (a, b, a + b, show(reply.result)))
    if refused:
        kit.notes.append("refuses %d of %d" % (refused, len(cases)))
    worker.works()


@check("values.big")
def bigs(kit):
    """j: integers of any size, as int up to 64 bits and as ext type 11 beyond"""
    worker = kit.worker()
    for value in (0, -1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -2**63, -2**63 - 1, -2**64, 2**127, -2**127, 10**100,
                  -10**300, 2**8000 - 1):
        gives(worker, ECHO_BIG, [value], "j", value)
    refuses(worker, ECHO_BIG, [1.5], "argument 1")


@check("values.floats")
def floats(kit):
    """[f8]: packed and plain, limits, -0.0, NaN, infinities, ints among floats, single precision, empty, long"""
    worker = kit.worker()
    edges = [0.0, -0.0, 1.5, -2.25, 0.1, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, INFINITY, -INFINITY, NAN]
    for values in (edges, [], [1.0], [-0.0]):
        gives(worker, ECHO_FLOATS, [packed("f8", values)], ["f8"], values)
        gives(worker, ECHO_FLOATS, [values], ["f8"], values)
    gives(worker, ECHO_FLOATS, [[1, -2, 2**40, 0.5]], ["f8"], [1.0, -2.0, 2.0**40, 0.5])
    gives(worker, ECHO_FLOATS, [[Raw(bytes.fromhex("ca3fc00000"))]], ["f8"], [1.5])
    long = [index / 3 for index in range(100_000)]
    gives(worker, ECHO_FLOATS, [packed("f8", long)], ["f8"], long)
    gives(worker, ECHO_FLOATS, [long], ["f8"], long)
    gives(worker, TOTAL, [packed("f8", [0.5] * 5)], "f8", 2.5)
    gives(worker, TOTAL, [[]], "f8", 0.0)
    gives(worker, BLOB, [4], ["f8"], [0.0, 1.0, 2.0, 3.0])
    gives(worker, BLOB, [0], ["f8"], [])


@check("values.lists")
def lists(kit):
    """[i4], [u1], [i8], [f4]: packed and plain, limits, empty; out of range is refused"""
    worker = kit.worker()
    full = [[-2**31, 2**31 - 1, 0], [0, 255, 1], [-2**63, 2**63 - 1, 2**53 + 1], [1.5, -0.0, INFINITY, 2.0**-149]]
    empty = [[], [], [], []]
    one = [[1], [2], [3], [4.0]]
    for values in (full, empty, one):
        gives(worker, ECHO_LISTS, [packed(kind[0], each) for kind, each in zip(LISTS, values)], LISTS, values)
        gives(worker, ECHO_LISTS, values, LISTS, values)
    gives(worker, ECHO_LISTS, [[], [], [], [0.1]], LISTS, [[], [], [], [wire.single(0.1)]])
    gives(worker, ECHO_LISTS, [[], [], [], [NAN]], LISTS, [[], [], [], [NAN]])
    refuses(worker, ECHO_LISTS, [[2**31], [], [], []], "argument 1", place(0))
    refuses(worker, ECHO_LISTS, [[], [1, 256], [], []], "argument 2", place(1))
    refuses(worker, ECHO_LISTS, [[], [-1], [], []], "argument 2")
    refuses(worker, ECHO_LISTS, [[], [], [2**63], []], "argument 3")
    refuses(worker, ECHO_LISTS, [[], [], [0.5], []], "argument 3")
    refuses(worker, ECHO_LISTS, [[], [], [], ["x"]], "argument 4")
    refuses(worker, ECHO_LISTS, [5, [], [], []], "argument 1")
    worker.works()


@check("values.text")
def text(kit):
    """s: empty, unicode, long, every spelling; a NUL comes back whole or is refused; what is not UTF-8 is refused"""
    worker = kit.worker()
    for value in ("", "plain", "\n\t\"'\\", "\u00e4\u00f6\u00fc \u20ac \u65e5\u672c\u8a9e \U0001f9ec", "\ufeffbom", "e\u0301",
                  "\u2028\x01\x7f\x80", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "\u00e9" * 70_000):
        gives(worker, ECHO_TEXT, [value], "s", value)
    for spelling in ("a161", "d90161", "da000161", "db0000000161"):
        gives(worker, ECHO_TEXT, [Raw(bytes.fromhex(spelling))], "s", "a")
    reply = worker.finish(worker.begin(ECHO_TEXT, "a\0b"))
    if reply.error is None and reply.result != "a\0b":
        kit.complain("18('a\\0b'): expected the same or an error, came %s" % show(reply.result))
    if reply.error is not None:
        kit.notes.append("refuses NUL in text")
    refuses(worker, ECHO_TEXT, [b"bytes"], "argument 1")
    refuses(worker, ECHO_TEXT, [None], "argument 1")
    try:
        refuses(worker, ECHO_TEXT, [Raw(b"\xa2\xff\xfe")])
        worker.works()
    except Closed:
        kit.notes.append("closes the connection at text that is not UTF-8")


@check("values.bytes")
def byte_strings(kit):
    """y: empty, all bytes, every spelling of the length"""
    worker = kit.worker()
    for value in (b"", b"\0", bytes(range(256)), b"\xff" * 255, b"ab" * 40_000):
        gives(worker, ECHO_BYTES, [value], "y", value)
    for spelling in ("c40161", "c5000161", "c60000000161"):
        gives(worker, ECHO_BYTES, [Raw(bytes.fromhex(spelling))], "y", b"a")
    refuses(worker, ECHO_BYTES, [7], "argument 1")
    worker.works()


@check("values.record")
def record(kit):
    """a record as a map in any order and as an array; a missing optional key; unknown, missing and wrong ones are refused"""
    worker = kit.worker()
    full = {"name": "Ann", "age": 42, "tags": ["a", "b"]}
    for value in (full, dict(reversed(list(full.items()))), ["Ann", 42, ["a", "b"]]):
        gives(worker, ECHO_RECORD, [value], RECORD, full)
    bare = {"name": "", "age": None, "tags": []}
    for value in (bare, {"name": "", "tags": []}, ["", None, []]):
        gives(worker, ECHO_RECORD, [value], RECORD, bare)
    most = {"name": "\u00e9", "age": 255, "tags": [""]}
    gives(worker, ECHO_RECORD, [most], RECORD, most)
    refuses(worker, ECHO_RECORD, [{**full, "agee": 1}], "argument 1", "agee")
    refuses(worker, ECHO_RECORD, [{"age": 1, "tags": []}], "argument 1", "name")
    refuses(worker, ECHO_RECORD, [{**full, "age": 256}], "argument 1", "age")
    refuses(worker, ECHO_RECORD, [{**full, "tags": ["a", 5]}], "argument 1", "tags", place(1))
    refuses(worker, ECHO_RECORD, [["Ann", 42]], "argument 1")
    refuses(worker, ECHO_RECORD, [5], "argument 1")
    worker.works()


@check("values.tuple")
def tuples(kit):
    """(b,j,y,f4): mixed types side by side; wrong length and types are refused"""
    worker = kit.worker()
    kind = ("b", "j", "y", "f4")
    for value in ([True, 0, b"", 0.0], [False, -2**70, b"\0\xff", -0.0], [True, 2**64, b"x", INFINITY],
                  [True, 7, b"", wire.single(3.4028234e38)], [False, -5, b"ab", NAN]):
        gives(worker, ECHO_TUPLE, [value], kind, value)
    gives(worker, ECHO_TUPLE, [[True, 1, b"", 0.1]], kind, [True, 1, b"", wire.single(0.1)])
    gives(worker, ECHO_TUPLE, [[True, 1, b"", 3]], kind, [True, 1, b"", 3.0])
    refuses(worker, ECHO_TUPLE, [[True, 1, b""]], "argument 1")
    refuses(worker, ECHO_TUPLE, [[1, 1, b"", 0.5]], "argument 1", place(0))
    refuses(worker, ECHO_TUPLE, [[True, "1", b"", 0.5]], "argument 1", place(1))
    worker.works()


@check("values.tree")
def tree(kit):
    """a recursive type: wide, a hundred levels deep, nodes as maps and as arrays"""
    worker = kit.worker()
    gives(worker, TREE, [{"value": 5, "kids": []}], "i8", 5)
    gives(worker, TREE, [{"value": 1, "kids": [{"value": 2, "kids": []}, [3, [[4, []]]]]}], "i8", 10)
    gives(worker, TREE, [{"value": 1, "kids": [{"value": 1, "kids": []}] * 1000}], "i8", 1001)
    deep = {"value": 1, "kids": []}
    for _ in range(99):
        deep = {"value": 1, "kids": [deep]}
    gives(worker, TREE, [deep], "i8", 100)
    refuses(worker, TREE, [{"value": 1, "kids": [{"value": "x", "kids": []}]}], "argument 1", "kids.*%s.*value" % place(0))
    worker.works()


@check("values.nil")
def nil(kit):
    """z: a function of no result answers nil"""
    worker = kit.worker()
    gives(worker, SLEEP, [0.0], "z", None)
    gives(worker, SLEEP, [0], "z", None)
    gives(worker, NAP, [0], "i8", 0)


@check("values.refused")
def refused(kit):
    """an argument of the wrong type: an error that names the argument, and the worker goes on"""
    worker = kit.worker()
    for args, number in ((["1", 2], 1), ([1, "2"], 2), ([1.5, 2], 1), ([1, None], 2), ([True, 2], 1), ([1, [2]], 2),
                         ([1, {}], 2), ([2**63, 0], 1), ([0, -2**63 - 1], 2), ([b"1", 2], 1), ([0, Ext(10, b"\0" * 8)], 2)):
        refuses(worker, ADD, args, "argument %d" % number)
    worker.works()


@check("values.count")
def count(kit):
    """too few and too many arguments: an error, and the worker goes on"""
    worker = kit.worker()
    for args in ([], [1], [1, 2, 3]):
        refuses(worker, ADD, args)
    refuses(worker, OWN_PID, [1])
    refuses(worker, FAIL, [])
    worker.works()


@check("values.pid")
def pid(kit):
    """own_pid is the process id of hello"""
    worker = kit.worker()
    found = worker.call(OWN_PID)
    if found != worker.pid:
        raise Failure("own_pid and hello differ", "hello     %d" % worker.pid, "own_pid   %s" % show(found))
