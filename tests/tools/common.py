"""What every check has: a server of its own that ends with it, commands that are bounded in time, and what can be
installed. Checks nothing."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Skipped(Exception):
    """The check can't be made here, for this reason."""


class Failed(Exception):
    """What a tool has found, with what it printed."""


class Place:
    """Where the checks work: the binary, what is kept installed from run to run, and a directory that is removed."""

    def __init__(self, nexus, tools, work):
        self.nexus, self.tools, self.work = nexus, tools, work

    @contextlib.contextmanager
    def server(self, *options):
        """A server of the two programs, as a [`Server`]; all that it started is gone afterwards."""
        program = os.path.join(self.work, "tools")
        if not os.path.exists(program):
            run("nexus build", [self.nexus, "build", os.path.join(HERE, "program"), "-o", program])
        log = os.path.join(self.work, "server.log")
        words = [self.nexus, "serve", program, os.path.join(ROOT, "tests/manifests/forms.json"), "--listen", "127.0.0.1:0",
                 "--access-log", "none", *options]
        with open(log, "w") as told:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=told, stderr=told, cwd=self.work,
                                       env=dict(os.environ, NEXUS_SERVER=os.path.join(self.work, "private")))
        try:
            server = Server(process, log)
            server.wait_until("it listens", server.find)
            server.wait_until("it is ready", lambda: server.ask("/readyz") and len(server.programs()) == 2)
            yield server
            if process.poll() is not None:
                raise Failed(f"the server ended with {process.returncode}")
            process.send_signal(signal.SIGTERM)
            if process.wait(30) != 0:
                raise Failed(f"the server ended with {process.returncode}")
        except Exception as error:
            if isinstance(error, Skipped):
                raise
            with open(log) as told:
                raise Failed(f"{error if isinstance(error, Failed) else repr(error)}\n{told.read()[-4000:]}") from error
        finally:
            process.kill()
            process.wait()


class Server:
    """A server that runs, and what it takes of the system."""

    def __init__(self, process, log):
        self.process, self.log, self.url = process, log, None

    def find(self):
        """Reads in what it says where it listens."""
        with open(self.log) as told:
            found = re.search(r"listening on (http://\S+)\n", told.read())
        self.url = found and found[1]
        return self.url

    def ask(self, path, body=None, timeout=10):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read().decode()

    def programs(self):
        programs = json.loads(self.ask("/v1/programs"))["programs"]
        return [program for program in programs if program["state"] == "ready"]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    @staticmethod
    def wait_until(what, holds, seconds=30):
        end = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise Failed(f"not within {seconds} s: {what}")
            time.sleep(0.05)


def run(name, words, seconds=120, codes=(0,), **options):
    """What the command prints, on both streams; it and all that it started end with it."""
    options.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True, **options)
    try:
        told, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        told, _ = process.communicate()
        raise Failed(f"{name} did not end within {seconds} s\n{told}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode not in codes:
        raise Failed(f"{name} ended with {process.returncode}\n{told}")
    return told


def debian(command, package, seconds=300):
    """The path of a command, which Debian's package has; installs it if this runs as root there, and can load it in so many
    seconds."""
    path = shutil.which(command)
    if path is None and os.getuid() == 0 and shutil.which("apt-get"):
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        words = ["apt-get", "install", "-qy", "--no-install-recommends", package]
        with contextlib.suppress(Failed):
            run("apt-get update", ["apt-get", "update", "-q"], seconds, env=environment)
            # Only this takes long where the net is slow; what is ended while it installs would leave the system half done.
            run("apt-get install", [*words, "--download-only"], seconds, env=environment)
            run("apt-get install", words, 900, env=environment)
        path = shutil.which(command)
    if path is None:
        raise Skipped(f"{command} is missing; on Debian: apt-get install {package}")
    return path


def python(place):
    """A Python that has the modules of `requirements.txt`, in the directory that is kept."""
    home = os.path.join(place.tools, "python")
    path, wanted = os.path.join(home, "bin/python"), os.path.join(HERE, "requirements.txt")
    kept = os.path.join(home, "requirements.txt")
    if is_same(wanted, kept):
        return path
    shutil.rmtree(home, ignore_errors=True)
    try:
        run("python3 -m ensurepip", ["python3", "-c", "import ensurepip"])
    except Failed:
        with contextlib.suppress(Skipped):
            debian("a venv of python3", "python3-venv")
    try:
        run("python3 -m venv", ["python3", "-m", "venv", home])
        run("pip", [path, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-cache-dir", "-r", wanted], 300,
            env=dict(os.environ, TMPDIR=place.work))
    except Failed as error:
        raise Skipped(f"the modules of requirements.txt can't be installed: {error}") from None
    shutil.copy(wanted, kept)
    return path


def npm(place, package, version):
    """The directory of a package of npm, in the directory that is kept."""
    home = os.path.join(place.tools, "npm")
    inside = os.path.join(home, "node_modules", package)
    with contextlib.suppress(OSError, ValueError), open(os.path.join(inside, "package.json")) as described:
        if json.load(described)["version"] == version:
            return inside
    words = [debian("npm", "npm"), "install", "--silent", "--no-audit", "--no-fund", "--cache", os.path.join(place.work, "cache"),
             "--prefix", home, f"{package}@{version}"]
    try:
        run("npm", words, 300, env=dict(os.environ, TMPDIR=place.work, HOME=place.work))
    except Failed as error:
        raise Skipped(f"{package} can't be installed: {error}") from None
    return inside


def is_same(one, other):
    with contextlib.suppress(OSError), open(one) as first, open(other) as second:
        return first.read() == second.read()
    return False
