"""Values of every type, to a real Python pool and back, and what is wrong with those that do not fit.

It does not test nexus: played.py stands in for it. Run it with the interpreter to be tested.
"""
import importlib.util
import struct
import sys
import unittest

from pools import PoolTest  # before played, which it finds
from played import Ext, big, floats, ints

sys.setrecursionlimit(10_000)  # deep values, in the plainest of codecs


def numpy_here():
    return importlib.util.find_spec("numpy") is not None


def numpy_or_skip(test):
    if not numpy_here():
        test.skipTest("NumPy is not installed")


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
        numpy_or_skip(self)
        self.check_made(
            ("[f8]", "np_f8", floats(1.5, 2.5)), ("[i4]", "np_i4", ints(1, 2)), ("[f8]", "np_i4", None),
            ("[?f8]", "np_f8", [1.5, 2.5]),
            ("[i8]", "np_i4", Ext(4, struct.pack("<2q", 1, 2))), ("[f8]", "np_strided", floats(0.0, 2.0, 4.0)),
            ("[[f8]]", "np_rows", [floats(1.5, 2.5), floats(3.5, 4.5)]), ("j", "np_scalar", 7),
            ("f8", "np_float", 0.5), ("[f8]", "np_big_endian", floats(1.5, 2.5)),
            ("[u1]", "np_i4", Ext(5, b"\x01\x02")),
            ("[f4]", "np_f8", Ext(9, struct.pack("<2f", 1.5, 2.5))), ("[f8]", "np_none", floats()),
            ("[[f8]]", "np_columns", [floats(1.5, 3.5), floats(2.5, 4.5)]),
            ("[u8]", "np_i4", Ext(8, struct.pack("<2Q", 1, 2))),
            ("[f4]", "np_infinite", Ext(9, struct.pack("<2f", float("inf"), 1))),
            ("a:2f8", "np_f8", floats(1.5, 2.5)))

    def test_numpy_values_that_do_not_fit(self):
        numpy_or_skip(self)
        table = [("[i4]", "np_f8", ", [0]: expected i4 (an integer from -2147483648 to 2147483647), found float"),
                 ("[u1]", "np_wide", ", [1]: expected u1 (an integer from 0 to 255), found int"),
                 ("[f4]", "np_huge", ", [0]: expected f4 (a float in single precision), found float"),
                 ("[f8]", "np_rows", ", [0]: expected f8 (a float), found ndarray"),
                 ("[u1]", "np_bools", ", [0]: expected u1 (an integer from 0 to 255), found bool")]
        line = self.line({i: ("make", ["s"], row[0]) for i, row in enumerate(table)})
        for i, (schema, name, message) in enumerate(table):
            with self.subTest(schema=schema, name=name):
                self.assertTrue(line.call(i, name)[0]["message"].startswith("the result of make" + message))

    ARRAYS = """
        from __future__ import annotations
        import array, functools, sys
        import nexus_pool

        def told(xs):
            kind = getattr(xs, "dtype", None) or getattr(xs, "typecode", None)
            at_once = "numpy" in sys.modules
            try: xs[0] = 7
            except Exception as error: return "%s of %s: %s" % (type(xs).__name__, kind, error)
            return "%s of %s: %s%s" % (type(xs).__name__, kind, list(map(int, xs)), "" if at_once else ", no numpy")
        def plain(xs: list[float]): return told(xs)
        def text(xs: np.ndarray): return told(xs)
        def typed(n: int, xs: npt.NDArray[np.float64]): return told(xs)
        def standard(xs: array.array): return told(xs)
        def rows(xs: list[np.ndarray]): return told(xs[1])
        def maybe(xs: np.ndarray | None): return told(xs)
        def many(*xs: np.ndarray): return told(xs[2])
        def wrapped(fn):
            @functools.wraps(fn)
            def call(*args): return fn(*args)
            return call
        wrapped_text = wrapped(text)
        class Object:
            def method(self, n, xs: np.ndarray): return told(xs)
            def __call__(self, xs: np.ndarray): return told(xs)
        method, instance = Object().method, Object()
        back = nexus_pool.foreign("cpp", 7, args=[], returns="(<ndarray>[i4],<array>[i4],[i4])")
        def results(): return " | ".join(map(told, back()))
        def twice(xs): return xs
    """

    def test_numbers_arrive_as_arrays(self):
        table = [("plain", ["[f8]"], "list of None"), ("text", ["[f8]"], "ndarray of float64"),
                 ("typed", ["j", "[f8]"], "ndarray of float64"), ("standard", ["[f8]"], "array of d"),
                 ("text", ["[i4]"], "ndarray of int32"), ("text", ["[u2]"], "ndarray of uint16"),
                 ("standard", ["[u8]"], "array of Q"), ("maybe", ["?[f8]"], "ndarray of float64"),
                 ("many", ["[f8]"] * 3, "ndarray of float64"), ("wrapped_text", ["[f4]"], "ndarray of float32"),
                 ("method", ["j", "[f8]"], "ndarray of float64"), ("instance", ["[i1]"], "ndarray of int8"),
                 ("plain", ["<ndarray>[f8]"], "ndarray of float64"), ("text", ["<list>[f8]"], "list of None"),
                 ("plain", ["<numpy.ndarray>[i8]"], "ndarray of int64"), ("plain", ["<array>[i8]"], "array of q"),
                 ("text", ["a:2f8"], "ndarray of float64"), ("standard", ["a:2f8"], "array of d")]
        if not numpy_here():
            table = [row for row in table if "ndarray" not in row[2]]
        line = self.line({i: (row[0], row[1], "s") for i, row in enumerate(table)}, self.ARRAYS)
        codes = {"f8": (10, "d"), "f4": (9, "f"), "i4": (3, "i"), "u2": (6, "H"), "u8": (8, "Q"), "i1": (1, "b"),
                 "i8": (4, "q")}
        for i, (name, schemas, expected) in enumerate(table):
            with self.subTest(name=name, schemas=schemas):
                code, form = codes[schemas[-1].rstrip("]")[-2:]]
                xs = Ext(code, struct.pack("<2" + form, 1, 2))
                before = [1 if schema == "j" else xs for schema in schemas[:-1]]
                for sent in (xs, [1, 2]):  # packed, and plain
                    error, told = line.call(i, *before, sent)
                    self.assertIsNone(error)
                    self.assertEqual(told.split(", no numpy")[0], expected + ": [7, 2]")
        # NumPy is imported when it is needed.
        line = self.line({1: ("plain", ["[f8]"], "s"), 2: ("standard", ["[f8]"], "s")}, self.ARRAYS)
        self.assertEqual(line.call(1, floats(1, 2)), (None, "list of None: [7, 2], no numpy"))
        self.assertEqual(line.call(2, floats()), (None, "array of d: array assignment index out of range"))

    def test_annotations_that_are_no_text(self):
        functions = """
            import array, typing
            def standard(xs: array.array): return type(xs).__name__
            def maybe(xs: typing.Optional[array.array]): return type(xs).__name__
            try:
                import numpy, numpy.typing
                def typed(xs: numpy.typing.NDArray[numpy.float64]): return type(xs).__name__
                def bare(xs: numpy.ndarray): return type(xs).__name__
            except ImportError: pass
        """
        names = ["standard", "maybe", *(["typed", "bare"] if numpy_here() else [])]
        line = self.line({i: (name, ["[f8]"], "s") for i, name in enumerate(names)}, functions)
        for i, name in enumerate(names):
            self.assertEqual(line.call(i, floats(1.0)), (None, "array" if name in ("standard", "maybe") else "ndarray"))

    def test_records_become_objects_of_their_class(self):
        functions = """
            import dataclasses, typing
            @dataclasses.dataclass(frozen=True)
            class Point:
                x: float
                y: typing.Optional[float] = None
            class Line(typing.NamedTuple):
                name: str
                ends: list
            class Told(typing.TypedDict): n: int
            Other = 3
            def told(value): return repr(value)
            def same(value): return value
        """
        point = "<Point>{x:f8,y:?f8}"
        table = [(point, {"x": 1.0, "y": None}, "Point(x=1.0, y=None)"), (point, {"x": 1.0}, "Point(x=1.0, y=None)"),
                 ("<Line>{name:s,ends:[%s]}" % point, {"name": "l", "ends": [{"x": 1.0, "y": 2.0}]},
                  "Line(name='l', ends=[Point(x=1.0, y=2.0)])"),
                 ("<Told>{n:j}", {"n": 1}, "{'n': 1}"), ("<Other>{n:j}", {"n": 1}, "{'n': 1}"),
                 ("<Gone>{n:j}", {"n": 1}, "{'n': 1}"), ("{n:%s}" % point, {"n": {"x": 1.0}}, "{'n': Point(x=1.0, y=None)}")]
        line = self.line({2 * i + at: (("told", [row[0]], "s"), ("same", [row[0]], row[0]))[at]
                          for i, row in enumerate(table) for at in range(2)}, functions)
        for i, (_, sent, expected) in enumerate(table):
            self.assertEqual(line.call(2 * i, sent), (None, expected))
            self.assertIsNone(line.call(2 * i + 1, sent)[0])

    def test_arrays_in_lists_and_results(self):
        numpy_or_skip(self)
        line = self.line({1: ("rows", ["[[f8]]"], "s"), 2: ("results", [], "s"), 4: ("text", ["[f8]"], "s"),
                          3: ("twice", ["<ndarray>[f8]"], "[f8]")}, self.ARRAYS)
        self.assertEqual(line.call(1, [floats(), floats(1, 2)]), (None, "ndarray of float64: [7, 2]"))
        self.assertEqual(line.call(2, foreign=lambda params: [ints(1, 2)] * 3),
                         (None, "ndarray of int32: [7, 2] | array of i: [7, 2] | list of None: [7, 2]"))
        many = Ext(10, bytes(8 << 20))
        self.assertEqual(line.call(3, many), (None, many))
        self.assertEqual(line.call(4, floats())[1][:40], "ndarray of float64: index 0 is out of bo")
        error, _ = line.call(4, ["x"])
        self.assertEqual(error["message"], "argument 1 of text, [0]: expected f8 (a float), found str 'x'")

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

if __name__ == "__main__":
    unittest.main()
