"""The figures of flows: a request through a listener, a router and a snippet beside the server's own bare answer, an edit of one
node among many, and the load of very many. Requests are not logged.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import serving

CALLS = 20000
ROUTED = """- {kind: listener, name: web, port: 0, links: {out: [{name: routes}]}}
- {kind: router, name: routes, routes: [{method: GET, path: /say, port: "out[0]"}], links: {"out[0]": [{name: say}]}}
- {kind: snippet, name: say, language: json, code: '{"said": 0}'}
"""


def rows(work, row, run):
    tool, load = os.path.join(work, "nexus"), os.path.join(work, "serve")

    def us(*words):
        return float(run(load, *words)) / 1000

    # All that takes part runs on one processor, as in serving.py.
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    with serving.server(work, tool) as (_, bare, _), flows(work, tool, ROUTED) as (port, few_kib, _, _):
        flow = serving.put(work, "flow", get("/say"))
        health = serving.put(work, "health", get("/healthz"))
        answered(port, "/say", b'{"said":0}')
        ours, floor = serving.least(lambda: us("load", port, flow, "64", str(CALLS)),
                                    lambda: us("load", bare, health, "64", str(CALLS)))
    row("listener, router, snippet, 64 clients", ours, "us", "its own bare HTTP answer", floor, 1 / 0.8, by_ratio=True)
    os.sched_setaffinity(0, processors)
    edit(work, row, tool, us)
    with flows(work, tool, ROUTED + many(10000)) as (_, kib, seconds, store):
        row("10,000 nodes, start to first answer", seconds * 1000, "ms", "its files read in a loop", read_ms(store), 500)
        row("  its peak memory", kib / 1024, "MiB", "of three nodes", few_kib / 1024, 40)


def edit(work, row, tool, us):
    """From the writing of a node's file until a request is served by it."""
    took_ms = []
    folder = os.path.join(work, "wake")
    os.makedirs(folder, exist_ok=True)
    with flows(work, tool, ROUTED + many(1000)) as (port, _, _, store):
        path = os.path.join(store, "default", "specs", "say.yaml")
        for number in range(1, 22):
            text = "{kind: snippet, name: say, language: json, code: '{\"said\": %d}'}\n" % number
            with open(path + ".new", "w") as file:
                file.write(text)
            begun = time.perf_counter()
            os.rename(path + ".new", path)
            while b'{"said":%d}' % number not in ask(port, "/say"):
                pass
            took_ms.append((time.perf_counter() - begun) * 1000)
    took_ms.sort()
    median_ms, longest_ms = took_ms[len(took_ms) // 2], took_ms[-1]
    row("an edit among 1,000 nodes to its answer", median_ms, "ms", "a rename until it's told", us("wake", folder, "100") / 1000, 20)
    row("  the longest of 21", longest_ms, "ms", "the median", median_ms)


def read_ms(store):
    """The least time in which the files of a store are read, and nothing made of them."""
    folder, took_ms = os.path.join(store, "default", "specs"), []
    for _ in range(3):
        begun = time.perf_counter()
        for name in os.listdir(folder):
            file = os.open(os.path.join(folder, name), os.O_RDONLY)
            os.read(file, 65536)
            os.close(file)
        took_ms.append((time.perf_counter() - begun) * 1000)
    return min(took_ms)


def many(count):
    return "".join("- {kind: snippet, name: n%d, language: json, code: '%d', links: {out: [{name: say}]}}\n" % (number, number)
                   for number in range(count))


@contextlib.contextmanager
def flows(work, tool, nodes):
    """The port, the most memory in KiB, the seconds to the first answer and the store of a server of those nodes."""
    store = os.path.join(work, "store")
    shutil.rmtree(store, ignore_errors=True)
    path = serving.put(work, "nodes.yaml", nodes.encode())
    subprocess.run([tool, "apply", "specs", "--store", store, "-f", path], stdout=subprocess.DEVNULL, check=True)
    words = [tool, "start", "--store", store, "--server", os.path.join(work, "f.sock"), "--access-log", "none"]
    begun = time.perf_counter()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if " listens on http://" in line:
                break
        else:
            sys.exit("the server has ended")
        port = line.strip().rpartition(":")[2]
        answered(port, "/say", b'{"said":0}')
        seconds = time.perf_counter() - begun
        yield port, serving.resident_kib(process.pid, "VmHWM:"), seconds, store
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def get(path):
    return b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n" % path.encode()


def ask(port, path):
    with serving.socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.sendall(get(path))
        return connection.recv(65536)


def answered(port, path, expected):
    answer = ask(port, path)
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(expected):
        sys.exit("the flow answers %r" % answer)

