"""A worker that speaks the pool protocol by itself, over NEXUS_WORKER_FD or standard input and output: the functions of
pool.py without a runtime. It knows no cancel, has no feature, and ignores SIGINT: what nexus wants of it, it has to take.

CHAOS_SLOW makes it read a few bytes at a time, with rests between.
"""
import os
import select
import signal
import socket
import struct
import time

DOUBLE, CHAIN, FAN, BLOB, TOTAL, CARRY, FETCH, NOISE, STUBBORN, BOMB = range(1, 11)
SLOW = "CHAOS_SLOW" in os.environ
F8_LIST = 10


# ---- msgpack, as much as these functions need ------------------------------------------------------------------------

def packed(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, dict):
        pairs = b"".join(packed(key) + packed(field) for key, field in value.items())
        return b"\xdf" + struct.pack(">I", len(value)) + pairs
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(packed, value))
    return b"\xc9" + struct.pack(">IB", len(value), F8_LIST) + value  # bytes: a packed list of floats


WIDTHS = {0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4}
NUMBERS = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h", 0xd2: ">i",
           0xd3: ">q"}


def unpacked(data, at):
    """The value at `at`, and where it ends."""
    tag, at = data[at], at + 1
    if tag < 0x80 or tag >= 0xe0:
        return (tag if tag < 0x80 else tag - 256), at
    if tag in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[tag], at
    if tag in NUMBERS:
        form = struct.Struct(NUMBERS[tag])
        return form.unpack_from(data, at)[0], at + form.size
    if 0xd4 <= tag <= 0xd8:
        size = 1 << (tag - 0xd4)
        return data[at + 1:at + 1 + size], at + 1 + size
    width = WIDTHS.get(tag, 0)
    size = int.from_bytes(data[at:at + width], "big") if width else tag & (0x1f if tag >= 0xa0 else 0x0f)
    at += width
    if tag in (0xc7, 0xc8, 0xc9):
        return data[at + 1:at + 1 + size], at + 1 + size
    if 0xa0 <= tag < 0xc0 or tag in (0xd9, 0xda, 0xdb):
        return data[at:at + size].decode(), at + size
    if 0xc4 <= tag <= 0xc6:
        return data[at:at + size], at + size
    found = []
    for _ in range(size * 2 if tag < 0x90 or tag >= 0xde else size):
        value, at = unpacked(data, at)
        found.append(value)
    return (dict(zip(found[::2], found[1::2])) if tag < 0x90 or tag >= 0xde else found), at


# ---- the connection --------------------------------------------------------------------------------------------------

class Remote(Exception):
    pass


class Worker:
    def __init__(self, link):
        self.link, self.chunks, self.size = link, [], 0
        self.answers, self.last_id, self.running = {}, 0, []

    def send(self, message):
        body = packed(message)
        rest = memoryview(struct.pack(">I", len(body)) + body)
        while rest:
            # What is sent may come back: whoever doesn't read meanwhile blocks itself.
            readable, writable, _ = select.select([self.link], [self.link], [])
            if readable:
                self.fill()
            if writable:
                rest = rest[self.link.send(rest, socket.MSG_DONTWAIT):]

    def fill(self):
        chunk = self.link.recv(4096 if SLOW else 1 << 18)
        if not chunk:
            os._exit(0)
        if SLOW:
            time.sleep(0.0005)
        self.chunks.append(chunk)
        self.size += len(chunk)

    def receive(self):
        """The next message."""
        while self.size < 4:
            self.fill()
        data = b"".join(self.chunks)
        end = 4 + struct.unpack(">I", data[:4])[0]
        self.chunks = [data]
        while self.size < end:
            self.fill()
        data = b"".join(self.chunks)
        self.chunks, self.size = [data[end:]], self.size - end
        return unpacked(data[4:end], 0)[0]

    def step(self):
        message = self.receive()
        if message[0] == 1:
            self.answers[message[1]] = message[2:]
        elif message[0] == 0 and message[2] == "call":
            self.run(message[1], message[3])
        elif message[0] == 0:
            self.send([1, message[1], None, None])

    def run(self, id, params):
        self.running.append(id)
        try:
            answer = [None, FUNCTIONS[params[0]](*params[1:])]
        except Remote as error:
            answer = [error.args[0], None]
        self.running.pop()
        self.send([1, id, *answer])

    def start(self, pool, *params):
        self.last_id += 1
        self.send([0, self.last_id, "call", [[pool, self.running[-1]], *params]])
        return self.last_id

    def result(self, id):
        while id not in self.answers:
            self.step()
        error, result = self.answers.pop(id)
        if error is not None:
            raise Remote(error)
        return result

    def call(self, pool, *params):
        self.last_id += 1
        self.send([0, self.last_id, "call", [pool, *params]])
        return self.result(self.last_id)


# ---- the functions ---------------------------------------------------------------------------------------------------

def double(n, ms):
    time.sleep(ms / 1000)
    return 2 * n


def chain(pools, n, ms):
    time.sleep(ms / 1000)
    return 1 + worker.call(pools[n % len(pools)], CHAIN, pools, n - 1, ms) if n else 0


def fan(pool, n, ms):
    return sum([worker.result(id) for id in [worker.start(pool, DOUBLE, i + 1, ms) for i in range(n)]])


def blob(n):
    return struct.pack("<%dd" % n, *range(n))


def total(data):
    return sum(struct.unpack("<%dd" % (len(data) // 8), data)) if isinstance(data, bytes) else float(sum(data))


def carry(pool, n):
    return worker.call(pool, TOTAL, blob(n))


def fetch(pool, n):
    return total(worker.call(pool, BLOB, n))


def noise(kib):
    for i in range(kib):
        os.write(2, b"x" * 1023 + (b"\n" if i % 3 else b""))
        if i % 16 == 0:
            worker.send([2, "log", ["info", "%d of %d\n\x1b[31m" % (i, kib)]])
            worker.send([2, "progress", [i, kib, "noise"]])
    return kib


def stubborn(ms):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(ms / 1000)
    return ms


def bomb(n):
    for i in range(n):
        if os.fork() == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGIO):
                signal.signal(number, signal.SIG_IGN)
            if i % 2:
                os.closerange(0, 256)
            elif os.fork():
                os._exit(0)
            time.sleep(1000)
            os._exit(0)
    return n


FUNCTIONS = {DOUBLE: double, CHAIN: chain, FAN: fan, BLOB: blob, TOTAL: total, CARRY: carry, FETCH: fetch, NOISE: noise,
             STUBBORN: stubborn, BOMB: bomb}


signal.signal(signal.SIGINT, signal.SIG_IGN)
if "NEXUS_WORKER_FD" in os.environ:
    worker = Worker(socket.socket(fileno=int(os.environ["NEXUS_WORKER_FD"])))
else:
    # Here both are one socket.
    worker = Worker(socket.socket(fileno=os.dup(0)))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
worker.send([2, "hello", [{"protocol": 1, "lang": "py", "runtime": "plain", "pid": os.getpid(), "reentrant": True}]])
while True:
    worker.step()
