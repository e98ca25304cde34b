"""Checks of processes: workers that are added, die, are killed, retire; the ends of a pool, whatever ends it."""
import os
import select
import signal
import time

from check_calls import expect
from channel import Failure, Skip
from table import NAP, OWN_PID, QUIT, RELAY, SLEEP, SPIN, check
from wire import show

# From the death of nexus to that of the last process.
ORPHAN_S = 1.0


def apart(kit):
    """A `unix` pool whose workers are processes of their own, and its first worker."""
    pool = kit.start(isolate=True)
    worker = pool.connect()
    if worker.is_thread:
        raise Failure("NEXUS_ISOLATE is 1, and the worker is in the process of the pool, %d" % worker.pid)
    return pool, worker


# ---- more workers ---------------------------------------------------------------------------------------------------

@check("grow.count", "unix")
def grow(kit):
    """grow answers how many workers there are; what is no number is refused; other requests are errors"""
    pool = kit.start()
    have = max(pool.control.hello["workers"], 1)
    expect("the workers after grow 2", pool.grow(2), have + 2)
    expect("the workers after grow 0", pool.grow(0), have + 2)
    for params in (["x"], [-1], [], [None], [2**40]):
        reply = pool.control.reply(pool.control.request("grow", params))
        if reply.error is None:
            kit.complain("grow %s: expected an error, came %s" % (show(params), show(reply.result)))
    expect("the workers after grow 1", pool.grow(1), have + 3)
    pool.connect().works()


@check("grow.parallel")
def parallel(kit):
    """three workers run at once, each on its own connection"""
    pool = kit.start()
    if pool.control is not None:
        pool.grow(2)
    workers = [pool.connect() for _ in range(3)]
    if not workers[0].is_thread:
        expect("the number of processes", len({worker.pid for worker in workers}), 3)
    calls = [worker.begin(RELAY, "other", 7, n) for n, worker in enumerate(workers)]
    asked = [worker.asks() for worker in workers]
    for worker, request, call in reversed(list(zip(workers, asked, calls))):
        worker.gives(request, 10)
        expect("relay", worker.value(call), 11)
    start = time.monotonic()
    calls = [worker.begin(NAP, 1000) for worker in workers]
    for worker, call in zip(workers, calls):
        expect("nap", worker.value(call), 1000)
    took = time.monotonic() - start
    if not 0.95 <= took < 2.5:
        kit.complain("three naps of 1 s took %.2f s, expected them side by side" % took)


@check("grow.isolated", "unix")
def isolated(kit):
    """NEXUS_ISOLATE=1: each worker is a process of its own"""
    pool, first = apart(kit)
    pool.grow(1)
    second = pool.connect()
    expect("the number of processes", len({pool.control.hello["pid"], first.pid, second.pid}), 3)
    expect("own_pid", [first.call(OWN_PID), second.call(OWN_PID)], [first.pid, second.pid])


# ---- ends of workers ------------------------------------------------------------------------------------------------

@check("death.reported", "unix")
def death(kit):
    """a worker that ends is reported with its exit code; the others go on, and a new one can be had"""
    pool, worker = apart(kit)
    pool.grow(1)
    other = pool.connect()
    call = other.begin(NAP, 300)
    worker.begin(QUIT, 7)
    ended = pool.exit_of(worker.pid)
    expect("exit_code", ended.get("exit_code"), 7)
    expect("signal", ended.get("signal"), None)
    worker.until_over()
    expect("nap of the other", other.value(call), 300)
    pool.grow(1)
    pool.connect().works()
    other.works()


@check("death.code", "direct", "stdio")
def death_alone(kit):
    """a worker that ends keeps its exit code; other workers go on"""
    pool = kit.start()
    worker, other = pool.connect(), pool.connect()
    worker.begin(QUIT, 7)
    expect("the exit code", pool.ended(worker.process), 7)
    worker.until_over()
    other.works()


@check("death.shared", "unix")
def death_shared(kit):
    """without NEXUS_ISOLATE a worker that ends takes along its own process, and it is reported or the pool's end"""
    pool = kit.start()
    worker = pool.connect()
    worker.begin(QUIT, 7)
    if worker.is_thread:
        expect("the exit code of the pool", pool.ended(), 7)
    else:
        expect("exit_code", pool.exit_of(worker.pid).get("exit_code"), 7)
        pool.grow(1)
        pool.connect().works()


@check("signal.kill", "unix")
def kill(kit):
    """signal 9 and 15 to a worker of the pool: reported with the signal; the others go on"""
    pool, worker = apart(kit)
    if "signal" not in pool.features():
        raise Skip('the pool does not name the feature "signal"')
    pool.grow(2)
    others = [pool.connect(), pool.connect()]
    for victim, number in ((worker, signal.SIGKILL), (others[0], signal.SIGTERM)):
        victim.begin(SLEEP, 60.0)
        victim.settle()
        pool.send_signal(victim.pid, number)
        ended = pool.exit_of(victim.pid)
        if ended.get("signal") != number and (number == signal.SIGKILL or ended.get("exit_code") is None):
            kit.complain("worker_exit says %s, expected signal %d" % (show(ended), number))
        victim.until_over()
    others[1].works()


@check("signal.stranger", "unix")
def stranger(kit):
    """signal to a process that is no worker of the pool, and with another number, is ignored"""
    pool, worker = apart(kit)
    if "signal" not in pool.features():
        raise Skip('the pool does not name the feature "signal"')
    child = os.posix_spawnp("sleep", ["sleep", "60"], os.environ)
    kit.children.append(child)
    for pid in (child, pool.control.hello["pid"], os.getpid(), 0, 2**31 - 1):
        for number in (signal.SIGTERM, signal.SIGKILL) if pid != os.getpid() else (signal.SIGCONT,):
            pool.send_signal(pid, number)
    for number in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGHUP, 0, -9, 64, 1000):
        pool.send_signal(worker.pid, number)
    pool.grow(0)
    expect("whether the stranger lives", os.waitpid(child, os.WNOHANG)[0], 0)
    worker.works()


@check("retire", "unix")
def retire(kit):
    """retire: the worker's process exits with 0, the others go on"""
    pool, worker = apart(kit)
    worker.needs("retire")
    pool.grow(1)
    other = pool.connect()
    worker.works()
    worker.notify("retire", [])
    expect("exit_code", pool.exit_of(worker.pid).get("exit_code"), 0)
    worker.until_over()
    other.works()
    pool.grow(1)
    pool.connect().works()


@check("retire.shared", "unix")
def retire_shared(kit):
    """retire without NEXUS_ISOLATE: the worker's connection ends, the others go on"""
    pool = kit.start()
    worker = pool.connect()
    worker.needs("retire")
    pool.grow(1)
    other = pool.connect()
    worker.notify("retire", [])
    worker.until_over()
    other.works()


@check("retire.closed", "direct", "stdio")
def closed(kit):
    """nexus closes the connection of an idle worker: it exits with 0"""
    pool = kit.start()
    worker, other = pool.connect(), pool.connect()
    worker.works()
    worker.shut()
    expect("the exit code", pool.ended(worker.process), 0)
    other.works()


@check("connection.again", "unix")
def again(kit):
    """nexus closes the connection, idle or in a wait for a foreign call: the worker takes the next one"""
    pool = kit.start()
    worker = pool.connect()
    pid = worker.pid
    for case in range(3):
        if case == 1:
            worker.begin(RELAY, "other", 7, 1)
            worker.asks()
        if case == 2 and worker.hello["reentrant"]:
            for mid in (7, 8, 9):
                worker.begin(RELAY, "other", mid, 1)
                worker.asks()
        worker.shut()
        worker = pool.connect()
        expect("the process of the next connection", worker.pid, pid)
        worker.works()
    expect("the reported deaths", pool.exits, [])


@check("connection.lost", "direct", "stdio")
def lost(kit):
    """nexus closes the connection while a function waits for a foreign call: the worker exits"""
    pool = kit.start()
    worker = pool.connect()
    worker.begin(RELAY, "other", 7, 1)
    worker.asks()
    worker.shut()
    pool.ended(worker.process)


@check("connection.lost_busy", "stdio")
def lost_busy(kit):
    """the connection ends while a function sleeps: the worker ends itself, without waiting for the function"""
    pool = kit.start()
    worker = pool.connect()
    worker.begin(SLEEP, 60.0)
    worker.settle()
    worker.shut()
    pool.ended(worker.process)


# ---- ends of the pool -----------------------------------------------------------------------------------------------

@check("end.shutdown", "unix")
def shutdown(kit):
    """shutdown: exits with 0, and nobody is left"""
    pool = kit.start()
    pool.grow(2)
    workers = [pool.connect(), pool.connect()]
    workers[0].works()
    for worker in workers:
        worker.shut()
    pool.control.notify("shutdown", [])
    expect("the exit code", pool.ended(), 0)
    pool.nobody_left()


@check("end.shutdown_early", "unix")
def shutdown_early(kit):
    """shutdown at once after hello, while the first connection is being taken: exits with 0"""
    pool = kit.start()
    pool.control.notify("shutdown", [])
    pool.release_queue()
    expect("the exit code", pool.ended(), 0)
    pool.nobody_left()


@check("end.shutdown_waiting", "unix")
def shutdown_waiting(kit):
    """shutdown when the connection of a function that waits for a foreign call was closed: exits with 0"""
    pool = kit.start()
    worker = pool.connect()
    worker.begin(RELAY, "other", 7, 1)
    worker.asks()
    worker.shut()
    pool.control.notify("shutdown", [])
    expect("the exit code", pool.ended(), 0)
    pool.nobody_left()


def control_ends(kit, busy):
    pool = kit.start()
    pool.grow(1)
    workers = [pool.connect(), pool.connect()]
    if busy:
        workers[0].begin(SPIN, 60.0)
        workers[1].begin(SLEEP, 60.0)
        workers[0].settle()
    pool.control.shut()
    pool.nobody_left(ORPHAN_S)
    expect("whether NEXUS_DIR is there", os.path.exists(pool.dir), False)


@check("end.control", "unix")
def control(kit):
    """the control channel ends: the whole group is gone within a second, and NEXUS_DIR with it"""
    control_ends(kit, False)


@check("end.control_busy", "unix")
def control_busy(kit):
    """the same while functions compute and sleep"""
    control_ends(kit, True)


def orphan(kit, *calls):
    """Starts the pool in a process of its own, kills that by SIGKILL, and waits for the end of all."""
    reader, writer = os.pipe()
    kit.directory()  # made here, so that it is removed whatever happens
    holder = os.fork()
    if holder == 0:
        try:
            pool = kit.start()
            workers = [pool.connect()]
            if len(calls) > 1 and pool.control is not None:
                pool.grow(len(calls) - 1)
            while len(workers) < len(calls):
                workers.append(pool.connect())
            for worker, call in zip(workers, calls):
                worker.begin(*call)
            workers[0].settle()
            os.write(writer, ("%s %s" % (pool.dir or "-", " ".join(map(str, pool.leaders)))).encode())
            while True:
                signal.pause()
        except BaseException as error:
            os.write(writer, ("! %s" % error).encode())
        finally:
            os._exit(1)
    kit.children.append(holder)
    os.close(writer)
    try:
        if not select.select([reader], [], [], max(kit.left(), 0))[0]:
            raise Failure("the pool did not start within %g s" % kit.timeout)
        told = os.read(reader, 4096).decode()
    finally:
        os.close(reader)
    if told.startswith("!"):
        raise Failure("the pool did not start" + told[1:])
    directory = told.split(" ", 1)[0]
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    kit.children.remove(holder)
    start = time.monotonic()
    try:
        kit.until_true("the end of all its processes did not come", lambda: not kit.marked(), ORPHAN_S)
    finally:
        left = kit.marked()
        if left:
            kit.notes.append("alive: %s" % left)
    kit.notes.append("%.0f ms" % (1e3 * (time.monotonic() - start)))
    if directory != "-" and os.path.exists(directory):
        raise Failure("its directory is still there")


@check("end.killed")
def killed(kit):
    """nexus is killed while workers are idle: everything is gone within a second"""
    orphan(kit)


@check("end.killed_waiting")
def killed_waiting(kit):
    """nexus is killed while a function waits for a foreign call"""
    orphan(kit, (RELAY, "other", 7, 1))


@check("end.killed_busy")
def killed_busy(kit):
    """nexus is killed while functions compute or sleep"""
    if kit.transport == "stdio":
        return orphan(kit, (SLEEP, 60.0))
    return orphan(kit, (SPIN, 60.0), (SLEEP, 60.0))


@check("end.killed_loading", "unix", "direct")
def killed_loading(kit):
    """nexus is killed as soon as it has started the pool, which may still load"""
    reader, writer = os.pipe()
    kit.directory()
    kit.directory()  # made here, so that it is removed whatever happens
    holder = os.fork()
    if holder == 0:
        try:
            pool = kit.start(hello=False)
            if pool.transport != "unix":
                pool.connect(hello=False)
            os.write(writer, b"started")
            while True:
                signal.pause()
        finally:
            os._exit(1)
    kit.children.append(holder)
    os.close(writer)
    os.read(reader, 100)
    os.close(reader)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    kit.children.remove(holder)
    kit.until_true("the end of all its processes did not come", lambda: not kit.marked(), ORPHAN_S)
