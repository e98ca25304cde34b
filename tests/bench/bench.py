"""Prints the project's figures: bench.py DIR, where scripts/bench has built all it measures.

Every figure stands beside a floor or a peer that was measured in the same run, in turns with it: on a busy machine both
move. Only prints: a figure that misses its goal is no error.
"""
import json
import os
import random
import signal
import shutil
import subprocess
import sys
import time

import flowing
import serving

WORK = os.path.abspath(sys.argv[1])
BENCH = os.path.join(WORK, "program", "bench")
LANGUAGES = os.path.join(WORK, "languages", "languages")
HELLO = os.path.join(WORK, "hello-static")
LENGTH_IN_PYTHON = "import json, sys; print(len(json.load(open(sys.argv[1]))))"


def main():
    table("what", "measured", "beside it", "ratio", "goal", "")
    commands()
    round_trips()
    chains()
    languages()
    ends()
    large()
    pipes()
    built()
    serving.rows(WORK, row, run, measure)
    flowing.rows(WORK, row, run)
    for count, rounds, goal_ms, goal_mib in ((10**6, 5, 60, 60), (10**7, 3, 600, 400)):
        floats(count, rounds, goal_ms, goal_mib)
    throughput()


def table(*cells):
    print("%-36s %16s   %-32s %8s   %-16s %s" % cells, flush=True)


def row(what, value, unit, peer_name, peer, goal=None, by_ratio=False, goal_unit=None):
    """One figure and what it is held against; `goal` is an upper bound of the value or of its ratio to the peer."""
    # The kernel rounds the memory of a small process down, even to nothing.
    ratio = value / peer if peer else float("nan")
    verdict, goal_text = "", "-"
    if goal is not None:
        measured = ratio if by_ratio else value
        goal_text = "%g x" % goal if by_ratio else "%g %s" % (goal, goal_unit or unit)
        verdict = "met" if measured <= goal else "missed by %.0f %%" % (100 * measured / goal - 100)
    number = "%.0f" if value >= 1000 else "%.3g"
    beside = "%s: %s" % (peer_name, number % peer if peer >= 1000 else "%.3g" % peer)
    table(what, "%s %s" % (number % value, unit), beside, "%.2f" % ratio, goal_text, verdict)


def run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout


def measure(rounds, *commands):
    """The median time in milliseconds and the peak memory in KiB of each command, run in turns."""
    words = [word for command in commands for word in ("::", *command)][1:]
    lines = run(os.path.join(WORK, "measure"), str(rounds), *words).splitlines()
    return [(int(median) / 1e6, int(peak)) for median, _, peak in map(str.split, lines)]


def commands():
    (pure_ms, pure_kib), (hello_ms, hello_kib) = measure(1000, [BENCH, "pure"], [HELLO])
    row("pure command, start to exit", pure_ms * 1000, "us", "static Rust hello", hello_ms * 1000, 1.5, by_ratio=True)
    size, hello_size = (os.path.getsize(os.path.realpath(path)) / 1000 for path in (BENCH, HELLO))
    row("static binary", size, "KB", "static Rust hello", hello_size, 600)
    row("peak memory of a pure command", pure_kib, "KiB", "static Rust hello", hello_kib, 2048)
    (cpp_ms, _), (hello_ms, _) = measure(200, [BENCH, "length", "[1,2,3]"], [HELLO])
    row("C++ command, whole", cpp_ms, "ms", "static Rust hello", hello_ms, 2.5)
    (py_ms, _), (pass_ms, _) = measure(60, [BENCH, "py-length", "[1,2,3]"], ["python3", "-c", "pass"])
    row("Python command, above python3", py_ms - pass_ms, "ms", "python3 -c pass", pass_ms, 6)


def round_trips():
    # On one processor, all of them: over two, the time is that of waking the other, on either side of the comparison.
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    relay, cpp, to_py, from_py = [], [], [], []
    for _ in range(3):
        relay.append(float(run(os.path.join(WORK, "relay"), "5000")) / 1000)
        cpp.append(float(run(BENCH, "trips", "5000")) / 1000)
        from_py.append(float(run(BENCH, "py-trips", "2000")) / 1000)
        to_py.append(float(run(BENCH, "trips-to-py", "2000")) / 1000)
    short, long = ("[%s]" % ",".join(["0"] * count) for count in (1000, 11000))
    (short_ms, _), (long_ms, _) = measure(20, [BENCH, "composed-trips", short], [BENCH, "composed-trips", long])
    os.sched_setaffinity(0, processors)
    row("call from a composition to C++", (long_ms - short_ms) / 10, "us", "a call from C++ to C++", min(cpp), 1.3, by_ratio=True)
    floor = min(relay)
    row("C++ to C++ and back, 64 bytes", min(cpp), "us", "bare epoll relay", floor, 1.6, by_ratio=True)
    row("Python to C++ and back, 64 bytes", min(from_py), "us", "bare epoll relay", floor, 60)
    row("C++ to Python and back, 64 bytes", min(to_py), "us", "bare epoll relay", floor)


def chains():
    """Calls that alternate between Python and C++, one worker each, timed where no start counts."""
    pools = '["cpp","py"]'
    by_depth = {depth: float(run(LANGUAGES, "drive-time_chain", pools, str(depth), str(times))) / 1000
                for depth, times in ((10, 200), (100, 50), (1000, 10))}
    per_level = {depth: ms / depth * 1000 for depth, ms in by_depth.items()}
    for depth, goal in ((100, 20), (1000, 200)):
        name = "Python and C++ in turn, depth %d" % depth
        row(name, by_depth[depth], "ms", "us a level, depth 10", per_level[10], goal)
    row("cost of a level at depth 1000", per_level[1000], "us", "us a level, depth 10", per_level[10], 1.3, by_ratio=True)


def languages():
    """A whole command in a language above a bare start of its interpreter."""
    bare_r = ["env", "R_DEFAULT_PACKAGES=NULL", "R", "--vanilla", "--no-echo", "-e", "0"]
    for name, command, bare, goal in (("R", "r-add", bare_r, 15), ("JavaScript", "js-add", ["node", "-e", "0"], 10)):
        (ms, _), (bare_ms, _) = measure(20, [LANGUAGES, command, "1", "2"], bare)
        row("%s command, above its interpreter" % name, ms - bare_ms, "ms", "bare start", bare_ms, goal)


def ends():
    """Deaths and signals, and what a program takes while it waits."""
    deaths = sorted(float(run(LANGUAGES, "drive-time_death", "py")) / 1000 for _ in range(11))
    (cpp_ms, _), = measure(20, [LANGUAGES, "cpp-add", "1", "2"])
    row("death of a worker to the error", deaths[5], "ms", "a whole C++ command", cpp_ms, 20)
    times = []
    for _ in range(11):
        with sitting() as nexus:
            start = time.perf_counter()
            nexus.send_signal(signal.SIGINT)
            nexus.wait()
            times.append((time.perf_counter() - start) * 1000)
    row("Ctrl-C to everything gone", sorted(times)[5], "ms", "a whole C++ command", cpp_ms, 50)
    with sitting() as nexus:
        mib = sum(proportional_kib(pid) for pid in family(nexus.pid)) / 1024
        nexus.send_signal(signal.SIGINT)
    bare = subprocess.Popen(["python3", "-c", "print('sitting', flush=True); input()"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    bare.stdout.readline()
    bare_mib = proportional_kib(bare.pid) / 1024
    bare.communicate(b"\n")
    row("idle memory, a Python worker, PSS", mib, "MiB", "bare python3", bare_mib, 20)


def sitting():
    """A program whose Python worker sleeps."""
    nexus = subprocess.Popen([LANGUAGES, "drive-sit", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
    nexus.stderr.readline()
    return nexus


def family(pid):
    """A process and all below it."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [pid] + [below for child in file.read().split() for below in family(int(child))]


def proportional_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def large():
    """Floats from Python to C++ and back, without their making."""
    mib = 64
    echo = float(run(LANGUAGES, "drive-time_echo", "cpp", str(mib << 17), "7"))
    floor = float(run(os.path.join(WORK, "copy"), str(mib << 20), "7")) / 1000
    row("%d MiB of floats, Python, C++, back" % mib, echo, "ms", "bare copy, fresh buffers", floor, 1.5, by_ratio=True)


def pipes():
    """Lines through two programs, to a pipe that nobody keeps."""
    mib = 256
    packed = os.path.join(WORK, "lines.msgpack")
    if not os.path.exists(packed):
        line = b"the quick brown fox jumps over the lazy dog, and again, and again\n"
        text = (line * ((mib << 20) // len(line) + 1))[:mib << 20]
        with open(packed + ".new", "wb") as file:
            file.write(b"\xc6" + len(text).to_bytes(4, "big") + text)
        os.rename(packed + ".new", packed)
    ours = ["sh", "-c", '"$0" --raw cats "@$1" > /dev/null', BENCH, packed]
    shells = ["sh", "-c", 'cat "$0" | cat | cat > /dev/null', packed]
    (ms, _), (peer, _) = measure(5, ours, shells)
    row("%d MiB of lines |> cat |> cat" % mib, ms, "ms", "cat FILE | cat | cat", peer, 1.3, by_ratio=True)


def built():
    """What nexus build takes, and what it makes of a composition."""
    folder, tool = os.path.join(WORK, "many"), os.path.join(WORK, "nexus")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, "many.py"), "w") as file:
        for number in range(50):
            file.write('def f%d(x: float, n: int = 2) -> float:\n    """Function %d."""\n    return x * n\n\n\n' % (number, number))
    anew = ["sh", "-c", 'rm -rf "$1/many.pools" "$1/many.manifest" "$1/many"; exec "$0" build "$1" 2>/dev/null', tool, folder]
    (build_ms, _), (pass_ms, _) = measure(20, anew, ["python3", "-c", "pass"])
    row("nexus build, 50 Python functions", build_ms, "ms", "python3 -c pass", pass_ms, pass_ms + 50)
    (again_ms, _), (pass_ms, _) = measure(20, [tool, "build", folder], ["python3", "-c", "pass"])
    row("the same when nothing has changed", again_ms, "ms", "python3 -c pass", pass_ms)
    folder = os.path.join(WORK, "naps")
    os.makedirs(folder, exist_ok=True)
    for name, text in (("nap.py", NAP), ("naps.loc", NAPS)):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    run("sh", "-c", 'exec "$0" build "$1" 2>&1', tool, folder)
    naps = os.path.join(folder, "naps")
    (eight_ms, _), (none_ms, _) = measure(10, [naps, "eight", "100"], [naps, "eight", "0"])
    row("par of 8 sleeps of 100 ms in Python", eight_ms - none_ms, "ms", "the same without sleeping", none_ms, 130)


NAP = """import time


def nap(ms: int) -> int:
    time.sleep(ms / 1000)
    return ms
"""

NAPS = """module naps (eight)

source Py from "nap.py" ("nap")

eight :: Int -> [Int]
eight ms = par [nap ms, nap ms, nap ms, nap ms, nap ms, nap ms, nap ms, nap ms]
"""


def floats(count, rounds, goal_ms, goal_mib):
    path = os.path.join(WORK, "floats-%d.json" % count)
    if not os.path.exists(path):
        numbers = random.Random(count)
        with open(path + ".new", "w") as file:
            file.write("[" + ",".join(repr(numbers.random()) for _ in range(count)) + "]")
        os.rename(path + ".new", path)
    found = measure(rounds, [BENCH, "length", "@" + path], ["python3", "-c", LENGTH_IN_PYTHON, path])
    (ms, kib), (python_ms, python_kib) = found
    name = "1e%d floats, JSON to a C++ length" % (len(str(count)) - 1)
    row(name, ms, "ms", "json.load by python3", python_ms, goal_ms)
    row("  its largest process", kib / 1024, "MiB", "json.load by python3", python_kib / 1024, goal_mib)


def throughput():
    """Speeds, of which more is better: here the goal is a lower bound."""
    with open(os.path.join(WORK, "floats-%d.json" % 10**6)) as file:
        text = file.read()
    values, there = timed(json.loads, text)
    _, back = timed(json.dumps, values)
    peers = [len(text) / 1e6 / seconds for seconds in (there, back)]
    with open(os.path.join(WORK, "throughput")) as file:
        lines = [line for line in file if "MB/s" in line]
    for line in lines:
        words = line.split()
        speeds = [float(words[at - 1]) for at, word in enumerate(words) if word == "MB/s"]
        name = line[:10].strip()
        for direction, speed, peer, goal in zip(("to", "from"), speeds, peers, (450, 500)):
            what, value = "%s: JSON %s msgpack" % (name, direction), "%.0f MB/s" % speed
            if name != "floats":
                table(what, value, "", "", "-", "")
                continue
            beside = "json of python3: %.0f" % peer
            verdict = "met" if speed >= goal else "missed by %.0f %%" % (100 - 100 * speed / goal)
            table(what, value, beside, "%.2f" % (speed / peer), "%d MB/s" % goal, verdict)
        if name == "floats":
            viewed()


def viewed():
    """The same floats through the shipped binary, with its start, reading and writing."""
    text, packed = (os.path.join(WORK, "floats-1000000." + ending) for ending in ("json", "msgpack"))
    view = [os.path.join(WORK, "nexus"), "view", "--schema", "[f8]"]
    with open(packed, "wb") as file:
        subprocess.run([*view, "--to", "msgpack", text], stdout=file, check=True)
    found = measure(10, [*view, "--to", "msgpack", text], [*view, packed], ["cat", text])
    there, back, cat = (os.path.getsize(text) / 1e3 / ms for ms, _ in found)
    for direction, speed in (("to", there), ("from", back)):
        what = "  by nexus view, JSON %s msgpack" % direction
        table(what, "%.0f MB/s" % speed, "cat: %.0f" % cat, "%.2f" % (speed / cat), "-", "")


def timed(work, argument):
    start = time.perf_counter()
    result = work(argument)
    return result, time.perf_counter() - start


main()
