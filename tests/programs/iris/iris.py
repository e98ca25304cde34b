"""Reads Fisher's iris flowers, and puts results into words. Knows nothing of the languages around it."""

import os

CSV = os.path.join(os.path.dirname(os.path.abspath(__file__)), "iris.csv")


def flowers():
    """The rows of the CSV as records: four measures in centimetres, and the species."""
    with open(CSV, encoding="utf-8") as lines:
        keys = next(lines).strip().split(",")
        rows = [line.strip().split(",") for line in lines]
    return [dict(zip(keys, [*map(float, row[:-1]), row[-1]])) for row in rows]


def column(name):
    """One measure of all flowers."""
    table = flowers()
    measures = [key for key in table[0] if key != "species"]
    if name not in measures:
        raise ValueError(f"no column {name!r}, expected one of {', '.join(measures)}")
    return [flower[name] for flower in table]


def report(predicted, k):
    """How well predictions, one for each flower, match the species."""
    actual = [flower["species"] for flower in flowers()]
    mistakes = [
        {"row": row, "actual": species, "predicted": guess}
        for row, (species, guess) in enumerate(zip(actual, predicted), start=1)
        if species != guess
    ]
    correct = len(actual) - len(mistakes)
    return {"k": k, "correct": correct, "of": len(actual), "accuracy": correct / len(actual), "mistakes": mistakes}
