"""The Python pool of the programs that try languages together: the functions that the pool of each language has, under
the same numbers and types. Does nothing else.
"""
import nexus_pool

from array import array
import os
import time

RECORD = "{name:s,age:?u1,tags:[s]}"
LISTS = ["[i4]", "[u1]", "[i8]", "[f4]"]
UNARY = "\\(i8)i8"


def same(value):
    return value


def fail(message):
    raise ValueError(message)


def other(pool, mid):
    """A function from i8 to i8 of any pool."""
    return nexus_pool.foreign(pool, mid, args=["i8"], returns="i8")


def fan(pool, mid, n):
    futures = [other(pool, mid).start(i) for i in range(1, n + 1)]
    return sum(future.result() for future in futures)


def spin(seconds):
    end = time.perf_counter() + seconds  # read from memory that the kernel shares: no system call
    while time.perf_counter() < end:
        pass


def kind_of(pool, mid, n):
    try:
        other(pool, mid)(n)
    except nexus_pool.RemoteError as error:
        return error.kind
    return ""


def chain(pools, n):
    if n == 0:
        return 0
    return 1 + nexus_pool.foreign(pools[n % len(pools)], 21, args=["[s]", "i8"], returns="i8")(pools, n - 1)


def nap(milliseconds):
    time.sleep(milliseconds / 1000)
    return milliseconds


def tree(node):
    return node["value"] + sum(map(tree, node["kids"]))


def crew(words, name, n):
    with nexus_pool.run(["sort"]) as sort:
        for word in words:
            sort.send(word)
        sort.close()
        found = list(sort)
    twice = nexus_pool.run(name)
    return found, twice.call(twice.call(n))


def mishap(argv, milliseconds):
    try:
        return nexus_pool.run(argv).receive(timeout=milliseconds / 1000)
    except nexus_pool.EndOfStream:
        return "end"
    except nexus_pool.RemoteError as error:
        return error.kind


def register(mid, args, returns, fn):
    nexus_pool.register(mid, fn, args=args, returns=returns)


register(1, ["[f8]"], "[f8]", same)
register(2, ["i8", "i8"], "i8", lambda a, b: a + b)
register(3, [RECORD], RECORD, same)
register(4, ["(b,j,y,f4)"], "(b,j,y,f4)", same)
register(5, ["s"], "z", fail)
register(6, ["s", "i8", "i8"], "i8", lambda pool, mid, n: other(pool, mid)(n) + 1)
register(7, ["f8"], "z", time.sleep)
register(8, ["s"], "z", print)
register(9, ["s", "s"], "z", nexus_pool.log)
register(10, ["f8", "f8", "s"], "z", nexus_pool.progress)
register(11, ["s", "i8", "i8"], "i8", fan)
register(12, [UNARY, "i8"], "i8", lambda f, n: f(n))
register(13, ["i8"], UNARY, lambda n: lambda m: m + n)
register(14, ["i8"], "z", os._exit)
register(15, ["f8"], "z", spin)
register(16, LISTS, "(%s)" % ",".join(LISTS), lambda *lists: lists)
register(17, ["y"], "y", same)
register(18, ["s"], "s", same)
register(19, ["s", "i8"], "i8", nexus_pool.command)
register(20, ["s", "i8", "i8"], "s", kind_of)
register(21, ["[s]", "i8"], "i8", chain)
register(22, [UNARY, UNARY], UNARY, lambda f, g: lambda x: f(g(x)))
register(23, ["[f8]"], "f8", sum)
register(24, ["i8"], "[f8]", lambda n: array("d", range(n)))
register(25, ["i8"], "i8", lambda n: 2 * n)
register(26, ["i8"], "i8", nap)
register(27, ["j"], "j", same)
register(28, [], "i8", os.getpid)
register(29, ["&4Tree{value:i8,kids:[^4Tree]}"], "i8", tree)
register(30, ["[s]", "s", "i8"], "([s],i8)", crew)
register(31, ["[s]", "i8"], "s", mishap)
nexus_pool.serve()
