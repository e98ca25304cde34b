"""The conformance kit against pools that are wrong in one way each: just the checks that should find it must fail.

It tests the kit, not a runtime: python3 tests/conformance/test_kit.py
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
KIT = os.path.join(HERE, "..", "..", "scripts", "pool-conformance")
POOLS = os.path.join(HERE, "bad_pools.py")
RUN_S = 240
TIMEOUT_S = 5
SIDE_BY_SIDE = 4
ALWAYS = ["call.ping", "values.refused", "error.raised"]

# Fault: transport, what is checked besides ALWAYS, and the checks that fail.
EXPECTED = {
    "no-hello": ("unix", ["hello", "call", "end.shutdown"], ["hello"]),
    "no-features": ("unix", ["hello", "call"], ["hello"]),
    "any-version": ("stdio", ["hello"], ["hello.version", "hello.version_stdio"]),
    "wrong-id": ("unix", ["foreign", "cancel.fan"], ["foreign.fan", "foreign.fan_fails", "cancel.fan"]),
    "answers-twice": ("direct", ["error", "call", "nested.call"], ["error.raised", "nested.call"]),
    "wrong-type": ("direct", ["values"], ["values.pid"]),
    "no-sign": ("direct", ["values"], ["values.floats", "values.lists", "values.tuple"]),
    "unnamed": ("direct", ["values"], ["values.big", "values.lists", "values.text", "values.bytes", "values.record",
                                       "values.tuple", "values.tree", "values.refused"]),
    "any-count": ("direct", ["values", "function.closure"], ["values.count", "function.closure"]),
    "dies-at-news": ("unix", ["hello", "call"], ["call.method"]),
    "prints-into-protocol": ("stdio", ["hello", "call"], ["hello.descriptors", "call.print"]),
    "loses-kind": ("direct", ["error", "foreign", "function.apply"],
                   ["error.passes", "foreign.command", "foreign.fan_fails", "function.apply"]),
    "no-parent": ("direct", ["foreign"], ["foreign.fan", "foreign.fan_fails"]),
    "one-by-one": ("direct", ["foreign"], ["foreign.fan", "foreign.fan_fails"]),
    "not-nested": ("direct", ["nested.call", "nested.order", "nested.depth_100", "foreign"],
                   ["nested.call", "nested.order", "nested.depth_100"]),
    "drops-answers": ("direct", ["nested.call", "nested.order", "nested.depth_100", "foreign"], ["nested.order"]),
    "unpinned": ("direct", ["function.apply", "function.pinned", "function.home", "function.compose"],
                 ["function.pinned", "function.compose"]),
    "no-homecoming": ("direct", ["function.apply", "function.pinned", "function.home"], ["function.home"]),
    "no-holds": ("direct", ["function.closure", "function.holds", "function.gone"], ["function.holds"]),
    "swallows-cancel": ("direct", ["cancel.unknown", "cancel.sleeping", "cancel.waiting", "cancel.outer_waiting",
                                   "cancel.no_cancel", "cancel.messages"],
                        ["cancel.sleeping", "cancel.waiting", "cancel.outer_waiting"]),
    "cancels-innermost": ("unix", ["cancel.unknown", "cancel.sleeping", "cancel.waiting", "cancel.outer_waiting",
                                   "cancel.inner"], ["cancel.outer_waiting"]),
    "dies-of-sigint": ("unix", ["cancel.unknown", "cancel.no_cancel", "cancel.inner", "cancel.outer_waiting"],
                       ["cancel.no_cancel", "cancel.inner", "cancel.outer_waiting"]),
    "grows-wrong": ("unix", ["grow", "death"], ["grow.count"]),
    "no-report": ("unix", ["grow.count", "death", "signal", "retire"],
                  ["death.reported", "death.shared", "signal.kill", "retire"]),
    "signals-anyone": ("unix", ["signal", "death"], ["signal.stranger"]),
    "never-retires": ("unix", ["retire", "death"], ["retire", "retire.shared"]),
    "one-connection": ("unix", ["connection", "retire", "death"], ["connection.again"]),
    "outlives": ("unix", ["end.shutdown", "end.control", "end.control_busy", "end.killed", "end.killed_busy"],
                 ["end.control", "end.control_busy", "end.killed", "end.killed_busy"]),
    "leaves-stray": ("unix", ["end.shutdown", "end.shutdown_early", "end.control", "death"],
                     ["end.shutdown", "end.shutdown_early", "end.control"]),
    "no-shutdown": ("unix", ["end.shutdown", "end.shutdown_early", "end.control"], ["end.shutdown", "end.shutdown_early"]),
    "deaf-writer": ("direct", ["large.crossing", "slow"], ["large.crossing"]),
    "hangs-at-garbage": ("unix", ["garbage.frames", "garbage.arguments", "garbage.answers"],
                         ["garbage.frames", "garbage.arguments", "garbage.answers"]),
    "crashes-at-garbage": ("unix", ["garbage.frames", "garbage.lengths", "slow"], ["garbage.frames", "garbage.lengths"]),
}


def kit(*words):
    """Runs the kit: its exit code, what it printed, the checks by status."""
    ran = subprocess.run([sys.executable, KIT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=RUN_S,
                         universal_newlines=True, env={**os.environ, "NO_COLOR": "1"})
    statuses = {"ok": [], "FAILED": [], "skipped": []}
    for status, name in re.findall(r"^(ok|FAILED|skipped) +(\S+)", ran.stdout, re.MULTILINE):
        statuses[status].append(name)
    return ran.returncode, ran.stdout + ran.stderr, statuses


def pool(fault):
    return [sys.executable, POOLS, fault]


class Kit(unittest.TestCase):
    def test_a_good_pool_passes_over_every_transport(self):
        for transport in ("unix", "direct", "stdio"):
            with self.subTest(transport):
                code, text, statuses = kit("--transport", transport, "--", *pool("good"))
                self.assertEqual((code, statuses["FAILED"]), (0, []), text)
                self.assertGreater(len(statuses["ok"]), 70, text)

    def test_each_fault_fails_just_the_checks_that_are_for_it(self):
        def run(fault):
            transport, groups, _ = EXPECTED[fault]
            only = [word for name in ALWAYS + groups for word in ("--only", name)]
            return kit("--transport", transport, "--timeout", str(TIMEOUT_S), *only, "--", *pool(fault))

        # Side by side, for most of the time goes by in waiting for what does not come.
        with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as runs:
            found = {fault: runs.submit(run, fault) for fault in EXPECTED}
        for fault, (_, _, failing) in EXPECTED.items():
            with self.subTest(fault):
                code, text, statuses = found[fault].result()
                self.assertEqual((code, sorted(statuses["FAILED"])), (1, sorted(failing)), "%s:\n%s" % (fault, text[:6000]))

    def test_every_fault_is_tried(self):
        with open(POOLS) as file:
            faults = re.findall(r'^    "([a-z-]+)": "', file.read(), re.MULTILINE)
        self.assertEqual(sorted(faults), sorted(["good", *EXPECTED]))

    def test_a_pool_that_says_no_hello_does_not_cost_the_time_of_every_check(self):
        code, text, statuses = kit("--timeout", "1", "--only", "call", "--only", "values", "--", "sleep", "100")
        self.assertEqual((code, statuses["FAILED"], statuses["ok"]), (1, ["hello"], []), text)
        self.assertLess(float(re.search(r"in ([0-9.]+) s$", text.strip()).group(1)), 5, text)

    def test_a_failure_says_what_was_sent_and_came_and_was_expected(self):
        _, text, _ = kit("--only", "values.pid", "--", *pool("wrong-type"))
        self.assertRegex(text, r"own_pid   '\d+'")
        _, text, _ = kit("--only", "foreign.fan", "--timeout", "1", "--", *pool("wrong-id"))
        self.assertRegex(text, r"worker: sent \[0, 1, 'call', \[11, 'other', 7, 1\]\]")
        self.assertRegex(text, r"an answer has the id 1001, which no open request has")

    def test_mistakes_in_the_words_are_usage_errors(self):
        for words, said in (([], "no pool program is given"), (["/no/such/program"], "there is no program"),
                            (["--only", "calls", "true"], "there is no check 'calls'"),
                            (["--transport", "tcp", "true"], "invalid choice"), (["--timeout", "0", "true"], "--timeout is 0")):
            code, text, _ = kit(*words)
            self.assertEqual(code, 2, text)
            self.assertIn(said, text)

    def test_the_list_and_the_help_start_nothing(self):
        code, text, _ = kit("--list")
        self.assertEqual(code, 0)
        self.assertRegex(text, r"(?m)^cancel\.sleeping +a call that sleeps$")
        code, text, _ = kit("--help")
        self.assertEqual(code, 0)
        self.assertIn("29 tree         &4Tree{value:i8,kids:[^4Tree]} -> i8", text)


if __name__ == "__main__":
    unittest.main()
