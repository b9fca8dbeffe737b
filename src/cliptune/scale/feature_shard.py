"""One shard of features: its images, and files that the cache takes up as they are.

It runs in whatever process an executor gives it, and knows nothing about other shards.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import BadImageError, CheckpointError, CliptuneError
from cliptune.scale.shard import EncoderRecipe, open_recipe, require_planned
from cliptune.scale.tasks import ShardOutcome

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.images import ImageTable

__all__ = ["FeatureTask"]


@dataclass(frozen=True)
class FeatureTask:
    """What a process needs to compute the features of a shard.

    Attributes:
        number: Of the shard.
        table: Its n images.
        contents: Digest of each image's bytes, shape (n,).
        lacking: By kind of vector, which images (n,) have none.
        folders: By kind, the folder below ``folder`` that its file goes to: the name of the
            cache's own folder, which says all that decides a vector.
        folder: Of the job.
        recipe: What embeds.
        on_bad_image: ``fail`` or ``skip``.
        threads: That decode.
    """

    number: int
    table: ImageTable
    contents: NDArray[np.bytes_]
    lacking: Mapping[str, NDArray[np.bool_]]
    folders: Mapping[str, str]
    folder: Path
    recipe: EncoderRecipe
    on_bad_image: Literal["fail", "skip"]
    threads: int

    def run(self) -> ShardOutcome:
        """Embed the images and write one file a kind, each whole and named after its digest."""
        began = time.perf_counter()
        try:
            encoder = open_recipe(self.recipe)
            require_planned(encoder, self.recipe)
            self._require_same_maker(encoder)
            began = time.perf_counter()
            return self._embed(encoder, began)
        except CliptuneError as error:
            return ShardOutcome(self.number, 0, time.perf_counter() - began, error=str(error))

    def _require_same_maker(self, encoder: DualEncoder) -> None:
        """Make sure that vectors made here are what the cache keeps under their names.

        Raises:
            CheckpointError: They are not.
        """
        from cliptune.features.keys import StoreKey

        for kind, name in self.folders.items():
            if name != f"{kind}-{StoreKey.of(encoder, kind).digest}":
                raise CheckpointError(
                    f"{self.recipe.model!r} computes {kind} vectors otherwise here than where the "
                    "job was planned (engine, precision or graphs differ); give all machines the "
                    "same versions and the same --cache-dir"
                )

    def _embed(self, encoder: DualEncoder, began: float) -> ShardOutcome:
        from cliptune.features.collect import collect_vectors
        from cliptune.features.guard import RowGuard
        from cliptune.images import apply_bad_image_policy, scan_images

        guard, kept = RowGuard(), np.ones(len(self.table), np.bool_)
        skipped: tuple[tuple[str, str], ...] = ()

        def collect() -> dict[str, tuple[NDArray[np.bytes_], NDArray[np.float32]]]:
            lacking = {kind: wanted[kept] for kind, wanted in self.lacking.items()}
            return collect_vectors(
                encoder, self.table.select(kept), self.contents[kept], lacking,
                guard=guard, workers=self.threads,
            )  # fmt: skip

        try:
            found = collect()
        except BadImageError:
            report = scan_images(self.table, workers=self.threads)
            skipped = tuple((bad.id, bad.reason) for bad in report.bad)
            if not skipped:
                raise
            if self.on_bad_image == "fail":
                apply_bad_image_policy(self.table, report, policy="fail")
            kept[[bad.row for bad in report.bad]] = False
            guard = RowGuard()
            found = collect() if kept.any() else {}
        files = tuple(self._write(kind, *arrays) for kind, arrays in found.items())
        checked = (guard.checked.n, guard.checked.largest_difference)
        seconds = time.perf_counter() - began
        return ShardOutcome(self.number, int(kept.sum()), seconds, "", checked, skipped, files)

    def _write(self, kind: str, contents: NDArray[np.bytes_], vectors: NDArray[np.float32]) -> str:
        from cliptune.features.gather import cache_errors
        from cliptune.features.shards import write_shard

        folder = self.folder / self.folders[kind]
        with cache_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        shape = vectors.shape[1:]
        path = write_shard(folder, self.number, contents, parts=[vectors], row_shape=shape)
        return path.relative_to(self.folder).as_posix()
