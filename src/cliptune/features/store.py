"""FeatureStore: embeddings that are computed once and kept by content.

It knows nothing about heads or labels. A vector belongs to what made it, the encoder's weights,
its preprocessing, precision and engine, and the bytes of the image; names and places of files
do not matter.

::

    CACHE/
      contents.sqlite                  digests of files, see ``digests``
      features/<kind>-<key>/           one folder per encoder and kind, see ``folder``

Batches and equal bits. Matrix products and convolutions may add in another order in a batch of
another size, so one image can get another last bit in a last batch of 13 than in one of 64.
Batches are therefore cut from the list of missing images in the table's order and each is
written in one step: after a kill the list lacks whole batches at its front, and the rest is cut
where it would have been cut. An interrupted run ends with the bits of an undisturbed one. Runs
that cut differently (images added later, another batch size) agree to rounding. So do
an embedding that was computed alone and one that came out of a pass for ``trunk``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import DualEncoder
from cliptune.encoders.joint import JointEncoder
from cliptune.errors import DataError
from cliptune.features.ahead import checked_workers
from cliptune.features.digests import MEMO_NAME, content_digests
from cliptune.features.embed import Job, embed_missing, first_of_each
from cliptune.features.extract import require_finite
from cliptune.features.folder import ShardFolder
from cliptune.features.guard import RowGuard
from cliptune.features.identity import DataIdentity
from cliptune.features.joint import joint_features, joint_texts
from cliptune.features.keys import CONTENT_BYTES, StoreKey, content_digest, table_digest
from cliptune.features.places import record_images, record_texts
from cliptune.features.types import Features, Progress
from cliptune.system.atomic import atomic_path

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = ["FeatureStore"]

_TEXTS_PER_SHARD = 1024
_TEXTS_AT_ONCE = 256  # between two reports of progress


class FeatureStore:
    """Embeddings on disk, shared by all runs and safe for several processes at once.

    Args:
        cache_dir: Where; made when first used.
        batch_size: Images that the encoder sees, and that are written, at once.
        workers: Threads that decode ahead of the encoder; by default one per usable core.

    Attributes:
        guard: Computes a sample of all that is embedded again; ``guard.checked`` counts it.

    Raises:
        InputError: One of these numbers is not positive.
    """

    def __init__(
        self, cache_dir: str | Path, *, batch_size: int = 64, workers: int | None = None
    ) -> None:
        self.cache_dir = Path(cache_dir)
        self.batch_size = batch_size
        self.workers = checked_workers(batch_size, workers)
        self.guard = RowGuard()

    def holds(self, encoder: DualEncoder, table: ImageTable) -> bool:
        """Say whether the embeddings of all images of a table are there."""
        if isinstance(encoder, JointEncoder):
            return all(self.holds(part, table) for part in encoder.parts)
        contents = content_digests(table.sources, self.cache_dir / MEMO_NAME, workers=self.workers)
        folder = _open_folder(self.cache_dir, encoder, "pooled")
        folder.refresh()
        return not folder.lacks(contents).any()

    def features(
        self,
        encoder: DualEncoder,
        table: ImageTable,
        *,
        tokens: bool = False,
        trunk: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Features:
        """Return the embeddings of a table; embed only images that were never seen.

        Equal images are embedded once. A process that asks for the same table at the same
        time waits and then finds them. A killed run loses at most the batch in work.

        Args:
            encoder: What embeds.
            table: N images, at least 1.
            tokens: Also give one vector per patch.
            trunk: Also give the embedding with the features before the projection behind it;
                images that lack both are embedded in one pass.
            progress: Called at the start and after each batch.

        Raises:
            DataError: The table is empty, an embedding is not finite, or a file changed while
                it was being embedded; the message names the image.
            BadImageError: An image cannot be read; the message names it.
            EngineError: A row is another one when its image is embedded alone; nothing of that
                batch is kept.
            InputError: The encoder does not give what was asked for besides.
            UnavailableError: The cache cannot be written to; what is in it is kept.
        """
        if not len(table):
            raise DataError("the table holds no images (expected at least one)")
        if isinstance(encoder, JointEncoder):
            return joint_features(
                self.features, encoder, table, tokens=tokens, trunk=trunk, progress=progress
            )
        kinds = ["pooled", *(["tokens"] if tokens else []), *(["trunk"] if trunk else [])]
        contents, folders = self.open(encoder, table, kinds)
        name = table_digest(contents)
        job = Job(encoder, table, contents, folders, self.guard, progress)
        if job.refresh().any():
            with ExitStack() as claims:
                for folder in folders.values():
                    claims.enter_context(folder.claim(name))
                self.record(table, contents, np.flatnonzero(job.refresh()))
                embed_missing(job, batch_size=self.batch_size, workers=self.workers)
        else:
            job.report(len(table), 0, (0.0, 0.0))
        for folder in folders.values():
            folder.merge()
        key = content_digest((StoreKey.of(encoder, "pooled").digest + name).encode()).hex()
        gathered = {kind: folder.gather(contents) for kind, folder in folders.items()}
        return Features(
            vectors=gathered["pooled"],
            row_ids=table.ids,
            key=key,
            tokens=gathered.get("tokens"),
            trunk=gathered.get("trunk"),
            contents=contents,
        )

    def open(
        self, encoder: DualEncoder, table: ImageTable, kinds: Sequence[str]
    ) -> tuple[NDArray[np.bytes_], dict[str, ShardFolder]]:
        """Return the digest of each image (N,), and the folders of the kinds of vectors.

        Args:
            encoder: What embeds.
            table: N images.
            kinds: Of ``pooled``, ``tokens`` and ``trunk``.

        Raises:
            BadImageError: A file cannot be read; the message names it.
        """
        folders = {kind: _open_folder(self.cache_dir, encoder, kind) for kind in kinds}
        contents = content_digests(table.sources, self.cache_dir / MEMO_NAME, workers=self.workers)
        return contents, folders

    def record(
        self, table: ImageTable, contents: NDArray[np.bytes_], rows: NDArray[np.int64]
    ) -> None:
        """Write down where the images of some rows are, for whoever computes them again."""
        sources = (table.sources[row] for row in rows.tolist())
        record_images(self.cache_dir / MEMO_NAME, contents[rows], sources)

    def identify(self, table: ImageTable, roles: Sequence[str] | NDArray[np.str_]) -> DataIdentity:
        """Describe the images of a table: names, contents, labels, and what each is for.

        Args:
            table: N images.
            roles: What each is for, N of them; see ``DataIdentity``.

        Raises:
            BadImageError: A file cannot be read; the message names it.
        """
        memo = self.cache_dir / MEMO_NAME
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        contents = content_digests(table.sources, memo, workers=self.workers)
        return DataIdentity.of(table, contents, roles)

    def text_features(
        self,
        encoder: DualEncoder,
        texts: Sequence[str],
        *,
        truncate: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> NDArray[np.float32]:
        """Return the embeddings of texts, float32 (T, D); embed only texts never seen.

        Args:
            encoder: What embeds.
            texts: T texts.
            truncate: Cut texts that are longer than the encoder's context.
            progress: Called with (texts embedded, texts to embed), also while a file of them is
                being made.

        Raises:
            InputError: A text is longer than the context and ``truncate`` is false.
            EngineError: A row is another one when its text is embedded alone.
            UnavailableError: The cache cannot be written to; what is in it is kept.
        """
        if not texts:
            return np.empty((0, encoder.dim), np.float32)
        if isinstance(encoder, JointEncoder):
            return joint_texts(
                self.text_features, encoder, texts, truncate=truncate, progress=progress
            )
        kind = "texts-cut" if truncate else "texts"
        folder = _open_folder(self.cache_dir, encoder, kind)
        digests = [content_digest(text.encode("utf-8", "surrogatepass")) for text in texts]
        contents = np.array(digests, f"S{CONTENT_BYTES}")
        folder.refresh()
        rows = first_of_each(contents, folder.lacks(contents))
        if len(rows):
            record_texts(self.cache_dir / MEMO_NAME, contents[rows], [texts[i] for i in rows])
        chosen = self.guard.choose(encoder, "texts", len(rows), _TEXTS_PER_SHARD)
        progress(0, len(rows))
        for start in range(0, len(rows), _TEXTS_PER_SHARD):
            part = rows[start : start + _TEXTS_PER_SHARD]
            asked = [texts[i] for i in part]
            pieces = []
            for first in range(0, len(asked), _TEXTS_AT_ONCE):
                piece = asked[first : first + _TEXTS_AT_ONCE]
                pieces.append(encoder.encode_texts(piece, truncate=truncate))
                progress(start + first + len(piece), len(rows))
            vectors = np.concatenate(pieces)
            require_finite(vectors, part, texts)
            again = chosen[start : start + _TEXTS_PER_SHARD]
            some = [text for text, wanted in zip(asked, again, strict=True) if wanted]
            self.guard.check(encoder, kind, some, vectors[again], some)
            folder.append(contents[part], vectors)
        folder.merge()
        return folder.gather(contents)


def _open_folder(cache_dir: Path, encoder: DualEncoder, kind: str) -> ShardFolder:
    """Open the folder of one kind of an encoder's output and note that it is in use."""
    key = StoreKey.of(encoder, kind)
    folder = ShardFolder(cache_dir / "features" / f"{kind}-{key.digest}")
    meta = folder.path / "meta.json"
    with folder.locked():
        if meta.exists():
            os.utime(meta)
            return folder
        facts = {
            "encoder": encoder.name,
            **asdict(key),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with atomic_path(meta) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return folder
