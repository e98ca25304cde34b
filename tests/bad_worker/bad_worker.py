"""A pool program that misbehaves on purpose, for tests of nexus: bad_worker.py FAULT.

It speaks the pool protocol by itself (it shares no code with the runtimes): one process that is parent and only worker,
whose every function returns its first argument. Each fault is a name in FAULTS; unlike real pools it never forks a
worker, answers `grow` with 1 and leaves NEXUS_DIR alone. It ends after LIFETIME_S whatever happens, so that a test that
fails leaves nothing for long.
"""
import os
import select
import signal
import socket
import struct
import sys

LIFETIME_S = 60
FAULTS = {
    "good": "none",
    "exit-at-once": "exits with 3 before it looks at anything",
    "dies-before-hello": "says why on stderr and aborts before hello",
    "no-hello": "says no hello on the control channel, and takes no connection",
    "no-worker-hello": "takes the connection and says nothing on it",
    "worker-dies-before-hello": "takes the connection and exits with 9",
    "control-version-99": "claims protocol 99 on the control channel",
    "hello-version-99": "claims protocol 99 on the connection",
    "never-answers": "reads the call and goes on as if it had not",
    "answers-twice": "sends its answer twice",
    "unknown-id": "answers a call that nobody made, and not the one that was",
    "garbage": "answers with a frame that is not msgpack",
    "huge-frame": "answers with a frame that claims 4 GiB, of which nothing comes",
    "endless-frame": "answers with a frame that claims more than a frame can have",
    "one-byte": "does all right, one byte per write",
    "close-mid-frame": "closes the connection within its answer",
    "ignore-term": "ignores SIGTERM, SIGINT and shutdown, and hangs in the call",
    "grandchild": "leaves behind, in a session of its own, a process that holds every descriptor; exits with 7",
    "exit-in-call": "exits with 7 in the call",
    "signal-in-call": "is killed by SIGSEGV in the call",
    "stderr-flood": "writes 10 MiB to stderr, then answers",
}


def packed(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value) if value < 1 << 63 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, dict):
        pairs = b"".join(packed(key) + packed(field) for key, field in value.items())
        return b"\xdf" + struct.pack(">I", len(value)) + pairs
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(packed, value))
    return bytes(value)  # a slice of what came in, as it was


def end_of(data, at):
    """Where the msgpack value at `at` ends."""
    tag, at = data[at], at + 1
    widths = {0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4,
              0xde: 2, 0xdf: 4}
    fixed = {0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8, 0xd4: 2, 0xd5: 3,
             0xd6: 5, 0xd7: 9, 0xd8: 17}
    width = widths.get(tag, 0)
    if width:
        size = int.from_bytes(data[at:at + width], "big")
    elif 0x80 <= tag < 0xc0:
        size = tag & (0x1f if tag >= 0xa0 else 0x0f)
    else:
        return at + fixed.get(tag, 0)
    at += width
    if 0xa0 <= tag < 0xdc:
        return at + size + (tag in (0xc7, 0xc8, 0xc9))
    is_map = tag < 0x90 or tag >= 0xde
    for _ in range(size * 2 if is_map else size):
        at = end_of(data, at)
    return at


def items(data, at=0):
    """The elements of the array at `at`, as they are on the wire."""
    width = {0xdc: 2, 0xdd: 4}.get(data[at], 0)
    count = int.from_bytes(data[at + 1:at + 1 + width], "big") if width else data[at] & 0x0f
    at += 1 + width
    found = []
    for _ in range(count):
        end = end_of(data, at)
        found.append(data[at:end])
        at = end
    return found


def text(data):
    return data[{0xd9: 2, 0xda: 3, 0xdb: 5}.get(data[0], 1):].decode()


def number(data):
    return int.from_bytes(data[1:] or data, "big")


def receive(connection):
    """The elements of the next message; None at the end."""
    head = exactly(connection, 4)
    body = exactly(connection, struct.unpack(">I", head)[0]) if head else b""
    return items(body) if body else None


def exactly(connection, size):
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


def send(connection, message, fault):
    body = packed(message)
    frame = struct.pack(">I", len(body)) + body
    step = 1 if fault == "one-byte" else len(frame)
    for at in range(0, len(frame), step):
        connection.sendall(frame[at:at + step])


def hello(protocol, **more):
    return [2, "hello", [{"protocol": protocol, "lang": "bad", "runtime": "bad 1", "pid": os.getpid(), **more}]]


def hang():
    while True:
        signal.pause()


def leave_grandchild():
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.alarm(LIFETIME_S)
        hang()
    os._exit(7)


def call(connection, id, params, fault):
    answer = [1, id, None, params[1] if len(params) > 1 else None]
    if fault == "never-answers":
        return
    if fault == "answers-twice":
        send(connection, answer, fault)
    if fault == "unknown-id":
        answer[1] = 1000000
    if fault == "garbage":
        connection.sendall(struct.pack(">I", 64) + b"\xc1" * 64)
        return
    if fault in ("huge-frame", "endless-frame"):
        connection.sendall((b"\xff\xff\0\0" if fault == "huge-frame" else b"\xff\xff\xff\xff") + packed(answer))
        return
    if fault == "close-mid-frame":
        connection.sendall(b"\0\0\1\0" + packed(answer)[:5])
        connection.shutdown(socket.SHUT_RDWR)
        return
    if fault == "ignore-term":
        hang()
    if fault == "grandchild":
        leave_grandchild()
    if fault == "exit-in-call":
        os._exit(7)
    if fault == "signal-in-call":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "stderr-flood":
        for _ in range(10 * 1024):
            sys.stderr.write("x" * 1023 + "\n")
        sys.stderr.flush()
    send(connection, answer, fault)


def serve(control, listener, fault):
    connections = []
    while True:
        ready, _, _ = select.select([control, listener, *connections], [], [])
        for source in ready:
            if source is listener:
                connection, _ = listener.accept()
                connections.append(connection)
                if fault == "worker-dies-before-hello":
                    os._exit(9)
                if fault != "no-worker-hello":
                    send(connection, hello(99 if fault == "hello-version-99" else 1, reentrant=False), fault)
                continue
            message = receive(source)
            if message is None:
                if source is control:
                    os._exit(0)
                connections.remove(source)
                source.close()
                continue
            kind, *rest = message
            if number(kind) == 2:
                if text(rest[0]) == "shutdown" and fault != "ignore-term":
                    os._exit(0)
            elif number(kind) == 0:
                id, method, params = rest
                if text(method) == "call":
                    call(source, id, items(params), fault)
                else:
                    send(source, [1, id, None, 1 if text(method) == "grow" else None], fault)


def main(fault):
    if fault not in FAULTS:
        raise SystemExit("unknown fault %r, known are: %s" % (fault, ", ".join(FAULTS)))
    if fault == "exit-at-once":
        os._exit(3)
    signal.alarm(LIFETIME_S)
    if fault == "dies-before-hello":
        print("bad_worker: out of courage", file=sys.stderr, flush=True)
        os.abort()
    if fault == "no-hello":
        hang()
    if fault == "ignore-term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(os.environ["NEXUS_CONTROL_FD"]))
    listener = socket.socket(fileno=int(os.environ["NEXUS_LISTEN_FD"]))
    listener.setblocking(True)
    send(control, hello(99 if fault == "control-version-99" else 1, workers=1), fault)
    serve(control, listener, fault)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "good")
