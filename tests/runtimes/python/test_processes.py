"""The processes of a real Python pool: how they start, grow, are signalled, end and die with nexus; each transport.

It does not test nexus: played.py stands in for it. Run it with the interpreter to be tested.
"""
import os
import shutil
import signal
import subprocess
import sys
import unittest

import played
from played import RUNTIME_DIR, WAIT_S, PoolTest, framed


class TestProcesses(PoolTest):
    def test_shutdown(self):
        pool = self.pool()
        pool.hello()
        line, hello = pool.connect()
        line.call(9)
        line.socket.close()
        code, output = pool.shut_down()
        self.assertEqual((code, sorted(output)), (0, sorted("out half" + "err\n")))
        self.gone(hello["pid"])

    def test_prints_and_exit_hooks_happen_once(self):
        pool = self.pool({1: ("late", [], "z")}, """
            import atexit
            print("once,", end=" ")
            atexit.register(print, "of the parent")
            def late(): atexit.register(print, "of the worker")
        """)
        line, _ = pool.connect()
        self.assertEqual(line.call(1), (None, None))
        line.socket.close()
        self.assertEqual(pool.shut_down(), (0, "once, of the worker\nof the parent\n"))

    def test_signals_end_the_pool_quietly(self):
        pool = self.pool()
        pool.hello()
        line, hello = pool.connect()
        line.socket.close()
        os.killpg(pool.process.pid, signal.SIGTERM)
        output, _ = pool.process.communicate(timeout=WAIT_S)
        self.assertEqual((pool.process.returncode, output), (-signal.SIGTERM, b""))
        self.gone(hello["pid"])

    def test_signals_that_nexus_asks_for(self):
        pool, line, pid = self.connected()
        pool.hello()
        for params in ([], [pid], [pid, signal.SIGSTOP], [pid, "x"], [[], 9], [os.getpid(), signal.SIGTERM], [-pid, 9]):
            pool.control.send([2, "signal", params])
        pool.control.send([2, "signal", [pid, signal.SIGINT]])  # no cancel waits: nothing
        self.assertEqual(pool.control.request("grow", [0]), 1)
        self.assertEqual(pool.control.receive(), [1, 1, None, 1])
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        line.request("call", [12])
        for number in (signal.SIGTERM, signal.SIGKILL):
            pool.control.send([2, "signal", [pid, number]])
            self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": pid, "signal": number}]])
            pool.control.send([2, "signal", [pid, number]])  # it is gone
            id = pool.control.request("grow", [1])
            self.assertEqual(pool.control.receive(), [1, id, None, 1])
            line, hello = pool.connect()
            pid = hello["pid"]
            line.socket.close()

    def test_retire(self):
        pool, line, pid = self.connected()
        pool.hello()
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        line.send([2, "retire", []])
        self.assertIsNone(line.receive())
        self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": pid, "exit_code": 0}]])

    def test_another_version_of_the_protocol(self):
        pool = self.pool(env={"NEXUS_PROTOCOL": "2"})
        output, _ = pool.process.communicate(timeout=WAIT_S)
        self.assertEqual((pool.process.returncode, output.decode()),
                         (1, "nexus speaks version 2 of the pool protocol, this nexus_pool.py version 1: replace it with "
                             "the output of `nexus runtime py`\n"))

    def test_grow(self):
        pool = self.pool()
        pool.hello()
        for number, total in ((2, 3), (0, 3), (1, 4)):
            id = pool.control.request("grow", [number])
            self.assertEqual(pool.control.receive(), [1, id, None, total])
        lines = [pool.connect() for _ in range(4)]
        self.assertEqual(len({hello["pid"] for _, hello in lines}), 4)
        for line, _ in lines:
            self.assertEqual(line.call(1, 2, 3), (None, 5))
            line.socket.close()
        together = b"".join(framed([0, id, "grow", [0]]) for id in (11, 12, 13))
        pool.control.socket.sendall(together)
        self.assertEqual([pool.control.receive() for _ in range(3)], [[1, id, None, 4] for id in (11, 12, 13)])
        for params in ([-1], ["x"], [], [1 << 40]):
            id = pool.control.request("grow", params)
            kind, answered, error, _ = pool.control.receive()
            self.assertEqual((kind, answered, error["kind"]), (1, id, "protocol"))
        id = pool.control.request("shrink", [1])
        self.assertEqual(pool.control.receive()[2]["kind"], "protocol")
        self.assertEqual(pool.shut_down()[0], 0)
        for _, hello in lines:
            self.gone(hello["pid"])

    def test_deaths_are_reported(self):
        pool = self.pool()
        pool.hello()
        for mid, args, how in ((10, [3], {"exit_code": 3}), (10, [None], {"exit_code": 0}), (11, [], {"signal": 9}),
                               (25, ["why"], {"exit_code": 1}), (26, [], {"exit_code": 130})):
            line, hello = pool.connect()
            line.request("call", [mid, *args])
            self.assertIsNone(line.receive())
            self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": hello["pid"], **how}]])
            line.socket.close()
            id = pool.control.request("grow", [1])
            self.assertEqual(pool.control.receive(), [1, id, None, 1])

    def test_a_frame_that_is_no_message_ends_the_worker(self):
        pool = self.pool()
        pool.hello()
        line, hello = pool.connect()
        line.socket.sendall(b"\0\0\0\1\xc1")
        self.assertIsNone(line.receive())
        self.assertEqual(pool.control.receive(), [2, "worker_exit", [{"pid": hello["pid"], "exit_code": 70}]])
        line.socket.close()

    def test_code_that_does_not_load(self):
        pool = self.pool({}, "import no_such_module")
        output, _ = pool.process.communicate(timeout=WAIT_S)
        self.assertEqual(pool.process.returncode, 1)
        self.assertIn("no_such_module", output.decode())
        self.assertIsNone(pool.control.receive())

    def test_started_by_hand(self):
        terminal, ours = os.openpty()
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.close, ours)
        done = subprocess.run([sys.executable, "-c", "import nexus_pool; nexus_pool.serve()"], stderr=subprocess.PIPE,
                              stdin=terminal, env={**os.environ, "PYTHONPATH": RUNTIME_DIR}, timeout=WAIT_S)
        self.assertEqual((done.returncode, done.stderr.decode()),
                         (1, "this is a pool of a nexus program: run the program, not the pool\n"))

    def test_the_parent_dies(self):
        pool = self.pool()
        pool.hello()
        line, _ = pool.connect()
        pool.process.kill()
        self.assertIsNone(pool.control.receive())
        line.socket.close()

    def check_abandoned(self, pool, pids):
        self.assertEqual(pool.process.wait(timeout=WAIT_S), -signal.SIGKILL)
        for pid in pids:
            self.gone(pid)
        self.assertFalse(os.path.exists(pool.dir))

    def test_control_ends(self):
        for mid in (12, 23):
            pool = self.pool()
            pool.hello()
            line, hello = pool.connect()
            line.request("call", [mid])
            pool.control.socket.close()
            self.check_abandoned(pool, [hello["pid"]])
            line.socket.close()

    def test_life_pipe_ends_while_user_code_loads(self):
        pool = self.pool({}, "import os, sys\nprint('loading')\nwhile True: pass")
        self.assertEqual(pool.process.stdout.readline(), b"loading\n")
        os.makedirs(os.path.join(pool.dir, "a", "b"))
        os.symlink("/", os.path.join(pool.dir, "a", "link"))
        os.close(pool.life)
        pool.life = os.open(os.devnull, os.O_RDONLY)
        self.check_abandoned(pool, [])

    def test_nexus_is_killed(self):
        for mid in (12, 23, 0):
            with self.subTest(mid=mid):
                nexus = subprocess.Popen([sys.executable, played.__file__, str(mid)], stdout=subprocess.PIPE)
                dir, code, *pids = nexus.stdout.readline().decode().split()
                self.addCleanup(shutil.rmtree, code)
                nexus.kill()
                nexus.communicate(timeout=WAIT_S)
                for pid in pids:
                    self.gone(int(pid))
                self.assertFalse(os.path.exists(dir))

if __name__ == "__main__":
    unittest.main()
