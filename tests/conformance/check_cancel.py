"""Checks of cancel, and of the SIGINT that comes with it: what it ends, what it must not touch, and that the worker goes on.

Where SIGINT is the point, workers are processes of their own (NEXUS_ISOLATE): a thread can't be sent one.
"""
import time

import wire
from check_calls import expect, fan_out, function
from channel import Failure
from table import ADD, APPLY, FAN, NAP, RELAY, SLEEP, SPIN, check
from wire import show

LONG_S = 60.0


def cancelled(worker, call):
    """Waits until the call has ended as cancelled."""
    kind = worker.failed(call)["kind"]
    if kind != "cancelled":
        raise Failure("the cancelled call ended with the kind %s, expected cancelled" % show(kind))


def press(worker, call):
    """Cancels the call as nexus does: the message, then SIGINT where there is a way for it."""
    worker.cancel(call)
    return worker.interrupt()


def interruptible(worker):
    """Whether the kit can send this worker SIGINT."""
    return worker.pool.transport == "direct" or worker.pool.transport == "unix" and "signal" in worker.pool.features()


@check("cancel.unknown")
def unknown(kit):
    """a cancel for an id that is unknown or finished is ignored"""
    worker = kit.worker()
    worker.cancel(12345)
    call = worker.begin(ADD, 1, 2)
    expect("add", worker.value(call), 3)
    for id in (call, call + 1000, 0, 2**32, 2**63):
        worker.cancel(id)
    worker.works()
    call = worker.begin(NAP, 50)
    worker.cancel(call - 1)
    expect("nap", worker.value(call), 50)


@check("cancel.sleeping")
def sleeping(kit):
    """a call that sleeps"""
    for isolate in (False, True):
        worker = kit.worker(isolate=isolate)
        call = worker.begin(SLEEP, LONG_S if interruptible(worker) else 1.0)
        worker.settle()
        if press(worker, call):
            cancelled(worker, call)
        else:
            reply = worker.finish(call)
            kit.notes.append("without SIGINT it " + ("ran to its end" if reply.error is None else "ended at once"))
            if reply.error is not None:
                expect("the kind", reply.error["kind"], "cancelled")
        worker.works()


@check("cancel.together", "unix", "direct")
def together(kit):
    """call, cancel and SIGINT one right after the other"""
    worker = kit.worker(isolate=True)
    if not interruptible(worker):
        return kit.skip('the pool does not name the feature "signal"')
    for _ in range(5):
        call = worker.begin(SLEEP, LONG_S)
        press(worker, call)
        cancelled(worker, call)
        worker.works()


@check("cancel.queued", "unix", "direct")
def queued(kit):
    """cancel comes in one piece with its call, SIGINT while the call runs"""
    worker = kit.worker(isolate=True)
    if not interruptible(worker):
        return kit.skip('the pool does not name the feature "signal"')
    worker.last_id += 1
    call = worker.last_id
    worker.open[call] = "call"
    worker.send(wire.frame([0, call, "call", [SLEEP, LONG_S]]) + wire.frame([2, "cancel", [call]]))
    worker.settle()
    worker.interrupt()
    cancelled(worker, call)
    worker.works()


@check("cancel.spinning")
def spinning(kit):
    """a call that computes: ends early or runs to its end, and the worker goes on"""
    worker = kit.worker()
    call = worker.begin(SPIN, 1.0)
    worker.settle()
    start = time.monotonic()
    press(worker, call)
    reply = worker.finish(call)
    if reply.error is not None:
        expect("the kind", reply.error["kind"], "cancelled")
    kit.notes.append("ran to its end" if reply.error is None else "ended after %.0f ms" % (1e3 * (time.monotonic() - start)))
    worker.works()


@check("cancel.waiting")
def waiting(kit):
    """a call that waits for a foreign call; the answer that comes later is ignored, so is a late SIGINT"""
    worker = kit.worker()
    for signalled in (False, True):
        call = worker.begin(RELAY, "other", 7, 1)
        request = worker.asks()
        worker.cancel(call)
        if signalled:
            worker.interrupt()
        cancelled(worker, call)
        worker.gives(request, 5)
        worker.interrupt()
        worker.settle()
        worker.works()
        call = worker.begin(RELAY, "other", 8, 1)
        worker.gives(worker.asks(), 30)
        expect("relay afterwards", worker.value(call), 31)


@check("cancel.fan")
def fan(kit):
    """a call that waits for several foreign calls; their answers are ignored"""
    worker = kit.worker()
    call = worker.begin(FAN, "other", 7, 5)
    requests = fan_out(worker, call, 5)
    worker.gives(requests[4], 1)
    press(worker, call)
    cancelled(worker, call)
    for request in requests[:4]:
        worker.gives(request, 1)
    worker.works()


@check("cancel.function")
def applied(kit):
    """a call that waits for a function value of another pool"""
    worker = kit.worker()
    call = worker.begin(APPLY, function("other", 4711, 77), 10)
    request = worker.asks()
    press(worker, call)
    cancelled(worker, call)
    worker.gives(request, error={"kind": "cancelled", "message": "x"})
    worker.works()


@check("cancel.outer_waiting")
def outer_waiting(kit):
    """an outer call while a nested one waits: the nested one finishes, then the outer ends"""
    worker = kit.worker()
    worker.needs("reentrant")
    outer, outer_asked = worker.begin(RELAY, "other", 7, 1), worker.asks()
    inner, inner_asked = worker.begin(RELAY, "other", 8, 1), worker.asks()
    press(worker, outer)
    expect("add, nested", worker.call(ADD, 1, 2), 3)
    worker.gives(inner_asked, 20)
    expect("the nested call", worker.value(inner), 21)
    cancelled(worker, outer)
    worker.gives(outer_asked, 10)
    worker.works()


@check("cancel.outer_running")
def outer_running(kit):
    """an outer call while a nested one runs: the nested one is not disturbed, then the outer ends"""
    worker = kit.worker()
    worker.needs("reentrant")
    for mid, arg, result in ((NAP, 700, 700), (SPIN, 0.7, None)):
        outer, asked = worker.begin(RELAY, "other", 7, 1), worker.asks()
        start = time.monotonic()
        inner = worker.begin(mid, arg)
        worker.settle()
        press(worker, outer)
        expect("the nested call", worker.value(inner), result)
        if time.monotonic() - start < 0.6:
            kit.complain("the nested call %d took %.2f s, expected 0.7" % (mid, time.monotonic() - start))
        cancelled(worker, outer)
        worker.gives(asked, 10)
        worker.works()


@check("cancel.inner")
def inner_only(kit):
    """a nested call: the outer one is not disturbed"""
    worker = kit.worker()
    worker.needs("reentrant")
    outer, outer_asked = worker.begin(RELAY, "other", 7, 1), worker.asks()
    inner, inner_asked = worker.begin(RELAY, "other", 8, 1), worker.asks()
    press(worker, inner)
    cancelled(worker, inner)
    worker.gives(inner_asked, 20)
    expect("add, nested", worker.call(ADD, 1, 2), 3)
    worker.gives(outer_asked, 10)
    expect("the outer call", worker.value(outer), 11)
    worker.works()


@check("cancel.all")
def every(kit):
    """all of five nested calls at once: each ends as cancelled"""
    worker = kit.worker()
    worker.needs("reentrant")
    calls, asked = [], []
    for _ in range(5):
        calls.append(worker.begin(RELAY, "other", 7, 1))
        asked.append(worker.asks())
    for call in calls:
        press(worker, call)
    for call in reversed(calls):
        cancelled(worker, call)
    for request in asked:
        worker.gives(request, 1)
    worker.works()


@check("cancel.twice")
def twice(kit):
    """the same cancel again and again changes nothing"""
    worker = kit.worker()
    call, request = worker.begin(RELAY, "other", 7, 1), worker.asks()
    for _ in range(20):
        press(worker, call)
    cancelled(worker, call)
    worker.gives(request, 1)
    for _ in range(20):
        press(worker, call)
    worker.works()


@check("cancel.no_cancel", "unix", "direct")
def signal_alone(kit):
    """SIGINT without a cancel is ignored: idle, in a sleep, in a wait for a foreign call"""
    worker = kit.worker(isolate=True)
    if not worker.interrupt():
        return kit.skip('the pool does not name the feature "signal"')
    worker.settle()
    worker.works()
    for mid, arg, result in ((NAP, 600, 600), (SPIN, 0.6, None)):
        call, start = worker.begin(mid, arg), time.monotonic()
        for _ in range(3):
            worker.settle()
            worker.interrupt()
        expect("the call", worker.value(call), result)
        if time.monotonic() - start < 0.5:
            kit.complain("call %d took %.2f s, expected 0.6" % (mid, time.monotonic() - start))
    call, request = worker.begin(RELAY, "other", 7, 1), worker.asks()
    worker.interrupt()
    worker.settle()
    worker.gives(request, 1)
    expect("relay", worker.value(call), 2)
    worker.works()


@check("cancel.messages", "unix", "direct")
def messages(kit):
    """what is read at a SIGINT and is no cancel is kept: a ping and a call behind the running one are answered"""
    worker = kit.worker(isolate=True)
    call = worker.begin(NAP, 600)
    worker.settle()
    ping = worker.request("ping", [])
    behind = worker.begin(ADD, 3, 4)
    if not worker.interrupt():
        return kit.skip('the pool does not name the feature "signal"')
    expect("nap", worker.value(call), 600)
    expect("ping", worker.reply(ping).result, None)
    expect("add", worker.value(behind), 7)
    worker.works()
