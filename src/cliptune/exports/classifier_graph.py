"""A run's classifier as one graph: from images, or prepared pixels, to calibrated probabilities.

It puts tower, head, calibration and thresholds together, and does not know where any came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from onnx import ModelProto, TensorProto

from cliptune.classifiers.label_classifier import LabelClassifier, limits_of
from cliptune.exports.onnx_graph import OnnxGraph
from cliptune.exports.resizing import add_preprocessing
from cliptune.heads.expression import affine

if TYPE_CHECKING:
    from cliptune.classifiers.calibrated_head import CalibratedHead
    from cliptune.classifiers.label_classifier import AnyClassifier
    from cliptune.encoders.preprocess import Preprocess

__all__ = ["GraphInput", "build_classifier_graph", "classifier_facts", "towers_of"]

GraphInput = Literal["image", "pixels"]
_TOWERS = {"pooled": ("image",), "trunk": ("trunk",), "tokens": ("image", "tokens")}


@dataclass(frozen=True)
class _Rows:
    """What the towers give.

    Attributes:
        embedding: Unit rows (B, D).
        features: What the head takes.
    """

    embedding: str
    features: str


def towers_of(classifier: AnyClassifier) -> tuple[str, ...]:
    """Return the towers' graphs that a classifier needs: ``image``, ``trunk``, ``tokens``."""
    return _TOWERS[classifier.needs]


def build_classifier_graph(
    classifier: AnyClassifier,
    towers: Mapping[str, ModelProto],
    *,
    preprocess: Preprocess,
    given: GraphInput,
) -> ModelProto:
    """Put a classifier's parts together.

    Args:
        classifier: Head, calibration, thresholds and names.
        towers: The graphs of ``towers_of``: pixels uint8 (B, 3, h, w) to float32 rows.
        preprocess: The encoder's input transform.
        given: ``image``: the graph takes ``image``, uint8 (B, H, W, 3) of any size; ``pixels``:
            it takes ``pixels``, uint8 (B, 3, h, w), resized and cropped already.

    Returns:
        A graph with the outputs ``probabilities`` float32 (B, C), ``embedding`` float32 (B, D)
        and, where there is a threshold, ``abstained`` bool (B,); of several labels an image
        ``present`` bool (B, C) instead: which labels reach their thresholds.

    Raises:
        InputError: The head cannot be written as a graph.
    """
    graph = OnnxGraph()
    if given == "image":
        image = graph.add_input("image", TensorProto.UINT8, ["batch", "height", "width", 3])
        pixels = add_preprocessing(graph, image, preprocess)
    else:
        pixels = graph.add_input("pixels", TensorProto.UINT8, ["batch", *preprocess.shape])
    rows = _join(graph, towers, pixels, classifier.encoder.dim)
    if isinstance(classifier, LabelClassifier):
        _add_labels(graph, classifier, rows)
    else:
        _add_classes(graph, classifier, rows)
    return graph.to_model(classifier_facts(classifier, preprocess))


def _add_classes(graph: OnnxGraph, classifier: CalibratedHead, rows: _Rows) -> None:
    """Give out probabilities that add up to 1, and where the first is below the threshold."""
    logits = classifier.head.express(graph, rows.features)
    cooled = graph.divide(logits, graph.constant(np.array([classifier.temperature])))
    probabilities = graph.softmax(cooled, axis=-1)
    _give_out(graph, classifier, probabilities, rows)
    if classifier.threshold is not None:
        limit = graph.constant(np.array([classifier.threshold.probability]))
        top = graph.node("ReduceMax", probabilities, graph.whole(-1), keepdims=0)
        abstained = graph.node("Less", top, limit)
        graph.add_output(abstained, "abstained", TensorProto.BOOL, ["batch"])


def _add_labels(graph: OnnxGraph, classifier: LabelClassifier, rows: _Rows) -> None:
    """Give out a probability for each label by itself, and which of them reach their thresholds."""
    logits = affine(graph, rows.features, *classifier.affine_logits())
    probabilities = graph.node("Sigmoid", logits)
    _give_out(graph, classifier, probabilities, rows)
    limits = graph.constant(classifier.calibration.threshold)
    present = graph.node("GreaterOrEqual", probabilities, limits)
    names = classifier.class_names
    graph.add_output(present, "present", TensorProto.BOOL, ["batch", len(names)])


def _give_out(graph: OnnxGraph, classifier: AnyClassifier, probabilities: str, rows: _Rows) -> None:
    names, dim = classifier.class_names, classifier.encoder.dim
    graph.add_output(probabilities, "probabilities", TensorProto.FLOAT, ["batch", len(names)])
    graph.add_output(rows.embedding, "embedding", TensorProto.FLOAT, ["batch", dim])


def classifier_facts(classifier: AnyClassifier, preprocess: Preprocess) -> dict[str, str]:
    """Return what a graph says of itself: JSON by name."""
    facts = {
        "class_names": list(classifier.class_names),
        "method": classifier.method,
        **_calibration(classifier),
        "model": classifier.encoder.name,
        "encoder_fingerprint": classifier.encoder.fingerprint,
        "preprocess": asdict(preprocess),
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in facts.items()}


def _calibration(classifier: AnyClassifier) -> dict[str, Any]:  # Any: plain JSON values
    threshold, thresholds = limits_of(classifier)
    temperature = None if isinstance(classifier, LabelClassifier) else classifier.temperature
    return {"temperature": temperature, "threshold": threshold, "thresholds": thresholds}


def _join(graph: OnnxGraph, towers: Mapping[str, ModelProto], pixels: str, dim: int) -> _Rows:
    """Run the towers and put their rows as a head takes them."""
    rows = {name: graph.splice(tower, pixels, name) for name, tower in towers.items()}
    if "trunk" in rows:
        return _Rows(graph.part(rows["trunk"], 1, 0, dim), rows["trunk"])
    if "tokens" in rows:
        first = graph.reshape(rows["image"], (-1, 1, dim))
        return _Rows(rows["image"], graph.node("Concat", first, rows["tokens"], axis=1))
    return _Rows(rows["image"], rows["image"])
