"""``index`` and ``search``: what is nearest to a text or an image, among embedded images.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.system.bounds import require_count
from cliptune.workflows.job_encoder import open_job_encoder
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import require_compute
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.encoders import DualEncoder
    from cliptune.results.embedded_shards import IndexResult, SearchResult

__all__ = ["index_job", "search_job"]


def index_job(folder: str | Path, *, progress: ProgressLike = None) -> IndexResult:
    """Build an index over the vectors of a finished embedding job.

    Args:
        folder: Of the job.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: There is no finished job, or usearch is not installed.
    """
    from cliptune.results.embedded_shards import IndexResult
    from cliptune.scale.index import build_index

    began = time.perf_counter()
    with watching(progress).stage("indexing", "vectors") as show:
        file, rows, dim = build_index(Path(folder), show)
    seconds, n_bytes = time.perf_counter() - began, file.stat().st_size
    return IndexResult(
        task="index", file=str(file), rows=rows, dim=dim, n_bytes=n_bytes, seconds=seconds
    )


def search_job(
    folder: str | Path,
    query: str,
    *,
    n: int = 10,
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> SearchResult:
    """Find the embedded images nearest to a text, or to an image where the query is a file.

    Args:
        folder: Of an embedding job with an index.
        query: A text, or the path of an image.
        n: How many.
        compute: Where the cache is; the encoder is the one that embedded.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: There is no index, or the encoder cannot be opened.
    """
    from cliptune.results.embedded_shards import Found, SearchResult
    from cliptune.scale.index import search_index
    from cliptune.scale.plan import read_plan
    from cliptune.system.file_kinds import is_file

    require_count("--n", n)
    require_compute(compute, [])
    plan = read_plan(Path(folder))
    session = Session(compute, watching(progress))
    encoder = open_job_encoder(Path(folder), plan, session)
    kind = "image" if is_file(Path(query)) else "text"
    vector = _embed_query(encoder, query, kind)
    began = time.perf_counter()
    near = search_index(Path(folder), vector, n)
    seconds = time.perf_counter() - began
    found = tuple(
        Found(
            id=str(one.values["id"]),
            path=str(one.values["path"]),
            class_name=one.values["class_name"],
            similarity=one.similarity,
        )
        for one in near
    )
    return SearchResult(
        task="search", query=query, kind=kind, model=encoder.name, found=found, seconds=seconds
    )


def _embed_query(encoder: DualEncoder, query: str, kind: str) -> NDArray[np.float32]:
    import numpy as np

    from cliptune.images.decode import decode_image
    from cliptune.system.file_kinds import read_regular

    if kind == "text":
        texts: NDArray[np.float32] = encoder.encode_texts([query])
        return np.asarray(texts[0])
    pixels = encoder.preprocess(decode_image(read_regular(query), name=query))
    images: NDArray[np.float32] = encoder.encode_images(pixels[None])
    return np.asarray(images[0])
