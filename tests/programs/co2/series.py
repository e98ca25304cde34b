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


def label(start: int, months: int) -> str:
    """The name of a month.

    Args:
        start: The year of the first January
        months: Months since then
    """
    return f"{start + months // 12}-{months % 12 + 1:02}"
