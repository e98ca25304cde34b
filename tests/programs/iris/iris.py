"""Reads Fisher's iris flowers, and judges guesses. Plain Python: nothing in here knows who calls it."""

import os
from dataclasses import dataclass
from typing import Callable

CSV = os.path.join(os.path.dirname(os.path.abspath(__file__)), "iris.csv")
MEASURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@dataclass
class Measures:
    """In centimetres."""

    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float


@dataclass
class Flower(Measures):
    """A row of the data."""

    species: str


@dataclass
class Verdict:
    """What a flower is said to be."""

    species: str
    votes: int
    k: int


@dataclass
class Mistake:
    """A flower that was taken for another."""

    row: int
    actual: str
    predicted: str


@dataclass
class Report:
    """The share of right answers, and the wrong ones."""

    k: int
    correct: int
    of: int
    accuracy: float
    mistakes: list[Mistake]


def flowers() -> list[Flower]:
    """The rows of the CSV: four measures in centimetres, and the species."""
    with open(CSV, encoding="utf-8") as lines:
        rows = [line.strip().split(",") for line in lines][1:]
    return [Flower(*map(float, row[:-1]), row[-1]) for row in rows]


def column(name: str) -> list[float]:
    """One measure of all flowers.

    By Python alone.

    return: In centimetres
    example: iris column petal_length

    Args:
        name: The name of a column of numbers
    """
    if name not in MEASURES:
        raise ValueError(f"no column {name!r}, expected one of {', '.join(MEASURES)}")
    return [getattr(flower, name) for flower in flowers()]


def judge(guess: Callable[[list[Flower], Measures, int], Verdict], k: int) -> Report:
    """How often a way of guessing is right, if each flower is guessed by the others."""
    known = flowers()
    mistakes = []
    for row, flower in enumerate(known):
        measures = Measures(*(getattr(flower, name) for name in MEASURES))
        verdict = guess(known[:row] + known[row + 1 :], measures, k)
        if verdict.species != flower.species:
            mistakes.append(Mistake(row + 1, flower.species, verdict.species))
    correct = len(known) - len(mistakes)
    return Report(k, correct, len(known), correct / len(known), mistakes)
