"""One shard: its images, what embeds them, and the part that comes out.

It runs in whatever process an executor gives it, and knows nothing about other shards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import BadImageError, CheckpointError, CliptuneError, DataError
from cliptune.scale.parts import write_part
from cliptune.scale.tasks import ShardOutcome

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.features.guard import RowGuard
    from cliptune.images import ImageTable

__all__ = [
    "EncoderRecipe",
    "Pixels",
    "ShardTask",
    "changed_since",
    "embed_table",
    "open_recipe",
    "require_planned",
    "run_shard",
]

_BATCH = 64
Pixels = Literal["exact", "quick", "device"]
Vectors = Iterator[NDArray[np.float32]]
Skipped = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class EncoderRecipe:
    """How a process opens the encoder that all others use too.

    Attributes:
        model: Its name.
        fingerprint: Of the encoder that the job was planned with.
        engine: ``torch``, ``openvino`` or ``onnx``.
        precision: What it computes in.
        device: Of torch.
        cache_dir: Where graphs of engines are.
        pixels: ``exact`` as the encoder's transform says, ``quick`` (``QuickReader``), or
            ``device`` (``DeviceReader``).
        run: The run whose own weights it has; None where they are those of its name.
    """

    model: str
    fingerprint: str
    engine: str
    precision: str
    device: str
    cache_dir: Path
    pixels: Pixels = "exact"
    run: Path | None = None


@dataclass(frozen=True)
class ShardTask:
    """What a process needs to compute a shard.

    Attributes:
        number: Of the shard.
        table: Its images.
        path: Where its part goes.
        recipe: What embeds.
        job: Digest of the job.
        dtype: Of the vectors in the file.
        on_bad_image: ``fail`` or ``skip``.
        threads: That decode.
    """

    number: int
    table: ImageTable
    path: Path
    recipe: EncoderRecipe
    job: str
    dtype: str
    on_bad_image: Literal["fail", "skip"]
    threads: int

    def run(self) -> ShardOutcome:
        """Compute the shard; see ``run_shard``."""
        return run_shard(self)


def run_shard(task: ShardTask) -> ShardOutcome:
    """Embed a shard and write its part; an error that a user can mend becomes the outcome."""
    began = time.perf_counter()
    try:
        encoder = open_recipe(task.recipe)
        require_planned(encoder, task.recipe)
        began = time.perf_counter()
        return _embed(task, encoder, began)
    except CliptuneError as error:
        return ShardOutcome(task.number, 0, time.perf_counter() - began, error=str(error))


@lru_cache(maxsize=1)
def open_recipe(recipe: EncoderRecipe) -> DualEncoder:
    """Open an encoder, once a process."""
    from cliptune.encoders import load_encoder
    from cliptune.encoders.engines import open_recorded, open_recorded_weights

    if recipe.run is not None:
        from cliptune.classifiers.run_encoder import load_run_encoder, load_run_weights

        run = str(recipe.run)
        if recipe.engine == "torch":
            return load_run_encoder(run, device=recipe.device, precision=recipe.precision)
        return open_recorded_weights(
            recipe.model,
            recipe.fingerprint,
            partial(load_run_weights, run),
            recipe.engine,
            recipe.precision,
            cache_dir=recipe.cache_dir,
        )
    if recipe.engine == "torch":
        return load_encoder(recipe.model, device=recipe.device, precision=recipe.precision)
    return open_recorded(recipe.model, recipe.engine, recipe.precision, cache_dir=recipe.cache_dir)


def require_planned(encoder: DualEncoder, recipe: EncoderRecipe) -> None:
    """Make sure that a name means the same encoder here as where the job was planned.

    Raises:
        CheckpointError: It means another one.
    """
    if encoder.fingerprint != recipe.fingerprint:
        raise CheckpointError(
            f"{recipe.model!r} is another encoder here ({encoder.fingerprint[:12]}) than where the "
            f"job was planned ({recipe.fingerprint[:12]}); give all machines the same weights"
        )


def _embed(task: ShardTask, encoder: DualEncoder, began: float) -> ShardOutcome:
    started = time.time()

    def write(table: ImageTable, batches: Vectors, skipped: Skipped) -> None:
        found = list(batches)
        vectors = np.concatenate(found) if found else np.empty((0, encoder.dim), np.float32)
        if changed := changed_since(task.table, started):
            raise DataError(
                f"{changed[0]!r} changed while it was being embedded (expected it to stay as it "
                "is); repeat the command with --retry"
            )
        write_part(task.path, table, vectors, job=task.job, dtype=task.dtype, skipped=skipped)

    ended = embed_table(
        task.table, encoder, task.recipe, write,
        on_bad_image=task.on_bad_image, threads=task.threads,
    )  # fmt: skip
    return replace(ended, number=task.number, seconds=time.perf_counter() - began)


def embed_table(
    table: ImageTable,
    encoder: DualEncoder,
    recipe: EncoderRecipe,
    write: Callable[[ImageTable, Vectors, Skipped], None],
    *,
    on_bad_image: Literal["fail", "skip"],
    threads: int,
) -> ShardOutcome:
    """Embed images in batches and hand them to what writes a part.

    Args:
        table: The images.
        encoder: What embeds.
        recipe: How it was opened.
        write: Takes the readable images, their vectors batch by batch, and what is left out. It
            is called again where a batch met the first unreadable image.
        on_bad_image: ``fail`` or ``skip``.
        threads: That decode.

    Returns:
        The rows of the part, what was checked and what was left out; neither number nor seconds.

    Raises:
        CliptuneError: An image cannot be read, or a row is wrong.
    """
    from cliptune.features.guard import RowGuard
    from cliptune.images import apply_bad_image_policy, scan_images
    from cliptune.images.scan import drop_bad

    def vectors_of(some: ImageTable) -> Vectors:
        return _vectors(some, encoder, recipe.pixels, guard, threads)

    guard = RowGuard()
    skipped: Skipped = ()
    try:
        write(table, vectors_of(table), ())
    except BadImageError:
        report = scan_images(table)
        if on_bad_image == "fail":
            apply_bad_image_policy(table, report, policy="fail")
        table = drop_bad(table, report)  # whether a class has lost all, no shard can tell
        skipped = tuple((bad.id, bad.reason) for bad in report.bad)
        guard = RowGuard()
        write(table, vectors_of(table), skipped)
    checked = (guard.checked.n, guard.checked.largest_difference)
    return ShardOutcome(0, len(table), 0.0, "", checked, skipped)


def _vectors(
    table: ImageTable, encoder: DualEncoder, pixels: Pixels, guard: RowGuard, threads: int
) -> Vectors:
    """Embed a table, batch by batch; what the device decoded is looked at before it is given."""
    from cliptune.features.device_check import DeviceCheck
    from cliptune.features.device_reading import DeviceReader, device_reader
    from cliptune.features.extract import extract
    from cliptune.features.reading import Reader, exact_reader, quick_reader

    makers: dict[Pixels, Callable[[DualEncoder, ImageTable], Reader]] = {
        "exact": exact_reader, "quick": quick_reader, "device": device_reader,
    }  # fmt: skip
    reader = makers[pixels](encoder, table)
    batches = extract(
        encoder, table, batch_size=_BATCH, workers=threads, guard=guard, reader=reader
    )
    check = DeviceCheck(encoder, table, reader) if isinstance(reader, DeviceReader) else None
    for batch in batches:
        if check is not None:
            check.look()
        yield batch.vectors


def changed_since(table: ImageTable, moment: float) -> list[str]:
    """Return the images, or the archives that hold them, that were written after a moment.

    Args:
        table: Images; those that are no files here are taken to stay as they are.
        moment: Seconds since 1970.
    """
    paths = dict.fromkeys(getattr(source, "path", "") for source in table.sources)
    changed = []
    for path in filter(None, paths):
        with suppress(OSError):
            if os.stat(path).st_mtime > moment:  # noqa: PTH116  for many thousand files
                changed.append(str(path))
    return changed
