"""What changes from one number to the next. Plain Python: nothing in here knows that it is called from elsewhere."""

from dataclasses import dataclass

# Annotations say what a command takes and gives, and the docstring is its help. A function without annotations, or with
# a leading underscore, is no command.


def differences(xs: list[float]) -> list[float]:
    """Each number less the one before it.

    Args:
        xs: The numbers
    """
    return [after - before for before, after in zip(xs, xs[1:])]


# A dataclass is a record: {"count": 3, "least": 1, "most": 4} in JSON, and in every language what records are there. A
# parameter with a default is an option on the command line, here --digits.


@dataclass
class Range:
    count: int
    least: float
    most: float


def describe(xs: list[float], digits: int = 2) -> Range:
    """How many numbers there are, and between which they lie.

    Args:
        xs: The numbers
        digits: Digits behind the point
    """
    if not xs:
        raise ValueError("there are no numbers to describe")
    return Range(len(xs), round(min(xs), digits), round(max(xs), digits))
