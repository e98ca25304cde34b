"""Calls to a real Python pool and out of it: nested, started, cancelled, deep; function values; logs.

It does not test nexus: played.py stands in for it. Run it with the interpreter to be tested.
"""
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import unittest

from pools import PoolTest  # before played, which it finds
from played import MIB, WAIT_S, Ext, big, floats, framed, ints, packed, unpacked


class TestCalls(PoolTest):
    def test_hellos(self):
        pool = self.pool()
        version = "python %d.%d.%d" % sys.version_info[:3]
        self.assertEqual(pool.hello(), {"protocol": 1, "lang": "py", "runtime": version, "pid": pool.process.pid,
                                        "workers": 1, "features": ["signal"]})
        line, hello = pool.connect()
        self.assertEqual({**hello, "pid": 0}, {"protocol": 1, "lang": "py", "runtime": version, "pid": 0,
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
        self.assertEqual({key: error[key] for key in ("kind", "message", "function", "pool", "pid")},
                         {"kind": "raised", "message": "ValueError: no such thing", "function": "fails_deep",
                          "pool": "py", "pid": hello["pid"]})
        names = ["fails", "fails_deep.<locals>.inner" if sys.version_info >= (3, 11) else "inner", "fails_deep"]
        self.assertEqual([(entry["lang"], entry["function"], entry["file"]) for entry in error["trace"]],
                         [("py", name, "functions.py") for name in names])
        self.assertTrue(all(entry["line"] > 1 for entry in error["trace"]))
        error, _ = line.call(32, "{")
        self.assertEqual([(entry["function"], entry["file"]) for entry in error["trace"]], [("parses", "functions.py")])
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

    def test_logs_of_any_length(self):
        line = self.line()
        for size in (0, 1, 100_000, MIB, 5 * MIB):
            line.request("call", [29, size])
            kind, method, (level, text) = line.receive()
            self.assertEqual((kind, method, level), (2, "log", "info"))
            self.assertEqual(text, "x" * size if size <= MIB else "x" * MIB + "... (cut: %d characters)" % size)
            self.assertIsNone(line.receive()[2])

    def test_progress_is_told_some_twenty_times_a_second(self):
        line = self.line()
        for count, total in ((50_000, 50_000), (50_000, 60_000), (50_000, None), (1, 5)):
            begin = time.monotonic()
            line.request("call", [30, count, total])
            told = []
            while True:
                message = line.receive()
                if message[0] == 1:
                    break
                self.assertEqual((message[:2], message[2][1:]), ([2, "progress"], [total, "step"]))
                told.append(message[2][0])
            self.assertEqual((told[0], told[-1]), (1, count))
            self.assertLessEqual(len(told), 3 + 20 * (time.monotonic() - begin))
        self.assertEqual(line.call(31), (None, None))

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

    def test_alternating_recursion_costs_the_same_at_any_depth(self):
        _, line, pid = self.connected()
        clock = ~pid << 3 | 2  # what the worker computes, whatever else the machine is at
        cost = {}
        for depth in (1000, 10_000, 1000):
            begin = time.clock_gettime(clock)
            self.assertEqual(self.descend(line, 5, depth), (None, depth))
            cost[depth] = min((time.clock_gettime(clock) - begin) / depth, cost.get(depth, 1))
        self.assertLess(cost[10_000], 3 * cost[1000])

    def test_recursion_too_deep_is_an_error(self):
        deep = {1: ("shallow", ["j"], "j"), 2: ("deep", ["j"], "j"), 3: ("represents_itself", ["j"], "j")}
        line = self.line(deep, """
            import nexus_pool
            nexus_pool.NESTED_CALLS_MAX = 640
            back = nexus_pool.foreign("cpp", 7, args=["j"], returns="j")
            class Odd:
                def __repr__(self): return repr(self)
            def shallow(n): return 0 if n == 0 else 1 + back(n - 1)
            def deep(n):
                def down(m): return back(n - 1) if m == 0 else down(m - 1)
                return 0 if n == 0 else 1 + down(30)
            def represents_itself(n): return len(repr(Odd())) if n == 0 else back(n - 1)
        """)
        error, _ = self.descend(line, 1, 1000)
        self.assertEqual((error["kind"], error["message"][:32]), ("raised", "RecursionError: calls are nested"))
        self.assertEqual(len(error["trace"]), 100)
        error, depth = self.descend(line, 2, 600)
        self.assertEqual((error and error["message"], depth), (None, 600))
        error, _ = self.descend(line, 3, 600)
        self.assertTrue(error["message"].startswith("RecursionError: maximum recursion depth"), error["message"])
        self.assertEqual(self.descend(line, 1, 600), (None, 600))

    def test_calls_at_the_end_of_the_interpreters_stack(self):
        # Wherever the frames run out, in user code or below it, one answer comes and the connection goes on.
        line = self.line({1: ("falls", ["j"], "s"), 2: ("add", ["j", "j"], "j")}, """
            import sys, nexus_pool
            back = nexus_pool.foreign("cpp", 7, args=["j"], returns="j")
            def falls(above):
                def down(n):
                    if n == 0: return back(1)
                    return down(n - 1)
                for depth in range(sys.getrecursionlimit() - above, sys.getrecursionlimit()):
                    try: down(depth)
                    except RecursionError: return "fell"
                return "did not fall"
            def add(a, b): return a + b
        """)

        def foreign(params):
            self.assertEqual(line.call(2, 2, 3), (None, 5))
            return 1

        self.assertEqual(line.call(1, 150, foreign=foreign), (None, "fell"))
        self.assertEqual(line.call(2, 2, 3), (None, 5))

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

class TestCancel(PoolTest):
    def waiting(self, mid, *args):
        """A pool in which a call with id 1 runs and has said so."""
        pool, line, pid = self.connected()
        self.assertEqual(line.request("call", [mid, *args]), 1)
        self.assertEqual(line.receive(), [2, "log", ["info", "waiting"]])
        return pool, line, pid

    def check_cancelled(self, line, id):
        kind, answered, error, _ = line.receive()
        self.assertEqual((kind, answered), (1, id))
        self.assertEqual((error["kind"], error["message"]), ("cancelled", "the call was cancelled"))
        return error

    def test_user_code_of_any_kind_ends(self):
        for how in ("sleeping", "spinning"):
            pool, line, pid = self.waiting(27, "nothing", how)
            pool.cancel(line, 1, pid)
            error = self.check_cancelled(line, 1)
            self.assertEqual(error["trace"][-1]["function"], "waits_for")
            self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_a_call_that_waits_for_another_ends(self):
        pool, line, pid = self.connected()
        for id in (1, 2):
            self.assertEqual(line.request("call", [4, 3]), id)
            _, asked, _, _ = line.receive()
            if id == 1:
                pool.cancel(line, id, pid)
            else:
                line.send([2, "cancel", [id]])
            self.check_cancelled(line, id)
            line.send([1, asked, None, 2])  # too late
        self.assertEqual(line.call(1, 2, 3), (None, 5))

    def test_clean_up_code_runs_and_may_call(self):
        for how in ("raises", "returns"):
            pool, line, pid = self.waiting(28, how)
            pool.cancel(line, 1, pid)
            self.assertEqual(line.receive(), [2, "log", ["info", "cleaned"]])
            line.send([1, line.receive()[1], None, 1])
            if how == "raises":
                self.check_cancelled(line, 1)
            else:
                self.assertEqual(line.receive(), [1, 1, None, "Cancelled"])

    def test_an_outer_call_ends_when_it_is_the_innermost_again(self):
        pool, line, pid = self.connected()
        line.request("call", [4, 3])
        line.receive()
        line.request("call", [27, "go", "spinning"])
        self.assertEqual(line.receive(), [2, "log", ["info", "waiting"]])
        pool.cancel(line, 1, pid)
        open(os.path.join(pool.dir, "go"), "w").close()
        self.assertEqual(line.receive(), [1, 2, None, 5])
        self.check_cancelled(line, 1)
        line.request("call", [4, 3])
        line.receive()
        line.request("call", [4, 5])
        _, inner, _, _ = line.receive()
        pool.cancel(line, 3, pid)
        line.send([1, inner, None, 24])
        self.assertEqual(line.receive(), [1, 4, None, 120])
        self.check_cancelled(line, 3)

    def test_the_cancel_of_a_call_that_waits_its_turn(self):
        pool, line, pid = self.waiting(27, "go", "spinning")
        line.request("call", [27, "nothing", "sleeping"])
        line.request("call", [1, 2, 3])
        pool.cancel(line, 2, pid)
        open(os.path.join(pool.dir, "go"), "w").close()
        self.assertEqual(line.receive(), [1, 1, None, 5])
        message = line.receive()
        if message[0] == 2:  # it began before the cancel was read
            message = line.receive()
        self.assertEqual((message[:2], message[2]["kind"]), ([1, 2], "cancelled"))
        self.assertEqual(line.receive(), [1, 3, None, 5])

    def test_signals_at_any_moment_do_no_harm(self):
        pool, line, pid = self.connected()
        done = threading.Event()

        def storm():
            while not done.is_set():
                os.kill(pid, signal.SIGINT)
                done.wait(0.0002)

        thread = threading.Thread(target=storm)
        thread.start()
        try:
            for size in (1, MIB, 3 * MIB) * 8:
                self.assertEqual(line.call(20, b"k" * size), (None, b"k" * size))
                self.assertEqual(line.call(6, size, foreign=lambda params: params[2]), (None, size))
            self.assertEqual(TestForeignCalls.descend(self, line, 5, 300), (None, 300))
            # Cancels too: each call is answered once, by its result or its end.
            seen = set()
            for turn in range(300):
                id = line.request("call", [20, b"k" * (turn * 1000)] if turn % 3 else [12])
                line.send([2, "cancel", [id]])
                kind, answered, error, result = line.receive()
                self.assertEqual((kind, answered), (1, id))
                self.assertTrue(result == b"k" * (turn * 1000) if error is None else error["kind"] == "cancelled")
                seen.add(error is None)
            self.assertEqual(seen, {True, False})
        finally:
            done.set()
            thread.join()
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        self.assertIsNone(pool.process.poll())


STARTS = """
    import gc, nexus_pool
    cpp = nexus_pool.foreign("cpp", 7, args=["j"], returns="j")
    kept = []

    def fan(n):
        futures = [cpp.start(i) for i in range(n)]
        return [future.result() for future in futures]
    def outcomes(n):
        futures, found = [cpp.start(i) for i in range(n)], []
        for future in reversed(futures * 2):
            try: found.append(str(future.result()))
            except nexus_pool.RemoteError as error: found.append(error.kind)
        return found
    def asks():
        future = cpp.start(1)
        before = future.done()
        try: future.result(timeout=0.001)
        except TimeoutError as error: nexus_pool.log("info", str(error))
        while not future.done(): pass
        return [str(before), str(future.done()), str(future.result())]
    def drops(n):
        for i in range(n): cpp.start(i)
        futures = [cpp.start(i) for i in range(n)]
        del futures
        gc.collect()
        return len(nexus_pool.running.answers)
    def keeps(): kept.append(cpp.start(1))
    def looks():
        try: kept[0].result()
        except RuntimeError as error: return "%s, %d open" % (error, len(nexus_pool.running.answers))
    def orders():
        future = nexus_pool.command.start("mean", [1, 2])
        return cpp(5) + future.result()
    def add(a, b): return a + b
"""


class TestStartedCalls(PoolTest):
    SIGNATURES = {1: ("fan", ["j"], "[j]"), 2: ("outcomes", ["j"], "[s]"), 3: ("asks", [], "[s]"),
                  4: ("drops", ["j"], "j"), 5: ("keeps", [], "z"), 6: ("looks", [], "s"), 7: ("orders", [], "j"),
                  8: ("add", ["j", "j"], "j")}

    def setUp(self):
        self.line = self.line(self.SIGNATURES, STARTS)

    def started(self, count, caller=1):
        """The ids of so many calls that the worker started, by argument."""
        ids = {}
        for _ in range(count):
            kind, id, method, (target, mid, n) = self.line.receive()
            self.assertEqual((kind, method, target, mid), (0, "call", ["cpp", caller], 7))
            ids[n] = id
        return ids

    def test_results_in_any_order(self):
        self.line.request("call", [1, 50])
        ids = self.started(50)
        for n in sorted(ids, key=lambda n: n * 37 % 50):
            self.line.send([1, ids[n], None, n * n])
        self.assertEqual(self.line.receive(), [1, 1, None, [n * n for n in range(50)]])

    def test_calls_that_come_back_meanwhile(self):
        self.line.request("call", [1, 3])
        ids = self.started(3)
        self.line.send([1, ids[1], None, 11])
        self.assertEqual(self.line.call(8, 2, 3), (None, 5))
        inner = self.line.request("call", [1, 2])
        nested = self.started(2, inner)
        for id, n in ((ids[0], 10), (nested[1], 1), (ids[2], 12), (nested[0], 0)):
            self.line.send([1, id, None, n])
        self.assertEqual(self.line.receive(), [1, inner, None, [0, 1]])
        self.assertEqual(self.line.receive(), [1, 1, None, [10, 11, 12]])

    def test_each_keeps_its_error(self):
        self.line.request("call", [2, 3])
        ids = self.started(3)
        self.line.send([1, ids[1], {"kind": "denied", "message": "no"}, None])
        self.line.send([1, ids[0], None, 7])
        self.line.send([1, ids[2], {"kind": "timeout", "message": "late"}, None])
        self.assertEqual(self.line.receive(), [1, 1, None, ["timeout", "denied", "7"] * 2])

    def test_time_out_and_done(self):
        self.line.request("call", [3])
        ids = self.started(1)
        self.assertEqual(self.line.receive(), [2, "log", ["info", "the result of a call did not come in 0.001 s"]])
        self.assertEqual(self.line.call(8, 2, 3), (None, 5))  # while it asks
        self.line.send([1, ids[1], None, 5])
        self.assertEqual(self.line.receive(), [1, 1, None, ["False", "True", "5"]])

    def test_dropped_ones_leave_nothing(self):
        self.line.request("call", [4, 3])
        for _ in range(6):
            self.line.send([1, self.line.receive()[1], None, 7])
        self.assertEqual(self.line.receive(), [1, 1, None, 0])
        self.line.request("call", [5])
        late = self.line.receive()[1]
        self.assertEqual(self.line.receive(), [1, 2, None, None])
        self.line.send([1, late, None, 7])
        self.assertEqual(self.line.call(6), (None, "the call that started this one has ended, 0 open"))

    def test_commands(self):
        self.line.request("call", [7])
        kind, command, method, params = self.line.receive()
        self.assertEqual((kind, method, params), (0, "command", [["mean", 1], [1, 2]]))
        kind, call, method, params = self.line.receive()
        self.assertEqual((kind, method, params), (0, "call", ["cpp", 7, 5]))
        self.line.send([1, command, None, 30])
        self.line.send([1, call, None, 12])
        self.assertEqual(self.line.receive(), [1, 1, None, 42])


class TestFunctionValues(PoolTest):
    """As of the pool `py`, whose worker has the pid `self.pid`."""

    def setUp(self):
        self.held = False
        self.pool, self.line, self.pid = self.connected({
            1: ("apply", ["\\(i8)i8", "i8"], "i8"), 2: ("adder", ["i8"], "\\(i8)i8"), 3: ("double", ["i8"], "i8"),
            4: ("chosen", ["s"], "\\(i8)i8"), 5: ("same", ["\\(i8)i8"], "\\(i8)i8"),
            6: ("all_at_once", ["[\\(i8)i8]"], "[i8]"),
            7: ("fails", ["i8"], "i8"), 8: ("hoard", ["j"], "j"), 9: ("joined", ["s", "s"], "s"),
            10: ("call_text", ["\\(s)s"], "s"), 11: ("sum_of", ["\\([f8])(f8,s)"], "(f8,s)"),
            12: ("wrong", [], "\\(i8)i8"),
            13: ("double", ["f8"], "f8"), 14: ("pair", [], "(\\(f8)f8,\\()z)"),
        }, """
            import nexus_pool
            made = {}
            def apply(f, n): return f(n)
            def adder(n):
                if n not in made: made[n] = lambda m: n + m
                return made[n]
            def double(n): return 2 * n
            class Callable:
                def __call__(self, n): return -n
                def method(self, n): return n * n
            def chosen(name):
                return {"double": double, "foreign": nexus_pool.foreign("cpp", 7, ["i8"], "i8"), "object": Callable(),
                        "method": Callable().method, "builtin": abs}[name]
            def same(f): return f
            def all_at_once(fs):
                futures = [f.start(10) for f in fs]
                return [future.result() for future in futures]
            def fails(n): raise ValueError(n)
            def hoard(limit):
                nexus_pool.GIVEN_MAX = nexus_pool.given_count + limit
                take = nexus_pool.foreign("cpp", 7, ["[\\\\(i8)i8]"], "j")
                return take([lambda x, n=n: n for n in range(limit + 1)])
            def joined(a, b): return a + b
            def call_text(f): return f("x")
            def sum_of(f): return f([1.5, 2])
            def wrong(): return 5
            def pair(): return double, print
        """)

    def given(self, mid, *args):
        """The pool, pid and mid of the function that a function returns, and what is bound. The first that lives in the
        worker is announced."""
        self.line.request("call", [mid, *args])
        message = self.line.receive()
        if message[0] == 2:
            self.assertEqual((message, self.held), ([2, "holds", [1]], False))
            self.held, message = True, self.line.receive()
        _, _, error, value = message
        self.assertIsNone(error)
        if unpacked(value.data)[1:2] == [self.pid]:
            self.assertTrue(self.held)
        self.assertEqual(value.code, 12)
        return unpacked(value.data)

    def value(self, *reference):
        return Ext(12, packed(list(reference)))

    def test_one_of_another_pool_is_called(self):
        for pid, target in ((None, "cpp"), (4711, ["cpp", None, 4711])):
            def foreign(params):
                self.assertEqual(params, [target, 7, *bound, 5])
                return 25

            for bound in ([], ["x", [1, 2]]):
                self.assertEqual(self.line.call(1, self.value("cpp", pid, 7, *bound), 5, foreign=foreign), (None, 25))
        error, _ = self.line.call(1, self.value("cpp", None, 7), 5, foreign=lambda params: "text")
        self.assertEqual(error["message"],
                         "Mismatch: the result of a function value of pool cpp: expected i8 (an integer from "
                         "-9223372036854775808 to 9223372036854775807), found str 'text'")

    def test_started(self):
        self.line.request("call", [6, [self.value("cpp", None, 7), self.value("r", 4711, -9), self.value("py", 1, 3)]])
        asked = [self.line.receive() for _ in range(3)]
        self.assertEqual([params for _, _, _, params in asked],
                         [[["cpp", 1], 7, 10], [["r", 1, 4711], -9, 10], [["py", 1, 1], 3, 10]])
        for number, (_, id, _, _) in enumerate(asked):
            self.line.send([1, id, None, number])
        self.assertEqual(self.line.receive(), [1, 1, None, Ext(4, struct.pack("<3q", 0, 1, 2))])

    def test_a_closure_is_called_from_elsewhere(self):
        pool, pid, mid = self.given(2, 5)
        self.assertEqual((pool, pid), ("py", self.pid))
        self.assertTrue(-2**62 < mid < 0 and -mid % 2**32 == 1, mid)
        self.assertEqual(self.line.call(mid, 3), (None, 8))
        self.assertEqual(self.given(2, 5), ["py", self.pid, mid])  # the same function is not kept twice
        self.assertNotEqual(self.given(2, 6)[2], mid)
        error, _ = self.line.call(mid, "x")
        self.assertIn("argument 1 of adder.<locals>.<lambda>: expected i8", error["message"])
        error, _ = self.line.call(mid - 100, 3)
        self.assertEqual(error["kind"], "terminated")
        self.assertIn("the function value is no longer there", error["message"])

    def test_who_keeps_functions_says_so_on_each_connection(self):
        for held in range(2):
            self.given(2, held)
        self.line.socket.close()
        again, hello = self.pool.connect()
        self.assertEqual((again.receive(), hello["pid"]), ([2, "holds", [2]], self.pid))
        again.socket.close()

    def test_each_callable_can_be_given(self):
        self.assertEqual(self.given(4, "double"), ["py", None, 3])
        self.assertEqual(self.given(4, "foreign"), ["cpp", None, 7])
        for name, result in (("object", -4), ("method", 16), ("builtin", 4)):
            pool, pid, mid = self.given(4, name)
            self.assertEqual((pool, pid), ("py", self.pid))
            self.assertEqual(self.line.call(mid, 4), (None, result))
        _, pair = self.line.call(14)
        pool, pid, mid = unpacked(pair[0].data)
        self.assertEqual((pid, mid), (None, 13))  # registered twice: the one of these types
        self.assertLess(unpacked(pair[1].data)[2], 0)

    def test_one_comes_home_or_is_passed_on(self):
        for reference in (self.given(2, 5), ["py", None, 3], ["cpp", 3, 7, "bound"], ["py", self.pid + 1, 3]):
            self.assertEqual(self.given(5, self.value(*reference)), reference)
        closure = self.value(*self.given(2, 5))
        self.assertEqual(self.line.call(1, closure, 3), (None, 8))  # no foreign call, which nobody would answer
        self.assertEqual(self.line.call(1, self.value("py", None, 3), 3), (None, 6))
        self.assertEqual(self.line.call(10, self.value("py", self.pid, 9, "bound-")), (None, "bound-x"))
        self.assertEqual(self.line.call(6, [closure, self.value("py", None, 3)]),
                         (None, Ext(4, struct.pack("<2q", 15, 20))))
        error, _ = self.line.call(6, [self.value("py", None, 7)])
        self.assertEqual((error["kind"], error["function"]), ("raised", "fails"))
        error, _ = self.line.call(1, self.value("py", self.pid, -77), 3)
        self.assertEqual(error["kind"], "terminated")

    def test_types_of_arguments_and_results(self):
        def foreign(params):
            self.assertEqual(params, ["cpp", 7, floats(1.5, 2.0)])
            return [3, "x"]

        self.assertEqual(self.line.call(11, self.value("cpp", None, 7), foreign=foreign), (None, [3.0, "x"]))

    def test_what_is_none(self):
        for sent in (5, None, floats(1.0), *[Ext(12, data) for data in (
                b"", b"\x91\x01", packed(["py", "x", 3]), packed([1, None, 3]), packed(["cpp", None, 3]) + b"x",
                b"\xdd\xff\xff\xff\xff")]):
            error, _ = self.line.call(1, sent, 5)
            self.assertIn("argument 1 of apply: expected \\(i8)i8, found ", error["message"])
        error, _ = self.line.call(12)
        self.assertEqual(error["message"], "the result of wrong: expected \\(i8)i8, found int 5")

    def test_too_many(self):
        error, _ = self.line.call(8, 3)
        self.assertIn("function values, the limit", error["message"])
        self.assertEqual(self.line.call(3, 4), (None, 8))


if __name__ == "__main__":
    unittest.main()
