"""The pool that runs snippets of flows in Python: compiles each code once, and calls it with what stands at its port.

A snippet is one of
    def main(args): ...       the function `main`, or the only function that the code defines; `async def` too
    lambda args: ...          an expression that is a function
    args["x"] + 1             any other expression, evaluated each time with `args`

`args` is any JSON; an error that came over a port is a Failure. What lies in the code's globals stays from call to call, and
is gone when the code has not been used for long. What it does not do: keep snippets from each other or from the system.
"""
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
    try:
        expression = compile(code.strip(), "snippet", "eval")
    except SyntaxError:
        expression = None
    if expression is not None:
        if expression.co_names == () and callable(function := eval(expression, names)):
            return function
        return eval(compile("lambda args: (%s\n)" % code.strip(), "snippet", "eval"), names)
    try:
        program = compile(code, "snippet", "exec")
    except SyntaxError as error:
        raise SyntaxError("%s at snippet:%s" % (error.msg, error.lineno)) from None
    exec(program, names)
    functions = [value for value in names.values() if hasattr(value, "__code__") and value.__code__ in program.co_consts]
    main = names.get("main") or (functions[0] if len(functions) == 1 else None)
    if not callable(main):
        raise ValueError("the snippet defines %d functions and none is called main, expected def main(args)" % len(functions))
    return main


# Traces have the frames of the snippet's own code: those of this file count as the runtime's.
for function in (snippet, keep, function_of):
    function.__code__ = function.__code__.replace(co_filename=nexus_pool.__file__)

nexus_pool.register(1, snippet, args=["s", "<Json>s"], returns="<Json>s")
nexus_pool.serve()
