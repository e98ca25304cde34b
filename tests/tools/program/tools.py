"""What the tools call: functions of the public conformance suite of the Model Context Protocol, by the names that it gives
them, and two of our own."""
import dataclasses
import time

import nexus_pool


@dataclasses.dataclass
class Point:
    x: float
    y: float


def centre(points: list[Point], decimals: int = 3) -> Point:
    """The middle of some points.

    Args:
        points: None at all have theirs at zero.
        decimals: How many are kept.
    """
    count = len(points) or 1
    kept = min(max(decimals, 0), 15)
    return Point(*(round(sum(each / count for each in axis), kept)
                   for axis in ([point.x for point in points], [point.y for point in points])))


def shout(text: str, times: int = 1) -> str:
    """A text in capitals, up to three times."""
    return text.upper() * min(max(times, 0), 3)


def test_simple_text() -> str:
    """A text."""
    return "This is a simple text response for testing."


def test_error_handling() -> str:
    """Fails."""
    raise RuntimeError("This tool intentionally returns an error for testing")


def test_tool_with_progress() -> str:
    """Tells how far it is."""
    for done in (0, 50, 100):
        nexus_pool.progress(done, 100, "step")
        time.sleep(0.05)
    return "done"


def test_tool_with_logging() -> str:
    """Tells what it does."""
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        nexus_pool.log("info", text)
        time.sleep(0.05)
    return "done"
