"""The programs as tools of an assistant: the public conformance suite of the Model Context Protocol, and the client of its
Python package, over both transports."""
import os
import re

from common import HERE, Failed, debian, npm, python, run

# Later ones want Node 22.
SUITE = "0.1.11"
# The rest is about prompts, resources and questions to people, which commands are not, or about content that needs a
# signature of its own.
SCENARIOS = ("server-initialize", "logging-set-level", "ping", "tools-list", "tools-call-simple-text", "tools-call-error",
             "tools-call-with-logging", "tools-call-with-progress", "server-sse-multiple-streams", "dns-rebinding-protection")


def conformance(place):
    node = debian("node", "nodejs")
    suite = os.path.join(npm(place, "@modelcontextprotocol/conformance", SUITE), "dist/index.js")
    passed = 0
    with place.server() as server:
        for scenario in SCENARIOS:
            told = run(f"conformance {scenario}", [node, suite, "server", "--url", server.url + "/mcp", "--scenario", scenario],
                       60, cwd=place.work)
            found = re.search(r"Passed: (\d+)/\1, 0 failed, 0 warnings", told)
            if not found:
                raise Failed(f"{scenario}\n{told}")
            passed += int(found[1])
    return f"{passed} checks in {len(SCENARIOS)} scenarios"


def client(place):
    interpreter = python(place)
    with place.server() as server:
        program = os.path.join(place.work, "tools")
        return run("mcp", [interpreter, os.path.join(HERE, "client.py"), server.url + "/mcp", program], 60).strip()
