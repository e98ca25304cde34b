"""A further Python pool, which drives the pools of all languages: what takes several calls at once, and timings taken where
no start counts."""
import array
import os
import time

import nexus_pool

I8, TEXT, FUNCTION = "i8", "s", "\\(i8)i8"


def chain(pool):
    return nexus_pool.foreign(pool, 21, args=["[s]", I8], returns=I8)


def meet(first, second, depth, times):
    """Chains that begin in either pool and need the other's only worker, all at once; the sum of what they return."""
    begun = []
    for _ in range(times):
        begun.append(chain(first).start([second, first], depth))
        begun.append(chain(second).start([first, second], depth))
    return sum(future.result() for future in begun)


def exchange(first, second):
    """Functions that are made in one pool and applied in the other, there and back, and one of this pool."""
    add3 = nexus_pool.foreign(first, 13, args=[I8], returns=FUNCTION)(3)
    apply_there = nexus_pool.foreign(second, 12, args=[FUNCTION, I8], returns=I8)
    compose_there = nexus_pool.foreign(second, 22, args=[FUNCTION, FUNCTION], returns=FUNCTION)
    add5 = nexus_pool.foreign(second, 13, args=[I8], returns=FUNCTION)(5)
    captured = 100
    return [add3(10), apply_there(add3, 10), compose_there(add3, add5)(10),
            nexus_pool.foreign(first, 12, args=[FUNCTION, I8], returns=I8)(compose_there(add5, add3), 10),
            apply_there(compose_there(lambda x: x + captured, add3), 15)]


def time_chain(pools, depth, times):
    """Microseconds of the quickest of some chains."""
    call = chain(pools[0])
    return quickest(lambda: call(pools[1:] + pools[:1], depth), times)


def time_echo(pool, floats, times):
    """Milliseconds of the quickest way of so many floats to a pool and back."""
    values = array.array("d", bytes(8 * floats))
    echo = nexus_pool.foreign(pool, 1, args=["<memoryview>[f8]"], returns="<memoryview>[f8]")
    return quickest(lambda: echo(values), times) / 1000


def relay_peak(pool, mebibytes):
    """The most memory that nexus had, in KiB, after so much has gone to a pool and come back."""
    time_echo(pool, mebibytes << 17, 1)
    with open("/proc/%d/stat" % os.getppid()) as file:
        nexus = int(file.read().rsplit(")", 1)[1].split()[1])
    with open("/proc/%d/status" % nexus) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def time_death(pool):
    """Microseconds from a worker's death to the error that this makes."""
    nexus_pool.foreign(pool, 25, args=[I8], returns=I8)(1)
    quit_there = nexus_pool.foreign(pool, 14, args=[I8], returns="z")
    start = time.perf_counter()
    try:
        quit_there(1)
    except nexus_pool.RemoteError as error:
        assert error.kind == "terminated", error
    return (time.perf_counter() - start) * 1e6


def sit(seconds):
    """Says that it runs, and sleeps."""
    print("sitting", flush=True)
    time.sleep(seconds)


def quickest(work, times):
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


FUNCTIONS = [(meet, [TEXT, TEXT, I8, I8], I8), (exchange, [TEXT, TEXT], "[i8]"),
             (time_chain, ["[s]", I8, I8], "f8"), (time_echo, [TEXT, I8, I8], "f8"), (time_death, [TEXT], "f8"),
             (sit, ["f8"], "z"), (relay_peak, [TEXT, I8], I8)]

if __name__ == "__main__":
    for mid, (function, args, returns) in enumerate(FUNCTIONS, 1):
        nexus_pool.register(mid, function, args=args, returns=returns)
    nexus_pool.serve()
