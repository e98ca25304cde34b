"""A pool that has many calls out at once: its function 1 sends `n` calls to function 1 of the pool `a` before it reads an
answer, and returns the sum of the answers. One process, one worker, the few forms of msgpack that this takes."""
import os
import socket
import struct
import sys


def packed(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, str):
        return bytes([0xa0 + len(value)]) + value.encode()
    if isinstance(value, dict):
        return bytes([0x80 + len(value)]) + b"".join(packed(key) + packed(part) for key, part in value.items())
    return bytes([0x90 + len(value)]) + b"".join(map(packed, value))


def unpacked(data, at=0):
    tag, at = data[at], at + 1
    if tag < 0x80:
        return tag, at
    if 0x90 <= tag < 0xa0:
        values = []
        for _ in range(tag - 0x90):
            value, at = unpacked(data, at)
            values.append(value)
        return values, at
    if 0xa0 <= tag < 0xc0:
        return data[at:at + tag - 0xa0].decode(), at + tag - 0xa0
    if tag == 0xc0:
        return None, at
    form = {0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}[tag]
    return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)


def send(peer, *message):
    data = packed(message)
    peer.sendall(struct.pack(">I", len(data)) + data)


def receive(peer):
    head = peer.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        sys.exit(0)
    return unpacked(peer.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))[0]


control = socket.socket(fileno=int(os.environ["NEXUS_CONTROL_FD"]))
listener = socket.socket(fileno=int(os.environ["NEXUS_LISTEN_FD"]))
hello = {"protocol": 1, "lang": "fan", "pid": os.getpid(), "workers": 1}
send(control, 2, "hello", [hello])
worker, _ = listener.accept()
send(worker, 2, "hello", [hello])
while True:
    kind, call, method, params = receive(worker)
    for number in range(params[1]):
        send(worker, 0, number, "call", ["a", 1, number, params[1]])
    total = 0
    for _ in range(params[1]):
        kind, number, error, result = receive(worker)
        if kind != 1 or error is not None or result != number * 10:
            sys.exit("call %r was answered by %r" % (number, (kind, error, result)))
        total += result
    send(worker, 1, call, None, total)
