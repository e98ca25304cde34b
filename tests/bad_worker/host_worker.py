"""A pool whose functions do as they are told, for tests of worker processes: it speaks the pool protocol by itself.

`steps` takes a JSON list and answers with one: each step is a host method and its params, where "$2" stands for the worker
that step 2 started; what a step gives is its result, or [kind, message] of its error. Two more words: `raise` ends the call
with an error, `sit` sits there. `add` and `halve` are functions to run as workers.
"""
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import played

line = played.Line(socket.socket(fileno=int(os.environ["NEXUS_WORKER_FD"])))
line.socket.settimeout(None)


class Failed(Exception):
    pass


def ask(method, params):
    line.last_id += 1
    line.send([0, line.last_id, method, params])
    while True:
        message = line.receive()
        if message is None:
            sys.exit(0)
        if message[0] == 1 and message[1] == line.last_id:
            return message[2], message[3]


def param(value, results):
    if isinstance(value, str) and value.startswith("$"):
        return results[int(value[1:])][0]
    if isinstance(value, list):
        return [param(element, results) for element in value]
    if isinstance(value, str) and value.startswith("bytes:"):
        return value[6:].encode() * 1
    return value


def shown(value):
    if isinstance(value, bytes):
        return value.decode() if len(value) < 1000 else len(value)
    return [shown(element) for element in value] if isinstance(value, list) else value


def steps(text):
    results, told = [], []
    for method, *params in json.loads(text):
        if method == "raise":
            raise Failed("as it was told")
        if method == "sit":
            time.sleep(60)
        if method == "write":  # many bytes at once
            method, params = "send", [params[0], b"x" * params[1]]
        error, result = ask(method, [param(value, results) for value in params])
        results.append(result)
        told.append([error["kind"], error["message"]] if error else shown(result))
        told[-1] = "pid" if method == "run" and not error else told[-1]
    return json.dumps(told)


def add(a, b):
    return a + b


def halve(n):
    if n % 2:
        raise Failed("%d is odd" % n)
    return n // 2


line.send([2, "hello", [{"protocol": 1, "lang": "host", "runtime": "host 1", "pid": os.getpid(), "reentrant": False}]])
while True:
    message = line.receive()
    if message is None:
        break
    if message[0] != 0:
        continue
    try:
        answer = [None, [steps, add, halve][message[3][0] - 1](*message[3][1:])]
    except Failed as error:
        answer = [{"kind": "raised", "message": str(error)}, None]
    line.send([1, message[1], *answer])
