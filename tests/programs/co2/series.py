"""Reads series of monthly values. Plain Python: nothing in here knows who calls it."""

from dataclasses import dataclass


@dataclass
class Month:
    """A month and its mean."""

    year: int
    month: int
    ppm: float


def month(row: str) -> Month:
    """A row of the table: year, month, and parts in a million.

    Args:
        row: Three numbers with commas between
    """
    year, month, ppm = row.split(",")
    return Month(int(year), int(month), float(ppm))


def label(month: Month) -> str:
    """The name of a month, as 1997-12."""
    return f"{month.year}-{month.month:02}"


def following(last: Month, count: int) -> list[str]:
    """The names of the months behind one."""
    first = last.year * 12 + last.month
    return [f"{month // 12}-{month % 12 + 1:02}" for month in range(first, first + count)]
