"""What re-fitting on a journal's labels gives, and what two such runs are to each other.

It knows nothing about how heads are fitted or labels kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from cliptune.evaluation.metrics import Score
from cliptune.evaluation.significance import Comparison
from cliptune.results.base import Result
from cliptune.system.formatting import count, interval, percent
from cliptune.system.text_tables import Shown

__all__ = ["ChangedImage", "RefitResult", "RunComparison", "TestOpening", "TimelineEntry"]


@dataclass(frozen=True, kw_only=True)
class RefitResult(Result):
    """A head fitted on the labels of a journal; the test was not looked at.

    Attributes:
        command: ``refit``.
        data: The data set.
        model: The encoder.
        run: The folder of the classifier.
        method: The head.
        features: What it learned from.
        class_names: C names that have labels.
        n_labels: Images that it learned from.
        acts: How many acts the journal had.
        held_out: Accuracy on images that were left out in turn; None where none could be.
        zero_shot: The same of the texts alone.
        notes: What was done, one sentence each.
        seconds: All of it.
    """

    command: str
    data: str
    model: str
    run: str
    method: str
    features: str
    class_names: tuple[str, ...]
    n_labels: int
    acts: int
    held_out: Score | None
    zero_shot: Score | None
    notes: tuple[str, ...]
    seconds: float

    def blocks(self) -> tuple[Shown, ...]:
        """Return one sentence."""
        if self.held_out is None:
            return (f"{self.method} on {count(self.n_labels)} labels: {self.run}",)
        score = self.held_out
        return (
            f"{self.method} on {count(self.n_labels)} labels: {percent(score.value)} held out "
            f"({interval(score.low, score.high)}): {self.run}",
        )


@dataclass(frozen=True, kw_only=True)
class TestOpening(Result):
    """What a run gives on the locked test, and how often that was looked at.

    Attributes:
        run: The run.
        accuracy: On the labelled images of the test.
        opened: How often the test was opened, this time included, by any run.
        corrected: Labels of the test that people changed from what the data set says.
        sentence: All of it in words.
    """

    __test__ = False  # its name begins as those of tests do

    run: str
    accuracy: Score
    opened: int
    corrected: int
    sentence: str

    def blocks(self) -> tuple[Shown, ...]:
        """Return the sentence."""
        return (self.sentence,)


@dataclass(frozen=True)
class ChangedImage:
    """An image that one of two runs gets right and the other wrong.

    Attributes:
        id: In its data set.
        content: Digest of its file.
        label: What it is labelled as.
        better: The second run gets it right.
    """

    id: str
    content: str
    label: str
    better: bool


@dataclass(frozen=True, kw_only=True)
class RunComparison(Result):
    """Two runs on the same images.

    Attributes:
        first: The earlier run.
        second: The later one.
        on: ``test``, where both were opened on it, or ``held-out``.
        comparison: The paired test.
        verdict: ``better``, ``worse`` or ``cannot-tell``: the second beside the first.
        sentence: The same in words.
        changed: Images that exactly one of them gets right.
    """

    first: str
    second: str
    on: str
    comparison: Comparison
    verdict: str
    sentence: str
    changed: tuple[ChangedImage, ...]

    def blocks(self) -> tuple[Shown, ...]:
        """Return the sentence."""
        return (self.sentence,)


@dataclass(frozen=True)
class TimelineEntry:
    """A run as a timeline shows it.

    Attributes:
        run: Its name in the folder of the journal, or its path.
        finished: When, UTC, in ISO 8601.
        method: The head.
        n_labels: Labels that it learned from.
        held_out: Accuracy on images that were left out in turn.
        test: Accuracy on the locked test, where it was opened.
        opened: How often that was.
    """

    run: str
    finished: str
    method: str
    n_labels: int
    held_out: Score | None
    test: Score | None
    opened: int
