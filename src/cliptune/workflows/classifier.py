"""Classifier: a finished run at work on images.

It holds the loaded encoder and the fitted head, and knows nothing about training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.classifiers.head_data import join_tokens
from cliptune.runs import RunDir
from cliptune.system.formatting import percent
from cliptune.system.text_tables import TextTable
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.own_weights import open_run_encoder
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import require_compute
from cliptune.workflows.session import EmbeddedTable, Session

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.images import ImageTable
    from cliptune.workflows.pictures import Pictures

__all__ = ["Classifier", "ImagePrediction", "Predictions", "load_classifier", "open_classifier"]

_SHOWN = 20


@dataclass(frozen=True)
class ImagePrediction:
    """What is said of one image.

    Attributes:
        image: Its path, or its place among those that came.
        label: The most probable class.
        probability: Of that class, calibrated.
        abstained: It is below the classifier's threshold.
    """

    image: str
    label: str
    probability: float
    abstained: bool


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a classifier says of N images.

    Attributes:
        images: N paths, or places among those that came.
        class_names: C names.
        probabilities: float64 (N, C), calibrated; rows sum to 1.
        abstained: bool (N,), where the top probability is below the threshold.
    """

    images: tuple[str, ...]
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float64]
    abstained: NDArray[np.bool_]

    @property
    def labels(self) -> tuple[str, ...]:
        """The most probable class of each image, where it abstains too."""
        return tuple(self.class_names[c] for c in self.probabilities.argmax(axis=1))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> ImagePrediction:
        chosen = int(self.probabilities[row].argmax())
        return ImagePrediction(
            self.images[row],
            self.class_names[chosen],
            float(self.probabilities[row, chosen]),
            bool(self.abstained[row]),
        )

    def __iter__(self) -> Iterator[ImagePrediction]:
        return (self[row] for row in range(len(self)))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the first images."""
        rows = [
            (
                one.image,
                one.label + (" (abstains)" if one.abstained else ""),
                percent(one.probability),
            )
            for one in (self[row] for row in range(min(len(self), _SHOWN)))
        ]
        title = f"{len(self)} images" + ("" if len(self) <= _SHOWN else f", the first {_SHOWN}")
        return TextTable.of(title, ("image", "label", "probability"), rows)._repr_html_()


@dataclass(frozen=True, eq=False)
class Classifier:
    """A fitted head, calibrated, and the encoder whose embeddings it takes.

    Attributes:
        run: The run that holds it.
        calibrated: Head, temperature, threshold, names and templates.
        encoder: What embeds.
        session: Where and how it computes.
    """

    run: RunDir
    calibrated: CalibratedHead
    encoder: DualEncoder = field(repr=False)
    session: Session = field(repr=False)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The C classes that it tells apart."""
        return self.calibrated.class_names

    @property
    def templates(self) -> tuple[str, ...]:
        """The texts that class names were put into."""
        return self.calibrated.templates

    @property
    def method(self) -> str:
        """The name of its head."""
        return self.calibrated.head.name

    def predict(self, images: Pictures, *, progress: ProgressLike = None) -> Predictions:
        """Classify images.

        Args:
            images: A path, a PIL image, an array (H, W, 3) of uint8 or of floats from 0 to 1; a
                sequence of these; an array (N, H, W, 3); or an ``ImageTable``.
            progress: A callback, or True for a bar.

        Returns:
            Labels, calibrated probabilities and abstentions, in the order of the images.

        Raises:
            InputError: There is no image, or one is something else.
            BadImageError: One cannot be read.
        """
        from cliptune.workflows.pictures import gather_pictures

        table = gather_pictures(images)
        told = Classifier(
            self.run,
            self.calibrated,
            self.encoder,
            Session(self.session.compute, watching(progress)),
        )
        embedded, X = told.embed(table, on_bad_image="fail")
        probabilities = self.calibrated.predict_proba(X)
        return Predictions(
            embedded.table.ids,
            self.class_names,
            probabilities,
            self.calibrated.abstains(probabilities),
        )

    def embed(
        self, table: ImageTable, *, on_bad_image: Literal["fail", "skip"]
    ) -> tuple[EmbeddedTable, NDArray[np.floating[Any]]]:  # Any: tokens may be of half precision
        """Embed a table; return that, and what the head takes for each image."""
        needs = self.calibrated.needs
        embedded = self.session.embed(
            self.encoder,
            table,
            on_bad_image=on_bad_image,
            trunk="must" if needs == "trunk" else "no",
            run=self.run,
        )
        X: NDArray[np.floating[Any]] = embedded.features.vectors
        if needs == "tokens":
            tokens = self.session.embed_tokens(self.encoder, embedded.table, run=self.run)
            X = join_tokens(embedded.features.vectors, tokens)
        elif embedded.features.trunk is not None:
            X = embedded.features.trunk
        return embedded, X


def load_classifier(
    run: str | Path | RunDir,
    *,
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> Classifier:
    """Load the classifier of a finished run.

    Args:
        run: The folder of a run of ``fit`` or ``finetune``.
        compute: Where and how its encoder computes.
        progress: A callback, or True for lines on standard error.

    Raises:
        RunError: The run is missing, unfinished, altered, newer, or holds no classifier.
        CheckpointError: The head or the encoder in it is broken.
        CliptuneError: Its encoder cannot be loaded; see ``load_encoder``.
    """
    require_compute(compute, [])
    return open_classifier(run, Session(compute, watching(progress)), None)


def open_classifier(
    run: str | Path | RunDir | Classifier, session: Session, table: ImageTable | None
) -> Classifier:
    """Load the classifier of a run, its encoder for the images of a table."""
    if isinstance(run, Classifier):
        return Classifier(run.run, run.calibrated, run.encoder, session)
    opened = run if isinstance(run, RunDir) else RunDir.open(run)
    calibrated = CalibratedHead.load(opened)
    encoder = open_run_encoder(session, opened, table, labels=calibrated.class_names)
    return Classifier(opened, calibrated, encoder, session)
