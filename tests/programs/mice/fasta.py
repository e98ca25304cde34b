"""Reads and counts sequences. Plain Python: nothing in here knows who calls it."""

import os
from collections import Counter
from typing import NamedTuple


class Sequence(NamedTuple):
    """A sequence of the mitochondrial gene cytochrome b, with the name of the animal."""

    name: str
    bases: str


def read(path: str) -> list[Sequence]:
    """The sequences of a FASTA file.

    Args:
        path: A file; if it is not there, one that came with the program.
    """
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), path)
    with open(path if os.path.exists(path) else here, encoding="ascii") as lines:
        records = lines.read().split(">")[1:]
    if not records:
        raise ValueError(f"{path} has no sequence: no line begins with '>'")
    return [Sequence(head.strip(), "".join(body.split()).upper()) for head, _, body in (r.partition("\n") for r in records)]


def composition(bases: str) -> list[float]:
    """The shares of A, C, G and T among the bases that are known."""
    counts = Counter(bases)
    known = sum(counts[base] for base in "ACGT")
    if known == 0:
        raise ValueError("no base is known")
    return [counts[base] / known for base in "ACGT"]
