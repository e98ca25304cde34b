#!/usr/bin/env python3
"""Runs small programs on the real nexus, and ruins them: see kinds.py for the faults, run.py for what must be true after
each. Every run is drawn from a seed of its own; one that fails prints the command that does it again.

    chaos.py NEXUS [--seconds N] [--only KIND]... [--seed N] [--runs N]
    chaos.py NEXUS --figures          how long it takes until a death is told, and until Ctrl-C has ended everything
    chaos.py --list
"""
import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback

import figures
import kinds
import program
import run as runs

LANES = 2
NICENESS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nexus", nargs="?", help="the binary under test")
    parser.add_argument("--seconds", type=float, default=20, help="how long (20)")
    parser.add_argument("--runs", type=int, help="how many runs, instead of how long")
    parser.add_argument("--seed", type=int, help="does the run of that seed, and no other")
    parser.add_argument("--only", action="append", choices=list(kinds.KINDS), help="a kind of fault")
    parser.add_argument("--list", action="store_true", help="lists the kinds")
    parser.add_argument("--figures", action="store_true", help="measures instead")
    parser.add_argument("--keep", action="store_true", help="leaves the directory of the program")
    options = parser.parse_args()
    if options.list:
        for name, (kind, _) in kinds.KINDS.items():
            print("%-12s %s" % (name, (kind.__doc__ or "").split(".")[0].replace("\n   ", "")))
        return 0
    if not options.nexus or not os.access(options.nexus, os.X_OK):
        parser.error("expected the path of a nexus binary, found %r" % options.nexus)
    base = tempfile.mkdtemp(prefix="nexus-chaos.")
    os.chmod(base, 0o755)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        program.build(options.nexus, base)
        return figures.measure(base) if options.figures else rage(options, base)
    finally:
        if not options.keep:
            shutil.rmtree(base, ignore_errors=True)


def rage(options, base):
    names = list(dict.fromkeys(options.only or kinds.KINDS))
    for name in list(names):
        why = kinds.cannot(name)
        if why:
            print("chaos: %s is left out: %s" % (name, why), file=sys.stderr)
            names.remove(name)
    if not names:
        return 77
    if "syscalls" in names:
        kinds.calls.update(kinds.system_calls(base, os.path.join(base, "calls")))
    first = random.SystemRandom().randrange(1_000_000) * 1000 if options.seed is None else options.seed
    end = time.monotonic() + options.seconds
    if options.seed is not None or options.runs:
        end = float("inf")
    count = 1 if options.seed is not None else options.runs or sys.maxsize
    lanes = [Lane(base, names, range(first + lane, first + count, LANES), end) for lane in range(min(LANES, count))]
    try:
        return follow(options, lanes)
    finally:
        for lane in lanes:
            lane.end()


class Lane:
    """A process that does one run after the other, and writes a line about each."""

    def __init__(self, base, names, seeds, end):
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self.reader)
                self.work(base, names, seeds, end, writer)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writer)
        self.file = os.fdopen(self.reader)

    @staticmethod
    def work(base, names, seeds, end, writer):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.nice(NICENESS)
        runs.adopt_orphans()
        for seed in seeds:
            if time.monotonic() > end or os.getppid() == 1:
                break
            line = json.dumps(one(base, names, seed)) + "\n"
            os.write(writer, line.encode())

    def end(self):
        self.file.close()
        for pid in [self.pid, *runs.descendants(self.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        os.waitpid(self.pid, 0)


def one(base, names, seed):
    """Does the run of that seed."""
    draw = random.Random(seed)
    weights = [kinds.KINDS[name][1] for name in names]
    name = draw.choices(names, weights)[0]
    directory = os.path.join(base, "run-%d" % seed)
    run = runs.Run(base, directory, seed, name, draw)
    outcome, problem = "", None
    try:
        kinds.KINDS[name][0](run)
        run.perform()
        outcome = "result" if run.code == 0 else "killed" if run.code < 0 else str(run.code)
        outcome += " (directory left)" if run.left_bare and os.listdir(run.temp) else ""
    except runs.Failure as failure:
        outcome, problem = "FAILED", str(failure)
    except Exception:
        outcome, problem = "FAILED", "chaos itself: " + traceback.format_exc()
    finally:
        kinds.unmount(run.temp)
        if problem is None:
            runs.remove(directory)
    return {"seed": seed, "kind": name, "outcome": outcome, "seconds": run.ended_s - run.started_s, "problem": problem,
            "words": [str(word)[:80] for word in run.words], "policy": run.policy, "done": run.done}


def follow(options, lanes):
    rows, failed, done = {}, 0, 0
    files = {lane.file: lane for lane in lanes}
    is_terminal = sys.stderr.isatty()
    while files:
        for file in select.select(list(files), [], [])[0]:
            line = file.readline()
            if not line:
                del files[file]
                continue
            told = json.loads(line)
            row = rows.setdefault(told["kind"], {"runs": 0, "slowest": 0.0, "seed": 0, "outcomes": {}})
            row["runs"] += 1
            row["outcomes"][told["outcome"]] = row["outcomes"].get(told["outcome"], 0) + 1
            if told["seconds"] > row["slowest"]:
                row["slowest"], row["seed"] = told["seconds"], told["seed"]
            done += 1
            if is_terminal:
                print("\r\x1b[K%d runs, %d failed, %s" % (done, failed, told["kind"]), end="", file=sys.stderr, flush=True)
            if told["problem"]:
                failed += 1
                report(options, told)
            elif options.seed is not None:
                print("%s: %s\n  %s %s\n  %s" % (told["kind"], told["outcome"], " ".join(told["words"]), told["policy"],
                                                 "; ".join(told["done"])))
    if is_terminal:
        print("\r\x1b[K", end="", file=sys.stderr)
    sys.stderr.flush()
    print("%-12s %5s  %-9s %s" % ("fault", "runs", "slowest", "outcomes"))
    for name in kinds.KINDS:
        if name in rows:
            row = rows[name]
            outcomes = ", ".join("%s %d" % pair for pair in sorted(row["outcomes"].items()))
            print("%-12s %5d  %6.2f s  %s" % (name, row["runs"], row["slowest"], outcomes))
    print("%d runs, %d failed" % (done, failed))
    return 1 if failed or not done else 0


def report(options, told):
    only = "".join(" --only %s" % name for name in options.only or [])
    print("\nFAILED %s: %s\n  chaos %s %s\n  %s\n  again: %s %s%s --seed %d" % (
        told["kind"], told["problem"], " ".join(told["words"]), told["policy"], "\n  ".join(told["done"]), sys.argv[0],
        options.nexus, only, told["seed"]), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
