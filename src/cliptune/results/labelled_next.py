"""What ``label-next`` and ``relabel`` give.

It knows nothing about how images are chosen or where labels are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from cliptune.results.base import Result
from cliptune.system.formatting import percent
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["ExpectedWorth", "LabelNextResult", "NextImage", "RelabelResult", "SuspectImage"]


@dataclass(frozen=True)
class NextImage:
    """An image that is worth a label.

    Attributes:
        id: In its data set.
        path: Where it is.
        content: Digest of its file, by which journals know it.
        why: ``centroid``, ``doubt``, or ``check``: all images have labels, and this one is the
            next to be looked at again.
        expected_gain: Accuracy that its label is expected to add, as a share.
        predicted: The most probable class now; empty where there are no classes.
        probability: Of that class.
    """

    id: str
    path: str
    content: str
    why: str
    expected_gain: float
    predicted: str
    probability: float


@dataclass(frozen=True)
class SuspectImage:
    """A label to look at again.

    Attributes:
        id: In its data set.
        path: Where the image is.
        content: Digest of its file.
        why: ``label-error`` or ``duplicate``.
        label: What it is labelled as.
        suggested: What it seems to be.
        doubt: How probable it is that the label is wrong.
        twin: Of a duplicate, the id of the image that looks the same.
    """

    id: str
    path: str
    content: str
    why: str
    label: str
    suggested: str
    doubt: float
    twin: str


@dataclass(frozen=True)
class ExpectedWorth:
    """What more labels are expected to add to accuracy, as shares.

    Attributes:
        labels: So many more.
        value: What they add.
        low: Lower end of an interval of 90 %.
        high: Upper end of it.
        method: How it was found.
    """

    labels: int
    value: float
    low: float
    high: float
    method: str


@dataclass(frozen=True, kw_only=True)
class LabelNextResult(Result):
    """Images to label next, and labels to look at again.

    Attributes:
        command: ``label-next``.
        data: The data set, as it was named.
        model: The encoder.
        run: The classifier that was given; None without one.
        journal: The file of labels.
        class_names: C classes that are known so far.
        n_labelled: Images with a label, outside the test.
        n_open: Images without one, outside the test.
        images: What to label next, the most worthwhile first.
        suspects: Labels to look at again, the most doubtful first.
        gain: What as many more labels are worth; None where there are too few to tell.
        advice: The same in a sentence.
        seconds: All of it.
    """

    command: str
    data: str
    model: str
    run: str | None
    journal: str
    class_names: tuple[str, ...]
    n_labelled: int
    n_open: int
    images: tuple[NextImage, ...]
    suspects: tuple[SuspectImage, ...]
    gain: ExpectedWorth | None
    advice: str
    seconds: float

    def blocks(self) -> tuple[Shown, ...]:
        """Return a table of images, one of suspects, and the advice."""
        rows = [
            (one.id, one.why, one.predicted, percent(one.probability), percent(one.expected_gain))
            for one in self.images
        ]
        columns = ("image", "why", "now", "probability", "expected gain")
        shown: list[Shown] = [TextTable.of("label next", columns, rows)]
        if self.suspects:
            suspects = [
                (one.id, one.why, one.label, one.suggested, percent(one.doubt))
                for one in self.suspects
            ]
            columns = ("image", "why", "label", "looks like", "doubt")
            shown.append(TextTable.of("look again", columns, suspects))
        return (*shown, self.advice)


@dataclass(frozen=True, kw_only=True)
class RelabelResult(Result):
    """Answers of another tool, taken into a journal.

    Attributes:
        command: ``relabel``.
        data: The data set, as it was named.
        answers: The file that was read.
        journal: The file of labels.
        n_read: Answers in it.
        n_taken: Those that say something new.
        n_same: Those that say what stood already.
        unknown: Images of it that are not in the data set.
        class_names: C classes that are known now.
    """

    command: str
    data: str
    answers: str
    journal: str
    n_read: int
    n_taken: int
    n_same: int
    unknown: tuple[str, ...]
    class_names: tuple[str, ...]

    def blocks(self) -> tuple[Shown, ...]:
        """Return what was taken, in a sentence."""
        missed = f"; {len(self.unknown)} are of images not in the data" if self.unknown else ""
        return (
            f"{self.n_taken} of {self.n_read} answers taken into {self.journal}, {self.n_same} "
            f"said the same as before{missed}",
        )
