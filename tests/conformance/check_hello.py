"""Checks of the start: hello on both channels, versions, and what the environment gives."""
import os
import re

from channel import Skip
from table import check
from wire import show

# What still can be checked of a pool that says no good hello.
WITHOUT_HELLO = ("hello", "hello.version", "hello.version_stdio", "hello.terminal")


@check("hello")
def hello(kit):
    """says hello on every channel: protocol 1, its language, its process id, its features"""
    pool = kit.start()
    worker = pool.connect()
    kit.met = True
    for channel in filter(None, (pool.control, worker)):
        features = channel.hello.get("features")
        if not isinstance(features, list) or not all(isinstance(each, str) for each in features):
            kit.complain("%s: features is %s, expected a list of strings" % (channel.label, show(features)))
    if pool.control is not None and pool.control.hello["pid"] != pool.pid:
        # A pool behind a wrapper, such as a shell script without exec, is another process.
        kit.notes.append("started by way of a wrapper")
    for channel in filter(None, (pool.control, worker)):
        if not os.path.exists("/proc/%d" % channel.hello["pid"]):
            kit.complain("%s: there is no process %d" % (channel.label, channel.hello["pid"]))
    kit.notes.append("%s, %s" % (worker.hello["lang"], worker.hello["runtime"]))
    worker.works()


def refuses_to_start(kit, pool, seconds=5):
    """Waits until the started program has ended, and checks that it gave a reason that names both versions."""
    code = pool.ended(seconds=min(seconds, kit.left()))
    said = pool.printed()
    if code == 0 or code < 0:
        kit.complain("it ended with %d, expected an exit code of 1" % code)
    elif code != 1:
        kit.notes.append("exit code %d" % code)
    if not any(re.search(r"\b1\b", line) and re.search(r"\b2\b", line) for line in said.splitlines()):
        kit.complain("it said %s, expected a sentence that names versions 1 and 2" % show(said.strip()[-300:]))


@check("hello.version")
def version(kit):
    """NEXUS_PROTOCOL=2: exits with 1 and a sentence that names both versions"""
    pool = kit.start(protocol=2, bare=False, hello=False)
    if pool.transport != "unix":
        pool.connect(hello=False)
    refuses_to_start(kit, pool)


@check("hello.version_stdio", "stdio")
def version_stdio(kit):
    """a hello of nexus with protocol 2: exits with 1 and a sentence that names both versions"""
    pool = kit.start(protocol=2)
    pool.connect(hello=False)
    refuses_to_start(kit, pool)


@check("hello.environment", "stdio")
def environment(kit):
    """stdio with the variables of the environment, too"""
    kit.worker(bare=False).works()


@check("hello.first", "stdio")
def first(kit):
    """the worker's hello does not wait for that of nexus; unknown keys in that are ignored"""
    pool = kit.start()
    worker = pool.start_worker(greet=False)
    worker.meet()
    worker.notify("hello", [{"protocol": 1, "pool": kit.name, "features": ["later"], "more": {"x": [1]}}])
    worker.works()


@check("hello.descriptors", "stdio")
def descriptors(kit):
    """user code sees no protocol: descriptor 0 is /dev/null, 1 is a copy of 2"""
    worker = kit.worker()
    try:
        seen = [os.readlink("/proc/%d/fd/%d" % (worker.pid, number)) for number in range(3)]
    except OSError as error:
        raise Skip("the worker's descriptors can't be looked at: %s" % error) from None
    if seen[0] != "/dev/null":
        kit.complain("descriptor 0 is %s, expected /dev/null" % seen[0])
    if seen[1] != seen[2]:
        kit.complain("descriptor 1 is %s, expected %s as 2" % (seen[1], seen[2]))


@check("hello.terminal")
def terminal(kit):
    """started by hand on a terminal: says that it is a pool, and exits with 1"""
    pool = kit.start(by_hand=True)
    code = pool.ended()
    said = pool.printed()
    if code != 1:
        kit.complain("it ended with %d, expected 1" % code)
    if "run the program" not in said:
        kit.complain("it said %s, expected: this is a pool of a nexus program: run the program, not the pool"
                     % show(said.strip()[-300:]))

