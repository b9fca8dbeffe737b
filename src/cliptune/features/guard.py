"""Rows that are computed twice: a random sample again and alone, to notice an engine at fault.

It needs no knowledge of any fault: a row belongs to its input, so it must come out the same, to
rounding, when the input is read again and computed without company, in one request that is waited
for. It knows encoders by their protocol and nothing about where rows are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import EngineError
from cliptune.features.keys import StoreKey

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = [
    "RowGuard",
    "RowsChecked",
    "describe_computing",
    "encode_alone",
    "largest_difference",
    "rounding_limit",
]

_ONE_IN, _AT_LEAST = 500, 8
_PARTS = 8  # of a batch; the rows of each take turns
# Largest differences that rounding may make, by number format. What was measured between batches
# of 64 and rows alone stands in docs/engines.md; each limit is at least five times that. GPUs may
# multiply fp32 in a shorter format.
_LIMITS = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.1, "int8": 0.05}
_LEAST_LIMIT_ELSEWHERE = 0.02


@dataclass(frozen=True)
class RowsChecked:
    """How many rows were computed twice.

    Attributes:
        n: Rows of images and of texts.
        largest_difference: Between the two results, as ``largest_difference`` has it.
    """

    n: int = 0
    largest_difference: float = 0.0

    def __add__(self, other: RowsChecked) -> RowsChecked:
        """Count both."""
        largest = max(self.largest_difference, other.largest_difference)
        return RowsChecked(self.n + other.n, largest)

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return plain JSON values; there is no difference (null) where nothing was checked."""
        return {"n": self.n, "largest_difference": self.largest_difference if self.n else None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RowsChecked:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        return cls(values["n"], values["largest_difference"] or 0.0)


class RowGuard:
    """Chooses rows, compares them, and counts.

    Args:
        rng: Draws the rows; by default another sample in every process, so that a fault that one
            run happens to miss is met by another.

    Attributes:
        checked: All that was compared so far.
    """

    def __init__(self, rng: np.random.Generator | None = None) -> None:
        self._given = rng
        self._counts: dict[tuple[str, str], int] = {}
        self.checked = RowsChecked()

    @cached_property
    def _rng(self) -> np.random.Generator:
        return np.random.default_rng() if self._given is None else self._given

    def choose(
        self, encoder: DualEncoder, what: str, n_rows: int, batch_size: int
    ) -> NDArray[np.bool_]:
        """Choose which of some rows to compute again: bool (n_rows,).

        One in 500, and at least eight of an encoder (all where there are fewer). The eighths of a
        batch take turns, so that each is looked at: faults like the ends of batches.

        Args:
            encoder: What computes them.
            what: ``images`` or ``texts``, which are counted apart.
            n_rows: How many there are.
            batch_size: How many are computed at once, in this order.
        """
        if not n_rows:
            return np.zeros(0, bool)
        before = self._counts.get((encoder.fingerprint, what), 0)
        n_chosen = min(n_rows, max(_AT_LEAST - before, -(-n_rows // _ONE_IN)))
        places = np.arange(n_rows) % batch_size
        lengths = np.minimum(batch_size, n_rows - np.arange(n_rows) + places)
        parts = places * _PARTS // np.maximum(lengths, 1)
        shuffled = self._rng.permutation(n_rows)
        turns = np.empty(n_rows, np.int64)
        for part in range(_PARTS):
            rows = shuffled[parts[shuffled] == part]
            turns[rows] = np.arange(len(rows))
        chosen = np.zeros(n_rows, bool)
        chosen[shuffled[np.argsort(turns[shuffled], kind="stable")[:n_chosen]]] = True
        return chosen

    def check(
        self,
        encoder: DualEncoder,
        kind: str,
        inputs: NDArray[np.uint8] | Sequence[str],
        rows: NDArray[np.float32],
        names: Sequence[str],
    ) -> None:
        """Compute chosen inputs again and compare.

        Args:
            encoder: What gave the rows.
            kind: ``pooled``, ``tokens``, ``trunk``, ``texts`` or ``texts-cut``.
            inputs: Pixels (n, 3, H, W) or n texts.
            rows: What the encoder gave for them among others, shape (n, ...).
            names: What the inputs are called.

        Raises:
            EngineError: A row differs by more than rounding.
        """
        if not len(rows):
            return
        alone = encode_alone(encoder, kind, inputs)
        differences = largest_difference(rows, alone)
        key = StoreKey.of(encoder, kind)
        limit = rounding_limit(key.precision, encoder.device)
        worst = int(np.argmax(differences))
        if not differences[worst] <= limit:
            raise EngineError(
                f"{key.engine} ({key.precision}) gave another row for {names[worst]!r} of "
                f"{encoder.name} than for the same alone (they differ by "
                f"{differences[worst]:.2g}, rounding stays below {limit:g}); nothing of this part "
                "is kept: repeat with another --engine, and please report it"
            )
        self.checked += RowsChecked(len(rows), float(differences.max()))
        counted = (encoder.fingerprint, "texts" if kind.startswith("texts") else "images")
        self._counts[counted] = self._counts.get(counted, 0) + len(rows)


def largest_difference(
    rows: NDArray[np.float32], reference: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Say how far each of n outputs (n, ..., D) is from its reference: float64 (n,).

    The largest Euclidean distance of two vectors over the root mean square length of the
    reference's vectors, which is 1 for unit rows; infinite where a number is not finite or the
    shapes differ.
    """
    if rows.shape != reference.shape:
        return np.full(len(rows), np.inf)
    shape = (len(rows), -1, rows.shape[-1])
    ours, theirs = (x.reshape(shape).astype(np.float64) for x in (rows, reference))
    lengths = np.sqrt((theirs**2).sum(axis=-1).mean(axis=-1))
    distances = np.sqrt(((ours - theirs) ** 2).sum(axis=-1)).max(axis=-1)
    found = distances / np.maximum(lengths, np.finfo(np.float32).tiny)
    result: NDArray[np.float64] = np.where(np.isfinite(found), found, np.inf)
    return result


def rounding_limit(precision: str, device: str = "cpu") -> float:
    """Return the largest difference that rounding may make in a number format on a device."""
    limit = _LIMITS.get(precision, max(_LIMITS.values()))
    return limit if device == "cpu" else max(limit, _LEAST_LIMIT_ELSEWHERE)


def encode_alone(
    encoder: DualEncoder, kind: str, inputs: NDArray[np.uint8] | Sequence[str]
) -> NDArray[np.float32]:
    """Compute inputs again, by the encoder's own plain way or else one by one."""
    plain: Callable[..., NDArray[np.float32]] | None = getattr(encoder, "encode_alone", None)
    if plain is not None:
        return plain(kind, inputs)
    if kind.startswith("texts"):
        cut = kind == "texts-cut"
        return np.concatenate([encoder.encode_texts([str(t)], truncate=cut) for t in inputs])
    encode = {
        "pooled": encoder.encode_images,
        "tokens": encoder.encode_tokens,
        "trunk": encoder.encode_trunk,
    }[kind]
    pixels = np.array(inputs, np.uint8, order="C", copy=True)
    return np.concatenate([encode(pixels[i : i + 1].copy()) for i in range(len(pixels))])


def describe_computing(encoder: DualEncoder, guard: RowGuard) -> dict[str, Any]:  # Any: plain JSON
    """Say what computed rows and how many of them were checked, as plain JSON values.

    Args:
        encoder: What computed them: its ``engine`` (``torch`` where it names none) and precision.
        guard: What checked them.
    """
    return {
        "engine": str(getattr(encoder, "engine", "torch")),
        "precision": encoder.precision,
        "rows_checked": guard.checked.to_dict(),
    }
