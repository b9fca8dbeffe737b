"""A run at work: an encoder that several runs may share, and the head on top of it.

It holds what was opened, and does not know from where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.preprocess import Preprocess
from cliptune.serving.drift import DriftMeter
from cliptune.serving.pace import Pace

__all__ = ["Answer", "ServedRun", "TextRows", "Tower"]

TextRows = Callable[[list[str]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Answer:
    """What is said of B images.

    Attributes:
        probabilities: float64 (B, C).
        embeddings: float32 (B, D).
    """

    probabilities: NDArray[np.float64]
    embeddings: NDArray[np.float32]


@dataclass(frozen=True)
class Tower:
    """What images go through together.

    Attributes:
        key: Equal for towers whose batches can be shared.
        run: From pixels uint8 (B, 3, h, w) to rows; may be called from any thread.
        pace: How long batches take it, and which size suits it.
        at_once: Batches that it computes side by side.
        on_cores: It computes on the cores that decode too, and not with threads of its own.
    """

    key: tuple[str, ...]
    run: Callable[[NDArray[np.uint8]], Any] = field(compare=False, repr=False)
    pace: Pace = field(compare=False, repr=False)
    at_once: int
    on_cores: bool


@dataclass(frozen=True, eq=False)
class ServedRun:
    """A run that answers.

    Attributes:
        name: What it is served under.
        digest: Of its files.
        class_names: C names.
        method: The head's name.
        model: The encoder's name.
        threshold: Below its probability the run abstains; None: it always answers.
        thresholds: From which probability on each label is said to be present, (C,), where an
            image may have several; None elsewhere.
        preprocess: From a picture to pixels.
        min_sides: Pixels that a picture's shorter side must keep when it is decoded, or None; for
            each of several encoders side by side.
        tower: What its images go through.
        answer: From the tower's rows to an answer; fast.
        text_rows: Embeds texts, or None where there is no text tower.
        templates: What class names are put into.
        logit_scale: The encoder's factor on cosines.
        drift: Sums over what it has answered, or None where nobody asked for them.
    """

    name: str
    digest: str
    class_names: tuple[str, ...]
    method: str
    model: str
    threshold: float | None
    preprocess: Preprocess
    min_sides: tuple[int | None, ...]
    tower: Tower
    answer: Callable[[Any], Answer]
    text_rows: TextRows | None
    templates: tuple[str, ...]
    logit_scale: float
    drift: DriftMeter | None = None
    thresholds: tuple[float, ...] | None = None
