"""Checks of the wire: large messages, slow and stuttering peers, and bytes that are no message."""
import os
import random
import struct
import time

import wire
from check_calls import expect
from channel import Closed, Failure
from table import ADD, BLOB, ECHO_BYTES, ECHO_FLOATS, ECHO_TEXT, RELAY, TOTAL, TREE, check
from wire import Ext, Raw

MIB = 1 << 20
LARGE = 32 * MIB
# What a worker may take for a length that is only claimed, over what it has anyway.
CLAIM_BYTES_MAX = 512 * MIB


def numbers(count):
    return Ext(10, bytes(struct.pack("<d", 1.5) * count))


# ---- large and slow -------------------------------------------------------------------------------------------------

@check("large.both_ways")
def both_ways(kit):
    """32 MiB in, 32 MiB out, and both in one call"""
    worker = kit.worker()
    large = numbers(LARGE // 8)
    expect("total", worker.call(TOTAL, large), 1.5 * (LARGE // 8))
    found = wire.typed(["f8"], worker.call(BLOB, LARGE // 8))
    expect("the length of blob", len(found), LARGE // 8)
    expect("its last number", found[-1], float(LARGE // 8 - 1))
    echo = worker.call(ECHO_FLOATS, large)
    if not isinstance(echo, Ext) or echo.data != large.data:
        raise Failure("32 MiB of floats came back changed")
    data = os.urandom(LARGE)
    if worker.call(ECHO_BYTES, data) != data:
        raise Failure("32 MiB of bytes came back changed")
    text = "\u00e9x" * (LARGE // 12)
    if worker.call(ECHO_TEXT, text) != text:
        raise Failure("11 MiB of text came back changed")


@check("large.crossing")
def crossing(kit):
    """32 MiB each way at the same time: the worker reads while its answer has no room"""
    worker = kit.worker()
    data = os.urandom(MIB) * (LARGE // MIB)
    calls = []
    for _ in range(3):
        worker.last_id += 1
        calls.append(worker.last_id)
        worker.open[worker.last_id] = "call"
        try:
            # Deaf on purpose: two peers that both write first and read later would stand still for ever.
            worker.send(wire.frame([0, worker.last_id, "call", [ECHO_BYTES, data]]), reading=False)
        except Failure as failure:
            raise Failure("the worker does not read while its answer has no room", str(failure)) from None
    for call in calls:
        if worker.value(call) != data:
            raise Failure("32 MiB of bytes came back changed")
    worker.works()


@check("large.nested")
def large_nested(kit):
    """32 MiB both ways in a call that is nested in another"""
    worker = kit.worker()
    worker.needs("reentrant")
    outer, request = worker.begin(RELAY, "other", 7, 1), worker.asks()
    data = os.urandom(MIB) * (LARGE // MIB)
    if worker.call(ECHO_BYTES, data) != data:
        raise Failure("32 MiB of bytes came back changed")
    worker.gives(request, 1)
    expect("relay", worker.value(outer), 2)


@check("slow.reader")
def slow_reader(kit):
    """nexus reads slowly, in small pieces: nothing is lost"""
    worker = kit.worker()
    call = worker.begin(BLOB, MIB)
    for turn in range(400):
        if call in worker.replies:
            break
        time.sleep(0.002)
        worker.fill(1 + turn * 37 % 4096)
    found = wire.typed(["f8"], worker.value(call))
    if found != [float(number) for number in range(MIB)]:
        raise Failure("the numbers of blob came back changed")
    worker.works()


@check("slow.bytes")
def byte_by_byte(kit):
    """nexus writes one byte at a time"""
    worker = kit.worker()
    for name, value in (("first", 3), ("second", 4)):
        worker.last_id += 1
        worker.open[worker.last_id] = "call"
        for byte in wire.frame([0, worker.last_id, "call", [ADD, value, 2**40]]):
            worker.send(bytes([byte]))
            time.sleep(0.001)
        expect(name, worker.value(worker.last_id), value + 2**40)


@check("slow.joined")
def joined(kit):
    """frames cut and joined anywhere: all are answered"""
    worker, chance = kit.worker(), random.Random(3)
    data, calls = b"", []
    for n in range(200):
        worker.last_id += 1
        calls.append(worker.last_id)
        worker.open[worker.last_id] = "call"
        data += wire.frame([0, worker.last_id, "call", [ADD, n, 1]])
    while data:
        cut = chance.choice((1, 2, 3, 5, 17, 100, 1000))
        worker.send(data[:cut])
        data = data[cut:]
    for n, call in enumerate(calls):
        expect("add(%d, 1)" % n, worker.value(call), n + 1)


# ---- garbage --------------------------------------------------------------------------------------------------------

def memory(pids):
    """The most memory that any of these processes has had, in bytes."""
    most = 0
    for pid in pids:
        try:
            with open("/proc/%d/status" % pid) as file:
                most = max([most] + [1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM")])
        except OSError:
            pass
    return most


def after(kit, worker, bystander, case):
    """After garbage: no death by a signal, the other worker serves, and one can be had in place of this one."""
    pool = worker.pool
    if pool.control is None:
        if worker.over:
            code = pool.ended(worker.process)
            if code < 0:
                raise Failure("%s: the worker was killed by signal %d" % (case, -code))
        bystander.works()
        return worker if not worker.over else pool.connect()
    if worker.over:
        worker.shut()
        worker = pool.again(case)
    if pool.code() is not None:
        raise Failure("%s: the pool itself ended with %d" % (case, pool.code()))
    bystander.works()
    return worker


def feed(kit, cases):
    """Sends each case's bytes, and expects an answer, silence or a closed connection, never a hang or a crash."""
    pool = kit.start()
    if pool.control is not None:
        pool.grow(1)
    worker, bystander = pool.connect(), pool.connect()
    for case, data, framed in cases:
        kit.log.append(("kit", "sends", case))
        kit.renew()
        worker.lenient = True
        try:
            worker.send(data)
            if framed:
                worker.result("ping", [])
            else:
                worker.half_shut()
                worker.until_over("the end of the connection after %s" % case)
                if worker.writer is None:
                    worker.writer = worker.reader
        except Closed:
            pass
        except Failure as failure:
            raise Failure("%s: %s" % (case, failure), *failure.details) from None
        worker = after(kit, worker, bystander, case)
    most = memory(kit.marked())
    if most > CLAIM_BYTES_MAX:
        kit.complain("a process took %d MiB, expected less than %d: it believed a length" % (most // MIB,
                                                                                            CLAIM_BYTES_MAX // MIB))


def call_of(args, mid=ADD, id=900):
    """A call with these bytes as its arguments."""
    return wire.frame(b"\x94\x00" + wire.encode(id) + wire.encode("call") + args) if mid is None else \
        wire.frame(wire.encode([0, id, "call", []])[:-1] + b"\xdc\x00\x03" + wire.encode(mid) + args)


@check("garbage.lengths")
def lengths(kit):
    """lengths that lie, and then the end: the connection closes, nobody else is touched"""
    feed(kit, [("a length of 4 GiB", b"\xff\xff\xff\xff" + b"\x94\0\1", False),
               ("a length of 3 GiB", b"\xc0\0\0\0" + b"x" * 1000, False),
               ("half a length", b"\0\0", False),
               ("a frame cut short", wire.frame([0, 900, "call", [ADD, 1, 2]])[:-3], False),
               ("an empty frame", b"\0\0\0\0", False),
               ("nothing at all", b"", False)])


@check("garbage.frames")
def frames(kit):
    """frames that hold no message: an error, silence or a closed connection"""
    bodies = [("nil", None), ("a number", 7), ("an empty array", []), ("an empty map", {}), ("text", "hello"),
              ("kind 3", [3, 900, "call", []]), ("kind -1", [-1, 900, "call", []]), ("kind text", ["0", 900, "call", []]),
              ("a short request", [0, 900]), ("a long request", [0, 900, "call", [ADD, 1, 2], 5]),
              ("a number for a method", [0, 900, 7, [1]]), ("a number for params", [0, 900, "call", 7]),
              ("a map for params", [0, 900, "call", {"mid": 2}]), ("text for an id", [0, "x", "call", [ADD, 1, 2]]),
              ("a negative id", [0, -5, "call", [ADD, 1, 2]]), ("a huge id", [0, 2**64 - 1, "call", [ADD, 1, 2]]),
              ("nil for an id", [0, None, "call", [ADD, 1, 2]]), ("a short notification", [2, "cancel"]),
              ("nil for a notification's method", [2, None, []]), ("a map for a cancel", [2, "cancel", {}]),
              ("an empty cancel", [2, "cancel", []]),
              ("a cancel of text", [2, "cancel", ["x"]]), ("a cancel of -1", [2, "cancel", [-1]]),
              ("a cancel of a big integer", [2, "cancel", [2**70]]), ("nil for a cancel", [2, "cancel", [None]]),
              ("an unused byte", Raw(b"\xc1")), ("bytes left", Raw(b"\x93\x02\xa4news\x90\xc0\xc0\xc0"))]
    feed(kit, [(name, wire.frame(body), True) for name, body in bodies])


@check("garbage.answers")
def answers(kit):
    """answers that nobody waits for are ignored"""
    bodies = [("an answer to nothing", [1, 77, None, 5]), ("an error to nothing", [1, 77, {"kind": "x", "message": "y"}, None]),
              ("an answer with text for an id", [1, "x", None, 5]), ("a short answer", [1, 77]),
              ("nil for an id", [1, None, None, None])]
    feed(kit, [(name, wire.frame(body), True) for name, body in bodies])
    worker = kit.worker()
    call, request = worker.begin(RELAY, "other", 7, 1), worker.asks()
    worker.say([1, request.id + 1000, None, 99])
    worker.gives(request, 1)
    worker.say([1, request.id, None, 99])
    expect("relay", worker.value(call), 2)
    worker.works()


@check("garbage.arguments")
def arguments(kit):
    """arguments that are no msgpack, or claim what they don't have: an error or a closed connection"""
    feed(kit, [("arguments cut short", call_of(b"\x01"), True),
               ("no arguments where two are claimed", call_of(b""), True),
               ("an unused byte", call_of(b"\xc1\x01"), True),
               ("text cut short", call_of(b"\xdb\x00\x00\x10\x00ab"), True),
               ("an array of 4 G elements", call_of(b"\x01\xdd\xff\xff\xff\xff"), True),
               ("a map of 4 G entries", call_of(b"\x01\xdf\xff\xff\xff\xff"), True),
               ("bytes of 4 GiB", call_of(b"\x01\xc6\xff\xff\xff\xff"), True),
               ("a packed list of 4 GiB", call_of(b"\x01\xc9\xff\xff\xff\xff\x0a"), True),
               ("a packed list of 3 bytes", call_of(b"\x01\xc7\x03\x0aabc"), True),
               ("params of 4 G elements", wire.frame(b"\x94\x00\xcd\x03\x84\xa4call\xdd\xff\xff\xff\xff"), True),
               ("floats of 7 bytes", wire.frame([0, 900, "call", [ECHO_FLOATS, Ext(10, b"1234567")]]), True),
               ("an ext type nobody knows", wire.frame([0, 900, "call", [ECHO_FLOATS, Ext(99, b"12345678")]]), True),
               ("a big integer of no bytes", wire.frame([0, 900, "call", [27, Ext(11, b"")]]), True),
               ("a key that is a list", wire.frame([0, 900, "call", [3, Raw(b"\x81\x90\x01")]]), True),
               ("text that is not UTF-8", wire.frame([0, 900, "call", [ECHO_TEXT, Raw(b"\xa2\xc3\x28")]]), True)])


@check("garbage.deep")
def deep(kit):
    """values nested 100,000 deep: an error or a closed connection, never a crash"""
    levels = 100_000
    tree = b"\x92\x01\x91" * levels + b"\x92\x01\x90"
    feed(kit, [("arrays in arrays", wire.frame([0, 900, "call", [ECHO_FLOATS, Raw(b"\x91" * levels + b"\xc0")]]), True),
               ("maps in maps", wire.frame([0, 900, "call", [3, Raw(b"\x81\xa1k" * levels + b"\xc0")]]), True),
               ("a tree", wire.frame([0, 900, "call", [TREE, Raw(tree)]]), True),
               ("an unknown key", wire.frame([2, "news", [Raw(b"\x91" * levels + b"\xc0")]]), True),
               ("arrays without an end", wire.frame(b"\x91" * levels), True)])


@check("garbage.random")
def noise(kit):
    """random bytes, and calls with random bytes changed: never a hang, never a crash"""
    chance = random.Random(5)
    cases = []
    for n in range(15):
        cases.append(("random bytes %d" % n, bytes(chance.getrandbits(8) for _ in range(chance.randrange(1, 300))), False))
    good = [[0, 900, "call", [3, {"name": "Ann", "age": 4, "tags": ["x"]}]],
            [0, 900, "call", [16, wire.packed("i4", [1]), [2], [3], [4.5]]],
            [0, 900, "call", [12, Ext(12, wire.encode(["other", None, 5])), 1]],
            [1, 1, {"kind": "x", "message": "y", "trace": []}, None]]
    for n in range(60):
        body = bytearray(wire.encode(chance.choice(good)))
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] = chance.getrandbits(8)
        # Not into a call that ends or stops the worker by what it does: mids 7, 14, 15, 24, 26 follow the method.
        at = body.find(b"call")
        if at >= 0 and len(body) > at + 5 and body[at + 5] not in (3, 16, 12):
            continue
        cases.append(("call %d with random bytes changed: %s" % (n, body.hex()), wire.frame(bytes(body)), True))
    feed(kit, cases)
