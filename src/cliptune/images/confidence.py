"""How sure labels are: a column of numbers, or of annotators' votes by class.

It knows cells, and nothing about where they come from or what is made of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import DataError

__all__ = ["VOTES", "Confidence", "number_votes", "read_confidence", "soft_rows"]

_EMPTY = ("", "nan")
VOTES = "votes"  # the column that exports with several annotators have
# Shares of classes that are named; what is left of 1 is spread over the others. None: certain.
Confidence = Mapping[str, float] | float | None


def read_confidence(
    cells: Sequence[Any],  # Any: cells as the file has them
    *,
    column: str,
    name: str,
) -> list[Confidence]:
    """Read a column of numbers from 0 to 1, or of votes: ``{"ant": 2, "bee": 1}``.

    Args:
        cells: Of the column; an empty one means that the label is certain.
        column: What it is called.
        name: What the table is called.

    Raises:
        DataError: A cell is neither; the message names its row, counted from 0.
    """
    return [_read(cell, f"row {row} of {name!r}", column) for row, cell in enumerate(cells)]


def _read(cell: Any, where: str, column: str) -> Confidence:  # Any: a cell
    value = cell
    if isinstance(value, str):
        text = value.strip()
        try:
            value = json.loads(text) if text.lower() not in _EMPTY else None
        except ValueError:
            value = cell
    if isinstance(value, list) and all(isinstance(v, tuple) and len(v) == 2 for v in value):
        value = dict(value)  # a map of Parquet
    if isinstance(value, Mapping):
        return _shares(value, cell, where, column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
        raise _unreadable(cell, where, column)
    return float(number)


def _shares(votes: Mapping[Any, Any], cell: Any, where: str, column: str) -> dict[str, float]:
    counts: dict[str, float] = {}
    for label, n in votes.items():
        if n is None:
            continue  # a struct of Parquet has a place for every class
        if isinstance(n, bool) or not isinstance(n, int | float) or not 0 <= n < math.inf:
            raise _unreadable(cell, where, column)
        if n:
            counts[str(label)] = float(n)
    total = sum(counts.values())
    if not total:
        raise _unreadable(cell, where, column)
    return {label: n / total for label, n in counts.items()}


def _unreadable(cell: Any, where: str, column: str) -> DataError:
    return DataError(
        f"{where} has {column} {str(cell)!r:.80}; expected a number from 0 to 1, or votes by "
        'class such as {"ant": 2, "bee": 1}'
    )


def number_votes(
    confidence: Sequence[Confidence], labels: Sequence[int], code_of: Mapping[str, int], root: str
) -> tuple[Mapping[int, float] | None, ...]:
    """Put numbers of classes in the place of their words.

    Args:
        confidence: Of N images.
        labels: Their classes, -1 where there is none.
        code_of: From a word to its class.
        root: What the data set is called.

    Raises:
        DataError: A vote is for a class that there is not.
    """
    found: list[Mapping[int, float] | None] = []
    for one, label in zip(confidence, labels, strict=True):
        if one is None or label < 0:
            found.append(None)
        elif isinstance(one, float):
            found.append({label: one})
        else:
            if unknown := sorted(set(one) - set(code_of)):
                raise DataError(
                    f"{root!r} has votes for {unknown[0]!r}, which is no class; there is: "
                    f"{', '.join(sorted(code_of)[:10])}"
                )
            found.append({code_of[word]: share for word, share in one.items()})
    return tuple(found)


def soft_rows(
    shares: Sequence[Mapping[int, float] | None],
    labels: NDArray[np.int64],
    n_classes: int,
) -> NDArray[np.float32]:
    """Return what each image counts for each class, float32 (N, C); rows sum to 1.

    What the named shares leave of 1 is spread over the classes that they do not name.

    Args:
        shares: Of N images, by class; None where the label is certain.
        labels: int64 (N,), 0..C-1.
        n_classes: C.
    """
    rows = np.zeros((len(labels), n_classes), dtype=np.float32)
    rows[np.arange(len(labels)), labels] = 1
    for row, named in enumerate(shares):
        if named is None:
            continue
        left = max(0.0, 1 - sum(named.values()))
        others = n_classes - len(named)
        rows[row] = left / others if others else 0
        rows[row, list(named)] = list(named.values())
        rows[row] /= rows[row].sum()
    return rows
