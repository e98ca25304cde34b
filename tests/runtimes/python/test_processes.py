"""The processes of a real Python pool: how they start, grow, are signalled, end and die with nexus; each transport.

It does not test nexus: played.py stands in for it. Run it with the interpreter to be tested.
"""
import getpass
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import pools  # before played, which it finds
from pools import ENVIRONMENT, RUNTIME_DIR, PoolTest, written
from played import MIB, WAIT_S, Line, Pipes, dies_with, framed, unpacked


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
                         (1, "nexus speaks version 2 of the pool protocol, this nexus_pool.py version 1: "
                             "replace it with the output of `nexus runtime py`\n"))

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
        for call in (["12"], ["23"], []):
            with self.subTest(call=call):
                nexus = subprocess.Popen([sys.executable, pools.__file__, *call], stdout=subprocess.PIPE)
                dir, code, *pids = nexus.stdout.readline().decode().split()
                self.addCleanup(shutil.rmtree, code)
                nexus.kill()
                nexus.communicate(timeout=WAIT_S)
                for pid in pids:
                    self.gone(int(pid))
                self.assertFalse(os.path.exists(dir))

ALONE = """
    print("loading")
    import os, subprocess, sys, time
    import nexus_pool
    subprocess.call(["echo", "child of the loader"])
    back = nexus_pool.foreign("cpp", 7, args=["y"], returns="y")

    def add(a, b): return a + b
    def where(): return "%s %s" % (os.environ.get("NEXUS_POOL"), nexus_pool.pool_name)
    def says(text):
        print(text)
        os.write(1, b"raw\\n")
        subprocess.call(["sh", "-c", "cat; echo child"])
        return sys.stdin.read()
    def gives(): return lambda: 1
    def through(data): return back(data)
    def starts():
        child = subprocess.Popen(["sleep", "1000"])
        nexus_pool.log("info", "%d %d" % (os.getpid(), child.pid))
        while True: pass
    def forks():
        pid = os.fork()
        if pid == 0:
            try: back(b"")
            except RuntimeError: os._exit(9)
            os._exit(1)
        return os.waitpid(pid, 0)[1] >> 8
    def leaves(code): sys.exit(code)
    def open_descriptors(): return len(os.listdir("/proc/self/fd"))
"""
ALONE_SIGNATURES = {1: ("add", ["j", "j"], "j"), 2: ("where", [], "s"), 3: ("says", ["s"], "s"),
                    4: ("gives", [], "\\()j"), 5: ("through", ["y"], "y"), 6: ("starts", [], "z"),
                    7: ("forks", [], "j"), 8: ("leaves", ["j"], "z")}


class TestWorkersWithoutParent(PoolTest):
    def code(self):
        code = written(ALONE_SIGNATURES, ALONE)
        self.addCleanup(shutil.rmtree, code)
        return code

    def started(self, command, **kwargs):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, **kwargs)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait, WAIT_S)
        self.addCleanup(process.kill)
        return process

    def env(self, **more):
        return {**ENVIRONMENT, **more}

    def stdio(self, command, greeting={"protocol": 1, "pool": "far"}, **kwargs):
        """A worker that is reached through pipes, its process, and its pid."""
        process = self.started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **kwargs)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        line = Line(Pipes(process.stdout, process.stdin))
        kind, method, (hello,) = line.receive() or [None, None, [process.stderr.read()]]
        self.assertEqual((kind, method), (2, "hello"), hello)
        self.assertEqual((hello["protocol"], hello["lang"], hello["features"]), (1, "py", ["retire"]))
        line.send([2, "hello", [greeting]])
        return line, process, hello["pid"]

    def errors(self, process):
        """All that was printed by a process that has ended."""
        return process.stderr.read().decode()

    def check_serves(self, line):
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        self.assertEqual(line.call(5, b"k", foreign=lambda params: params[2] * 3), (None, b"kkk"))
        self.assertEqual(line.call(7), (None, 9))
        self.assertEqual(line.call(3, "said"), (None, ""))
        for size in (100_000, 4 * MIB):
            self.assertEqual(line.call(5, b"k" * size, foreign=lambda params: params[2]), (None, b"k" * size))
        line.request("ping", [])
        self.assertIsNone(line.receive()[3])

    PRINTED = "loading\nchild of the loader\nsaid\nraw\nchild\n"

    def test_standard_input_and_output(self):
        for command in ([sys.executable, "pool.py"], ["sh", "-c", "exec 5<&0; %s pool.py; exit $?" % sys.executable]):
            line, process, _ = self.stdio(command, cwd=self.code(), env=self.env())
            self.check_serves(line)
            self.assertEqual(line.call(2), (None, "None far"))
            self.assertEqual(unpacked(line.call(4)[1].data)[0], "far")
            process.stdin.close()
            self.assertEqual(process.wait(WAIT_S), 0)
            self.assertEqual(self.errors(process), self.PRINTED)

    def test_standard_input_ends_while_a_function_runs(self):
        wrapper = ["sh", "-c", "%s pool.py; exit 3" % sys.executable]
        line, process, _ = self.stdio(wrapper, cwd=self.code(), env=self.env())
        line.request("call", [6])
        _, _, (_, pids) = line.receive()
        process.stdin.close()
        self.assertEqual(process.wait(WAIT_S), 3)
        for pid in pids.split():
            self.gone(int(pid))

    def test_cancel_without_a_signal(self):
        line, process, pid = self.stdio([sys.executable, "pool.py"], cwd=self.code(), env=self.env())
        line.request("call", [6])
        line.receive()
        line.send([2, "cancel", [1]])
        kind, id, error, _ = line.receive()
        self.assertEqual((kind, id, error["kind"]), (1, 1, "cancelled"))
        self.assertEqual(line.call(1, 2, 3), (None, 5))
        process.stdin.close()
        os.killpg(pid, signal.SIGKILL)  # with the child that was left

    def test_exit_codes(self):
        line, process, _ = self.stdio([sys.executable, "pool.py"], cwd=self.code(), env=self.env())
        line.request("call", [8, 3])
        self.assertIsNone(line.receive())
        self.assertEqual(process.wait(WAIT_S), 3)

    def test_another_version(self):
        greeting = {"protocol": 2, "pool": "far"}
        _, process, _ = self.stdio([sys.executable, "pool.py"], greeting, cwd=self.code(), env=self.env())
        self.assertEqual(process.wait(WAIT_S), 1)
        self.assertIn("nexus speaks version 2 of the pool protocol, this nexus_pool.py version 1", self.errors(process))

    def test_a_test_that_imports_it_keeps_its_output(self):
        done = subprocess.run([sys.executable, "-c", "import functions; print(functions.add(1, 2))"], cwd=self.code(),
                              env=self.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, timeout=WAIT_S)
        self.assertEqual(sorted(done.stdout), sorted(b"loading\nchild of the loader\n3\n"))

    def direct(self):
        """A worker on an inherited socket, its process, and the end of its life pipe."""
        ours, theirs = socket.socketpair()
        ours.settimeout(WAIT_S)
        self.addCleanup(ours.close)
        reader, life = os.pipe()
        process = self.started([sys.executable, "pool.py"], cwd=self.code(), pass_fds=(theirs.fileno(), reader),
                               stdin=subprocess.DEVNULL,
                               env=self.env(NEXUS_POOL="near", NEXUS_PROTOCOL="1", NEXUS_WORKER_FD=str(theirs.fileno()),
                                            NEXUS_LIFE_FD=str(reader)), stdout=subprocess.DEVNULL)
        dies_with(reader, -process.pid)
        os.close(reader)
        theirs.close()
        line = Line(ours)
        self.assertEqual(line.receive()[2][0]["pid"], process.pid)
        return line, process, life

    def test_a_socket(self):
        line, process, life = self.direct()
        self.check_serves(line)
        self.assertEqual(line.call(2), (None, "near near"))
        line.request("call", [6])
        line.receive()
        line.send([2, "cancel", [line.last_id]])
        process.send_signal(signal.SIGINT)
        self.assertEqual(line.receive()[2]["kind"], "cancelled")
        line.socket.close()
        self.assertEqual(process.wait(WAIT_S), 0)
        os.killpg(process.pid, signal.SIGKILL)  # the child that was left
        os.close(life)

    def test_nexus_dies(self):
        line, process, life = self.direct()
        line.request("call", [6])
        _, _, (_, pids) = line.receive()
        os.close(life)
        self.assertEqual(process.wait(WAIT_S), -signal.SIGIO)
        for pid in pids.split():
            self.gone(int(pid))

    def test_ssh(self):
        code, dir = self.code(), tempfile.mkdtemp(prefix="sshd.")
        self.addCleanup(shutil.rmtree, dir)
        ssh = self.ssh(dir)
        command = "cd %s && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=%s exec %s pool.py" % (
            code, os.path.abspath(RUNTIME_DIR), sys.executable)
        line, process, _ = self.stdio([*ssh, command])
        self.check_serves(line)
        self.assertEqual(line.call(2), (None, "None far"))
        process.stdin.close()
        self.assertEqual(process.wait(WAIT_S), 0)
        self.assertEqual(self.errors(process), self.PRINTED)
        line, process, _ = self.stdio([*ssh, command])
        line.request("call", [6])
        _, _, (_, pids) = line.receive()
        process.kill()
        for pid in pids.split():
            self.gone(int(pid))

    def ssh(self, dir):
        """The ssh that reaches a server of our own on this machine."""
        server = shutil.which("sshd") or "/usr/sbin/sshd"
        if not os.path.exists(server) or shutil.which("ssh") is None:
            self.skipTest("openssh-server and openssh-client are not installed")
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(dir, key)], check=True,
                           timeout=WAIT_S)
        shutil.copy(os.path.join(dir, "user.pub"), os.path.join(dir, "authorized_keys"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        if os.getuid() == 0 and not os.path.exists("/run/sshd"):  # it insists on this one
            os.mkdir("/run/sshd")
            self.addCleanup(os.rmdir, "/run/sshd")
        options = ["ListenAddress=127.0.0.1", "PidFile=none", "StrictModes=no", "UsePAM=no", "PermitRootLogin=yes",
                   "AuthorizedKeysFile=" + os.path.join(dir, "authorized_keys")]
        process = self.started([server, "-D", "-e", "-f", "/dev/null", "-h", os.path.join(dir, "host"), "-p", str(port),
                                *["-o" + option for option in options]])
        said = b""
        while b"Server listening" not in said:
            if not select.select([process.stderr], [], [], WAIT_S)[0]:
                self.skipTest("sshd says nothing")
            chunk = os.read(process.stderr.fileno(), 4096)
            said += chunk
            if not chunk:
                self.skipTest("sshd can't be started here: " + said.decode().strip())
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"]
        return ["ssh", "-q", "-F", "none", "-i", os.path.join(dir, "user"), "-p", str(port),
                *["-o" + option for option in options], getpass.getuser() + "@127.0.0.1"]


if __name__ == "__main__":
    unittest.main()
