"""Many clients, and slow ones: wrk and slowhttptest."""
import concurrent.futures
import os
import re
import threading
import time

from common import Failed, debian, run

# What the server may keep of its largest load, in KiB: its buffers and its journal.
GROWTH_KIB_MAX = 24 << 10
# Clients of each kind of slowness. The longest that one may take is 20 s: a pause in a body, in limits.rs.
SLOW_CLIENTS = 200
# Longest that an ordinary client waits meanwhile, in seconds: many times what it takes on a machine with other work.
PATIENCE_S = 5


def wrk(place):
    tool = debian("wrk", "wrk")
    post = os.path.join(place.work, "post.lua")
    with open(post, "w") as script:
        script.write('wrk.method = "POST"\nwrk.body = \'["abc", 2]\'\nwrk.headers["Content-Type"] = "application/json"\n')
    figures = []
    with place.server() as server:
        server.ask("/v1/call/default/tools/shout", b'["abc", 2]')
        descriptors, memory = server.descriptors(), server.memory_kib()
        for path, more in (("/healthz", []), ("/v1/call/default/forms/text?text=a", []),
                           ("/v1/call/default/tools/shout", ["-s", post])):
            told = run("wrk", [tool, "-t2", "-c32", "-d3s", "--timeout", "10s", *more, server.url + path])
            rate = re.search(r"Requests/sec: +([0-9.]+)", told)
            if "Socket errors" in told or "Non-2xx" in told or not rate or float(rate[1]) < 10:
                raise Failed(f"{path}\n{told}")
            figures.append(f"{path.split('?')[0]} {float(rate[1]):.0f}/s")
        server.wait_until("descriptors are back", lambda: server.descriptors() <= descriptors)
        grown = server.memory_kib() - memory
        if grown > GROWTH_KIB_MAX:
            raise Failed(f"the server takes {grown} KiB more than before")
    return ", ".join(figures) + f"; {max(grown, 0)} KiB more"


def slowhttptest(place):
    tool = debian("slowhttptest", "slowhttptest")
    clients = ["-c", str(SLOW_CLIENTS), "-r", str(SLOW_CLIENTS)]
    with place.server() as server:
        call = server.url + "/v1/call/default/forms/text"
        # Each ends when all its clients are cut, or after so many seconds (-l).
        kinds = {
            "-H, slow heads": ([*clients, "-i", "3", "-l", "40", "-u", server.url + "/healthz"], True),
            "-B, slow bodies": ([*clients, "-i", "3", "-l", "60", "-s", "65536", "-t", "POST", "-u", call], True),
            # The system's buffers take the answers whole.
            "-X, slow readers": ([*clients, "-n", "3", "-w", "10", "-y", "20", "-k", "10", "-l", "10", "-u",
                                  server.url + "/openapi.json"], False),
            "-R, many ranges": ([*clients, "-l", "40", "-u", server.url + "/"], True),
        }
        server.ask("/v1/call/default/tools/shout", b'["abc", 2]')
        descriptors = server.descriptors()
        is_over, waits = threading.Event(), []

        def ordinary():
            while not is_over.is_set():
                for path, body in (("/healthz", None), ("/v1/call/default/tools/shout", b'["abc", 2]')):
                    start = time.monotonic()
                    server.ask(path, body, PATIENCE_S)
                    waits.append(time.monotonic() - start)
                is_over.wait(0.1)

        def slow(kind):
            words, is_cut = kinds[kind]
            # Its own exit code tells whether the server was there.
            told = re.sub(r"\x1b\[[0-9;]*m", "", run(f"slowhttptest {kind}", [tool, kind[:2], *words], 90))
            if "service available:   NO" in told or (is_cut and "No open connections left" not in told):
                raise Failed(f"slowhttptest {kind}\n{told[-800:]}")

        with concurrent.futures.ThreadPoolExecutor() as threads:
            client = threads.submit(ordinary)
            runs = [threads.submit(slow, kind) for kind in kinds]
            concurrent.futures.wait(runs)
            is_over.set()
            for each in [*runs, client]:
                each.result()
        server.wait_until("descriptors are back", lambda: server.descriptors() <= descriptors)
    return f"{len(waits)} ordinary requests meanwhile, the slowest {max(waits) * 1000:.0f} ms"
