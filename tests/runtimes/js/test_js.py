"""Drives a real JavaScript pool through its protocol: this process plays nexus, with played.py.

Needs node 18 or later ($NODE, default node). It does not test nexus, and no wait in it is without a limit.
"""
import json
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
import time
import textwrap
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

import played
from played import MIB, WAIT_S, Exact, Ext, Line, Pipes, WorkersTest, big, end_group, floats, framed, packed, unpacked

RUNTIME = os.path.join(HERE, "..", "..", "..", "src", "runtimes", "js", "nexus_pool.js")
CONFORMANCE = os.path.join(HERE, "..", "..", "programs", "languages", "pools", "pool.js")
NODE = os.environ.get("NODE") or shutil.which("node")


def function(pool, pid, mid, *bound):
    return Ext(12, packed([pool, pid, mid, *bound]))


def registered(mid, fn, args, returns):
    return "nexus.register(%d, %s, %s);" % (mid, fn, json.dumps({"args": args, "returns": returns}))


FUNCTIONS = """
    const add = (a, b) => a + b;
    nexus.register(1, add, { args: ['j', 'j'], returns: 'j' });
    const cpp = nexus.foreign('cpp', 7, { args: ['j'], returns: 'j' });
    nexus.register(2, async function fact(n) { return n < 2n ? 1n : n * await cpp(n - 1n); }, { args: ['j'], returns: 'j' });
    nexus.register(3, async function depth(n) { return n === 0n ? 0n : 1n + await cpp(n - 1n); }, { args: ['j'], returns: 'j' });
    nexus.register(4, () => new Promise(() => {}), { args: [], returns: 'z' });
    nexus.register(5, (s) => new Promise((done) => setTimeout(done, 1000 * s)), { args: ['f8'], returns: 'z' });
    nexus.register(6, (bytes) => bytes, { args: ['y'], returns: 'y' });
    const cppBlob = nexus.foreign('cpp', 8, { args: ['y'], returns: 'y' });
    nexus.register(7, async (n) => (await cppBlob(new Uint8Array(Number(n)).fill(120))).length, { args: ['j'], returns: 'j' });
"""


class Pool:
    """A pool in a folder of its own: `functions` is its code between require and serve."""

    def __init__(self, functions=FUNCTIONS, env=(), transport="direct", stderr=subprocess.STDOUT, file="pool.js", flags=()):
        self.folder = tempfile.mkdtemp(prefix="pool.")
        self.file = os.path.join(self.folder, file)
        shutil.copy(RUNTIME, self.folder)
        with open(self.file, "w") as file:
            file.write(functions if "serve()" in functions else
                       "const nexus = require('./nexus_pool.js');\n" + textwrap.dedent(functions) + "\nnexus.serve();\n")
        ours, theirs = socket.socketpair()
        command = [NODE, *flags, self.file]
        env = {"PATH": os.environ["PATH"], **dict(env)}
        self.life = None
        if transport == "direct":
            # Node marks what it inherits, up to the first gap: the descriptors are 3 and 4, as nexus gives them.
            life_reader, self.life = os.pipe()
            script = 'exec "$@" 3<&%d 4<&%d %d<&- %d<&-' % (theirs.fileno(), life_reader, theirs.fileno(), life_reader)
            self.process = subprocess.Popen(
                ["bash", "-c", script, "bash", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                start_new_session=True, pass_fds=(theirs.fileno(), life_reader),
                env={"NEXUS_PROTOCOL": "1", "NEXUS_POOL": "js", "NEXUS_WORKER_FD": "3", "NEXUS_LIFE_FD": "4", **env})
            os.close(life_reader)
            self.output = self.process.stdout
        else:
            stdin, stdout, closed = theirs, theirs, ()
            if transport == "pipes":
                # A relay between the pipes and the socket that the tests speak to.
                down, up = os.pipe(), os.pipe()
                stdin, stdout, closed = down[0], up[1], (down[0], up[1])
            self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
                                            start_new_session=True, env=env)
            self.output = self.process.stderr
            for descriptor in closed:
                os.close(descriptor)
            if transport == "pipes":
                ours.close()
                ours = Pipes(open(up[0], "rb", buffering=0), open(down[1], "wb", buffering=0))
        theirs.close()
        self.line = Line(ours)

    def printed(self, text):
        """Waits until the pool has printed a text, and returns all of it."""
        output = b""
        while text.encode() not in output:
            assert select.select([self.output], [], [], WAIT_S)[0], output
            chunk = os.read(self.output.fileno(), 65536)
            assert chunk, output
            output += chunk
        return output.decode()

    def wait(self):
        """The exit code and what the pool printed."""
        output = self.output.read()
        return self.process.wait(timeout=WAIT_S), output.decode()

    def close(self):
        end_group(self.process)
        self.line.socket.close()
        if self.life is not None:
            os.close(self.life)
        shutil.rmtree(self.folder)


class PoolTest(played.PoolTest):
    Pool = Pool

    def line(self, *args, **kwargs):
        """A connection to a worker that has said hello."""
        line = self.pool(*args, **kwargs).line
        self.assertEqual(line.receive()[:2], [2, "hello"])
        return line


class TestTypes(PoolTest):
    def check_same(self, *table):
        """(schema, sent, expected or None for the same): a value goes through a function that returns it."""
        line = self.line("\n".join(registered(i, "(x) => x", [row[0]], row[0]) for i, row in enumerate(table)))
        for i, (schema, sent, *expected) in enumerate(table):
            with self.subTest(schema=schema, sent=sent):
                error, result = line.call(i, sent)
                self.assertIsNone(error)
                self.assertEqual(repr(result), repr(expected[0] if expected else sent))

    def test_values_come_back(self):
        self.check_same(
            ("z", None), ("b", True), ("b", False), ("<hint<$1>>b", True),
            ("i1", -128), ("i1", 127), ("i2", -32768), ("i4", 2**31 - 1), ("i4", -2**31), ("i8", -2**63),
            ("i8", 2**63 - 1), ("i8", -2**53), ("i8", 2**53), ("i8", 2**53 - 1), ("i8", 2**32), ("i8", -2**31 - 1),
            ("u1", 255), ("u2", 65535), ("u4", 2**32 - 1), ("u8", 2**64 - 1), ("u8", 0), ("i8", -1), ("i8", -33),
            ("j", 0), ("j", 2**64 - 1), ("j", -2**63), ("j", big(2**64)), ("j", big(-2**63 - 1)), ("j", big(3**500)),
            ("j", big(-3**500)), ("j", big(-2**71), Ext(11, b"\x80" + bytes(8))), ("j", big(2**71)), ("j", big(2**71 - 1)), ("j", big(-2**71 - 1)),
            ("j", Ext(11, b"\x05"), 5), ("j", Ext(11, b"\xff"), -1), ("j", Ext(11, b""), 0),
            ("f8", 0.1), ("f8", float("inf")), ("f8", -0.0), ("f8", 5e-324), ("f8", float("nan")), ("f8", 3, 3.0),
            ("f8", 2**63 - 1, float(2**63)),
            ("f4", 0.1, struct.unpack("<f", struct.pack("<f", 0.1))[0]), ("f4", 1.5), ("f4", float("-inf")),
            ("s", ""), ("s", "å€😀"), ("s", "x" * 31), ("s", "x" * 40), ("s", "y" * 300), ("s", "z" * 70000),
            ("s", "é" * 31), ("s", "\ufffd"), ("s", "\ufeffbom"), ("s", "abc\0d"), ("s", "€" * 100000),
            ("y", b""), ("y", bytes(range(256))), ("y", b"k" * 70000),
            ("?j", None), ("?j", 4), ("??j", None), ("?[s]", ["a"]),
            ("[s]", []), ("[s]", ["a", "b"]), ("as", ["a"]), ("[b]", [True] * 20), ("[[s]]", [["a"], []]),
            ("[s]", ["%d" % i for i in range(70000)]), ("a:2s", ["a", "b"]), ("a:bb", [True] * 11),
            ("a:2 s", ["a", "b"]),
            ("[f8]", floats(1.5, float("-inf"))), ("[f8]", [1.5, 2], floats(1.5, 2.0)), ("[f8]", floats()),
            ("af8", floats(2.5)), ("[i4]", Ext(3, struct.pack("<2i", 1, -2))), ("a:2i4", Ext(3, struct.pack("<2i", 1, 2))),
            ("[i4]", [1, -2], Ext(3, struct.pack("<2i", 1, -2))),
            ("[f8]", Ext(3, struct.pack("<2i", 1, 2)), floats(1.0, 2.0)),
            ("[f8]", Ext(4, struct.pack("<2q", 1, 2)), floats(1.0, 2.0)),
            ("[f4]", [1.5], Ext(9, struct.pack("<f", 1.5))),
            ("[u1]", [0, 255], Ext(5, b"\x00\xff")), ("[i1]", [-1], Ext(1, b"\xff")),
            ("[u8]", [2**64 - 1], Ext(8, b"\xff" * 8)), ("[u2]", [258], Ext(6, b"\x02\x01")),
            ("[i2]", [-2], Ext(2, b"\xfe\xff")), ("[u4]", [1], Ext(7, b"\x01\0\0\0")),
            ("[i8]", [1], Ext(4, b"\x01" + bytes(7))),
            ("[f8]", floats(*range(100000))),
            ("[[f8]]", [floats(1.0), floats()]), ("[j]", [1, big(1 << 64)]), ("[?f8]", [1.5, None]),
            ("(s,j)", ["a", 1]), ("()", []), ("t0", []), ("t2s?j", ["a", None]),
            ("([f8],(b,b))", [floats(1.0), [True, False]]),
            ("{name:s,age:?j}", {"name": "a", "age": 1}), ("m24names3age?j", {"name": "a", "age": None}),
            ("{name:s,age:?j}", {"age": 2, "name": "a"}, {"name": "a", "age": 2}),
            ("{name:s,age:?j}", {"name": "a"}, {"name": "a", "age": None}),
            ("{name:s,age:?j}", ["a", 5], {"name": "a", "age": 5}), ("{}", {}),
            ("{__proto__:{x:j},constructor:s,toString:?s}", {"__proto__": {"x": 1}, "constructor": "c", "toString": None}),
            ("{__proto__:?{x:j}}", {}, {"__proto__": None}),
            ("m12éj", {"é": 1}), ("[{x:m11yas}]", [{"x": {"y": ["q"]}}]),
            ("&4Trie<dict>m23val?j4subsat2s^4Trie", {"val": 1, "subs": [["a", {"val": None, "subs": []}]]}),
            ("&1L?{v:j,next:^1L}", {"v": 1, "next": {"v": 2, "next": None}}))

    def test_deep_values(self):
        chain, tree = None, []
        for number in range(250):
            chain, tree = {"v": number, "next": [chain]}, [tree]
        self.check_same(("&1C?{v:j,next:[^1C]}", chain), ("&1T[^1T]", [tree] * 2))
        line = self.line("""
            function nested(n) { let tree = []; for (let i = 0; i < n; i++) tree = [tree]; return tree; }
            nexus.register(1, nested, { args: ['u4'], returns: '&1T[^1T]' });
            nexus.register(2, (t) => 0, { args: ['&1T[^1T]'], returns: 'u4' });
        """)
        self.assertIsNone(line.call(1, 500)[0])
        self.assertIn("expected at most 512 levels, found more", line.call(1, 100000)[0]["message"])
        self.assertIn("expected at most 512 levels, found more", line.call(2, Exact(b"\x91" * 100000 + b"\x90"))[0]["message"])
        self.assertIsNone(line.call(1, 500)[0])

    MADE = """
        class Person { constructor() { this.name = 'Ann'; this.age = 5; } }
        const MADE = {
          object: { age: 4, name: 'Cyd' }, instance: new Person(), map: new Map([['name', 'M'], ['age', 3]]),
          bare: Object.assign(Object.create(null), { name: 'b', age: 1 }),
          no_age: { name: 'Cyd' }, no_age_map: new Map([['name', 'M']]), extra: { name: 'Cyd', age: 1, agee: 2 },
          absent: { name: 'Cyd', age: 1, more: undefined }, bad_age: { name: 'Cyd', age: 'x' },
          inherited: Object.create({ name: 'x', age: 1 }), nested_bad: [{ name: 'x', age: null }],
          string: 'text', surrogate: 'a\\udcff', boolean: true, integer: 3, real: 2.5, nil: null, undef: undefined,
          unsafe: 2 ** 53, bigint: 7n, huge: 1n << 70n, longest: 1n << 2000n, nan: NaN, minus: -0,
          buffer: Buffer.from([0, 255]), memory: new Uint8Array([1, 2]).buffer, view: new DataView(new ArrayBuffer(2)),
          array: [1, 2, 3], mixed: [1, 2n, 3], with_string: [1, 'x'], sparse: [1, , 3], with_300: [1, 300], set: new Set([1]),
          f8s: Float64Array.of(1.5, 2.5), f4s: Float32Array.of(1.5, 2.5), i4s: Int32Array.of(1, 2), huge_floats: [1e300],
          i8s: BigInt64Array.of(1n, -2n), part: Float64Array.of(1, 2, 3, 4).subarray(1, 3), func: function named() {},
          clamped: Uint8ClampedArray.of(1, 2), symbol: Symbol('x'), date: new Date(0),
          shared: new Float64Array(new SharedArrayBuffer(16)).fill(0.5),
        };
        const make = (name) => MADE[name];
    """

    def made(self, table):
        return self.line(self.MADE + "\n".join(
            registered(i, "make", ["s"], row[0]) for i, row in enumerate(table)))

    def test_plain_javascript_values_are_taken(self):
        table = [
            ("{name:s,age:j}", "object", {"name": "Cyd", "age": 4}), ("{name:s,age:j}", "instance", {"name": "Ann", "age": 5}),
            ("{name:s,age:j}", "map", {"name": "M", "age": 3}), ("{name:s,age:j}", "bare", {"name": "b", "age": 1}),
            ("{name:s,age:j}", "absent", {"name": "Cyd", "age": 1}), ("{name:s,age:?j}", "no_age", {"name": "Cyd", "age": None}),
            ("{name:s,age:?j}", "no_age_map", {"name": "M", "age": None}), ("z", "undef", None), ("?s", "undef", None),
            ("i4", "bigint", 7), ("u1", "integer", 3), ("i8", "integer", 3), ("j", "integer", 3), ("j", "huge", big(1 << 70)),
            ("f8", "integer", 3.0), ("f8", "minus", -0.0), ("i1", "minus", 0), ("y", "buffer", b"\0\xff"), ("y", "memory", b"\1\2"),
            ("[f8]", "f8s", floats(1.5, 2.5)), ("[f8]", "f4s", floats(1.5, 2.5)), ("[f8]", "i4s", floats(1.0, 2.0)),
            ("[f8]", "part", floats(2.0, 3.0)), ("[f8]", "array", floats(1.0, 2.0, 3.0)), ("[f8]", "shared", floats(0.5, 0.5)),
            ("[i8]", "i8s", Ext(4, struct.pack("<2q", 1, -2))), ("[i8]", "i4s", Ext(4, struct.pack("<2q", 1, 2))),
            ("[i8]", "mixed", Ext(4, struct.pack("<3q", 1, 2, 3))), ("[u1]", "clamped", Ext(5, b"\1\2")),
            ("[u1]", "buffer", Ext(5, b"\0\xff")), ("[j]", "i8s", [1, -2]), ("(j,j,j)", "array", [1, 2, 3]),
            ("(f8,f8)", "f8s", [1.5, 2.5]), ("[?f8]", "sparse", [1.0, None, 3.0])]
        line = self.made(table)
        for i, (schema, name, expected) in enumerate(table):
            with self.subTest(schema=schema, name=name):
                error, result = line.call(i, name)
                self.assertIsNone(error)
                self.assertEqual(repr(result), repr(expected))

    def test_wrong_results_say_what_is_wrong(self):
        table = [
            ("j", "boolean", ": expected j (an integer), found boolean true"),
            ("j", "real", ": expected j (an integer), found number 2.5"),
            ("j", "unsafe", ": expected j (an integer), found number 9007199254740992"),
            ("f8", "bigint", ": expected f8 (a number), found BigInt 7"),
            ("f8", "undef", ": expected f8 (a number), found undefined"),
            ("b", "integer", ": expected b (a boolean), found number 3"),
            ("i1", "nan", ": expected i1 (an integer from -128 to 127), found number NaN"),
            ("i8", "huge", ": expected i8 (an integer from -9223372036854775808 to 9223372036854775807), "
                           "found BigInt 1180591620717411303424"),
            ("i8", "longest", ": expected i8 (an integer from -9223372036854775808 to 9223372036854775807), "
                              "found a BigInt beyond 256 bits"),
            ("s", "nil", ": expected s (a string without lone surrogates), found null"),
            ("s", "surrogate", ": expected s (a string without lone surrogates), found string \"a\\udcff\""),
            ("z", "integer", ": expected z (null), found number 3"),
            ("z", "func", ": expected z (null), found function named"),
            ("y", "string", ": expected y (a Uint8Array), found string \"text\""),
            ("y", "f8s", ": expected y (a Uint8Array), found Float64Array of length 2"),
            ("[j]", "set", ": expected [j], found Set"), ("[f8]", "set", ": expected [f8], found Set"),
            ("[s]", "string", ": expected [s], found string \"text\""),
            ("[f8]", "view", ": expected [f8], found DataView of length 2"),
            ("[i4]", "with_string", ", [1]: expected i4 (an integer from -2147483648 to 2147483647), found string \"x\""),
            ("[u1]", "with_300", ", [1]: expected u1 (an integer from 0 to 255), found number 300"),
            ("[f8]", "sparse", ", [1]: expected f8 (a number), found undefined"),
            ("[f8]", "i8s", ", [0]: expected f8 (a number), found BigInt 1"),
            ("[f4]", "huge_floats", ", [0]: expected f4 (a number in single precision), found number 1e+300"),
            ("a:2j", "array", ": expected a:2j, found Array of length 3"),
            ("a:2i4", "array", ": expected a:2i4, found Array of length 3"),
            ("(j,j)", "array", ": expected (j,j), found Array of length 3"),
            ("(j,j)", "integer", ": expected (j,j), found number 3"),
            ("{name:s,age:j}", "no_age", ": expected {name:s,age:j}, found no key \"age\""),
            ("{name:s,age:j}", "no_age_map", ": expected {name:s,age:j}, found no key \"age\""),
            ("{name:s,age:j}", "inherited", ": expected {name:s,age:j}, found no key \"name\""),
            ("{name:s,age:j}", "extra", ": expected {name:s,age:j}, found an unknown key, string \"agee\""),
            ("{name:s,age:j}", "bad_age", ", .age: expected j (an integer), found string \"x\""),
            ("{name:s,age:j}", "integer", ": expected {name:s,age:j}, found number 3"),
            ("{name:s,age:j}", "array", ": expected {name:s,age:j}, found Array of length 3"),
            ("{name:s,age:j}", "date", ": expected {name:s,age:j}, found no key \"name\""),
            ("{__proto__:{}}", "object", ": expected {__proto__:{}}, found no key \"__proto__\""),
            ("[{name:s,age:j}]", "nested_bad", ", [0].age: expected j (an integer), found null"),
            ("s", "symbol", ": expected s (a string without lone surrogates), found symbol"),
            ("\\(j)j", "integer", ": expected \\(j)j, found number 3"),
        ]
        line = self.made(table)
        for i, (schema, name, message) in enumerate(table):
            with self.subTest(schema=schema, name=name):
                error, _ = line.call(i, name)
                self.assertEqual((error["kind"], error["message"], error["function"]),
                                 ("raised", "the result of make" + message, "make"))

    def test_wrong_arguments_say_what_is_wrong(self):
        table = [
            ("u1", 256, "argument 1 of same: expected u1 (an integer from 0 to 255), found number 256"),
            ("[u1]", [1, 256], "argument 1 of same, [1]: expected u1 (an integer from 0 to 255), found number 256"),
            ("[u1]", floats(1.5), "argument 1 of same, [0]: expected u1 (an integer from 0 to 255), found number 1.5"),
            ("[i8]", floats(1.5), "argument 1 of same, [0]: expected i8 (an integer from -9223372036854775808 to "
                                  "9223372036854775807), found number 1.5"),
            ("s", floats(1.5), "argument 1 of same: expected s (a string without lone surrogates), found Float64Array of length 1"),
            ("b", None, "argument 1 of same: expected b (a boolean), found null"),
            ("[f8]", "x", "argument 1 of same: expected [f8], found string \"x\""),
            ("[s]", {}, "argument 1 of same: expected [s], found Object"),
            ("{a:s}", ["x", "y"], "argument 1 of same: expected {a:s}, found Array of length 2"),
            ("{a:s}", {"b": 1}, "argument 1 of same: expected {a:s}, found an unknown key, string \"b\""),
            ("{a:s,b:s}", {"b": "x"}, "argument 1 of same: expected {a:s,b:s}, found no key \"a\""),
            ("{a:s}", {"a": 1}, "argument 1 of same, .a: expected s (a string without lone surrogates), found number 1"),
            ("{a:s}", 5, "argument 1 of same: expected {a:s}, found number 5"),
            ("{a:?s}", Exact(b"\x82\xa1a\xc0\xa1a\xc0"), "argument 1 of same, .a: expected {a:?s}, found the key \"a\" twice"),
            ("\\(j)j", 5, "argument 1 of same: expected \\(j)j, found number 5"),
            ("[f8", None, 'SchemaError: schema "[f8" at 3: expected \']\''),
            ("q", None, 'SchemaError: schema "q" at 0: expected a type that JavaScript can hold'),
            ("{a:s,a:s}", None, "SchemaError: record {a:s,a:s} repeats a key"),
            ("^1x", None, 'SchemaError: schema "^1x" at 3: expected a name declared with \'&\''),
            ("t9s", None, 'SchemaError: schema "t9s" at 3: expected 1 more characters'),
            ("t-s", None, 'SchemaError: schema "t-s" at 2: expected a base-62 digit'),
            ("js", None, 'SchemaError: schema "js" at 1: expected the end'),
            ("a:-s", None, 'SchemaError: schema "a:-s" at 3: expected a base-62 digit'),
            ("{as}", None, 'SchemaError: schema "{as}" at 1: expected a key and \':\''),
            ("(s;s)", None, 'SchemaError: schema "(s;s)" at 2: expected \',\' or \')\''),
            ("\\s", None, 'SchemaError: schema "\\\\s" at 1: expected \'(\''),
            ("?" * 600, None, 'expected at most 512 levels'),
            ("", None, 'SchemaError: schema "" at 0: expected 1 more characters'),
        ]
        line = self.line("const same = (x) => null;" + "".join(
            registered(i, "same", [row[0]], "z") for i, row in enumerate(table)))
        for i, (schema, sent, message) in enumerate(table):
            with self.subTest(schema=schema, sent=sent):
                error, _ = line.call(i, sent)
                self.assertEqual((error["kind"], error["function"]), ("raised", "same"))
                self.assertIn(message, error["message"])
        error, _ = line.call(0, 1, 2)
        self.assertEqual(error["message"], "same: expected 1 argument, found 2")

    def test_values_arrive_as_what_users_want(self):
        table = [("[f8]", floats(1.0), "Float64Array"), ("[i8]", [1], "BigInt64Array"), ("[u8]", [1], "BigUint64Array"),
                 ("[u1]", Ext(5, b"a"), "Uint8Array"), ("(j,j)", [1, 2], "Array"), ("{a:j}", {"a": 1}, "Object"),
                 ("f8", 1, "Number"), ("i4", 1, "Number"), ("i8", 1, "BigInt"), ("u8", 1, "BigInt"), ("j", 1, "BigInt"),
                 ("y", b"", "Uint8Array"), ("[s]", [], "Array"), ("[j]", [1], "Array"), ("\\(j)j", function("a", None, 1), "AsyncFunction")]
        line = self.line("const kind = (x) => x.constructor.name;" + "".join(
            registered(i, "kind", [row[0]], "s") for i, row in enumerate(table)))
        for i, (schema, sent, kind) in enumerate(table):
            with self.subTest(schema=schema):
                self.assertEqual(line.call(i, sent), (None, kind))

    def test_typed_arrays_own_their_memory(self):
        line = self.line("""
            const kept = [];
            const keep = (xs, ys) => { kept.push(xs, ys); return xs.buffer.byteLength + ys.buffer.byteLength; };
            nexus.register(1, keep, { args: ['[f8]', 'y'], returns: 'u4' });
            nexus.register(2, () => [kept[0], kept[1]], { args: [], returns: '([f8],y)' });
        """)
        self.assertEqual(line.call(1, floats(1.5, 2.5), b"ab"), (None, 18))
        self.assertEqual(line.call(1, floats(7.0, 7.0), b"cd"), (None, 18))
        self.assertEqual(line.call(2), (None, [floats(1.5, 2.5), b"ab"]))

    def test_records_are_harmless(self):
        line = self.line("""
            nexus.register(1, (r) => String({}.polluted) + String(r.polluted) + Object.keys(r).join(),
                           { args: ['{__proto__:{polluted:s},a:s}'], returns: 's' });
        """)
        self.assertEqual(line.call(1, {"__proto__": {"polluted": "yes"}, "a": "x"}), (None, "undefinedundefined__proto__,a"))

    def test_garbled_payload_is_an_error_of_the_call(self):
        line = self.line()
        for params in (b"\x93\x01\x02\xc1", b"\x93\x01\x02\xa5abc", b"\x93\x01\x02\xdd\xff\xff\xff\xff\x01",
                       b"\x93\x01\x02\xdf\xff\xff\xff\xff\x01", b"\x93\x01\x02\xdb\xff\xff\xff\xff", b"\x93\x01\x02\xc9\xff\xff\xff\xff\x0a",
                       b"\x93\x01\x02\xa1\xff", b"\x93\x01\x02\xa3\xed\xa0\x80",
                       b"\x93\x01\x02", b"\x93\x01\x02\x03\x04", b"\x93\x01\x02\xc7\x03\x0aabc", b"\x93\x01\x02\xd4\x7fx",
                       b"\x93\x01\x02\x82\xa1a\x01\xa1a\x01"):
            with self.subTest(params=params):
                data = b"\x94\x00\x05\xa4call" + params
                line.socket.sendall(struct.pack(">I", len(data)) + data)
                kind, id, error, _ = line.receive()
                self.assertEqual((kind, id, error["kind"]), (1, 5, "raised"))
                self.assertIn("can't be read", error["message"])
        error, _ = line.call(1, 2, Exact(b"\x91" * 100000))
        self.assertEqual(error["kind"], "raised")
        self.assertEqual(line.call(1, 2, 3), (None, 5))


    def test_broken_bytes(self):
        seed = random.randrange(1 << 31)
        command = [NODE, os.path.join(HERE, "fuzz.js"), os.path.abspath(RUNTIME), str(seed), "50000"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT_S)
        self.assertEqual(done.returncode, 0, "%s\n%s" % (" ".join(command), done.stderr.decode()))
        self.assertGreater(int(done.stdout.split()[0]), 1000)


class TestCalls(PoolTest):
    def test_hello(self):
        pool = self.pool()
        version = subprocess.run([NODE, "--version"], stdout=subprocess.PIPE, timeout=WAIT_S).stdout.decode()[1:-1]
        self.assertEqual(pool.line.receive(), [2, "hello", [
            {"protocol": 1, "lang": "js", "runtime": "node " + version, "pid": pool.process.pid, "reentrant": True,
             "features": ["concurrent"]}]])

    def test_methods(self):
        line = self.line()
        line.send([2, "no such notification", [1]])
        line.send([2, "cancel", [77]])
        line.send([2, "cancel", []])
        line.send([1, 77, None, None])
        line.request("ping", [])
        self.assertEqual(line.receive(), [1, 1, None, None])
        line.request("dance", [])
        kind, id, error, _ = line.receive()
        self.assertEqual((kind, id, error["kind"]), (1, 2, "protocol"))
        self.assertIn('"dance"', error["message"])
        for mid in (999, None, "x", 1.5):
            error, _ = line.call(mid)
            self.assertEqual(error["kind"], "protocol")
            self.assertIn("the pool has no function", error["message"])
        line.request("call", [])
        self.assertEqual(line.receive()[2]["kind"], "protocol")

    def test_frames_in_pieces_and_together(self):
        line = self.line()
        data = framed([0, 1, "call", [1, 2, 3]])
        for byte in data:
            line.socket.sendall(bytes([byte]))
        line.socket.sendall(data * 3000)
        self.assertEqual([line.receive() for _ in range(3001)], [[1, 1, None, 5]] * 3001)

    def test_calls_run_side_by_side(self):
        line = self.line("""
            const waits = new Map();
            nexus.register(1, (n) => new Promise((done) => waits.set(n, done)), { args: ['u4'], returns: 's' });
            nexus.register(2, (n) => { waits.get(n)('done ' + n); }, { args: ['u4'], returns: 'z' });
            nexus.register(3, () => ({ then(done) { done('thenable'); } }), { args: [], returns: 's' });
        """)
        first, second = line.request("call", [1, 1]), line.request("call", [1, 2])
        self.assertEqual(line.call(3), (None, "thenable"))
        for n, id in ((2, second), (1, first)):
            released = line.request("call", [2, n])
            answers = {message[1]: message for message in (line.receive(), line.receive())}
            self.assertEqual(answers, {released: [1, released, None, None], id: [1, id, None, "done %d" % n]})

    def test_an_answer_does_not_wait_for_a_long_computation(self):
        pool = self.pool("""
            nexus.register(1, () => 1, { args: [], returns: 'u4' });
            nexus.register(2, () => { for (;;); }, { args: [], returns: 'u4' });
        """)
        pool.line.receive()
        pool.line.socket.sendall(framed([0, 1, "call", [1]]) + framed([0, 2, "call", [2]]))
        self.assertEqual(pool.line.receive(), [1, 1, None, 1])

    def test_errors(self):
        pool = self.pool("""
            class Odd extends Error { get message() { throw 1; } }
            const THROWN = {
              text: () => 'just text', number: () => 5, nothing: () => undefined, odd: () => new Odd(), empty: () => new Error(),
              lines: () => new RangeError('a\\n    at fake (/x.js:1:1)\\nb'), cause: () => new Error('outer', { cause: new TypeError('inner') }),
              surrogate: () => new Error('\\ud800!'), stack: () => Object.assign(new Error('s'), { stack: 5 }),
              long: () => new Error('x'.repeat(1e6)), proxy: () => new Proxy({}, { get() { throw 2; }, getPrototypeOf() { throw 3; } }),
            };
            function inner(what) { throw THROWN[what](); }
            function outer(what) { return inner(what); }
            nexus.register(1, outer, { args: ['s'], returns: 'z' });
            nexus.register(2, async function later(what) { await null; await inner(what); }, { args: ['s'], returns: 'z' });
            nexus.register(3, async function above(what) { await middle(what); }, { args: ['s'], returns: 'z' });
            async function middle(what) { await new Promise(setImmediate); inner(what); }
            nexus.register(4, function runs() { return runs() + 1; }, { args: [], returns: 'z' });
        """)
        line = pool.line
        line.receive()
        for what, message in (("text", "just text"), ("number", "threw number 5"), ("nothing", "threw undefined"), ("empty", "Error"),
                              ("cause", "Error: outer\ncaused by TypeError: inner"), ("surrogate", "Error: \ufffd!"), ("stack", "Error: s"),
                              ("long", "Error: " + "x" * 9993),
                              ("odd", "an error whose message can't be made"), ("proxy", "an error whose message can't be made")):
            for mid in (1, 2):
                with self.subTest(what=what, mid=mid):
                    error, _ = line.call(mid, what)
                    self.assertEqual((error["kind"], error["message"]), ("raised", message))
        error, _ = line.call(1, "lines")
        self.assertEqual({key: error[key] for key in ("kind", "message", "function", "pool", "pid")},
                         {"kind": "raised", "message": "RangeError: a\n    at fake (/x.js:1:1)\nb", "function": "outer",
                          "pool": "js", "pid": pool.process.pid})
        self.assertEqual([(entry["lang"], entry["function"], entry["file"]) for entry in error["trace"]][-2:],
                         [("js", name, "pool.js") for name in ("inner", "outer")])
        self.assertTrue(all(entry["line"] > 1 for entry in error["trace"][-2:]))
        error, _ = line.call(3, "empty")
        self.assertEqual([entry["function"] for entry in error["trace"]], ["Object.empty", "inner", "middle", "above"])
        error, _ = line.call(4)
        self.assertEqual(error["message"], "RangeError: Maximum call stack size exceeded")

    def test_prints_go_to_the_output(self):
        pool = self.pool("nexus.register(1, () => { console.log('out'); console.error('err'); }, { args: [], returns: 'z' });")
        pool.line.receive()
        self.assertEqual(pool.line.call(1), (None, None))
        self.assertEqual(pool.printed("err\n"), "out\nerr\n")

    def test_programs_that_user_code_starts_inherit_nothing(self):
        line = self.line("""
            const { execFileSync } = require('child_process');
            nexus.register(1, () => execFileSync('ls', ['-l', '/proc/self/fd']).toString(), { args: [], returns: 's' });
        """)
        error, listing = line.call(1)
        self.assertIsNone(error)
        self.assertEqual(len([row for row in listing.splitlines() if " -> " in row]), 4, listing)  # 0, 1, 2, the folder

    def test_log_and_progress(self):
        line = self.line("""
            nexus.register(1, () => {
              nexus.log('info', 'hello'); nexus.log('warn', '\\ud800 é ' + 'x'.repeat(1 << 20));
              for (let i = 0; i <= 100000; i++) nexus.progress(i, 100000, 'steps');
            }, { args: [], returns: 'z' });
            nexus.register(2, () => { nexus.progress(1); nexus.progress(2.5, null, 'x'); }, { args: [], returns: 'z' });
            nexus.register(3, (n) => { nexus.log('info', 'now'); for (;;); }, { args: [], returns: 'z' });
        """)
        begin = time.monotonic()
        line.request("call", [1])
        self.assertEqual(line.receive(), [2, "log", ["info", "hello"]])
        self.assertEqual(line.receive(), [2, "log", ["warn", "\ufffd é " + "x" * MIB]])
        steps = []
        while True:
            message = line.receive()
            if message[0] == 1:
                break
            self.assertEqual((message[1], message[2][1:]), ("progress", [100000, "steps"]))
            steps.append(message[2][0])
        self.assertEqual((steps[0], steps[-1]), (0, 100000))
        self.assertLessEqual(len(steps), 3 + 20 * (time.monotonic() - begin))
        id = line.request("call", [2])
        self.assertEqual([line.receive() for _ in range(3)],
                         [[2, "progress", [1, None, ""]], [2, "progress", [2.5, None, "x"]], [1, id, None, None]])
        line.request("call", [3])
        self.assertEqual(line.receive(), [2, "log", ["info", "now"]])  # while the function still runs

    def test_a_flood_of_log_lines_is_bounded(self):
        line = self.line("""
            nexus.register(1, () => { for (let i = 0; i < 3000; i++) nexus.log('info', 'x'.repeat(1 << 16)); return process.memoryUsage().external >> 20; },
                           { args: [], returns: 'u4' });
        """)
        line.request("call", [1])
        logs = result = dropped = 0
        while not (result and dropped):
            message = line.receive()
            if message[0] == 1:
                result = message[3]
            elif "dropped" in message[2][1]:
                dropped = int(message[2][1].split()[0])
            else:
                logs += 1
        self.assertEqual(logs + dropped, 3000)
        self.assertLess(result, 100)

    def test_command(self):
        line = self.line("""
            nexus.register(1, () => nexus.command('mean', Float64Array.of(1.5, 2), [true, new Uint8Array(1)], { a: null, b: undefined },
              1n << 80n, new Map([['k', 'v']]), 3, -0.5), { args: [], returns: 'j' });
            nexus.register(2, async () => JSON.stringify(await nexus.command('any'), (k, v) => (typeof v === 'bigint' ? v + 'n' : v)),
              { args: [], returns: 's' });
            nexus.register(3, () => nexus.command('x', () => 1), { args: [], returns: 'j' });
        """)
        def mean(params):
            self.assertEqual(params, [["mean", 1], floats(1.5, 2.0), [True, b"\0"], {"a": None}, big(1 << 80), {"k": "v"}, 3, -0.5])
            return 42
        self.assertEqual(line.call(1, foreign=mean), (None, 42))
        sent = [1, 2**60, big(1 << 70), 1.5, None, True, "s", {"__proto__": [1]}, floats(1.0)]
        self.assertEqual(line.call(2, foreign=lambda params: sent),
                         (None, '[1,"1152921504606846976n","1180591620717411303424n",1.5,null,true,"s",{"__proto__":[1]},{"0":1}]'))
        self.assertIn("expected a value that can be sent without a schema, found function", line.call(3)[0]["message"])

    def test_modules(self):
        line = self.line("""import nexus from './nexus_pool.js';
            import { foreign, RemoteError } from './nexus_pool.js';
            const far = foreign('cpp', 1, { args: [], returns: 'z' });
            nexus.register(1, async function called() { await far(); }, { args: [], returns: 'z' });
            if (RemoteError !== nexus.RemoteError) throw new Error('not the same');
            nexus.serve();""", file="pool.mjs")
        error, _ = line.call(1, foreign=lambda params: (_ for _ in ()).throw(KeyError({"kind": "raised", "message": "m"})))
        self.assertEqual(error["trace"], [{"lang": "js", "function": "called", "file": "pool.mjs", "line": 4}])


class TestForeignCalls(PoolTest):
    def test_there_and_back_three_deep(self):
        line = self.line()

        def foreign(params):
            target, mid, n = params
            self.assertEqual((target[0], mid), ("cpp", 7))
            if n < 2:
                return 1
            error, result = line.call(2, n - 1, foreign=foreign)
            self.assertIsNone(error)
            return n * result

        self.assertEqual(line.call(2, 7, foreign=foreign), (None, 5040))

    def test_calls_name_their_parents(self):
        line = self.line("""
            const far = nexus.foreign('far', 1, { args: ['s'], returns: 's' });
            nexus.register(1, async (name) => {
              const both = await Promise.all([far(name + 1), far(name + 2)]);
              await new Promise((done) => setTimeout(done, 1));
              return (await far(name + 3)) + both.join('');
            }, { args: ['s'], returns: 's' });
        """)
        ids = {name: line.request("call", [1, name]) for name in "abc"}
        answers = {}
        while len(answers) < 3:
            message = line.receive()
            if message[0] == 1:
                answers[message[1]] = message[3]
                continue
            (pool, parent), mid, text = message[3]
            self.assertEqual((pool, parent, mid), ("far", ids[text[0]], 1))
            line.send([1, message[1], None, text.upper()])
        self.assertEqual(answers, {id: "%s3%s1%s2" % ((name.upper(),) * 3) for name, id in ids.items()})

    def test_only_inside_of_a_call(self):
        pool = self.pool("""
            const far = nexus.foreign('far', 1, { args: [], returns: 'z' });
            nexus.register(1, async () => { setTimeout(() => far().catch((error) => nexus.log('info', error.message)), 5); }, { args: [], returns: 'z' });
            far().catch((error) => console.log(error.message));
            nexus.log('info', 'loading');
            try { nexus.signal(); } catch (error) { console.log(error.message); }
        """)
        pool.printed("nexus can be called only by a function that nexus called\n")
        pool.line.receive()
        self.assertEqual(pool.line.call(1), (None, None))
        self.assertEqual(pool.line.receive(), [2, "log", ["info", "function 1 has ended already: await what it starts"]])

    def test_values_both_ways(self):
        line = self.line("""
            const point = nexus.foreign('cpp', 9, { args: ['{x:f8,y:?f8}', '[i4]'], returns: '(s,[f8])' });
            nexus.register(1, () => point({ x: 1 }, [1, 2]), { args: [], returns: '(s,[f8])' });
            nexus.register(2, async function bad() { return point({ x: 1 }, [1, 2 ** 40]); }, { args: [], returns: '(s,[f8])' });
            nexus.register(3, () => point(), { args: [], returns: '(s,[f8])' });
        """)

        def foreign(params):
            self.assertEqual(params, [["cpp", line.last_id], 9, {"x": 1.0, "y": None}, Ext(3, struct.pack("<2i", 1, 2))])
            return ["ok", [1.5, 2]]

        self.assertEqual(line.call(1, foreign=foreign), (None, ["ok", floats(1.5, 2.0)]))
        error, _ = line.call(1, foreign=lambda params: [1, []])
        self.assertEqual(error["message"], "Mismatch: the result of function 9 of pool cpp, [0]: expected s (a string without lone "
                                           "surrogates), found number 1")
        error, _ = line.call(1, foreign=lambda params: Exact(b"\xc1"))
        self.assertEqual(error["message"], "Malformed: the values of a message can't be read: the byte c1 starts no value")
        error, _ = line.call(2)
        self.assertIn("Mismatch: argument 2 of function 9 of pool cpp, [1]: expected i4 (", error["message"])
        self.assertEqual([entry["function"] for entry in error["trace"]], ["bad"])
        self.assertIn("function 9 of pool cpp: expected 2 arguments, found 0", line.call(3)[0]["message"])
        self.assertEqual(line.call(1, foreign=foreign), (None, ["ok", floats(1.5, 2.0)]))

    def test_errors_keep_kind_message_and_grow_one_trace(self):
        pool = self.pool("""
            const cpp = nexus.foreign('cpp', 7, { args: ['j'], returns: 'j' });
            async function inner(n) { return n * await cpp(n - 1n); }
            nexus.register(1, async function outer(n) {
              await new Promise(setImmediate);
              return await inner(n);
            }, { args: ['j'], returns: 'j' });
            nexus.register(2, async (n) => {
              try { await cpp(n); } catch (error) {
                return [error instanceof nexus.RemoteError, error.kind, error.message, error.trace[0].function, String(error)].join('|');
              }
            }, { args: ['j'], returns: 's' });
        """)
        line = pool.line
        line.receive()
        entry = {"lang": "cpp", "function": "f", "file": "f.cpp", "line": 3}
        remote = {"kind": "terminated", "message": "it died", "trace": [entry], "signal": 11, "pid": 1}

        def foreign(params):
            if params[2] == 2:
                raise KeyError(remote)
            error, _ = line.call(1, params[2], foreign=foreign)
            raise KeyError(error)

        error, _ = line.call(1, 4, foreign=foreign)
        self.assertEqual((error["kind"], error["message"], error["signal"], error["pid"]), ("terminated", "it died", 11, 1))
        self.assertEqual([(each["lang"], each["function"], each["line"]) for each in error["trace"]],
                         [("cpp", "f", 3), ("js", "inner", 4), ("js", "outer", 7), ("js", "inner", 4), ("js", "outer", 7)])
        self.assertEqual(line.call(2, 2, foreign=foreign), (None, "true|terminated|it died|f|RemoteError: it died"))
        for odd in ({}, 5, {"kind": 1, "trace": 7, "message": None}, {"message": "m", "x": Ext(10, b"12345678")}):
            with self.subTest(odd=odd):
                def odd_one(params):
                    raise KeyError(odd)
                self.assertIsNotNone(line.call(1, 5, foreign=odd_one)[0])

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

    def test_alternating_recursion_of_depth_10000(self):
        line = self.line()
        self.assertEqual(self.descend(line, 3, 10000), (None, 10000))
        self.assertEqual(self.descend(line, 3, 10000), (None, 10000))
        error, _ = self.descend(line, 2, 3000)
        self.assertIsNone(error)

    def test_an_error_from_depth_1000(self):
        line = self.line(FUNCTIONS + """
            nexus.register(9, async function deep(n) { if (n === 0n) throw new Error('the bottom'); return cpp(n - 1n); }, { args: ['j'], returns: 'j' });
        """)
        error, _ = self.descend(line, 9, 1000)
        self.assertEqual((error["message"], len(error["trace"])), ("Error: the bottom", 100))

    def test_large_frames_cross(self):
        line = self.line()
        line.request("call", [7, 8 * MIB])
        line.request("call", [6, b"k" * (8 * MIB)])  # written whole before anything is read
        messages = sorted([line.receive(), line.receive()], key=lambda message: message[0])
        kind, id, method, params = messages[0]
        self.assertEqual((kind, method, len(params[2])), (0, "call", 8 * MIB))
        self.assertEqual(messages[1], [1, 2, None, b"k" * (8 * MIB)])
        line.send([1, id, None, b"r" * (8 * MIB)])
        self.assertEqual(line.receive(), [1, 1, None, 8 * MIB])

    def test_answers_that_nobody_reads_hold_calls_back(self):
        line = self.line("""
            let started = 0;
            nexus.register(1, () => { started++; return new Uint8Array(1 << 20); }, { args: [], returns: 'y' });
            nexus.register(2, () => started, { args: [], returns: 'u4' });
        """)
        ids = [line.request("call", [1]) for _ in range(100)]
        cancelled = ids[-1]
        line.send([2, "cancel", [cancelled]])
        answers = [line.receive() for _ in range(100)]
        self.assertEqual(sorted(message[1] for message in answers), ids)
        self.assertEqual([message[2]["kind"] for message in answers if message[2]], ["cancelled"])
        self.assertEqual(line.call(2), (None, 99))


class TestCancel(PoolTest):
    def test_what_waits_is_rejected(self):
        line = self.line("""
            const cpp = nexus.foreign('cpp', 7, { args: ['j'], returns: 'j' });
            nexus.register(1, async (n) => {
              nexus.signal().addEventListener('abort', () => nexus.log('info', 'aborted: ' + nexus.signal().reason.kind));
              try { return await cpp(n); } catch (error) { nexus.log('info', error.kind); }
              await cpp(n).catch((error) => nexus.log('info', 'again ' + error.kind));
              return 1n;
            }, { args: ['j'], returns: 'j' });
        """)
        id = line.request("call", [1, 5])
        other = line.request("call", [1, 6])
        request, second = line.receive(), line.receive()
        line.send([2, "cancel", [id]])
        messages = [line.receive() for _ in range(4)]
        self.assertEqual(sorted(message[2][1] for message in messages if message[0] == 2),
                         ["aborted: cancelled", "again cancelled", "cancelled"])
        (answer,) = [message for message in messages if message[0] == 1]
        self.assertEqual((answer[1], answer[2]["kind"], answer[2]["message"]), (id, "cancelled", "the call was cancelled"))
        line.send([1, request[1], None, 7])  # too late
        line.send([1, second[1], None, 8])
        self.assertEqual(line.receive(), [1, other, None, 8])
        line.send([2, "cancel", [id]])

    def test_a_promise_that_never_settles(self):
        line = self.line()
        id = line.request("call", [4])
        line.send([2, "cancel", [id]])
        self.assertEqual(line.receive()[2]["kind"], "cancelled")
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_sigint_alone_is_ignored(self):
        pool = self.pool()
        pool.line.receive()
        pool.process.send_signal(signal.SIGINT)  # right after hello
        pool.line.request("call", [2, 5])
        request = pool.line.receive()
        pool.process.send_signal(signal.SIGINT)
        pool.line.send([1, request[1], None, 24])
        self.assertEqual(pool.line.receive(), [1, 1, None, 120])
        self.assertIsNone(pool.process.poll())


class TestFunctionValues(PoolTest):
    FUNCTIONS = """
        const F = '\\\\(i8)i8';
        nexus.register(1, (f, n) => f(n), { args: [F, 'i8'], returns: 'i8' });
        nexus.register(2, (n) => (x) => x + n, { args: ['i8'], returns: F });
        nexus.register(3, (f, g) => async (x) => f(await g(x)), { args: [F, F], returns: F });
        const double = (n) => 2n * n;
        nexus.register(4, double, { args: ['i8'], returns: 'i8' });
        nexus.register(5, () => double, { args: [], returns: F });
        nexus.register(6, (f) => f, { args: [F], returns: F });
        nexus.register(7, (n) => Array.from({ length: Number(n) }, (_, i) => () => BigInt(i)), { args: ['i8'], returns: '[\\\\()i8]' });
        const one = (x) => x;
        nexus.register(8, () => one, { args: [], returns: F });
        nexus.register(9, (f) => f === one, { args: [F], returns: 'b' });
        nexus.register(10, () => nexus.foreign('cpp', 3, { args: ['i8'], returns: 'i8' }), { args: [], returns: F });
    """

    def worker(self):
        pool = self.pool(self.FUNCTIONS)
        pool.line.receive()
        return pool.line, pool.process.pid

    def test_closures(self):
        line, pid = self.worker()
        error, adder = line.call(2, 10)
        self.assertIsNone(error)
        pool, where, mid = unpacked(adder.data)
        self.assertEqual((pool, where), ("js", pid))
        self.assertLess(mid, -2**32)
        self.assertEqual(line.call(mid, 5), (None, 15))
        self.assertEqual(line.call(1, adder, 7), (None, 17))
        self.assertIn("argument 1 of a function: expected i8", line.call(mid, "x")[0]["message"])
        error, composed = line.call(3, adder, function("cpp", None, 3))
        self.assertIsNone(error)

        def cpp(params):
            self.assertEqual(params, [["cpp", line.last_id], 3, 4])
            return 40

        self.assertEqual(line.call(unpacked(composed.data)[2], 4, foreign=cpp), (None, 50))
        for gone in (mid - 100, mid - 2**40, -1):
            for error, _ in (line.call(gone, 1), line.call(1, function("js", pid, gone), 1)):
                self.assertEqual(error["kind"], "terminated")
                self.assertIn("is no longer there", error["message"])

    def test_registered_and_foreign(self):
        line, pid = self.worker()
        self.assertEqual(unpacked(line.call(5)[1].data), ["js", None, 4])
        self.assertEqual(unpacked(line.call(10)[1].data), ["cpp", None, 3])
        for value in (function("cpp", 77, -5, "bound", [1]), function("py", None, 2**40), function("js", None, 4)):
            self.assertEqual(line.call(6, value), (None, Ext(12, line.call(6, value)[1].data)))
            self.assertEqual(unpacked(line.call(6, value)[1].data), unpacked(value.data))

        def far(params):
            self.assertEqual(params, [["cpp", line.last_id, 77], -5, "bound", [1], 9])
            return 1

        self.assertEqual(line.call(1, function("cpp", 77, -5, "bound", [1]), 9, foreign=far), (None, 1))

    def test_home_again(self):
        line, _ = self.worker()
        first, second = line.call(8)[1], line.call(8)[1]
        self.assertEqual(first, second)
        self.assertEqual(line.call(9, first), (None, True))

    def test_limit(self):
        line, _ = self.worker()
        self.assertIsNone(line.call(7, 65536)[0])
        error, _ = line.call(7, 1)
        self.assertEqual((error["kind"], error["message"][:53]), ("raised", "RangeError: this worker has given away 65536 function"))

    def test_garbled(self):
        line, _ = self.worker()
        for data in (b"", b"\x90", b"\x93\xa1a", b"\x93\xa1a\xc0\xa1x", b"\x92\xa1a\xc0", b"\x01", b"\x93\x01\x01\x01"):
            self.assertEqual(line.call(1, Ext(12, data), 1)[0]["kind"], "raised")
        self.assertEqual(line.call(4, 4), (None, 8))


class TestProcesses(PoolTest):
    OPEN = """
        setInterval(() => {}, 1000);
        require('net').createServer().listen(0, '127.0.0.1');
    """

    def test_the_end_of_the_connection_ends_the_process(self):
        for transport in ("direct", "pipes", "socket"):
            with self.subTest(transport=transport):
                pool = self.pool(FUNCTIONS + self.OPEN + "process.on('exit', () => console.log('bye'));", transport=transport)
                self.assertEqual(pool.line.receive()[1], "hello")
                for _ in range(3):
                    pool.line.request("call", [4])
                pool.line.socket.close()
                self.assertEqual(pool.wait(), (0, "bye\n"))

    def test_stdio(self):
        functions = """
            console.log('loaded'); console.error('error');
            nexus.register(1, () => {
              console.log(require('child_process').execSync('cat; echo child', { stdio: ['inherit', 'pipe', 'inherit'] }).toString());
              require('child_process').execSync('echo inherited', { stdio: 'inherit' });
            }, { args: [], returns: 'z' });
            nexus.register(2, () => {}, { args: [], returns: '\\\\()z' });
            nexus.register(3, () => () => {}, { args: [], returns: '\\\\()z' });
            nexus.register(4, (bytes) => bytes, { args: ['y'], returns: 'y' });
        """
        for transport in ("pipes", "socket"):
            with self.subTest(transport=transport):
                pool = self.pool(functions, transport=transport)
                line = pool.line
                hello = line.receive()
                self.assertEqual((hello[1], hello[2][0]["features"]), ("hello", ["concurrent"]))
                line.send([2, "hello", [{"protocol": 1, "pool": "there"}]])
                self.assertEqual(line.call(1), (None, None))
                self.assertEqual(line.call(2)[0]["pool"], "there")
                self.assertEqual(unpacked(line.call(3)[1].data)[:2], ["there", hello[2][0]["pid"]])
                line.request("call", [4, b"x" * MIB])
                self.assertEqual(line.receive()[3], b"x" * MIB)
                line.socket.close()
                self.assertEqual(pool.wait(), (0, "loaded\nerror\nchild\n\ninherited\n"))

    def test_stdio_ends_while_a_function_computes(self):
        for transport in ("pipes", "socket"):
            with self.subTest(transport=transport):
                pool = self.pool("nexus.register(1, () => { console.log('busy'); for (;;); }, { args: [], returns: 'z' });",
                                 transport=transport)
                pid = pool.line.receive()[2][0]["pid"]
                pool.line.request("call", [1])
                pool.printed("busy")
                pool.line.socket.close()
                self.assertEqual(pool.process.wait(timeout=WAIT_S), -signal.SIGKILL)
                self.gone(pid)

    def test_stdio_with_a_file_as_standard_error(self):
        # Opened twice a file would have two ends; the pool is then started again with other descriptors.
        with tempfile.TemporaryFile() as file:
            ours, theirs = socket.socketpair()
            pool = self.pool("console.log('one'); console.error('two');")  # for its folder
            process = subprocess.Popen([NODE, pool.file], stdin=theirs, stdout=theirs, stderr=file,
                                       env={"PATH": os.environ["PATH"]})
            theirs.close()
            line = Line(ours)
            self.assertEqual(line.receive()[1], "hello")
            ours.close()
            self.assertEqual(process.wait(timeout=WAIT_S), 0)
            file.seek(0)
            self.assertEqual(file.read(), b"one\ntwo\n")

    def test_the_wrapper_and_its_child_end_together(self):
        functions = """
            nexus.register(1, (code) => process.exit(code), { args: ['u1'], returns: 'z' });
            nexus.register(2, (signal) => process.kill(process.pid, signal), { args: ['s'], returns: 'z' });
        """ + self.OPEN
        for params, code in (([1, 7], 7), ([2, "SIGTERM"], -signal.SIGTERM), ([2, "SIGKILL"], -signal.SIGKILL)):
            pool = self.pool(functions, transport="socket")
            pid = pool.line.receive()[2][0]["pid"]
            self.assertNotEqual(pid, pool.process.pid)
            pool.line.request("call", params)
            self.assertEqual(pool.wait()[0], code)
        for number in (signal.SIGKILL, signal.SIGTERM):
            pool = self.pool(functions, transport="socket")
            pid = pool.line.receive()[2][0]["pid"]
            pool.process.send_signal(number)
            self.assertIsNone(pool.line.receive())
            self.assertEqual(pool.process.wait(timeout=WAIT_S), -number)
            self.gone(pid)

    def test_exit_codes_and_signals(self):
        functions = """
            nexus.register(1, (code) => process.exit(code), { args: ['u1'], returns: 'z' });
            nexus.register(2, () => process.kill(process.pid, 'SIGKILL'), { args: [], returns: 'z' });
            nexus.register(3, () => { setTimeout(() => { throw new Error('thrown late'); }); return new Promise(() => {}); }, { args: [], returns: 'z' });
        """
        for params, code, text in (([1, 3], 3, ""), ([2], -9, ""), ([3], 1, "Error: thrown late")):
            pool = self.pool(functions)
            pool.line.receive()
            pool.line.request("call", params)
            self.assertIsNone(pool.line.receive())
            ended, output = pool.wait()
            self.assertEqual(ended, code)
            self.assertIn(text, output)

    def test_answers_are_sent_before_the_process_exits(self):
        line = self.line("""
            nexus.register(1, () => 1, { args: [], returns: 'u4' });
            nexus.register(2, () => process.exit(0), { args: [], returns: 'z' });
        """)
        line.socket.sendall(b"".join(framed([0, n, "call", [1]]) for n in range(20)) + framed([0, 99, "call", [2]]))
        self.assertEqual([line.receive() for _ in range(21)], [[1, n, None, 1] for n in range(20)] + [None])

    def test_rejections_that_nobody_handles(self):
        functions = """
            const cpp = nexus.foreign('cpp', 1, { args: [], returns: 'z' });
            const pause = (ms) => new Promise((done) => setTimeout(done, ms));
            nexus.register(1, async () => { const other = cpp(); await cpp(); await other; }, { args: [], returns: 'z' });
            nexus.register(2, async () => { Promise.reject(new TypeError('forgotten')); await pause(1e6); }, { args: [], returns: 'z' });
            nexus.register(3, async () => { pause(5).then(() => { throw new Error('too late'); }); }, { args: [], returns: 'z' });
            nexus.register(4, () => 4, { args: [], returns: 'u4' });
            let fail;
            const outside = new Promise((_, reject) => { fail = reject; });
            outside.then(() => {});
            nexus.register(5, () => fail(new Error('of nobody')), { args: [], returns: 'z' });
        """
        pool = self.pool(functions)
        line = pool.line
        line.receive()
        id = line.request("call", [1])
        first, second = line.receive(), line.receive()
        for request in (second, first):  # what is awaited fails first, then what nobody waits for any more
            line.send([1, request[1], {"kind": "raised", "message": "m%d" % request[1]}, None])
        self.assertEqual((lambda m: (m[1], m[2]["message"]))(line.receive()), (id, "m2"))
        self.assertEqual(line.call(4), (None, 4))
        self.assertEqual(line.call(2)[0]["message"], "TypeError: forgotten")
        self.assertEqual(line.call(3), (None, None))
        self.assertIn("after function 3 ended: Error: too late", pool.printed("too late"))
        self.assertEqual(line.call(4), (None, 4))
        line.request("call", [5])
        while line.receive():
            pass
        code, output = pool.wait()
        self.assertEqual(code, 1)
        self.assertIn("Error: of nobody", output)

    def test_frames_that_are_no_messages_end_the_worker(self):
        for data in (b"\xc1", b"", b"\x91\x01", b"\x94\x05\x01\x01\x01", b"\x93\x02\xc1", b"\x94\x00\x01\xa4call\x05",
                     b"\x94\x00\x01\xa4ca"):
            with self.subTest(data=data):
                pool = self.pool()
                pool.line.receive()
                pool.line.socket.sendall(struct.pack(">I", len(data)) + data)
                self.assertIsNone(pool.line.receive())
                code, output = pool.wait()
                self.assertEqual(code, 70)
                self.assertIn("nexus sent what can't be read", output)

    def test_nothing_is_allocated_that_is_only_claimed(self):
        pool = self.pool("""
            process.on('SIGUSR2', () => console.log('external', process.memoryUsage().external >> 20));
        """)
        pool.line.receive()
        pool.line.socket.sendall(struct.pack(">I", 2**32 - 1100) + b"\x94\x00\x01\xa4call" + b"x" * 2 * MIB)
        pool.process.send_signal(signal.SIGUSR2)  # the most of it has been read: a socket holds less
        self.assertLess(int(pool.printed("\n").split()[1]), 64)

    def test_versions(self):
        done = self.pool(env={"NEXUS_PROTOCOL": "2"})
        code, output = done.wait()
        self.assertEqual(code, 1)
        self.assertIn("speaks version 1 of the pool protocol, nexus speaks version 2", output)
        pool = self.pool(transport="pipes")
        pool.line.receive()
        pool.line.send([2, "hello", [{"protocol": 7, "pool": "x", "new": True}]])
        code, output = pool.wait()
        self.assertEqual(code, 1)
        self.assertIn("nexus speaks version 7", output)

    def test_started_by_hand(self):
        pool = self.pool()
        done = subprocess.run([NODE, pool.file], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={"PATH": os.environ["PATH"]}, timeout=WAIT_S)
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (1, b"", b"this is a pool of a nexus program: run the program, not the pool\n"))

    def test_code_that_does_not_load(self):
        pool = self.pool("require('no_such_module');")
        code, output = pool.wait()
        self.assertEqual(code, 1)
        self.assertIn("no_such_module", output)

    def test_little_is_loaded(self):
        line = self.line("nexus.register(1, () => process.moduleLoadList.filter((name) => /child_process|worker_threads|internal.worker$|NativeModule (http|tls|url)$/.test(name)), { args: [], returns: '[s]' });")
        error, loaded = line.call(1)
        self.assertIsNone(error)
        plain = subprocess.run([NODE, "-p", "process.moduleLoadList.join('\\n')"], stdout=subprocess.PIPE, timeout=WAIT_S).stdout.decode().splitlines()
        self.assertEqual(set(loaded) - set(plain), set())


class TestConformancePool(PoolTest):
    def worker(self):
        with open(CONFORMANCE) as file:
            pool = self.pool(file.read())
        pool.line.receive()
        return pool

    def test_functions(self):
        pool = self.worker()
        line = pool.line
        record = {"name": "x", "age": None, "tags": ["a"]}
        tree = {"value": 1, "kids": [{"value": 2, "kids": []}, {"value": 3, "kids": [{"value": 4, "kids": []}]}]}
        lists = [Ext(3, bytes(4)), Ext(5, b"a"), Ext(4, bytes(8)), Ext(9, bytes(4))]
        for mid, args, expected in (
                (1, [floats(1.0)], floats(1.0)), (2, [2, 3], 5), (3, [record], record), (4, [[True, big(1 << 70), b"y", 0.5]], None),
                (7, [0.001], None), (8, ["said"], None), (15, [0.001], None), (16, lists, lists), (17, [b"\0"], b"\0"), (18, ["é"], "é"),
                (23, [floats(1.0, 2.5)], 3.5), (24, [3], floats(0.0, 1.0, 2.0)), (25, [4], 8), (26, [1], 1), (27, [big(-3**99)], big(-3**99)),
                (28, [], pool.process.pid), (29, [tree], 10), (21, [["js"], 0], 0)):
            with self.subTest(mid=mid):
                expected = args[0] if mid == 4 else expected
                self.assertEqual(line.call(mid, *args), (None, expected))
        self.assertEqual(line.call(5, "why")[0]["message"], "Error: why")
        self.assertEqual(line.call(5, "why")[0]["function"], "fail")
        answers = {25: lambda n: 2 * n, 21: lambda pools, n: n}

        def foreign(params):
            return answers[params[1]](*params[2:])

        self.assertEqual(line.call(6, "cpp", 25, 4, foreign=foreign), (None, 9))
        self.assertEqual(line.call(11, "cpp", 25, 100, foreign=foreign), (None, 10100))
        self.assertEqual(line.call(20, "cpp", 25, 4, foreign=foreign), (None, ""))
        self.assertEqual(line.call(20, "cpp", 9, 4, foreign=lambda params: (_ for _ in ()).throw(KeyError({"kind": "denied"}))), (None, "denied"))
        self.assertEqual(line.call(21, ["js", "py"], 5, foreign=foreign), (None, 5))
        self.assertEqual(line.call(19, "double", 4, foreign=lambda params: 2 * params[1]), (None, 8))
        add3, add4 = line.call(13, 3)[1], line.call(13, 4)[1]
        self.assertEqual(line.call(12, add3, 10), (None, 13))
        both = line.call(22, add3, add4)[1]
        self.assertEqual(line.call(12, both, 10), (None, 17))
        self.assertEqual(pool.printed("\n"), "said\n")
        line.request("call", [9, "info", "a note"])
        self.assertEqual(line.receive(), [2, "log", ["info", "a note"]])
        line.receive()
        line.request("call", [10, 1.0, 2.0, "half"])
        self.assertEqual(line.receive(), [2, "progress", [1, 2, "half"]])
        line.receive()
        line.request("call", [14, 9])
        self.assertIsNone(line.receive())
        self.assertEqual(pool.wait()[0], 9)


WORKERS = r"""
    async function lines() {
      const w = await nexus.run(['cat', '-n'], { timeout: 1500, env: { A: 'b' }, cwd: '/tmp', stderr: 'null' });
      await w.send('\u00e4');
      const said = [await w.receive({ timeout: 250 }), await w.call('two')];
      await w.close();
      said.push(await w.receive() ?? 'end', await w.alive() ? 'yes' : 'no', await w.exitCode() ?? 'none');
      await w.kill(15);
      return [...said, await w.wait({ timeout: 2000 }), await w.exitCode(), w.pid].join();
    }
    async function commandUntyped() {
      const w = await nexus.run('mean');
      const said = await w.call([1, 2], 'x');
      try { await w.call(3, 'y'); } catch (error) {
        return [said, error.kind, error.message, error.pid].join();
      }
    }
    async function commandTyped() {
      const w = await nexus.run('mean', { args: ['[f8]'], returns: '[i4]' });
      const found = await w.call([1, 2.5]);
      await w.close();
      return `${found instanceof Int32Array && found.length}`;
    }
    async function workerErrors() {
      const w = await nexus.run(['sort']);
      const said = [];
      try { await w.receive({ timeout: 0 }); } catch (error) { said.push(error.kind); }
      try { for await (const line of w) said.push(line); } catch (error) { said.push(`${error.kind} ${error.pid} ${error.exitCode}`); }
      try { await nexus.run(['no such']); } catch (error) { said.push(error.kind); }
      return said.join();
    }
    async function first() {
      const workers = [await nexus.run(['one']), await nexus.run(['two'])];
      const [w, message] = await nexus.select(workers);
      const [ended, none] = await nexus.select(workers, { timeout: 1000 });
      return `${w.pid} ${message},${ended.pid} ${none ?? 'end'}`;
    }
    async function blobs() {
      const w = await nexus.run(['gzip'], { bytes: true, whole: true });
      await w.send(Uint8Array.of(255, 10, 0));
      await w.close();
      return `${(await w.receive()).length + 1} ${(await nexus.run(['daemon'], { detach: true })).pid}`;
    }
    async function jsons() {
      const w = await nexus.run(['jq', '.'], { json: true }), said = [];
      await w.send({ a: [1, null] });
      for await (const { b } of w) said.push(b);
      return said.join('|');
    }
    async function wrong(what) {
      const w = await nexus.run(what === 'typed' ? 'mean' : ['cat'], { args: ['i4'] });
      await w.send(...{ typed: ['x'], number: [5], two: ['a', 'b'] }[what]);
    }
    const parts = { 61: lines, 62: commandUntyped, 63: commandTyped, 64: workerErrors, 65: first, 66: blobs, 67: jsons };
    for (const [mid, fn] of Object.entries(parts)) nexus.register(+mid, fn, { args: [], returns: 's' });
    nexus.register(68, wrong, { args: ['s'], returns: 'z' });
"""


class TestWorkers(WorkersTest, PoolTest):
    parent = True

    def line(self):
        return super().line(WORKERS)

    def test_json(self):
        self.check_workers(67, [
            ("run", {"argv": ["jq", "."]}, [1, 11]),
            ("send", [1, b'{"a":[1,null]}'], None),
            ("receive", [1, None], [b'{"b": 2}']),
            ("receive", [1, None], [b'{"b": "\xc3\xa4"}']),
            ("receive", [1, None], []),
        ], "2|\u00e4")

    def test_wrong_messages(self):
        line = self.line()
        for what, run, message in (
                ("number", {"argv": ["cat"]}, "Mismatch: a value: expected a string or Uint8Array, found number 5"),
                ("two", {"argv": ["cat"]}, "Mismatch: a value: expected one message, found 2"),
                ("typed", {"command": "mean"}, "Mismatch: argument 1 of command mean: expected i4 (an integer from "
                                               "-2147483648 to 2147483647), found string \"x\"")):
            error, _ = line.hosts(68, what, steps=[self.started(line, run, [1, 2])])
            self.assertEqual((error["message"], [entry["function"] for entry in error["trace"]]), (message, ["wrong"]))


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)  # deep values, in the plainest of codecs
    unittest.main()
