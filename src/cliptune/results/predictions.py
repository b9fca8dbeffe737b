"""What ``predict`` and ``embed`` give.

It knows nothing about models or files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.features import Features
from cliptune.features.guard import RowsChecked
from cliptune.images import ImageTable
from cliptune.results.base import Result, Unreadable
from cliptune.results.plain import TRANSIENT
from cliptune.system.formatting import percent
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["EmbedResult", "LabelProbability", "PredictResult", "Prediction"]


@dataclass(frozen=True)
class LabelProbability:
    """A label and how probable it is.

    Attributes:
        label: The name of a class.
        probability: Calibrated where a fitted classifier said it.
    """

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What is said of one image.

    Attributes:
        image: Its id.
        labels: The most probable ones, the first first.
        abstains: The first is less probable than the classifier's threshold.
    """

    image: str
    labels: tuple[LabelProbability, ...]
    abstains: bool


@dataclass(frozen=True, kw_only=True)
class PredictResult(Result):
    """The most probable labels of images.

    Attributes:
        model: The encoder.
        templates: The texts that labels were put into.
        predictions: One an image that could be read.
        unreadable: Images that were left out.
        engine: What ran the encoder.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
        score: ``softmax`` where an image's probabilities are shares of 1, ``sigmoid`` where each
            label was judged on its own.
        title: What a table of it is called.
    """

    model: str
    templates: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    unreadable: tuple[Unreadable, ...]
    engine: str
    precision: str
    rows_checked: RowsChecked
    score: Literal["softmax", "sigmoid"] = "softmax"
    title: str = field(default="", repr=False, compare=False, metadata=TRANSIENT)

    def blocks(self) -> tuple[Shown, ...]:
        """Return a table of images and labels."""
        rows = [
            (
                prediction.image if rank == 0 else "",
                one.label + (" (abstains)" if prediction.abstains and rank == 0 else ""),
                percent(one.probability),
            )
            for prediction in self.predictions
            for rank, one in enumerate(prediction.labels)
        ]
        title = self.title or f"{self.model} ({self.precision})"
        return (TextTable.of(title, ("image", "label", "probability"), rows),)


@dataclass(frozen=True, kw_only=True)
class EmbedResult(Result):
    """The embeddings of a data set.

    Attributes:
        data: The data set, as it was named.
        model: The encoder.
        engine: What ran it.
        precision: What it computed in.
        rows_checked: Rows that were computed twice.
        n: Images.
        dim: Length of a vector.
        file: Where they were written; None where no folder was named.
        images_embedded: Distinct images that were not in the cache.
        images_per_second: Of these; None where there are none.
        unreadable: Images that were left out.
        seconds: All of it.
        table: The images that could be read; not written down.
        features: Their vectors; not written down.
    """

    data: str
    model: str
    engine: str
    precision: str
    rows_checked: RowsChecked
    n: int
    dim: int
    file: str | None
    images_embedded: int
    images_per_second: float | None
    unreadable: tuple[Unreadable, ...]
    seconds: float
    table: ImageTable | None = field(default=None, repr=False, compare=False, metadata=TRANSIENT)
    features: Features | None = field(default=None, repr=False, compare=False, metadata=TRANSIENT)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The embeddings, float32 (N, D), rows of norm 1.

        Raises:
            AttributeError: The result was read from a file, which holds none.
        """
        if self.features is None:
            raise AttributeError(f"this result holds no vectors; read them from {self.file}")
        return self.features.vectors

    def blocks(self) -> tuple[Shown, ...]:
        """Return one sentence."""
        where = f": {self.file}" if self.file else ""
        return (
            f"{self.n} vectors of {self.dim} dimensions from {self.model}, "
            f"{self.images_embedded} of them new{where}",
        )
