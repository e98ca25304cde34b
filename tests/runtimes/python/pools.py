"""The Python pools of the tests beside it, and how they are started.

It tests nothing by itself, and nexus is played by played.py; as a program it is a nexus that waits to be killed.
"""
import os
import sys
import tempfile
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

import played

RUNTIME_DIR = os.path.join(HERE, "..", "..", "..", "src", "runtimes", "python")
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": RUNTIME_DIR, "PYTHONDONTWRITEBYTECODE": "1"}

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
    def parses(text): return __import__("json").loads(text)
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
    def received(worker, **more):
        try: return worker.receive(**more)
        except nexus_pool.EndOfStream as end: return "end" if end.worker is worker else None
    def lines():
        w = nexus_pool.run(["cat", "-n"], timeout=1.5, env={"A": "b"}, cwd="/tmp", stderr="null")
        w.send("\\u00e4")
        said = [w.receive(timeout=0.25), w.call("two")]
        w.close()
        said += [received(w), "yes" if w.alive else "no", "none" if w.exit_code is None else "some"]
        w.kill(15)
        return ",".join(map(str, [*said, w.wait(2), w.exit_code, w.pid]))
    def command_untyped():
        w = nexus_pool.run("mean")
        said = w.call([1, 2], "x")
        try: w.call(3, "y")
        except nexus_pool.RemoteError as error: return "%d,%s,%s,%d" % (said, error.kind, error, error.pid)
    def command_typed():
        w = nexus_pool.run("mean", args=["[f8]"], returns="[i4]")
        found = w.call([1, 2.5])
        w.close()
        return str(len(found))
    def worker_errors():
        w = nexus_pool.run(["sort"])
        said = []
        try: w.receive(timeout=0)
        except TimeoutError as error: said.append(error.kind)
        try: list(w)
        except nexus_pool.RemoteError as error: said.append("%s %d %d" % (error.kind, error.pid, error.exit_code))
        try: nexus_pool.run(["no such"])
        except nexus_pool.RemoteError as error: said.append(error.kind)
        return ",".join(said)
    def first():
        workers = [nexus_pool.run([name]) for name in ("one", "two")]
        w, message = nexus_pool.select(workers)
        try: nexus_pool.select(workers, timeout=1)
        except nexus_pool.EndOfStream as end: return "%d %s,%d end" % (w.pid, message, end.worker.pid)
    def blobs():
        w = nexus_pool.run(["gzip"], text=False, whole=True)
        w.send(b"\\xff\\n\\0")
        w.close()
        return "%d %d" % (len(w.receive()) + 1, nexus_pool.run(["daemon"], detach=True).pid)
    def jsons():
        with nexus_pool.run([__import__("pathlib").Path("jq"), "."], json=True) as w:
            w.send({"a": [1, None]})
            return "|".join([str(x["b"]) for x in w])
    def leaves_block(how):
        with nexus_pool.run(["cat"]) as w:
            if how == "fails": 1 / 0
            if how == "number": w.send(5)
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
    32: ("parses", ["s"], "z"),
    61: ("lines", [], "s"), 62: ("command_untyped", [], "s"), 63: ("command_typed", [], "s"),
    64: ("worker_errors", [], "s"), 65: ("first", [], "s"), 66: ("blobs", [], "s"), 67: ("jsons", [], "s"),
    68: ("leaves_block", ["s"], "z"),
}


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


class Pool(played.Pool):
    def __init__(self, signatures=None, functions=FUNCTIONS, env=(), executable=sys.executable):
        code = written(signatures or SIGNATURES, functions)
        super().__init__("py", code, [executable, "pool.py"], {**ENVIRONMENT, **dict(env)}, cwd=code)


class PoolTest(played.PoolTest):
    Pool = Pool


if __name__ == "__main__":
    played.play_nexus(Pool(), [int(arg) for arg in sys.argv[1:]])
