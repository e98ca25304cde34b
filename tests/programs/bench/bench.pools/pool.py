# The Python pool of bench: the functions of the C++ pools, under the same ids.
import nexus_pool

from time import perf_counter_ns

echoes = {pool: nexus_pool.foreign(pool, 2, args=["y"], returns="y") for pool in ("cpp", "cpp2")}


def trips(pool, count):
    echo, payload = echoes[pool], bytes(64)
    best = float("inf")
    for _ in range(5):
        start = perf_counter_ns()
        for _ in range(count):
            echo(payload)
        best = min(best, (perf_counter_ns() - start) / count)
    return best


nexus_pool.register(1, len, args=["[f8]"], returns="u8")
nexus_pool.register(2, lambda payload: payload, args=["y"], returns="y")
nexus_pool.register(3, trips, args=["s", "u4"], returns="f8")
nexus_pool.serve()
