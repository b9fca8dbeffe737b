"""Retrieval scores of a captions data set, and what their run leaves on disk.

It runs no model: it is given vectors of images and captions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import EncoderRecord
from cliptune.images import ImageTable, list_captions, number_texts
from cliptune.modality_gap import score_retrieval
from cliptune.modality_gap.relation import Relation, number_distinct, relate_captions
from cliptune.modality_gap.retrieval import match_ranks, nearest_rows
from cliptune.runs import RunDir

__all__ = ["CaptionedVectors", "write_retrieval_run"]

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class CaptionedVectors:
    """A captions data set as one encoder sees it.

    Attributes:
        table: N images with captions.
        images: float32 (N, D), rows of norm 1.
        texts: float32 (M, D), rows of norm 1, in the order of ``list_captions``.
        encoder: What embedded them.
        contents: Digest of each image's bytes (N,), to tell pictures that repeat; without it
            all count as different.
    """

    table: ImageTable
    images: NDArray[np.float32]
    texts: NDArray[np.float32]
    encoder: EncoderRecord
    contents: NDArray[np.bytes_] | None = None

    @property
    def image_items(self) -> NDArray[np.int64]:
        """Numbers of the images (N,), equal where two files are equal."""
        return number_distinct(
            np.arange(len(self.images)) if self.contents is None else self.contents
        )


def write_retrieval_run(
    place: Path,
    vectors: CaptionedVectors,
    *,
    asked: Mapping[str, Any],  # Any: plain JSON values
    facts: Mapping[str, Any],  # Any: plain JSON values
    seed: int,
    computing: Mapping[str, Any],  # Any: plain JSON values
) -> Json:
    """Score retrieval in both directions and fill a run directory.

    ``image_to_text.parquet`` and ``text_to_image.parquet`` hold one row a query: what was found
    first, and the rank of the nearest that belongs to it.

    Args:
        place: Where the run goes.
        vectors: Images and captions.
        asked: The options that made it.
        facts: What else is reported, such as unreadable images.
        seed: Of the bootstrap.
        computing: What computed the vectors and how many were checked, for the record.

    Returns:
        What is reported, as plain JSON values.

    Raises:
        DataError: Fewer than two images have captions.
        RunError: The place holds something else.
        UnavailableError: The place cannot be written to.
    """
    texts, owners = list_captions(vectors.table)
    items = {"image_items": vectors.image_items, "text_items": number_texts(texts)}
    scores = score_retrieval(vectors.images, vectors.texts, owners, **items, seed=seed)
    record = vectors.encoder
    reported = {
        "task": "retrieval",
        **asked,
        **computing,
        "n_images": len(vectors.images),
        "n_texts": len(texts),
        "n_distinct_images": len(np.unique(items["image_items"])),
        "n_distinct_texts": len(np.unique(items["text_items"])),
        **scores.to_dict(),
        **facts,
        "run": str(place),
    }
    config = {"command": "evaluate", "task": "retrieval", **asked}
    run = RunDir.create(place, {**config, "data_digest": vectors.table.digest()})
    relation = relate_captions(owners, len(vectors.images), **items)
    _write_queries(run, vectors, texts, owners, relation)
    run.write_json("metrics.json", reported)
    made_from = {"seed": seed, "data_digest": vectors.table.digest(), "encoder": vars(record)}
    run.finish({**made_from, **computing})
    return reported


def _write_queries(
    run: RunDir,
    vectors: CaptionedVectors,
    texts: tuple[str, ...],
    owners: NDArray[np.int64],
    relation: Relation,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = vectors.table.ids
    own_ranks, text_ranks = match_ranks(vectors.images, vectors.texts, relation)
    found_texts = nearest_rows(vectors.images, vectors.texts)
    found_images = nearest_rows(vectors.texts, vectors.images)
    described = np.isin(np.arange(len(ids)), owners)
    tables = {
        "image_to_text": {
            "id": list(ids),
            "found": [texts[t] for t in found_texts],
            "rank": pa.array(own_ranks, mask=~described),
        },
        "text_to_image": {
            "caption": list(texts),
            "id": [ids[i] for i in owners],
            "found": [ids[i] for i in found_images],
            "rank": text_ranks,
        },
    }
    for name, columns in tables.items():
        with run.writing(f"{name}.parquet") as temporary:
            pq.write_table(pa.table(columns), temporary)
