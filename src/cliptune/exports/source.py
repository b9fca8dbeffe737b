"""A finished run as an export needs it: its classifier, its encoder, its towers' graphs.

It knows runs and engines, and no format of an export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.label_classifier import (
    AnyClassifier,
    LabelClassifier,
    load_any_classifier,
)
from cliptune.classifiers.run_encoder import load_run_weights
from cliptune.encoders.engines.making import find_or_make
from cliptune.encoders.engines.resolving import resolve
from cliptune.encoders.engines.storage import GraphStore
from cliptune.encoders.names import require_one_encoder
from cliptune.encoders.preprocess import Preprocess
from cliptune.errors import MissingExtraError

if TYPE_CHECKING:
    from onnx import ModelProto

    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.runs import RunDir

__all__ = ["ExportSource", "open_source", "require_onnx"]

_ROWS = 32


@dataclass(frozen=True)
class ExportSource:
    """A run that is to be exported.

    Attributes:
        run: Its folder.
        classifier: Head, calibration, thresholds and names.
        store: Where graphs of its encoder are kept.
        reference: Loads its encoder in torch, float32, on the processor; once.
    """

    run: RunDir
    classifier: AnyClassifier
    store: GraphStore
    reference: Callable[[], TorchEncoder]

    @property
    def preprocess(self) -> Preprocess:
        """The encoder's input transform."""
        return Preprocess.from_dict(self.classifier.encoder.preprocess)

    def tower_file(self, kind: str, tower: str) -> Path:
        """Return a tower's graph; it is made where it is missing.

        Args:
            kind: ``onnx`` or ``openvino``.
            tower: ``image``, ``trunk``, ``tokens`` or ``text``.

        Raises:
            ConversionError: The tower cannot be converted.
            CliptuneError: The encoder cannot be loaded.
        """
        return find_or_make(self.store, kind, tower, reference=self.reference, calibration=_nothing)

    def towers(self) -> Mapping[str, ModelProto]:
        """Return the ONNX graphs of the towers that the classifier needs.

        Raises:
            MissingExtraError: ``onnx`` is not installed.
            ConversionError: A tower cannot be converted.
        """
        require_onnx()
        import onnx

        from cliptune.exports.classifier_graph import towers_of

        return {
            name: onnx.load(self.tower_file("onnx", name)) for name in towers_of(self.classifier)
        }

    def answer(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return what the run itself says in torch and float32.

        Args:
            pixels: uint8 (N, 3, h, w), as ``preprocess`` gives them.

        Returns:
            Probabilities (N, C), and embeddings (N, D).
        """
        parts = [self._answer(pixels[i : i + _ROWS]) for i in range(0, len(pixels), _ROWS)]
        return np.concatenate([p for p, _ in parts]), np.concatenate([e for _, e in parts])

    def _answer(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        from cliptune.classifiers.head_data import join_tokens

        encoder, classifier = self.reference(), self.classifier
        if isinstance(classifier, LabelClassifier):
            rows = (
                encoder.encode_trunk(pixels)
                if classifier.needs_trunk
                else encoder.encode_images(pixels)
            )
            return classifier.predict_rows(rows), rows[:, : encoder.dim]
        if classifier.needs == "trunk":
            rows = encoder.encode_trunk(pixels)
            return classifier.predict_proba(rows), rows[:, : encoder.dim]
        rows = encoder.encode_images(pixels)
        if classifier.needs == "tokens":
            tokens = encoder.encode_tokens(pixels)
            return classifier.predict_proba(join_tokens(rows, tokens)), rows
        return classifier.predict_proba(rows), rows


def open_source(run: RunDir, cache_dir: Path) -> ExportSource:
    """Read a finished run and find its encoder, without loading its weights where they are known.

    Raises:
        RunError: The run holds no classifier, or one of another encoder.
        CliptuneError: Its encoder is neither in it nor to be found by its name.
    """
    classifier = load_any_classifier(run)
    record = classifier.encoder
    require_one_encoder([record.name], "a graph holds one")

    store = GraphStore(cache_dir, record.fingerprint)
    if record.weights_in_run:
        return ExportSource(run, classifier, store, cache(partial(load_run_weights, run)))
    resolved = resolve(record.name, cache_dir)
    record.require_same_facts(record.name, resolved.facts.fingerprint, resolved.facts.dim)
    return ExportSource(run, classifier, store, resolved.reference)


def require_onnx() -> None:
    """Make sure that graphs can be written.

    Raises:
        MissingExtraError: ``onnx`` is not installed; the message names the extra.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("export", "writing a graph") from error
    assert onnx.__version__, "it is a whole package"


def _nothing() -> NDArray[np.uint8]:
    return np.empty(0, np.uint8)  # only 8-bit graphs are calibrated
