"""``cliptune doctor``: this machine, the engines, their speed and fidelity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cliptune.cli.console import note, print_json, print_table, print_text
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName, Output
from cliptune.errors import UnavailableError
from cliptune.system.formatting import per_second, percent
from cliptune.workflows.dataset import open_whole_table
from cliptune.workflows.options import ComputeOptions, DataOptions
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.requirements import require_class_names, require_compute

if TYPE_CHECKING:
    from cliptune.encoders.engines.doctor import Diagnosis
    from cliptune.features.reading_speed import ReadingSpeed
    from cliptune.images import ImageTable

__all__ = ["doctor"]

_SAMPLES = "samples"


def doctor(
    data: str | None = None,
    /,
    *,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Measure every engine on this machine and say which one to take.

    Args:
        data: Images to compare the engines on; the packaged photographs, or drawn images where
            these are not installed, otherwise.
        model: Which encoder; --precision int8 measures 8 bits too.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        output: How results are shown.
    """
    from functools import partial

    from cliptune.encoders.engines import Work
    from cliptune.encoders.engines.doctor import examine
    from cliptune.features import load_first_pixels
    from cliptune.features.reading_speed import measure_reading
    from cliptune.system.paths import cache_dir

    require_class_names(dataset)
    require_compute(compute, [model])
    table = _sample_table(data, dataset)
    work = Work()
    if table is not None:
        whose = "your images" if data is not None else "the packaged photographs"
        load = partial(load_first_pixels, table)
        work = Work(load_pixels=load, labels=table.class_names, whose=whose)
    found = examine(
        model,
        cache_dir=compute.cache_dir or cache_dir(),
        work=work,
        with_int8=compute.precision == "int8",
    )
    reading = None
    if table is not None:
        reading = measure_reading(found.preprocess, table, _decoding_device(compute))
    if output.json:
        print_json(found.to_dict() | {"reading": reading.to_dict() if reading else None})
        return
    _show(found)
    if reading is not None:
        _show_reading(reading)


def _decoding_device(compute: ComputeOptions) -> str | None:
    """Return the CUDA device that an embedding computes on with torch; it decodes JPEGs too."""
    from cliptune.encoders.precision import choose_device

    device = choose_device(compute.device) if compute.engine in ("auto", "torch") else "cpu"
    return device if device.startswith("cuda") else None


def _sample_table(data: str | None, dataset: DataOptions) -> ImageTable | None:
    from cliptune.errors import MissingExtraError

    if data is not None:
        return open_whole_table(data, dataset, TerminalWatch())
    try:
        return open_whole_table(_SAMPLES, dataset, TerminalWatch())
    except (MissingExtraError, UnavailableError) as error:
        note(f"comparing on drawn images: {error}")
        return None


def _show_reading(found: ReadingSpeed) -> None:
    """Say what a picture costs before the model sees it."""
    text = f"Reading: {found.exact:.1f} ms of one core a picture ({found.n_images} of them)"
    if found.quick is not None:
        text += (
            f", {found.quick:.1f} ms the quick way, JPEGs by {found.decoder}: "
            "'embed --executor' takes it for 10,000 images and more"
        )
    text += f"; {found.workers} threads read {found.threads:.0f} pictures a second"
    if found.processes is not None:
        text += (
            f", {found.workers} processes {found.processes:.0f}: beside a GPU an embedding tries "
            "both and keeps what is faster"
        )
    if found.on_device is not None:
        text += (
            f"; with JPEGs decoded on the device it is {found.on_device:.0f} ('embed --executor' "
            "with --pixels device)"
        )
    print_text(text)


def _show(found: Diagnosis) -> None:
    print_text(f"Machine: {found.machine}")
    rows = []
    for row in found.engines:
        if row.measured is None:
            rows.append((row.name, row.precision, "", "", "", "", row.note))
            continue
        scores = row.measured
        rows.append(
            (
                row.name,
                row.precision,
                per_second(scores.images_per_second),
                per_second(scores.texts_per_second),
                f"{scores.agreement.min_cosine:.5f}",
                percent(scores.agreement.top1),
                row.note,
            )
        )
    columns = ("engine", "precision", "images/s", "texts/s", "min cosine", "same label", "")
    print_table(f"{found.model} on {found.sample}; cosines are mean-centred", columns, rows)
    print_text(f"Choice: {found.choice} ({found.reason})")
    checks = [(one.name, one.status, one.said) for one in found.self_check.findings]
    print_table(f"Self-check of {found.model}", ("what", "", ""), checks)
    for asked, choice in found.remembered.items():
        if choice.surprise:
            until = choice.to_dict()["holds_until"]
            print_text(
                f"Remembered for {asked} until {until}: {choice.way}, because against expectation "
                f"this was refused: {choice.surprise}"
            )
