"""What ``export`` gives: files, and how they were held against the run.

It knows nothing about formats.
"""

from __future__ import annotations

from dataclasses import dataclass

from cliptune.exports.parity import GraphParity
from cliptune.results.base import Result
from cliptune.system.formatting import interval, per_second, percent, size
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["ExportResult"]


@dataclass(frozen=True, kw_only=True)
class ExportResult(Result):
    """A run that left as files, with the certificate of parity: ``parity.json``.

    Attributes:
        run: Its folder.
        format: ``onnx``, ``openvino`` or ``hub``.
        out: The folder with the files.
        files: What is in it, by name.
        model: The run's encoder.
        fingerprint: Of its weights, preprocessing and tokenizer.
        method: The run's head.
        class_names: C names.
        reference: What the files were held against.
        data: The images that were used.
        split: Which part of them; None for all.
        limit: Smallest share of images that must have the same most probable class.
        passed: All graphs reach it.
        agreement: The smallest share among the graphs.
        largest_difference: Of a probability, over all graphs, images and classes.
        graphs: One certificate a graph.
        pushed: Address that the folder was uploaded to; None for nowhere.
        seconds: All of it.
    """

    run: str
    format: str
    out: str
    files: tuple[str, ...]
    model: str
    fingerprint: str
    method: str
    class_names: tuple[str, ...]
    reference: str
    data: str
    split: str | None
    limit: float
    passed: bool
    agreement: float
    largest_difference: float
    graphs: tuple[GraphParity, ...]
    pushed: str | None
    seconds: float

    def blocks(self) -> tuple[Shown, ...]:
        """Return a table of the graphs and where they are."""
        rows = [
            (
                one.file,
                one.runtime,
                f"{percent(one.agreement.value)} "
                f"({interval(one.agreement.low, one.agreement.high)}, n = {one.agreement.n})",
                f"{one.largest_difference:.2g}",
                one.differs_most,
                per_second(one.images_per_second),
                size(one.bytes),
            )
            for one in self.graphs
        ]
        columns = (
            *("graph", "runtime", "same class as the run (95 %)", "largest difference"),
            *("which differs most", "one at a time", "size"),
        )
        title = f"{self.method} on {self.model} against {self.reference}"
        where = f"{len(self.files)} files in {self.out}; parity.json is the certificate"
        return TextTable.of(title, columns, rows), where
