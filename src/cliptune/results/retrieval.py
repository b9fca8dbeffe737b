"""What ``evaluate --task retrieval`` gives: images and captions that find each other.

It knows nothing about models or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cliptune.evaluation.metrics import Score
from cliptune.features.guard import RowsChecked
from cliptune.results.base import Result, Unreadable
from cliptune.results.plain import ABSENT
from cliptune.system.formatting import interval, percent
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["Recalls", "RetrievalResult"]


@dataclass(frozen=True)
class Recalls:
    """How often what belongs to a query is among the first so many.

    Attributes:
        n: Queries.
        at: By how many of the first are looked at.
    """

    n: int
    at: Mapping[int, Score]

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything as plain JSON values."""
        ends = {
            f"recall_at_{k}": {"low": s.low, "high": s.high, "level": 0.95, "method": s.method}
            for k, s in self.at.items()
        }
        values = {f"recall_at_{k}": score.value for k, score in self.at.items()}
        return {**values, "n": self.n, "intervals": ends}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recalls:  # Any: plain JSON values
        """Read what ``to_dict`` gave."""
        n = int(values["n"])
        return cls(
            n,
            {
                int(name.rpartition("_")[2]): Score(
                    float(values[name]), ends["low"], ends["high"], n, ends["method"]
                )
                for name, ends in values["intervals"].items()
            },
        )


@dataclass(frozen=True, kw_only=True)
class RetrievalResult(Result):
    """Images find their captions, and captions their image.

    Attributes:
        data: The data set, as it was named.
        split: As it was asked for.
        model: The encoder.
        precision: What it computed in.
        device: Where it computed.
        engine: What ran it.
        rows_checked: Rows that were computed twice.
        n_images: Images.
        n_texts: Captions.
        n_distinct_images: Images that differ from each other.
        n_distinct_texts: Captions that differ from each other.
        image_to_text: Every image against all captions.
        text_to_image: Every caption against all images.
        unreadable: Images that were left out.
        images_per_second: Of the images that were embedded, None where all were in the cache.
        images_embedded: How many these are.
        run: The folder with what each query found.
        seconds: All of it.
    """

    data: str
    split: str | None
    model: str
    precision: str
    device: str
    engine: str
    rows_checked: RowsChecked
    n_images: int
    n_texts: int
    n_distinct_images: int
    n_distinct_texts: int
    image_to_text: Recalls
    text_to_image: Recalls
    unreadable: tuple[Unreadable, ...]
    images_per_second: float | None
    images_embedded: int
    run: str
    seconds: float | None = field(default=None, metadata=ABSENT)

    def blocks(self) -> tuple[Shown, ...]:
        """Return recall both ways, what repeats, and where the rest is."""
        title = (
            f"Retrieval on {self.data}: {self.n_images} images, {self.n_texts} captions, "
            f"{self.model} ({self.precision}, {self.device})"
        )
        rows = [
            _recall_row("image to text", self.image_to_text),
            _recall_row("text to image", self.text_to_image),
        ]
        columns = ("", "n", *(f"recall at {k}" for k in self.image_to_text.at))
        return (
            TextTable.of(title, columns, rows),
            "Brackets are 95 % intervals.",
            *self._repeats(),
            f"Scores and what each query found: {self.run}",
        )

    def _repeats(self) -> tuple[str, ...]:
        """Say how many texts and images are the same as others, and what that means."""
        counts = (
            ("captions", self.n_texts, self.n_distinct_texts),
            ("images", self.n_images, self.n_distinct_images),
        )
        same = [f"{n - few} of the {n} {what}" for what, n, few in counts if n > few]
        if not same:
            return ()
        return (
            f"{' and '.join(same)} repeat others: equal ones are one candidate, and an image owns "
            "every caption that is equal to its own.",
        )


def _recall_row(name: str, recalls: Recalls) -> tuple[str, ...]:
    cells = (f"{percent(s.value)} [{interval(*s.interval)}]" for s in recalls.at.values())
    return (name, str(recalls.n), *cells)
