"""The Python pool of the chaos runs: calls that nest, fan out and carry much, and functions that behave badly. It does not
look for the faults: chaos.py makes them."""
import nexus_pool

import os
import signal
import time

DOUBLE, CHAIN, FAN, BLOB, TOTAL, CARRY, FETCH, NOISE, STUBBORN, BOMB = range(1, 11)
POOLS = ("py", "cpp", "direct", "stdio")


def remote(mid, args, returns):
    return {pool: nexus_pool.foreign(pool, mid, args=args, returns=returns) for pool in POOLS}


double_of = remote(DOUBLE, ["i8", "i8"], "i8")
chain_of = remote(CHAIN, ["[s]", "i8", "i8"], "i8")
blob_of = remote(BLOB, ["i8"], "[f8]")
total_of = remote(TOTAL, ["[f8]"], "f8")


def double(n, ms):
    time.sleep(ms / 1000)
    return 2 * n


def chain(pools, n, ms):
    time.sleep(ms / 1000)
    return 1 + chain_of[pools[n % len(pools)]](pools, n - 1, ms) if n else 0


def fan(pool, n, ms):
    calls = [double_of[pool].start(i + 1, ms) for i in range(n)]
    return sum(call.result() for call in calls)


def blob(n):
    return [float(i) for i in range(n)]


def carry(pool, n):
    return total_of[pool](blob(n))


def fetch(pool, n):
    return sum(blob_of[pool](n))


def noise(kib):
    """Prints so much on both streams, without and with ends of lines, and logs as many lines."""
    for i in range(kib):
        print("." * 1023, end="" if i % 2 else "\n")
        os.write(2, b"x" * 1023 + (b"\n" if i % 3 else b""))
        if i % 16 == 0:
            nexus_pool.log("info", "%d of %d" % (i, kib))
            nexus_pool.progress(i, kib, "noise")
    return kib


def stubborn(ms):
    """Goes on whatever it is asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end = time.monotonic() + ms / 1000
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                time.sleep(0.01)
        except BaseException:
            pass
    return ms


def bomb(n):
    """Leaves processes behind that are in no group of ours and ignore what asks them to end."""
    for i in range(n):
        if os.fork() == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGIO):
                signal.signal(number, signal.SIG_IGN)
            if i % 2:
                os.closerange(0, 256)
            elif os.fork():
                os._exit(0)
            time.sleep(1000)
            os._exit(0)
    return n


for mid, function, args, returns in (
        (DOUBLE, double, ["i8", "i8"], "i8"), (CHAIN, chain, ["[s]", "i8", "i8"], "i8"),
        (FAN, fan, ["s", "i8", "i8"], "i8"), (BLOB, blob, ["i8"], "[f8]"), (TOTAL, sum, ["[f8]"], "f8"),
        (CARRY, carry, ["s", "i8"], "f8"), (FETCH, fetch, ["s", "i8"], "f8"), (NOISE, noise, ["i8"], "i8"),
        (STUBBORN, stubborn, ["i8"], "i8"), (BOMB, bomb, ["i8"], "i8")):
    nexus_pool.register(mid, function, args=args, returns=returns)
nexus_pool.serve()
