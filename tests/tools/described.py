"""What the server says of itself: its OpenAPI document, by schemathesis and openapi-spec-validator; its figures, by
Prometheus's promtool and client."""
import glob
import json
import os

from common import Failed, Skipped, debian, python, run

# Requests for each command and phase: as many as take half a minute.
EXAMPLES = 10

CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = ["4xx"]
"""


def openapi(place):
    script = "import json, sys, openapi_spec_validator as reader; reader.validate(json.load(sys.stdin))"
    interpreter = python(place)
    with place.server() as server:
        document = server.ask("/openapi.json")
    given(place, document, interpreter, "-c", script)
    return f"{len(json.loads(document)['paths'])} paths"


def schemathesis(place):
    tool = os.path.join(os.path.dirname(python(place)), "schemathesis")
    with open(os.path.join(place.work, "schemathesis.toml"), "w") as file:
        file.write(CONFIGURATION)
    with place.server() as server:
        document = json.loads(server.ask("/openapi.json"))
        for operations in document["paths"].values():
            for operation in operations.values():
                readable(operation, False)
                # An empty list is the arguments by position, which a document of objects does not say.
                if not body_properties(operation):
                    operation.pop("requestBody", None)
        with open(os.path.join(place.work, "openapi.json"), "w") as file:
            json.dump(document, file)
        words = [tool, "--config-file", "schemathesis.toml", "run", "openapi.json", "--url", server.url, "--seed", "1",
                 "--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all",
                 # They are there to fail.
                 "--exclude-path-regex", "/(fail|test_error_handling)$"]
        told = run("schemathesis", words, 200, cwd=place.work, env=dict(os.environ, NO_COLOR="1"))
    return next(line.strip() for line in told.splitlines() if "generated" in line)


def body_properties(operation):
    content = operation.get("requestBody", {}).get("content", {})
    return content.get("application/json", {}).get("schema", {}).get("properties")


def readable(part, is_result):
    """Leaves out what schemathesis gets wrong: a tuple in a result, which it reads as an array of schemas; and the bounds of
    a double, which it oversteps by one, an integer of 309 digits that is rounded to the bound."""
    if isinstance(part, list):
        for each in part:
            readable(each, is_result)
    if not isinstance(part, dict):
        return
    if is_result:
        part.pop("prefixItems", None)
    if part.get("format") == "double":
        part.pop("minimum", None)
        part.pop("maximum", None)
    for key, each in part.items():
        readable(each, is_result or key == "responses")


def prometheus(place):
    script = "import sys; from prometheus_client.parser import text_string_to_metric_families as read; list(read(sys.stdin.read()))"
    interpreter = python(place)
    given(place, figures(place), interpreter, "-c", script)


def promtool(place):
    tool = os.path.join(place.tools, "prometheus/usr/bin/promtool")
    if not os.path.exists(tool):
        unpacked(place)
    given(place, figures(place), tool, "check", "metrics")


def unpacked(place):
    """Unpacks Debian's package without installing it: it would start a daemon, and keep it."""
    debian("dpkg-deb", "dpkg")
    try:
        if os.getuid() == 0:
            run("apt-get update", ["apt-get", "update", "-q"], 300)
        run("apt-get download", ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "prometheus"], 300, cwd=place.work)
    except (Failed, OSError) as error:
        raise Skipped(f"promtool can't be had: {error}") from None
    for package in glob.glob(os.path.join(place.work, "prometheus_*.deb")):
        run("dpkg-deb", ["dpkg-deb", "-x", package, os.path.join(place.tools, "prometheus")])
        os.remove(package)


def figures(place):
    with place.server() as server:
        server.ask("/v1/call/default/tools/shout", b'["abc", 2]')
        return server.ask("/metrics")


def given(place, text, *words):
    """Runs a command that reads the text and ends with 0 if it is right."""
    path = os.path.join(place.work, "input")
    with open(path, "w") as file:
        file.write(text)
    with open(path) as file:
        return run(os.path.basename(words[0]), list(words), stdin=file)
