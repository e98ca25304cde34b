"""The program that the chaos runs run: four pools with the same functions, and command lines with the results that they
must have. Starts nothing but the compiler."""
import json
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
POOLS = ("py", "cpp", "direct", "stdio")
# Name, schemas of the arguments, schema of the result; numbers count from 1.
FUNCTIONS = (("double", ["i8", "i8"], "i8"), ("chain", ["[s]", "i8", "i8"], "i8"), ("fan", ["s", "i8", "i8"], "i8"),
             ("blob", ["i8"], "[f8]"), ("total", ["[f8]"], "f8"), ("carry", ["s", "i8"], "f8"),
             ("fetch", ["s", "i8"], "f8"), ("noise", ["i8"], "i8"), ("stubborn", ["i8"], "i8"), ("bomb", ["i8"], "i8"))
# Kinds of error and codes as README has them.
CODES = {1, 2, 3, 4, 5, 124, 126, 129, 130, 143}
SHUTDOWN_MS = 300
HELLO_MS = 5000


def build(nexus, directory):
    """Puts the binary, the runtimes and the pools into that directory: other users may read it."""
    shutil.copy(nexus, os.path.join(directory, "nexus"))
    for name, file in (("py", "nexus_pool.py"), ("cpp", "nexus.hpp")):
        text = subprocess.run([nexus, "runtime", name], check=True, stdout=subprocess.PIPE).stdout
        with open(os.path.join(directory, file), "wb") as out:
            out.write(text)
    for name in os.listdir(os.path.join(HERE, "pools")):
        shutil.copy(os.path.join(HERE, "pools", name), directory)
    subprocess.run([os.environ.get("CXX", "c++"), "-std=c++17", "-O1", "-pthread", "-I" + directory, "-o",
                    os.path.join(directory, "pool-cpp"), os.path.join(directory, "pool.cpp")], check=True)


def pools(base, policy):
    """The pools as a manifest has them; `policy` is what all of them get."""
    plain = ["python3", os.path.join(base, "plain.py")]
    each = {"py": {"exec": ["python3", os.path.join(base, "pool.py")], "socket": "py"},
            "cpp": {"exec": [os.path.join(base, "pool-cpp")], "socket": "cpp"},
            "direct": {"exec": plain, "transport": "direct"},
            "stdio": {"exec": ["env", *plain], "transport": "stdio"}}
    times = {"hello_ms": HELLO_MS, "shutdown_ms": SHUTDOWN_MS}
    return [{"lang": name, "name": name, "timeouts": times, **each[name], **policy} for name in POOLS]


def write(base, directory, policy, needs_all):
    """Makes the program in that directory."""
    commands = []
    for position, pool in enumerate(POOLS):
        for mid, (name, args, returns) in enumerate(FUNCTIONS, 1):
            shown = [{"kind": "pos", "metavar": "X%d" % at, "type_desc": "X", "desc": []} for at in range(len(args))]
            commands.append({
                "name": "%s-%s" % (pool, name), "type": "remote", "pool": position, "mid": mid, "desc": [],
                "needed_pools": list(range(len(POOLS))) if needs_all else [position], "arg_schemas": args,
                "return_schema": returns, "return_type": "X", "return_desc": [], "args": shown})
    with open(os.path.join(directory, "chaos.manifest"), "w") as file:
        json.dump({"version": 1, "name": "chaos", "desc": [], "pools": pools(base, policy), "commands": commands}, file)
    os.symlink(os.path.join(base, "nexus"), os.path.join(directory, "chaos"))


def draw_policy(random):
    """How the pools' workers live."""
    return random.choice([{}, {}, {}, {"workers": 1}, {"workers": 4}, {"lifetime": "oneshot"}, {"recycle": {"max_calls": 2}},
                          {"recycle": {"idle_exit_ms": 20}}, {"stderr": "log"}])


def draw_command(random, among=("double", "chain", "chain", "fan", "fan", "carry", "fetch", "blob", "noise")):
    """Words of a command, and what it prints."""
    function, pool, other = random.choice(among), random.choice(POOLS), random.choice(POOLS)
    if function == "double":
        n, ms = random.randrange(1000), random.choice([0, 20, 100])
        words, result = [n, ms], 2 * n
    elif function == "chain":
        n, ms = random.choice([1, 5, 20, 60]), random.choice([0, 0, 3])
        order = random.sample(POOLS, random.randint(1, len(POOLS)))
        words, result = [json.dumps(order), n, ms], n
    elif function == "fan":
        n, ms = random.choice([1, 3, 8, 30]), random.choice([0, 2, 10])
        words, result = [other, n, ms], n * (n + 1)
    elif function == "blob":
        n = random.choice([1, 1000, 200_000])
        words, result = [n], list(range(n))
    elif function in ("carry", "fetch"):
        n = random.choice([1, 1000, 50_000, 1_000_000])
        words, result = [other, n], n * (n - 1) // 2
    else:
        n = {"noise": random.choice([1, 64, 3000]), "stubborn": random.choice([50, 20_000]),
             "bomb": random.choice([1, 2, 5])}[function]
        words, result = [n], n
    return ["%s-%s" % (pool, function), *map(str, words)], json.dumps(result, separators=(",", ":")) + "\n"
