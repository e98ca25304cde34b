"""Checks of what functions ask about worker processes, which a fake stands in for. Starts no process."""
import wire
from channel import Failure, Skip
from table import CREW, MISHAP, check
from wire import show


class Fake:
    """Workers as nexus has them: the program sort, and a command that doubles a number."""

    def __init__(self, worker):
        self.worker, self.workers = worker, {}

    def serve(self, request):
        self.worker.gives(request, getattr(self, request.method)(*request.params))

    def run(self, what, *_parent):
        if what not in ({"argv": ["sort"]}, {"command": "twice"}):
            raise Failure("run asks for something else than sort and the command twice", "came      %s" % show(what))
        handle = len(self.workers) + 7
        self.workers[handle] = {"what": what, "sent": [], "ended": False}
        return [handle, 4000 + handle]

    def send(self, handle, message):
        wanted = bytes if "argv" in self.workers[handle]["what"] else list
        if type(message) is not wanted or self.workers[handle]["ended"]:
            raise Failure("a worker is sent what it can't take", "came      %s" % show(message))
        self.workers[handle]["sent"].append(message)

    def receive(self, handle, _timeout=None):
        it = self.workers[handle]
        if "command" in it["what"]:
            return [[None, 2 * it["sent"].pop(0)[0]]]
        if not it["ended"]:
            raise Failure("sort is asked for a line before its input has ended")
        it["sent"].sort()
        return [it["sent"].pop(0)] if it["sent"] else []

    def close(self, handle):
        self.workers[handle]["ended"] = True

    def kill(self, handle, _signal=None):
        self.workers[handle]["ended"] = True

    def wait(self, handle, _timeout=None):
        return {"exit_code": 0}

    def status(self, handle):
        return {"pid": 4000 + handle, "alive": not self.workers[handle]["ended"]}


def needs_workers(reply):
    """Skips the check if the pool lacks its function: a runtime need not have workers."""
    if reply.error is not None and reply.error["kind"] == "protocol":
        raise Skip("the pool has no functions for workers")
    return reply


@check("worker.talk")
def talk(kit):
    """a function runs a program and a command as workers, sends and receives until the end"""
    worker = kit.worker()
    for words, n in ((["pear", "\u00e4pple", "fig"], 5), ([], -1), (["x" * 100_000], 0)):
        reply = needs_workers(worker.finish(worker.begin(CREW, words, "twice", n), Fake(worker).serve))
        expected = [sorted(words, key=str.encode), 4 * n]
        if reply.error is not None or not wire.same(reply.result, expected):
            raise Failure("crew gives %s, expected %s" % (reply, show(expected)))
    worker.works()


@check("worker.errors")
def errors(kit):
    """what happens to a worker arrives as an error with its kind, a message, or the end"""
    worker = kit.worker()
    died = {"kind": "terminated", "message": "worker sort was killed", "pid": 4007, "signal": 9}
    for run, receive, expected in (
            ({"kind": "spawn_failed", "message": "there is no program sort"}, None, "spawn_failed"),
            (None, {"kind": "timeout", "message": "nothing came"}, "timeout"), (None, died, "terminated"),
            (None, [b"a line"], "a line"), (None, [], "end")):
        asked = []

        def serve(request):
            asked.append([request.method, *request.params[:2]][:3 if request.method == "receive" else 2])
            if request.method == "run":
                worker.gives(request, None if run else [7, 4007], run)
            elif request.method == "receive":
                worker.gives(request, *((None, receive) if isinstance(receive, dict) else (receive, None)))
            else:
                worker.gives(request)
        reply = needs_workers(worker.finish(worker.begin(MISHAP, ["sort", "-n"], 1500), serve))
        if reply.error is not None or reply.result != expected:
            kit.complain("mishap gives %s, expected %r" % (reply, expected))
        begun = [["run", {"argv": ["sort", "-n"]}], ["receive", 7, 1500]]
        if asked[:2] != begun[:1 if run else 2]:
            kit.complain("nexus was asked %s, expected %s" % (show(asked), show(begun)))
    worker.works()
