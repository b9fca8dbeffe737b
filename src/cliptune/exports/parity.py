"""Parity: what exported graphs say in a process of their own, held against what the run says.

It knows graphs as files and answers as arrays; what made either is not its business.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import ConversionError
from cliptune.evaluation.metrics import Score, wilson_interval
from cliptune.exports.preparing import ResizeParity, compare_pixels, write_preparing_graph

if TYPE_CHECKING:
    from cliptune.encoders.preprocess import Preprocess

__all__ = ["Expected", "ExportedGraph", "GraphParity", "measure_parity"]

_HERE = Path(__file__).parent
_LAST_WORDS = 400
_RUNTIMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO", "transformers": "transformers"}


@dataclass(frozen=True)
class ExportedGraph:
    """A graph on disk.

    Attributes:
        file: ``.onnx``, ``.xml`` beside its ``.bin``, or the weights of a folder of the hub.
        engine: What runs it.
        input: ``image``, bytes of any size, or ``pixels``, prepared ones.
    """

    file: Path
    engine: Literal["onnx", "openvino", "transformers"]
    input: Literal["image", "pixels"]

    @property
    def n_bytes(self) -> int:
        """Its size, weights included."""
        parts = (self.file, self.file.with_suffix(".bin"), self.file.with_suffix(".onnx.data"))
        return sum(part.stat().st_size for part in parts if part.is_file())


@dataclass(frozen=True, eq=False)
class Expected:
    """What the run itself says of N images.

    Attributes:
        ids: Their names.
        files: The images' files, N.
        pixels: uint8 (N, 3, h, w), prepared.
        probabilities: float64 (N, C).
        embeddings: float32 (N, D).
        threshold: Below its probability the run abstains.
        thresholds: float64 (C,), from which on a label is said to be present, where an image may
            have several; None elsewhere.
        sizes: Width and height of each image, N.
    """

    ids: tuple[str, ...]
    files: tuple[Path, ...]
    pixels: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    threshold: float | None
    thresholds: NDArray[np.float64] | None = None
    sizes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class GraphParity:
    """A graph held against its run.

    Attributes:
        file: The graph.
        input: ``image`` or ``pixels``.
        runtime: What ran it, with its version.
        n: Images.
        agreement: Share of images with the same most probable class.
        largest_difference: Of a probability, over all images and classes.
        mean_difference: The mean over images of their largest difference.
        differs_most: The image with the largest one.
        smallest_cosine: Between the run's embedding of an image and the graph's; None where that
            gives none.
        abstention_agreement: Share of images on which both abstain or both answer; None where
            the run always answers.
        presence_agreement: Share of answers, one an image and label, that say alike whether it is
            present; None where an image has one label.
        resize: What its resize does to pixels; None where it does none of its own.
        images_per_second: One image at a time, the graph alone.
        bytes: Size on disk.
    """

    file: str
    input: str
    runtime: str
    n: int
    agreement: Score
    largest_difference: float
    mean_difference: float
    differs_most: str
    smallest_cosine: float | None
    abstention_agreement: float | None
    presence_agreement: float | None
    resize: ResizeParity | None
    images_per_second: float
    bytes: int


def measure_parity(
    graphs: Sequence[ExportedGraph], expected: Expected, preprocess: Preprocess
) -> tuple[GraphParity, ...]:
    """Run graphs in a fresh process that has neither torch nor this package.

    A folder of the hub is run there by transformers, which is made of torch.

    Args:
        graphs: What was exported.
        expected: What the run itself says.
        preprocess: The input transform that image graphs hold; it is also measured alone.

    Raises:
        ConversionError: The process failed; the message ends with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="cliptune-parity-") as folder:
        answers = Path(folder)
        np.save(answers / "pixels.npy", expected.pixels)
        preparing = _preparing(graphs, preprocess, answers)
        job = {
            "consumer": str(_HERE / "consumer"),
            "graphs": [
                {"file": str(g.file.resolve()), "engine": g.engine, "input": g.input}
                for g in (*graphs, *preparing)
            ],
            "images": [str(file.resolve()) for file in expected.files],
            "pixels": str(answers / "pixels.npy"),
            "answers": str(answers),
        }
        (answers / "job.json").write_text(json.dumps(job), encoding="utf-8")
        facts = _run_apart(answers)
        pixels = [_read(answers, len(graphs) + n)["pixels"] for n in range(len(preparing))]
        resizes = [compare_pixels(p, expected.pixels, expected.sizes) for p in pixels]
        return tuple(
            _compare(
                graph,
                expected,
                _read(answers, number),
                facts["graphs"][number],
                resizes[0] if resizes and graph.input == "image" else None,
            )
            for number, graph in enumerate(graphs)
        )


def _preparing(
    graphs: Sequence[ExportedGraph], preprocess: Preprocess, folder: Path
) -> list[ExportedGraph]:
    """Write the resize of image graphs alone."""
    kinds = [g.engine for g in graphs if g.input == "image" and g.engine != "transformers"]
    return [
        ExportedGraph(write_preparing_graph(preprocess, folder, kind), kind, "image")
        for kind in kinds[:1]
    ]


def _run_apart(folder: Path) -> dict[str, Any]:  # Any: plain JSON values
    script = str(_HERE / "parity_process.py")
    done = subprocess.run(
        [sys.executable, "-I", "-B", script, str(folder / "job.json")],
        cwd=folder, capture_output=True, text=True, errors="replace",
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")},
    )  # fmt: skip
    if done.returncode:
        words = " ".join(done.stderr.split())[-_LAST_WORDS:]
        raise ConversionError(
            f"the exported graph does not run by itself ({words}); this is not shipped"
        )
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    assert not facts["foreign"], f"the process imported {facts['foreign']}"
    return facts


def _read(folder: Path, number: int) -> dict[str, NDArray[Any]]:  # Any: one dtype an output
    prefix = f"{number}-"
    return {f.stem.removeprefix(prefix): np.load(f) for f in folder.glob(f"{prefix}*.npy")}


def _compare(
    graph: ExportedGraph,
    expected: Expected,
    answers: dict[str, NDArray[Any]],  # Any: one dtype an output
    facts: dict[str, Any],  # Any: plain JSON values
    resize: ResizeParity | None,
) -> GraphParity:
    probabilities = answers["probabilities"]
    n = len(expected.ids)
    apart = np.abs(probabilities - expected.probabilities).max(axis=1)
    same = int((probabilities.argmax(axis=1) == expected.probabilities.argmax(axis=1)).sum())
    low, high = wilson_interval(same, n)
    return GraphParity(
        file=graph.file.name,
        input=graph.input,
        runtime=f"{_RUNTIMES[graph.engine]} {facts['runtime']}",
        n=n,
        agreement=Score(same / n, low, high, n, "Wilson"),
        largest_difference=float(apart.max()),
        mean_difference=float(apart.mean()),
        differs_most=expected.ids[int(apart.argmax())],
        smallest_cosine=_smallest_cosine(answers.get("embedding"), expected),
        abstention_agreement=_abstentions(answers.get("abstained"), expected),
        presence_agreement=_presence(answers, expected),
        resize=resize,
        images_per_second=n / facts["seconds"],
        bytes=graph.n_bytes,
    )


def _smallest_cosine(rows: NDArray[np.float32] | None, expected: Expected) -> float | None:
    if rows is None:
        return None
    return float(np.einsum("nd,nd->n", rows.astype(np.float64), expected.embeddings).min())


def _abstentions(abstained: NDArray[np.bool_] | None, expected: Expected) -> float | None:
    if abstained is None or expected.threshold is None:
        return None
    return float((abstained == (expected.probabilities.max(axis=1) < expected.threshold)).mean())


def _presence(
    answers: dict[str, NDArray[Any]],  # Any: one dtype an output
    expected: Expected,
) -> float | None:
    if expected.thresholds is None:
        return None
    said = answers.get("present")
    if said is None:  # a folder of the hub gives probabilities alone
        said = answers["probabilities"] >= expected.thresholds
    return float((said == (expected.probabilities >= expected.thresholds)).mean())
