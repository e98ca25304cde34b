"""A connection to a pool, as nexus has it: frames over descriptors, both directions at once.

It holds what comes against the rules that every message obeys: an answer to an open call, a known method, an id that is
free. Every wait ends with the time of the check. It starts nothing, and does not know what an answer should be.
"""
import collections
import contextlib
import os
import select
import signal
import socket
import time

import wire

READ_BYTES = 1 << 20
# A frame that is larger than any check asks for is a mistake.
FRAME_BYTES_MAX = 256 << 20
VERSION = 1
# What a worker asks about processes that functions start.
WORKER_METHODS = ("run", "send", "receive", "close", "kill", "wait", "status", "select")

Request = collections.namedtuple("Request", "id method name parent pid params")
Reply = collections.namedtuple("Reply", "error result")


class Failure(Exception):
    """A check that failed: what was wrong, and lines of detail."""

    def __init__(self, message, *details):
        super().__init__(message)
        self.details = details


class Skip(Exception):
    """A check that can't be made here, and why."""


class Closed(Failure):
    """The pool closed the connection, or ended, where an answer was expected."""


class Channel:
    """Frames over descriptors, both directions at once; on its own the control channel of a `unix` pool."""

    def __init__(self, pool, label, reader, writer=None):
        self.pool, self.kit, self.label = pool, pool.kit, label
        self.reader, self.writer = reader, reader if writer is None else writer
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.incoming, self.outgoing = bytearray(), collections.deque()
        self.hello, self.last_id, self.over = None, 0, False
        self.lenient = False  # after garbage: what it made the worker answer and ask is no mistake
        self.open, self.replies, self.asked = {}, {}, {}
        self.requests, self.told, self.order = collections.deque(), [], []
        pool.connections.append(self)

    # ---- bytes ----

    def send(self, data, reading=True):
        """Writes bytes; unless told otherwise it takes in what comes meanwhile, as nexus does."""
        self.outgoing.append(memoryview(bytes(data)))
        while self.outgoing:
            self.turn("room to send", reading)

    def turn(self, what, reading=True, seconds=None):
        """Waits for one piece of what can be read or written, at most `seconds`; False when there was none."""
        self.kit.waiting(what)
        if self.over and not self.outgoing:
            raise Closed("the pool closed the connection (%s), where %s was expected" % (self.label, what))
        poll = select.poll()
        if reading and not self.over:
            poll.register(self.reader, select.POLLIN)
        if self.outgoing:
            events = select.POLLOUT | (select.POLLIN if reading and not self.over and self.writer == self.reader else 0)
            poll.register(self.writer, events)
        wait = self.kit.left() if seconds is None else min(seconds, self.kit.left())
        ready = dict(poll.poll(max(wait, 0) * 1000))
        if self.outgoing and ready.get(self.writer, 0) & ~select.POLLIN:
            self.flush()
        if reading and not self.over and ready.get(self.reader, 0) & ~select.POLLOUT:
            self.fill()
        return bool(ready)

    def flush(self):
        try:
            written = os.write(self.writer, self.outgoing[0][:READ_BYTES])
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self.outgoing.clear()
            self.over = True
            raise Closed("the pool closed the connection (%s) while it was written to" % self.label) from None
        rest = self.outgoing.popleft()[written:]
        if rest:
            self.outgoing.appendleft(rest)

    def fill(self, size=READ_BYTES):
        """Reads once, and takes the messages that are whole."""
        try:
            data = os.read(self.reader, size)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.over = True
            if self.incoming:
                raise Failure("the connection (%s) ended in the middle of a frame" % self.label)
            return
        self.incoming += data
        while len(self.incoming) >= 4:
            length = int.from_bytes(self.incoming[:4], "big")
            if length > FRAME_BYTES_MAX:
                raise Failure("a frame on the connection (%s) claims %d bytes" % (self.label, length),
                              "came      %s" % bytes(self.incoming[:40]).hex())
            if len(self.incoming) - 4 < length:
                break
            data = bytes(self.incoming[4:4 + length])
            del self.incoming[:4 + length]
            try:
                message = wire.decode(data)
            except wire.Malformed as error:
                raise Failure("a frame is not msgpack: %s" % error, "came      %s" % data[:60].hex()) from None
            self.kit.note(self.label, "came", message, length)
            self.take(message)

    def shut(self):
        """Closes the connection, as nexus does when it needs the worker no more."""
        self.pool.connections.remove(self)
        for fd in {self.reader, self.writer} - {None}:
            os.close(fd)
        self.reader = self.writer = None

    def half_shut(self):
        """Says that nothing more will come, and goes on reading."""
        if self.writer != self.reader:
            os.close(self.writer)
            self.writer = None
        else:
            half = socket.socket(fileno=os.dup(self.reader))
            with contextlib.suppress(OSError):
                half.shutdown(socket.SHUT_WR)
            half.close()

    def until_over(self, what="the end of the connection", seconds=None):
        """Waits until the pool has closed the connection."""
        end = time.monotonic() + (self.kit.left() if seconds is None else seconds)
        while not self.over:
            self.turn(what, seconds=max(end - time.monotonic(), 0))
            if not self.over and time.monotonic() >= end:
                raise Failure("%s did not come within %g s" % (what, seconds or self.kit.timeout))

    # ---- messages ----

    def say(self, message):
        data = wire.frame(message)
        self.kit.note(self.label, "sent", message, len(data))
        self.send(data)

    def notify(self, method, params):
        self.say([2, method, params])

    def request(self, method, params):
        """Sends a request; its id."""
        self.last_id += 1
        self.open[self.last_id] = method
        self.say([0, self.last_id, method, params])
        return self.last_id

    def take(self, message):
        def wrong(why):
            raise Failure("what came on the connection (%s) is no message: %s" % (self.label, why),
                          "came      %s" % wire.show(message))

        if not isinstance(message, list) or not message or (message[0], len(message)) not in ((0, 4), (1, 4), (2, 3)):
            wrong("expected [0, id, method, params], [1, id, error, result] or [2, method, params]")
        kind = message[0]
        if kind == 1:
            _, id, error, result = message
            if type(id) is not int or id not in self.open:
                if self.lenient:
                    return
                raise Failure("an answer has the id %s, which no open request has" % wire.show(id),
                              "open      %s" % (sorted(self.open) or "none"), "came      %s" % wire.show(message))
            del self.open[id]
            if error is not None and not self.lenient and not (isinstance(error, dict) and isinstance(error.get("kind"), str)
                                          and isinstance(error.get("message"), str)):
                raise Failure("an error is not a map with a kind and a message", "came      %s" % wire.show(message))
            self.replies[id] = Reply(error, result)
            self.order.append(id)
            return
        method, params = message[-2:]
        if not isinstance(method, str) or not isinstance(params, list):
            wrong("its method is no string or its params are no array")
        if kind == 0:
            self.take_request(message[1], method, params, wrong)
        elif method == "hello":
            if self.hello is not None:
                wrong("a second hello")
            self.hello = params[0] if params and isinstance(params[0], dict) else wrong("hello takes [map]")
        else:
            self.take_notification(method, params, wrong)

    def take_request(self, id, method, params, wrong):
        wrong("the control channel has no requests from the pool")

    def take_notification(self, method, params, wrong):
        if method == "worker_exit":
            about = params[0] if params else None
            if not isinstance(about, dict) or type(about.get("pid")) is not int:
                wrong("worker_exit takes [{pid, exit_code or signal}]")
            self.pool.exits.append(about)

    def meet(self):
        """Waits for the hello, which comes before anything else."""
        while self.hello is None:
            try:
                self.turn("its hello")
            except Closed as error:
                raise Closed(str(error), *self.endings()) from None
            if self.hello is None and (self.order or self.requests or self.told):
                raise Failure("something else than hello came first on the connection (%s)" % self.label)
        self.check_hello()

    def endings(self):
        with contextlib.suppress(Failure):
            self.kit.until_true("", lambda: self.pool.leaders and self.pool.code() is not None, 0.2)
        codes = {pid: self.pool.code(pid) for pid in self.pool.leaders}
        return ["ended     process %d with %d" % each for each in codes.items() if each[1] is not None]

    def check_hello(self):
        hello = self.hello
        for key, kind in (("protocol", int), ("lang", str), ("runtime", str), ("pid", int), self.own_key):
            if type(hello.get(key)) is not kind:
                raise Failure("hello says %s for %s, expected %s" % (wire.show(hello.get(key)), key, kind.__name__),
                              "came      %s" % wire.show(hello))
        if hello["protocol"] != VERSION:
            raise Failure("hello names protocol %d, expected %d" % (hello["protocol"], VERSION))

    own_key = ("workers", int)

    def reply(self, id):
        """Waits for the answer to a request."""
        while id not in self.replies:
            self.turn("the answer to request %d" % id)
        return self.replies.pop(id)

    def result(self, method, params):
        """The result of a request that must not fail."""
        reply = self.reply(self.request(method, params))
        if reply.error is not None:
            raise Failure("%s failed: %s" % (method, wire.show(reply.error)), "sent      %s" % wire.show(params))
        return reply.result


class Connection(Channel):
    """A connection to a worker."""

    own_key = ("reentrant", bool)
    held = 0  # how many of its functions live elsewhere, as the worker says

    @property
    def pid(self):
        return self.hello["pid"]

    def needs(self, what):
        """Skips the check if the worker is not reentrant, or lacks the feature."""
        if what == "reentrant" and not self.hello["reentrant"]:
            raise Skip("the worker says that it is not reentrant")
        if what != "reentrant" and what not in self.hello.get("features", []):
            raise Skip('the worker does not name the feature "%s"' % what)

    @property
    def concurrent(self):
        """Whether calls on this worker run side by side instead of nested."""
        return "concurrent" in self.hello.get("features", [])

    @property
    def is_thread(self):
        """Whether the worker is a thread of the pool's parent."""
        return self.pool.control is not None and self.pid == self.pool.control.hello["pid"]

    def take_request(self, id, method, params, wrong):
        if self.lenient:
            self.outgoing.append(memoryview(wire.frame([1, id, {"kind": "raised", "message": "nobody answers"}, None])))
            return
        if type(id) is not int or id < 0:
            wrong("its id is no natural number")
        if id in self.asked:
            wrong("the id %d is that of a request that is still open" % id)
        if method in WORKER_METHODS:
            if method == "run" and len(params) > 1 and self.open.get(params[1]) != "call":
                wrong("its parent %s is no open call" % wire.show(params[1]))
            self.asked[id] = method
            self.requests.append(Request(id, method, None, None, None, params))
            return
        if method not in ("call", "command"):
            wrong("nexus has no method %r" % method)
        target = params[0] if params else None
        parts = target if isinstance(target, list) else [target]
        name, parent, pid = (parts + [None, None])[:3]
        if not isinstance(name, str) or not 1 <= len(parts) <= 3 or method == "command" and len(parts) > 2:
            wrong("its target is neither a name, nor [name, parent], nor [pool, parent, pid]")
        if parent is not None and self.open.get(parent) != "call":
            wrong("its parent %s is no open call" % wire.show(parent))
        if pid is not None and type(pid) is not int:
            wrong("its pid is no integer")
        if method == "call" and (len(params) < 2 or type(params[1]) is not int):
            wrong("it names no mid")
        request = Request(id, method, name, parent, pid, params[1:])
        self.asked[id] = request
        self.requests.append(request)

    def take_notification(self, method, params, wrong):
        if method == "log" and not (len(params) == 2 and all(isinstance(each, str) for each in params)):
            wrong("log takes [level, text]")
        if method == "progress" and len(params) != 3:
            wrong("progress takes [done, total, label]")
        if method == "holds":
            if not (params and type(params[0]) is int and params[0] > 0):
                wrong("holds takes [n], n from 1")
            self.held = params[0]
            return
        self.told.append((method, params))

    # ---- calls ----

    def begin(self, mid, *args):
        """Sends a call; its id."""
        return self.request("call", [mid, *args])

    def asks(self):
        """Waits for the next foreign call or command that the worker makes."""
        while not self.requests:
            if self.replies:
                id, reply = next(iter(self.replies.items()))
                raise Failure("call %d ended before it made its foreign call" % id, "came      %s" % (reply,))
            self.turn("a foreign call")
        return self.requests.popleft()

    def gives(self, request, result=None, error=None):
        """Answers a foreign call."""
        del self.asked[request.id]
        self.say([1, request.id, error, result])

    def finish(self, id, serve=None):
        """Waits for the answer to a call. `serve(request)` answers the foreign calls made meanwhile."""
        while id not in self.replies:
            while self.requests and serve is not None:
                serve(self.requests.popleft())
            if id in self.replies:
                break
            if self.requests and serve is None:
                raise Failure("call %d made a foreign call that it should not make" % id,
                              "came      %s" % (self.requests[0],))
            self.turn("the answer to call %d" % id)
        return self.replies.pop(id)

    def value(self, id, serve=None):
        """The result of a call that must succeed."""
        reply = self.finish(id, serve)
        if reply.error is not None:
            raise Failure("call %d failed, expected a result" % id, "came      %s" % wire.show(reply.error))
        return reply.result

    def call(self, mid, *args, serve=None):
        return self.value(self.begin(mid, *args), serve)

    def error(self, mid, *args, serve=None):
        """The error of a call that must fail."""
        return self.failed(self.begin(mid, *args), serve)

    def failed(self, id, serve=None):
        reply = self.finish(id, serve)
        if reply.error is None:
            raise Failure("call %d succeeded, expected an error" % id, "came      %s" % wire.show(reply.result))
        return reply.error

    def works(self):
        """The worker still serves."""
        if self.result("ping", []) is not None:
            raise Failure("ping is answered with something else than nil")
        found = self.call(2, 20, 22)
        if found != 42:
            raise Failure("add(20, 22) is %s afterwards, expected 42" % wire.show(found))

    def cancel(self, id):
        self.notify("cancel", [id])

    def interrupt(self):
        """Sends the worker SIGINT as nexus would; False where nexus can't."""
        if self.pool.transport == "stdio":
            return False
        if self.pool.transport == "direct":
            os.kill(self.process, signal.SIGINT)
            return True
        if "signal" not in self.pool.features():
            return False
        self.pool.send_signal(self.pid, signal.SIGINT)
        self.pool.grow(0)  # answered when the signal is on its way
        return True

    def settle(self):
        """Lets the worker get to work on what was sent. Right either way: it only makes the interesting order likely."""
        time.sleep(0.15)
