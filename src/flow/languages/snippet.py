"""The pool that runs snippets of flows in Python: compiles each code once, and calls it with what stands at its port.

A snippet is one of
    def main(args): ...       the function `main`, or the only function that the code defines; `async def` too
    lambda args: ...          an expression that is a function
    args["x"] + 1             any other expression, evaluated each time with `args`

`args` is any JSON; an error that came over a port is a Failure. What lies in the code's globals stays from call to call, and
is gone when the code has not been used for long. What it does not do: keep snippets from each other or from the system.
"""
import warnings

import nexus_pool

# Codes that are kept, the last used; a flow has a few dozen. Compiled they take some ten times their bytes.
CODES_MAX = 1000
CODE_BYTES_MAX = 8 << 20

kept = {}  # what calls a code, by the code; the one that was used last stands last
kept_bytes = 0


class Failure(dict):
    """An error as its map: kind, message and what else is known. As a result it is that map."""

    def error(self):
        return self.message

    message = property(lambda self: self.get("message"))
    kind = property(lambda self: self.get("kind"))


def snippet(code, arg):
    """The result of a code. `arg` is {"value": any} or {"error": {kind, message, ...}}."""
    run = kept.pop(code, None) or keep(code)
    kept[code] = run
    result = run(Failure(arg["error"]) if "error" in arg else arg["value"])
    if hasattr(result, "__await__"):
        return nexus_pool.waited(lambda: result)()
    return result


def keep(code):
    global kept_bytes
    run = function_of(code)
    kept_bytes += len(code)
    while kept and (len(kept) >= CODES_MAX or kept_bytes > CODE_BYTES_MAX):
        oldest = next(iter(kept))
        del kept[oldest]
        kept_bytes -= len(oldest)
    return run


def function_of(code):
    """What is called with the argument. Errors and traces name the code `snippet`."""
    names = {"__name__": "snippet", "__builtins__": __builtins__}
    program, is_expression = compiled(code)
    if is_expression:
        if program.co_names == () and callable(function := eval(program, names)):
            return function
        return eval(compile("lambda args: (%s\n)" % code.strip(), "snippet", "eval"), names)
    exec(program, names)
    functions = [value for value in names.values() if hasattr(value, "__code__") and value.__code__ in program.co_consts]
    main = names.get("main") or (functions[0] if len(functions) == 1 else None)
    if not callable(main):
        raise ValueError("the snippet defines %d functions and none is called main, expected def main(args)" % len(functions))
    return main


def compiled(code):
    """The program of a code, and whether that is an expression. Runs nothing."""
    try:
        return compile(code.strip(), "snippet", "eval"), True
    except SyntaxError:
        pass
    try:
        return compile(code, "snippet", "exec"), False
    except SyntaxError as error:
        raise SyntaxError("%s at snippet:%s" % (error.msg, error.lineno)) from None


def check(codes):
    """Why each of the codes can't be compiled, or None. Runs none."""
    return [flaw(code) for code in codes]


def flaw(code):
    try:
        with warnings.catch_warnings():
            # They are told when it runs.
            warnings.simplefilter("ignore")
            compiled(code)
    except Exception as error:
        return "%s: %s" % (type(error).__name__, error)


# Traces have the frames of the snippet's own code: those of this file count as the runtime's.
for function in (snippet, keep, function_of, compiled):
    function.__code__ = function.__code__.replace(co_filename=nexus_pool.__file__)

nexus_pool.register(1, snippet, args=["s", "<Json>s"], returns="<Json>s")
nexus_pool.register(2, check, args=["[s]"], returns="<Json>s")
nexus_pool.serve()
