"""A run's classifier as one graph: from images, or prepared pixels, to calibrated probabilities.

It puts tower, head, temperature and threshold together, and does not know where any came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from onnx import ModelProto, TensorProto

from cliptune.exports.onnx_graph import OnnxGraph
from cliptune.exports.resizing import add_preprocessing

if TYPE_CHECKING:
    from cliptune.classifiers.calibrated_head import CalibratedHead
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


def towers_of(classifier: CalibratedHead) -> tuple[str, ...]:
    """Return the towers' graphs that a classifier needs: ``image``, ``trunk``, ``tokens``."""
    return _TOWERS[classifier.needs]


def build_classifier_graph(
    classifier: CalibratedHead,
    towers: Mapping[str, ModelProto],
    *,
    preprocess: Preprocess,
    given: GraphInput,
) -> ModelProto:
    """Put a classifier's parts together.

    Args:
        classifier: Head, temperature, threshold and names.
        towers: The graphs of ``towers_of``: pixels uint8 (B, 3, h, w) to float32 rows.
        preprocess: The encoder's input transform.
        given: ``image``: the graph takes ``image``, uint8 (B, H, W, 3) of any size; ``pixels``:
            it takes ``pixels``, uint8 (B, 3, h, w), resized and cropped already.

    Returns:
        A graph with the outputs ``probabilities`` float32 (B, C), ``embedding`` float32 (B, D)
        and, where there is a threshold, ``abstained`` bool (B,).

    Raises:
        InputError: The head cannot be written as a graph.
    """
    graph = OnnxGraph()
    height, width = preprocess.size
    if given == "image":
        image = graph.add_input("image", TensorProto.UINT8, ["batch", "height", "width", 3])
        pixels = add_preprocessing(graph, image, preprocess)
    else:
        pixels = graph.add_input("pixels", TensorProto.UINT8, ["batch", 3, height, width])
    dim = classifier.encoder.dim
    rows = _join(graph, towers, pixels, dim)
    logits = classifier.head.express(graph, rows.features)
    cooled = graph.divide(logits, graph.constant(np.array([classifier.temperature])))
    probabilities = graph.softmax(cooled, axis=-1)
    names = classifier.class_names
    graph.add_output(probabilities, "probabilities", TensorProto.FLOAT, ["batch", len(names)])
    graph.add_output(rows.embedding, "embedding", TensorProto.FLOAT, ["batch", dim])
    if classifier.threshold is not None:
        limit = graph.constant(np.array([classifier.threshold.probability]))
        top = graph.node("ReduceMax", probabilities, graph.whole(-1), keepdims=0)
        abstained = graph.node("Less", top, limit)
        graph.add_output(abstained, "abstained", TensorProto.BOOL, ["batch"])
    return graph.to_model(classifier_facts(classifier, preprocess))


def classifier_facts(classifier: CalibratedHead, preprocess: Preprocess) -> dict[str, str]:
    """Return what a graph says of itself: JSON by name."""
    threshold = classifier.threshold
    facts = {
        "class_names": list(classifier.class_names),
        "method": classifier.head.name,
        "temperature": classifier.temperature,
        "threshold": None if threshold is None else threshold.probability,
        "model": classifier.encoder.name,
        "encoder_fingerprint": classifier.encoder.fingerprint,
        "preprocess": asdict(preprocess),
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in facts.items()}


def _join(graph: OnnxGraph, towers: Mapping[str, ModelProto], pixels: str, dim: int) -> _Rows:
    """Run the towers and put their rows as a head takes them."""
    rows = {name: graph.splice(tower, pixels, name) for name, tower in towers.items()}
    if "trunk" in rows:
        return _Rows(graph.part(rows["trunk"], 1, 0, dim), rows["trunk"])
    if "tokens" in rows:
        first = graph.reshape(rows["image"], (-1, 1, dim))
        return _Rows(rows["image"], graph.node("Concat", first, rows["tokens"], axis=1))
    return _Rows(rows["image"], rows["image"])
