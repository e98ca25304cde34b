"""Two figures of real runs, from the outside: from a worker's death in a call to the end of nexus with the error, and from
Ctrl-C to the exit of nexus with no process of the run left."""
import os
import signal
import statistics
import subprocess
import time

import program
import run as runs

RUNS = 50
NAP_MS = "60000"


def measure(base):
    directory = os.path.join(base, "figures")
    os.makedirs(os.path.join(directory, "tmp"))
    program.write(base, directory, {}, False)
    runs.adopt_orphans()
    for pool in program.POOLS:
        print("%-8s death to error: %s" % (pool, figure(directory, pool, kill_worker)))
    for pool in ("py",):
        print("%-8s Ctrl-C to nothing left: %s" % (pool, figure(directory, pool, press)))
    return 0


def figure(directory, pool, act):
    took = sorted(once(directory, pool, act) * 1000 for _ in range(RUNS))
    return "median %.1f ms, 9 of 10 below %.1f, most %.1f (%d runs)" % (
        statistics.median(took), took[RUNS * 9 // 10 - 1], took[-1], RUNS)


def once(directory, pool, act):
    """Starts a function that sleeps, and when it does, acts. Seconds from then to the end."""
    nexus = subprocess.Popen([os.path.join(directory, "chaos"), pool + "-double", "1", NAP_MS], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=directory,
                             env={"PATH": "/usr/bin:/bin", "TMPDIR": os.path.join(directory, "tmp")})
    try:
        worker = sleeping(nexus.pid, pool)
        at = time.monotonic()
        act(nexus, worker)
        errors = nexus.stderr.read()
        code = nexus.wait()
        while runs.descendants(os.getpid()):
            runs.reap()
        took = time.monotonic() - at
    finally:
        nexus.kill()
        nexus.wait()
        nexus.stderr.close()
    left = os.listdir(os.path.join(directory, "tmp"))
    if code not in (5, 130) or left:
        raise SystemExit("chaos: expected an error and nothing left, found code %d, %s\n%s" % (code, left, errors.decode()))
    return took


def sleeping(nexus, pool):
    """Waits until the process that runs the function sleeps in it: its thread waits for the clock, and for nothing else."""
    clocks = ("35", "230")  # nanosleep, clock_nanosleep on x86-64
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for pid in runs.descendants(nexus):
            try:
                tasks = os.listdir("/proc/%d/task" % pid)
            except OSError:
                continue
            for task in tasks:
                words = runs.read("/proc/%d/task/%s/syscall" % (pid, task)).decode().split()
                if words and words[0] in clocks:
                    return pid
        time.sleep(0.002)
    raise SystemExit("chaos: no worker of %s sleeps" % pool)


def kill_worker(_, worker):
    os.kill(worker, signal.SIGKILL)


def press(nexus, _):
    nexus.send_signal(signal.SIGINT)
