"""A fitted classifier at work, for the commands that take ``--run``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cliptune.cli.options import ModelOptions
from cliptune.cli.session import Embedded, embed_table, embed_tokens, engine_loader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.classifier import Classifier
    from cliptune.encoders import DualEncoder
    from cliptune.features import FeatureStore
    from cliptune.images import ImageTable
    from cliptune.runs import RunDir

__all__ = ["OpenedRun", "open_run"]


@dataclass(frozen=True)
class OpenedRun:
    """A run's classifier and the encoder whose embeddings it takes."""

    run: RunDir
    classifier: Classifier
    encoder: DualEncoder

    def embed(
        self,
        table: ImageTable,
        store: FeatureStore,
        *,
        on_bad_image: Literal["fail", "skip"],
    ) -> tuple[Embedded, NDArray[np.floating[Any]]]:  # Any: tokens may be of half precision
        """Embed a table; return that, and what the classifier takes for each image."""
        from cliptune.task import join_tokens

        needs = self.classifier.needs
        embedded = embed_table(
            self.encoder,
            table,
            store,
            on_bad_image=on_bad_image,
            trunk="must" if needs == "trunk" else "no",
        )
        X: NDArray[np.floating[Any]] = embedded.features.vectors
        if needs == "tokens":
            X = join_tokens(
                embedded.features.vectors, embed_tokens(self.encoder, embedded.table, store)
            )
        elif embedded.features.trunk is not None:
            X = embedded.features.trunk
        return embedded, X


def open_run(path: Path, model: ModelOptions, table: ImageTable) -> OpenedRun:
    """Load the classifier of a finished run, and its encoder for the images of a table."""
    from cliptune.classifier import Classifier
    from cliptune.run_encoder import load_run_encoder
    from cliptune.runs import RunDir

    run = RunDir.open(path)
    classifier = Classifier.load(run)
    load = engine_loader(model, table, labels=classifier.class_names)
    encoder = load_run_encoder(run, device=model.device, precision=model.precision, load=load)
    return OpenedRun(run, classifier, encoder)
