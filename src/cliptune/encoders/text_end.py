"""How many of a row's token ids can change a text's embedding.

It knows token ids and a rule, and neither towers nor tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError

__all__ = ["TextEnd", "encode_by_length", "reject_empty", "reject_long"]

_TEXTS_AT_ONCE = 128
_MARKS = 8  # ids that a tokenizer may add to a text, and more


@dataclass(frozen=True)
class TextEnd:
    """Where a text's ids end, for a tower that what stands behind cannot influence.

    Attributes:
        rule: ``largest``: at the largest id, as in CLIP's own vocabulary; ``id``: at the first
            ``token``; ``padding``: before the trailing ``token``s; ``full``: at the row's end,
            because the tower looks at all of it.
        token: The id that the rule speaks of.
    """

    rule: Literal["largest", "id", "padding", "full"] = "full"
    token: int = 0

    def lengths(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the ids of each row (T, L) up to its end, that included: int64 (T,)."""
        width = ids.shape[1]
        if self.rule == "largest":
            ends = ids.argmax(axis=1) + 1
        elif self.rule == "id":
            marks = ids == self.token
            ends = np.where(marks.any(axis=1), marks.argmax(axis=1) + 1, width)
        elif self.rule == "padding":
            ends = width - (ids != self.token)[:, ::-1].argmax(axis=1)
        else:
            ends = np.full(len(ids), width)
        lengths: NDArray[np.int64] = ends.astype(np.int64)
        return lengths


def encode_by_length(
    encode: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    ids: NDArray[np.int64],
    end: TextEnd,
) -> NDArray[np.float32]:
    """Embed rows of ids sorted by length, each batch no wider than its longest text.

    Args:
        encode: Maps ids (T, L) of any L up to the context to rows (T, D).
        ids: int64, shape (T, context).
        end: The tower's rule; ``full`` keeps every batch at full width.

    Returns:
        float32 (T, D), in the order of ``ids``.
    """
    lengths = end.lengths(ids)
    order = np.argsort(lengths, kind="stable")
    parts = [
        encode(np.ascontiguousarray(ids[some, : lengths[some].max()]))
        for some in (order[i : i + _TEXTS_AT_ONCE] for i in range(0, len(order), _TEXTS_AT_ONCE))
    ]
    rows = np.concatenate(parts)
    sorted_back = np.empty_like(rows)
    sorted_back[order] = rows
    return sorted_back


def reject_long(
    texts: Sequence[str],
    ids: NDArray[np.int64],
    *,
    end: TextEnd,
    count_tokens: Callable[[str], int],
    name: str,
) -> None:
    """Make sure that no text was cut; only rows that are full are counted again.

    Not those of few characters either: none gives more than an id, marks aside, where it is ASCII.

    Args:
        texts: T texts.
        ids: Their ids (T, context), cut where they were too long.
        end: The tower's rule.
        count_tokens: Counts a text's ids before any cut.
        name: What the user calls the model.

    Raises:
        InputError: A text was; the message names it and both lengths.
    """
    limit = ids.shape[1]
    for row in np.flatnonzero(end.lengths(ids) == limit).tolist():
        if texts[row].isascii() and len(texts[row]) + _MARKS <= limit:
            continue
        if (length := count_tokens(texts[row])) > limit:
            raise InputError(
                f"text of {length} tokens, but {name} takes {limit}: "
                f"{_shorten(texts[row])!r}; shorten it or pass truncate=True (--truncate)"
            )


def reject_empty(texts: Sequence[str], ids: NDArray[np.int64], *, name: str) -> None:
    """Make sure that every text has a token, where the tower is told what is padding.

    One that sees padding alone has no row: where the tokenizer adds no marks, as TIPSv2's does not,
    transformers 5.24 answers an empty text by not-a-number (``findings/tipsv2_empty_text.sh``).

    Args:
        texts: T texts.
        ids: Their ids (T, context); padding of which the tower is told is ``-1 - id``.
        name: What the user calls the model.

    Raises:
        InputError: A text has none.
    """
    for row in np.flatnonzero((ids < 0).all(axis=1)).tolist()[:1]:
        raise InputError(
            f"text {texts[row]!r:.60} has no token for {name}, and so no embedding; leave it out, "
            "or write what is seen"
        )


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
