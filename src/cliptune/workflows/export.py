"""``export``: a run as graphs or as a folder of the hub, held against the run itself.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cliptune.errors import CliptuneError, ConversionError, InputError, UnknownNameError
from cliptune.system.bounds import MAX_SEED, require_count, require_number
from cliptune.system.formatting import percent
from cliptune.workflows.dataset import data_name, open_table
from cliptune.workflows.options import ComputeOptions, DataOptions
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import require_compute, require_runs
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.exports.parity import ExportedGraph, GraphParity
    from cliptune.exports.source import ExportSource
    from cliptune.images import ImageTable
    from cliptune.results.exported import ExportResult
    from cliptune.runs import RunDir
    from cliptune.workflows.dataset import Data

__all__ = ["Format", "export"]

Format = Literal["onnx", "openvino", "hub"]
GraphInput = Literal["image", "pixels"]
_FORMATS = ("onnx", "openvino", "hub")
_USUAL_LIMIT, _USUAL_IMAGES = 0.995, 500


def export(
    run: str | Path | RunDir,
    *,
    out: str | Path,
    format: Format = "onnx",
    input: GraphInput | None = None,
    data: Data | None = None,
    images: int = _USUAL_IMAGES,
    limit: float = _USUAL_LIMIT,
    push: str | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    seed: int = 0,
    progress: ProgressLike = None,
) -> ExportResult:
    """Write a run as files that need neither this package nor torch, with a certificate.

    What is written is run in a fresh process without torch, on real images, and held against the
    run in torch and float32: ``parity.json``.

    Args:
        run: A finished run of ``fit`` or ``finetune``.
        out: The folder to write; an earlier export there is replaced.
        format: ``onnx``, ``openvino``, or ``hub`` for a folder that transformers and open_clip
            read.
        input: What a graph takes: ``image``, bytes of any size, or ``pixels``, resized and
            cropped ones; both are written otherwise.
        data: Images for the certificate; those that the run was fitted on otherwise.
        images: At most so many of them.
        limit: Smallest share of images that must get the same class as from the run; of several
            labels an image also of answers that must be the same.
        push: ``OWNER/NAME`` on the hub, to upload a folder of the format ``hub`` to; it becomes a
            private model.
        dataset: How to read ``data``.
        compute: Where graphs are kept; the engine and precision play no part.
        seed: Of the choice among the images.
        progress: A callback, or True for bars.

    Raises:
        RunError: The run is missing, unfinished or altered, or holds no classifier.
        InputError: Its head is no function that a graph can hold, or an option does not fit.
        ConversionError: The encoder cannot be converted, or a graph answers otherwise.
        MissingExtraError: What writes or runs the format is not installed.
        CliptuneError: The encoder or the images are gone; the message says which.
    """
    from cliptune.exports.folder import new_export_folder, require_export_place

    started = time.perf_counter()
    _require_options(format, input, images, limit, seed)
    _require_push(push, format)
    require_compute(compute, [])
    require_export_place(Path(out))
    session = Session(compute, watching(progress))
    source = _open(run, session)
    asked = data if data is not None else _data_of(source.run)
    table = _choose(asked, dataset, session, images, seed)
    with new_export_folder(Path(out)) as folder:
        with session.watch.stage(f"writing {format}", "graphs") as show:
            graphs = _write(source, folder, format, input)
            show(len(graphs), len(graphs))
        parity = _measure(source, graphs, table, session)
        _require_agreement(parity, limit)
        result = _describe(source, parity, format, Path(out), data_name(asked), limit)
        result = _finish(folder, replace(result, split=dataset.split), graphs, started)
    return result if push is None else replace(result, pushed=_push(Path(out), push))


def _require_push(push: str | None, format: str) -> None:
    from cliptune.exports.pushing import require_repository

    if push is None:
        return
    if format != "hub":
        raise InputError(f"--push uploads a folder of --format hub, not of {format}")
    require_repository(push)


def _push(out: Path, name: str) -> str:
    from cliptune.exports.pushing import push_folder

    return push_folder(out, name)


def _require_options(format: str, input: str | None, images: int, limit: float, seed: int) -> None:
    if format not in _FORMATS:
        raise UnknownNameError("format", format, _FORMATS)
    if input not in (None, "image", "pixels"):
        raise UnknownNameError("input", str(input), ("image", "pixels"))
    if input is not None and format == "hub":
        raise InputError("--format hub takes images as transformers does; leave out --input")
    require_count("--images", images)
    require_count("--seed", seed, at_least=0, at_most=MAX_SEED)
    require_number("--limit", limit, at_least=0, at_most=1)


def _open(run: str | Path | RunDir, session: Session) -> ExportSource:
    """Open the run, and find its encoder."""
    from cliptune.exports.source import open_source
    from cliptune.runs import RunDir
    from cliptune.system.paths import cache_dir

    if not isinstance(run, RunDir):
        require_runs([Path(run)])
        run = RunDir.open(run)
    return open_source(run, session.compute.cache_dir or cache_dir())


def _data_of(run: RunDir) -> str:
    """Return the data set that a run was fitted on, as it was named."""
    named = run.read_json("config.json").get("data")
    if not isinstance(named, str) or not named:
        raise InputError("the run does not say what it was fitted on; name images with --data")
    return named


def _choose(
    data: Data, dataset: DataOptions, session: Session, images: int, seed: int
) -> ImageTable:
    """Open the images for the certificate, and draw from them."""
    from cliptune.images.sample import sample_rows

    try:
        table = open_table(data, dataset, session.watch)
    except CliptuneError as error:
        raise type(error)(
            f"{error}; the certificate needs images: name some with --data"
        ) from error
    return table.select(sample_rows(table.labels, images, seed=seed))


def _write(
    source: ExportSource, folder: Path, format: Format, input: GraphInput | None
) -> tuple[ExportedGraph, ...]:
    if format == "hub":
        from cliptune.exports.hub_folder import write_hub_folder

        return write_hub_folder(source, folder)
    from cliptune.exports.graph_files import write_graphs

    return write_graphs(source, folder, format, ("image", "pixels") if input is None else (input,))


def _measure(
    source: ExportSource, graphs: Sequence[ExportedGraph], table: ImageTable, session: Session
) -> tuple[GraphParity, ...]:
    """Let the run answer, then the graphs in a process of their own."""
    from cliptune.exports.expected import expected_answers
    from cliptune.exports.parity import measure_parity

    with tempfile.TemporaryDirectory(prefix="cliptune-images-") as folder:
        with session.watch.stage("answering with the run") as show:
            expected = expected_answers(source, table, Path(folder), show)
        with session.watch.stage("answering with the graphs alone", "graphs") as show:
            parity = measure_parity(graphs, expected, source.preprocess)
            show(len(graphs), len(graphs))
    return parity


def _require_agreement(parity: Sequence[GraphParity], limit: float) -> None:
    _require_presence(parity, limit)
    worst = min(parity, key=lambda one: one.agreement.value)
    if worst.agreement.value < limit:
        raise ConversionError(
            f"{worst.file} gives the run's class for {percent(worst.agreement.value)} of "
            f"{worst.n} images, below the limit of {percent(limit)} ({worst.differs_most!r} "
            f"differs most, by {worst.largest_difference:.2g}); nothing was exported: look at "
            "that image, or lower --limit"
        )


def _require_presence(parity: Sequence[GraphParity], limit: float) -> None:
    for one in parity:
        if one.presence_agreement is not None and one.presence_agreement < limit:
            raise ConversionError(
                f"{one.file} says alike which labels are present in "
                f"{percent(one.presence_agreement)} of all answers, below the limit of "
                f"{percent(limit)} ({one.differs_most!r} differs most, by "
                f"{one.largest_difference:.2g}); nothing was exported: look at that image, or "
                "lower --limit"
            )


def _describe(
    source: ExportSource,
    parity: tuple[GraphParity, ...],
    format: Format,
    out: Path,
    data: str,
    limit: float,
) -> ExportResult:
    from cliptune.results.exported import ExportResult

    classifier = source.classifier
    return ExportResult(
        task="export",
        run=str(source.run.path),
        format=format,
        out=str(out),
        files=(),
        model=classifier.encoder.name,
        fingerprint=classifier.encoder.fingerprint,
        method=classifier.method,
        class_names=classifier.class_names,
        reference="the run in torch, fp32",
        data=data,
        split=None,
        limit=limit,
        passed=True,
        agreement=min(one.agreement.value for one in parity),
        largest_difference=max(one.largest_difference for one in parity),
        graphs=parity,
        pushed=None,
        seconds=0.0,
    )


def _finish(
    folder: Path, result: ExportResult, graphs: Sequence[ExportedGraph], started: float
) -> ExportResult:
    """Write the certificate, its page and the list of files."""
    from cliptune.exports.folder import write_record
    from cliptune.report.exports import export_document
    from cliptune.report.render import render_document

    (folder / "parity.json").touch()
    (folder / "parity.html").touch()
    files = write_record(
        folder,
        {
            "format": result.format,
            "class_names": list(result.class_names),
            "graphs": [{"file": g.file.name, "engine": g.engine, "input": g.input} for g in graphs],
        },
    )
    whole = replace(result, files=files, seconds=time.perf_counter() - started)
    (folder / "parity.json").write_text(whole.to_json() + "\n", encoding="utf-8")
    render_document(export_document(whole.to_dict()), folder / "parity.html")
    return whole
