"""The server's figures: calls over both of its doors, what it holds while it is idle, and a second run with --warm.

All that takes part in a call runs on one processor: over several, the time is that of waking each other, on either side of
the comparison. Requests are not logged.
"""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

NODE = """const { createServer } = require('http');
const server = createServer((request, response) => {
  let body = '';
  request.on('data', piece => { body += piece; });
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(String(JSON.parse(body)[0].length));
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""
CALLS = 5000


def rows(work, row, run, measure):
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    tool, program = os.path.join(work, "nexus"), os.path.join(work, "program", "bench")
    serve = os.path.join(work, "serve")

    def us(*words):
        return float(run(serve, *words)) / 1000

    with server(work, tool, program) as (private, port, _):
        pure = put(work, "pure", frame(b"\x94\x00\x01\xa4call\x92\xc0\xa4pure"))
        cpp, py = (put(work, name, post(name)) for name in ("length", "py-length"))
        answer = put(work, "answer", exchange(port, post("length")))
        exchange(port, post("py-length"))
        ours, floor = least(lambda: us("load", private, pure, "1", str(CALLS)), lambda: us("echo", pure, str(CALLS)))
        row("pure command, private socket", ours, "us", "bare epoll echo", floor, 1.3, by_ratio=True)
        for clients in ("1", "8"):
            ours, floor = least(lambda: us("load", port, cpp, clients, str(CALLS)),
                                lambda: us("relay", cpp, answer, clients, str(CALLS)))
            what = "C++ command over HTTP, %s" % ("1 client" if clients == "1" else "8 clients")
            row(what, ours, "us", "bare HTTP relay", floor, 1.3, by_ratio=True)
        with node() as peer:
            ours, theirs = least(lambda: us("load", port, cpp, "8", str(CALLS)),
                                 lambda: us("load", peer, cpp, "8", str(CALLS)))
        row("the same beside another server", ours, "us", "bare Node http", theirs, 0.5, by_ratio=True)
        length = put(work, "py-frame", frame(b"\x94\x00\x01\xa4call\x92\x01\xc7\x18\x0a" + bytes(24)))
        pool = ["env", "-C", os.path.dirname(program), "python3", "bench.pools/pool.py"]
        ours, direct = least(lambda: us("load", port, py, "8", "2000"), lambda: us("pool", length, "2000", *pool))
        row("Python command over HTTP, 8 clients", ours, "us", "its pool alone", direct, 1.25, by_ratio=True)
    os.sched_setaffinity(0, processors)
    idle(work, row, tool, program)
    warm(row, run, measure, program, os.path.join(work, "hello-static"))


def least(*figures):
    """The least of each of some figures that are measured in turns."""
    return [min(values) for values in zip(*([figure() for figure in figures] for _ in range(3)))]


def idle(work, row, tool, program):
    """What a server takes that has programs and nothing to do."""
    folder = os.path.join(work, "idle")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    names = [os.path.join(folder, "bench%d" % number) for number in range(10)]
    for name in names:
        shutil.copy(program + ".manifest", name + ".manifest")
        os.symlink(tool, name)
    kib = {}
    for count in (0, 10):
        with server(work, tool, *names[:count], lazily=True) as (_, port, pid):
            for name in names[:count]:
                # Loads it and starts none of its pools.
                exchange(port, post("pure", os.path.basename(name), []), b'"hello"')
            kib[count] = resident_kib(pid)
    row("idle server, 10 programs, RSS", kib[10] / 1024, "MiB", "one without any", kib[0] / 1024, 3)


def warm(row, run, measure, program, hello):
    command = [program, "--warm=20", "length", "[1,2,3]"]
    run(*command)
    (warm_ms, _), (hello_ms, _) = measure(100, command, [hello])
    row("second run with --warm, whole", warm_ms, "ms", "static Rust hello", hello_ms, 3)


@contextlib.contextmanager
def server(work, tool, *programs, lazily=False):
    """The private socket, the port and the process id of a server."""
    private = os.path.join(work, "s.sock")
    words = [tool, "serve", *programs, "--listen", "127.0.0.1:0", "--server", private, "--access-log", "none",
             *(["--lazy"] if lazily else [])]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        port, left = None, len(programs)
        while port is None or left:
            line = process.stderr.readline()
            if not line:
                sys.exit("the server has ended")
            if "listening on http://" in line:
                port = line.strip().rpartition(":")[2]
            left -= "is staged" in line if lazily else "is ready" in line
        yield private, port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


@contextlib.contextmanager
def node():
    """The port of a server that answers the same and does nothing else."""
    process = subprocess.Popen(["node", "-e", NODE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def frame(message):
    return len(message).to_bytes(4, "big") + message


def post(command, program="bench", args=([1, 2, 3],)):
    body = json.dumps(args)
    head = "POST /v1/call/default/%s/%s HTTP/1.1\r\nhost: localhost\r\n" % (program, command)
    head += "content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return (head + body).encode()


def exchange(port, request, expected=b"3"):
    """The answer to a request, which has to be that."""
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"\r\n\r\n" + expected + b"\n"):
        sys.exit("the server answers %r" % answer)
    return answer


def put(work, name, data):
    path = os.path.join(work, name + ".message")
    with open(path, "wb") as file:
        file.write(data)
    return path


def resident_kib(pid, which="VmRSS:"):
    with open("/proc/%d/status" % pid) as file:
        return next(int(line.split()[1]) for line in file if line.startswith(which))
