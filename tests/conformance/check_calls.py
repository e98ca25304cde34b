"""Checks of calls: errors, the calls that functions make, calls nested in them, and function values."""
import wire
from channel import Closed, Failure
from table import (ADD, ADDER, APPLY, CHAIN, COMPOSE, DOUBLE, ECHO_TEXT, FAIL, FAN, KIND_OF, NAP, NOTE, RELAY, SAY, STEP, VIA,
                   check)
from wire import FUNCTION, Ext, Raw, show


def expect(what, found, expected):
    if not wire.same(found, expected):
        raise Failure("%s is %s, expected %s" % (what, show(found), show(expected)))


# ---- requests -------------------------------------------------------------------------------------------------------

@check("call.ping")
def ping(kit):
    """ping is answered with nil"""
    worker = kit.worker()
    for _ in range(3):
        expect("the answer", worker.result("ping", []), None)


@check("call.unknown")
def unknown(kit):
    """a function that is not there, or is no integer: an error, and the worker goes on"""
    worker = kit.worker()
    for params in ([999, 1], ["add", 1, 2], [], [None], [1.5, []]):
        reply = worker.finish(worker.request("call", params))
        if reply.error is None:
            kit.complain("call %s: expected an error, came %s" % (show(params), show(reply.result)))
    worker.works()


@check("call.method")
def method(kit):
    """an unknown method is answered with an error of kind protocol; an unknown notification is ignored"""
    pool = kit.start()
    for channel in filter(None, (pool.control, pool.connect())):
        channel.notify("news", [{"of": "tomorrow"}])
        channel.notify("news", [])
        reply = channel.reply(channel.request("dance", [1, "x"]))
        if reply.error is None or reply.error["kind"] != "protocol":
            kit.complain("method dance (%s): expected an error of kind protocol, came %s" % (channel.label, reply))
    channel.works()


@check("call.print")
def prints(kit):
    """what a function prints arrives as output, and disturbs nothing"""
    worker = kit.worker()
    for text in ("a line", "\u00fcn\u00efcode \u20ac", "no answer: \x94\x01\x01\xc0\xc0", "x" * 300_000):
        expect("say", worker.call(SAY, text), None)
        tail = text[-40:]
        kit.until_true("%s did not arrive as output" % show(tail), lambda tail=tail: tail in worker.pool.printed(), 5)
    worker.works()


@check("call.log")
def log(kit):
    """log and progress arrive before the answer; a long text does not hang"""
    worker = kit.worker()
    worker.call(NOTE, "info", "first")
    worker.call(NOTE, "warn", "z\u00fcrich \u20ac")
    worker.call(STEP, 1.0, 4.0, "half")
    expected = [("log", ["info", "first"]), ("log", ["warn", "z\u00fcrich \u20ac"]), ("progress", [1.0, 4.0, "half"])]
    found = [(method, [float(each) if type(each) is int else each for each in params]) for method, params in worker.told]
    if found != expected:
        raise Failure("what was told differs", "expected  %s" % expected, "came      %s" % found)
    worker.call(NOTE, "info", "long " * 100_000)
    if len(worker.told) != 4 or not worker.told[3][1][1].startswith("long long"):
        raise Failure("a log of 500 kB did not arrive")
    worker.works()


# ---- errors ---------------------------------------------------------------------------------------------------------

def check_trace(kit, error, entries):
    trace = error.get("trace")
    if not isinstance(trace, list) or len(trace) < entries:
        return kit.complain("trace is %s, expected at least %d entries" % (show(trace), entries))
    for entry in trace:
        if not isinstance(entry, dict) or not isinstance(entry.get("lang"), str) \
                or not isinstance(entry.get("function"), str):
            kit.complain("an entry of the trace is %s, expected {lang, function, file, line}" % show(entry))


@check("error.raised")
def raised(kit):
    """an error in a function: kind raised, its message, a trace; the worker goes on"""
    worker = kit.worker()
    for message in ("boom", "z\u00fcrich \u20ac \U0001f9ec", "two\nlines", "100% {of} \\it", ""):
        error = worker.error(FAIL, message)
        if error["kind"] != "raised":
            kit.complain("kind is %s, expected raised" % show(error["kind"]))
        if message not in error["message"]:
            kit.complain("message is %s, expected %s in it" % (show(error["message"]), show(message)))
        check_trace(kit, error, 1)
    error = worker.error(FAIL, "long " * 200_000)
    if "long long" not in error["message"]:
        kit.complain("a message of 1 MB came as %s" % show(error["message"]))
    worker.works()


@check("error.passes")
def passes(kit):
    """the error of a foreign call passes with its kind, message and keys; the trace is joined, innermost first"""
    worker = kit.worker()
    for kind in ("raised", "timeout", "denied", "terminated", "peculiar"):
        inner = {"lang": "kit", "function": "inner", "file": "kit.x", "line": 3}
        call = worker.begin(RELAY, "other", 7, 1)
        worker.gives(worker.asks(), error={"kind": kind, "message": "deep trouble", "pool": "other", "exit_code": 9,
                                           "trace": [inner]})
        error = worker.failed(call)
        for key, expected in (("kind", kind), ("pool", "other"), ("exit_code", 9)):
            if error.get(key) != expected:
                kit.complain("%s is %s, expected %s as it was" % (key, show(error.get(key)), show(expected)))
        if "deep trouble" not in error["message"]:
            kit.complain("message is %s, expected that of the foreign call" % show(error["message"]))
        check_trace(kit, error, 2)
        if (error.get("trace") or [None])[0] != inner:
            kit.complain("trace is %s, expected the foreign entries first" % show(error.get("trace")))
    worker.works()


@check("error.kind")
def kind_of(kit):
    """a function can catch the error of a foreign call and see its kind"""
    worker = kit.worker()
    for kind in ("raised", "cancelled", "denied", "peculiar"):
        call = worker.begin(KIND_OF, "other", 7, 1)
        worker.gives(worker.asks(), error={"kind": kind, "message": "x"})
        expect("kind_of", worker.value(call), kind)
    call = worker.begin(KIND_OF, "other", 7, 1)
    worker.gives(worker.asks(), 5)
    expect("kind_of", worker.value(call), "")
    worker.works()


@check("error.odd")
def odd_errors(kit):
    """an error that is no map, or lacks its keys, fails the call and nothing else"""
    worker = kit.worker()
    for error in ("just text", 5, {}, {"kind": 7, "message": None, "trace": 3}, [], {"message": "only"}):
        call = worker.begin(RELAY, "other", 7, 1)
        request = worker.asks()
        worker.lenient = True  # it may pass on what it got
        worker.gives(request, error=error)
        worker.failed(call)
        worker.lenient = False
    worker.works()


# ---- foreign calls --------------------------------------------------------------------------------------------------

@check("foreign.call")
def foreign(kit):
    """a foreign call names pool and function, carries its argument, and its result is used"""
    worker = kit.worker()
    for mid, n, result in ((7, 5, 41), (2**40, -1, -2**52), (-3, 2**52, 2**52)):
        call = worker.begin(RELAY, "other", mid, n)
        request = worker.asks()
        found = [request.method, request.name, request.pid, request.params]
        expect("the foreign call", found, ["call", "other", None, [mid, n]])
        if request.parent not in (None, call):
            kit.complain("parent is %s, expected nothing or %d" % (show(request.parent), call))
        worker.gives(request, result)
        expect("relay", worker.value(call), result + 1)
    call = worker.begin(RELAY, "z\u00fcrich", 7, 1)
    request = worker.asks()
    expect("the pool", request.name, "z\u00fcrich")
    worker.gives(request, 1)
    expect("relay", worker.value(call), 2)


@check("foreign.mistyped")
def mistyped(kit):
    """a result of the wrong type fails the call that asked, and nothing else"""
    worker = kit.worker()
    for result in ("text", None, 1.5, [1], Raw(b"\xcf" + b"\xff" * 8)):
        call = worker.begin(RELAY, "other", 7, 1)
        worker.gives(worker.asks(), result)
        worker.failed(call)
    worker.works()


@check("foreign.command")
def command(kit):
    """a command of the program, with its result and its error"""
    worker = kit.worker()
    call = worker.begin(VIA, "mean", 5)
    request = worker.asks()
    expect("the request", [request.method, request.name, request.params], ["command", "mean", [5]])
    worker.gives(request, 6)
    expect("via", worker.value(call), 6)
    call = worker.begin(VIA, "mean", 5)
    worker.gives(worker.asks(), error={"kind": "usage", "message": "no such command"})
    expect("the kind", worker.failed(call)["kind"], "usage")
    worker.works()


def fan_out(worker, call, count):
    """The foreign calls of fan, once all of them are out."""
    requests = []
    while len(requests) < count:
        if not worker.requests and requests and not worker.turn("foreign call %d of fan" % (len(requests) + 1),
                                                                  seconds=min(5, worker.kit.left())):
            raise Failure("fan has %d of its %d calls out and waits, expected all at once" % (len(requests), count))
        if worker.requests or not requests:
            requests.append(worker.asks())
    for request in requests:
        if request.parent != call:
            worker.kit.complain("parent is %s, expected %d: several calls of it are out" % (show(request.parent), call))
    expect("the numbers", sorted(request.params[1] for request in requests), list(range(1, count + 1)))
    return requests


@check("foreign.fan")
def fan(kit):
    """several calls out at once, each with its parent; answers in reverse"""
    worker = kit.worker()
    for count in (1, 5, 100):
        call = worker.begin(FAN, "other", 7, count)
        for request in reversed(fan_out(worker, call, count)):
            worker.gives(request, 10 * request.params[1])
        expect("fan", worker.value(call), 10 * count * (count + 1) // 2)
    expect("fan of none", worker.call(FAN, "other", 7, 0), 0)


@check("foreign.fan_fails")
def fan_fails(kit):
    """one of several calls fails: so does their caller, with its kind; late answers disturb nothing"""
    worker = kit.worker()
    call = worker.begin(FAN, "other", 7, 4)
    requests = fan_out(worker, call, 4)
    worker.gives(requests[2], error={"kind": "peculiar", "message": "the third"})
    for request in (requests[3], requests[0], requests[1]):
        worker.gives(request, 1)
    expect("the kind", worker.failed(call)["kind"], "peculiar")
    worker.works()


# ---- nesting --------------------------------------------------------------------------------------------------------

@check("nested.call")
def nested(kit):
    """a worker that waits serves calls, which make calls themselves"""
    worker = kit.worker()
    worker.needs("reentrant")
    outer = worker.begin(RELAY, "other", 7, 1)
    asked = worker.asks()
    expect("add, nested", worker.call(ADD, 2, 3), 5)
    expect("ping, nested", worker.result("ping", []), None)
    if worker.failed(worker.begin(FAIL, "nested"))["kind"] != "raised":
        kit.complain("an error of a nested call is not of kind raised")
    inner = worker.begin(RELAY, "other", 8, 2)
    asked_inner = worker.asks()
    expect("the inner call's mid", asked_inner.params, [8, 2])
    if asked_inner.parent not in (None, inner):
        kit.complain("parent is %s, expected nothing or %d" % (show(asked_inner.parent), inner))
    worker.gives(asked_inner, 20)
    expect("relay, nested", worker.value(inner), 21)
    worker.gives(asked, 10)
    expect("relay", worker.value(outer), 11)
    worker.works()


@check("nested.order")
def order(kit):
    """an answer that belongs further out is kept until its turn"""
    worker = kit.worker()
    worker.needs("reentrant")
    calls = [worker.begin(RELAY, "other", 7, 1)]
    asked = [worker.asks()]
    for mid in (8, 9):
        calls.append(worker.begin(RELAY, "other", mid, 1))
        asked.append(worker.asks())
    for request, result in zip(asked, (100, 200, 300)):
        worker.gives(request, result)
    expect("the results", [worker.value(call) for call in calls], [101, 201, 301])
    if not worker.concurrent:
        expect("the order of the answers", worker.order[-3:], calls[::-1])
    worker.works()


@check("nested.concurrent")
def concurrent(kit):
    """calls run side by side: whichever gets its answer first ends first"""
    worker = kit.worker()
    worker.needs("concurrent")
    first, first_asked = worker.begin(RELAY, "other", 7, 1), worker.asks()
    second, second_asked = worker.begin(RELAY, "other", 8, 1), worker.asks()
    for call, request in ((first, first_asked), (second, second_asked)):
        if request.parent != call:
            kit.complain("parent is %s, expected %d" % (show(request.parent), call))
    worker.gives(first_asked, 1)
    expect("the first", worker.value(first), 2)
    worker.gives(second_asked, 2)
    expect("the second", worker.value(second), 3)
    slow = worker.begin(NAP, 400)
    expect("add beside a nap", worker.call(ADD, 1, 2), 3)
    expect("the order of the answers", slow in worker.order, False)
    expect("nap", worker.value(slow), 400)


class Mirror:
    """Passes each foreign call to the same connection, as nexus does for a pool with one worker."""

    def __init__(self, worker, pools):
        self.worker, self.pools, self.waits = worker, pools, {}

    def run(self, first):
        """Until the call `first` has its answer."""
        worker = self.worker
        while first not in worker.replies:
            while worker.requests:
                request = worker.requests.popleft()
                if request.name not in self.pools or request.pid not in (None, worker.pid):
                    raise Failure("a foreign call goes to %s" % show([request.name, request.pid]))
                self.waits[worker.request(request.method, request.params)] = request
            for id in [id for id in worker.replies if id in self.waits]:
                reply = worker.replies.pop(id)
                if id % 1000 == 0:
                    worker.kit.renew()
                worker.gives(self.waits.pop(id), reply.result, reply.error)
            if first not in worker.replies and not worker.requests:
                worker.turn("the answer to call %d" % first)
        return worker.replies.pop(first)


def through(worker, pools, mid, *args):
    """The reply to a call whose foreign calls come back to the same worker."""
    return Mirror(worker, pools).run(worker.begin(mid, *args))


@check("nested.depth_100")
def depth_100(kit):
    """a chain through one worker, 100 deep"""
    depth(kit, 100)


@check("nested.depth_1000")
def depth_1000(kit):
    """a chain through one worker, 1,000 deep"""
    depth(kit, 1000)


def depth(kit, count):
    worker = kit.worker()
    worker.needs("reentrant")
    for pools in ([kit.name], [kit.name, "other", "third"]):
        reply = through(worker, pools, CHAIN, pools, count)
        if reply.error is not None:
            raise Failure("a chain of %d calls failed" % count, "came      %s" % show(reply.error))
        expect("chain", reply.result, count)
    worker.works()


@check("nested.endless")
def endless(kit):
    """a chain of 20,000 ends in its result or in an error, never in the death of the worker"""
    worker = kit.worker()
    worker.needs("reentrant")
    reply = through(worker, [kit.name], CHAIN, [kit.name], 20_000)
    if reply.error is None:
        expect("chain", reply.result, 20_000)
    elif reply.error["kind"] != "raised":
        raise Failure("the error is of kind %s, expected raised" % show(reply.error["kind"]), "came      %s" % show(reply.error))
    kit.notes.append("a result" if reply.error is None else "an error: %s" % reply.error["message"][:70])
    worker.works()


# ---- function values ------------------------------------------------------------------------------------------------

def opened(kit, worker, value, own_pid=True):
    """The parts of a function value that came: pool, pid, mid, bound."""
    if not isinstance(value, Ext) or value.code != FUNCTION:
        raise Failure("a function value is %s, expected ext type 12" % show(value))
    try:
        parts = wire.decode(value.data)
    except wire.Malformed as error:
        raise Failure("a function value is no msgpack: %s" % error, "came      %s" % value.data.hex()) from None
    if not isinstance(parts, list) or len(parts) < 3 or parts[0] != kit.name or type(parts[2]) is not int:
        raise Failure("a function value holds %s, expected [%r, pid, mid, bound...]" % (show(parts), kit.name))
    if own_pid and parts[1] != worker.pid:
        raise Failure("a closure names process %s, expected %d: it lives in this worker" % (show(parts[1]), worker.pid))
    if own_pid and not -2**63 <= parts[2] < 0:
        raise Failure("a closure has the mid %s, expected a negative number of 64 bits" % show(parts[2]))
    return parts


def function(*parts):
    return Ext(FUNCTION, wire.encode(list(parts)))


def invoke(kit, worker, value, *args, serve=None):
    """Calls a function value that lives in this worker, as nexus does when another pool calls it."""
    parts = opened(kit, worker, value)
    return worker.call(*parts[2:], *args, serve=serve)


@check("function.closure")
def closure(kit):
    """a function that is returned can be called from elsewhere, with what it captured, again and again"""
    worker = kit.worker()
    five, hundred = worker.call(ADDER, 5), worker.call(ADDER, 100)
    expect("whether two closures have one number", opened(kit, worker, five)[2] == opened(kit, worker, hundred)[2], False)
    for _ in range(2):
        expect("adder(5)(1)", invoke(kit, worker, five, 1), 6)
        expect("adder(100)(1)", invoke(kit, worker, hundred, 1), 101)
    mid = opened(kit, worker, five)[2]
    worker.error(mid)
    worker.error(mid, 1, 2)
    worker.error(mid, "x")
    worker.works()


@check("function.apply")
def applied(kit):
    """a function of another pool is called there: its pool, number and bound arguments"""
    worker = kit.worker()
    call = worker.begin(APPLY, function("other", None, 77), 10)
    request = worker.asks()
    expect("the call", [request.method, request.name, request.pid, request.params], ["call", "other", None, [77, 10]])
    worker.gives(request, 99)
    expect("apply", worker.value(call), 99)
    call = worker.begin(APPLY, function("other", None, 77, "bound", [1, None]), 10)
    request = worker.asks()
    expect("the call", [request.name, request.params], ["other", [77, "bound", [1, None], 10]])
    worker.gives(request, error={"kind": "peculiar", "message": "x"})
    expect("the kind", worker.failed(call)["kind"], "peculiar")
    call = worker.begin(APPLY, function("other", None, 77), 10)
    worker.gives(worker.asks(), "text")
    worker.failed(call)
    worker.works()


@check("function.pinned")
def pinned(kit):
    """a closure of another worker is called in just that worker"""
    worker = kit.worker()
    for pool, pid in (("other", 4711), (kit.name, worker.pid + 1)):
        mid = -(2**32 * 9 + 3)
        call = worker.begin(APPLY, function(pool, pid, mid), 10)
        request = worker.asks()
        expect("the call", [request.name, request.pid, request.params], [pool, pid, [mid, 10]])
        worker.gives(request, 11)
        expect("apply", worker.value(call), 11)


@check("function.home")
def home(kit):
    """a closure that comes home is used without a call; so may a registered function be"""
    worker = kit.worker()
    value = worker.call(ADDER, 5)
    expect("apply(adder(5), 1)", worker.call(APPLY, value, 1), 6)
    reply = through(worker, [kit.name], APPLY, function(kit.name, None, DOUBLE), 21)
    if reply.error is not None:
        raise Failure("apply of the own function double failed", "came      %s" % show(reply.error))
    expect("apply(double, 21)", reply.result, 42)
    if len(opened(kit, worker, value)) == 3:
        pool, pid, _ = opened(kit, worker, value)
        expect("apply(add with 40 bound, 2)", through(worker, [kit.name], APPLY, function(pool, pid, ADD, 40), 2).result, 42)


@check("function.compose")
def compose(kit):
    """functions of here and elsewhere are combined to new ones"""
    worker = kit.worker()
    five = worker.call(ADDER, 5)
    both = worker.call(COMPOSE, five, worker.call(ADDER, 20))
    expect("compose(adder(5), adder(20))(1)", invoke(kit, worker, both, 1), 26)
    mixed = worker.call(COMPOSE, five, function("other", 4711, 77))

    def times_ten(request):
        expect("the foreign call", [request.name, request.pid, request.params[0]], ["other", 4711, 77])
        worker.gives(request, 10 * request.params[1])

    expect("compose(adder(5), the other's)(3)", invoke(kit, worker, mixed, 3, serve=times_ten), 35)
    twice = worker.call(COMPOSE, mixed, mixed)
    expect("that twice", invoke(kit, worker, twice, 1, serve=times_ten), 155)
    expect("apply of it", worker.call(APPLY, mixed, 4, serve=times_ten), 45)


@check("function.gone")
def gone(kit):
    """the number of a function that is not there any more: an error of kind terminated"""
    worker = kit.worker()
    mid = opened(kit, worker, worker.call(ADDER, 5))[2]
    for other in (mid - 1000, -(2**32 * 12345 + 1), -2**62):
        error = worker.error(other, 1)
        if error["kind"] != "terminated":
            kit.complain("%d: the error is of kind %s, expected terminated" % (other, show(error["kind"])))
    worker.works()


@check("function.stale")
def stale(kit):
    """the number of another worker's function is never one of this worker"""
    pool = kit.start(isolate=True)
    first = pool.connect()
    numbers = {opened(kit, first, first.call(ADDER, n))[2] for n in range(3)}
    if pool.control is not None:
        pool.grow(1)
    second = pool.connect()
    others = {opened(kit, second, second.call(ADDER, n))[2] for n in range(3)}
    if numbers & others:
        kit.complain("two workers gave functions the same number, %d" % next(iter(numbers & others)))
    for mid in sorted(numbers - others):
        second.error(mid, 1)


@check("function.lasting", "unix")
def lasting(kit):
    """a closure outlives the connection on which it was made"""
    pool = kit.start()
    worker = pool.connect()
    value, pid = worker.call(ADDER, 5), worker.pid
    worker.shut()
    worker = pool.connect()
    if worker.pid == pid:
        expect("adder(5)(1)", invoke(kit, worker, value, 1), 6)


@check("function.holds")
def holds(kit):
    """a worker that gives a closure away says so (holds) before the closure goes out: nexus must not end it then"""
    worker = kit.worker()
    worker.call(ADD, 1, 2)
    if worker.held:
        kit.complain("holds came before any closure was given away")
    worker.call(ADDER, 5)
    if not worker.held:
        raise Failure("no holds came before the answer that carries a closure",
                      "expected  the notification holds [n], n from 1, before the answer of adder")
    worker.works()


@check("function.wrong")
def wrong_functions(kit):
    """what is no function value is refused"""
    worker = kit.worker()
    values = (5, None, [kit.name, None, 2], Ext(FUNCTION, b""), Ext(FUNCTION, b"\xc1"), Ext(FUNCTION, wire.encode(5)),
              Ext(FUNCTION, wire.encode([])), Ext(FUNCTION, wire.encode([kit.name, None])), function(5, None, 2),
              function(kit.name, "x", 2), function(kit.name, None, "x"), Ext(FUNCTION, b"\xdd\xff\xff\xff\xff"))
    for value in values:
        try:
            reply = worker.finish(worker.begin(APPLY, value, 1))
        except Closed:
            worker = worker.pool.again()
            continue
        if reply.error is None:
            kit.complain("apply(%s, 1): expected an error, came %s" % (show(value), show(reply.result)))
    worker.works()


@check("function.limit")
def limit(kit):
    """65,536 closures at a time, then an error; those that are there still work"""
    worker = kit.worker()
    first, last, refused = None, None, 0
    for start in range(0, 66_560, 128):
        kit.renew()
        calls = [worker.begin(ADDER, n) for n in range(start, start + 128)]
        for call in calls:
            reply = worker.finish(call)
            refused += reply.error is not None
            last = last if reply.error is not None else reply.result
            first = first or reply.result
    if refused != 66_560 - 65_536:
        kit.complain("of 66,560 closures %d were refused, expected 1024" % refused)
    expect("the first", invoke(kit, worker, first, 1), 1)
    expect("the last", invoke(kit, worker, last, 1), 65_536)
    expect("echo_text", worker.call(ECHO_TEXT, "on"), "on")
