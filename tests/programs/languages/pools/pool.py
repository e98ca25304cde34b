"""The functions of the language tests and of the conformance kit, in Python."""
import os
import time

import nexus_pool

I8, FUNCTION = "i8", "\\(i8)i8"


def number_function(pool, mid):
    return nexus_pool.foreign(pool, mid, args=[I8], returns=I8)


def fail(message):
    raise ValueError(message)


def fan(pool, mid, count):
    call = number_function(pool, mid)
    futures = [call.start(number) for number in range(1, count + 1)]
    return sum(future.result() for future in futures)


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def via(name, number):
    return nexus_pool.command(name, number)


def kind_of(pool, mid, number):
    try:
        number_function(pool, mid)(number)
    except nexus_pool.RemoteError as error:
        return error.kind
    return ""


def chain(pools, depth):
    if depth == 0:
        return 0
    call = nexus_pool.foreign(pools[depth % len(pools)], 21, args=["[s]", I8], returns=I8)
    return 1 + call(pools, depth - 1)


def nap(milliseconds):
    time.sleep(milliseconds / 1000)
    return milliseconds


def tree(node):
    return node["value"] + sum(tree(kid) for kid in node["kids"])


def same(value):
    return value


RECORD, TREE = "{name:s,age:?u1,tags:[s]}", "&4Tree{value:i8,kids:[^4Tree]}"
FUNCTIONS = {
    1: (same, ["[f8]"], "[f8]"),
    2: (lambda a, b: a + b, [I8, I8], I8),
    3: (same, [RECORD], RECORD),
    4: (same, ["(b,j,y,f4)"], "(b,j,y,f4)"),
    5: (fail, ["s"], "z"),
    6: (lambda pool, mid, number: number_function(pool, mid)(number) + 1, ["s", I8, I8], I8),
    7: (time.sleep, ["f8"], "z"),
    8: (print, ["s"], "z"),
    9: (nexus_pool.log, ["s", "s"], "z"),
    10: (nexus_pool.progress, ["f8", "f8", "s"], "z"),
    11: (fan, ["s", I8, I8], I8),
    12: (lambda f, number: f(number), [FUNCTION, I8], I8),
    13: (lambda added: lambda number: number + added, [I8], FUNCTION),
    14: (os._exit, [I8], "z"),
    15: (spin, ["f8"], "z"),
    16: (lambda *lists: lists, ["[i4]", "[u1]", "[i8]", "[f4]"], "([i4],[u1],[i8],[f4])"),
    17: (same, ["y"], "y"),
    18: (same, ["s"], "s"),
    19: (via, ["s", I8], I8),
    20: (kind_of, ["s", I8, I8], "s"),
    21: (chain, ["[s]", I8], I8),
    22: (lambda f, g: lambda number: f(g(number)), [FUNCTION, FUNCTION], FUNCTION),
    23: (sum, ["[f8]"], "f8"),
    24: (lambda count: list(map(float, range(count))), [I8], "[f8]"),
    25: (lambda number: 2 * number, [I8], I8),
    26: (nap, [I8], I8),
    27: (same, ["j"], "j"),
    28: (os.getpid, [], I8),
    29: (tree, [TREE], I8),
}

if __name__ == "__main__":
    for mid, (function, args, returns) in FUNCTIONS.items():
        nexus_pool.register(mid, function, args=args, returns=returns)
    nexus_pool.serve()
