"""Images without labels for ``fit``: opened, embedded, and none of the locked test among them.

It knows tables and features, and nothing about how is learned from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cliptune.errors import InputError
from cliptune.system.escaping import for_terminal
from cliptune.workflows.dataset import data_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cliptune.images import ImageTable
    from cliptune.selection.unlabelled import Unlabelled
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.fit_prepared import Prepared
    from cliptune.workflows.session import BadImagePolicy, EmbeddedTable

__all__ = ["embed_unlabelled", "open_unlabelled"]

_MOST = 20_000  # images; more move nothing any further, and take long
_NAMED = 3


def open_unlabelled(data: Data, seed: int) -> tuple[ImageTable, int]:
    """Find images without labels; of very many take some.

    Args:
        data: As ``predict`` takes it; labels that it has are not looked at.
        seed: Of the draw.

    Returns:
        A table, and how many images there are in all.

    Raises:
        InputError: There are no such images.
        DataError: Likewise.
    """
    from cliptune.images import open_images

    table = open_images([str(data)]) if isinstance(data, str | Path) else data
    if len(table) <= _MOST:
        return table, len(table)
    drawn = np.random.default_rng([seed, 41]).permutation(len(table))[:_MOST]
    return table.select(np.sort(drawn)), len(table)


def embed_unlabelled(
    data: Data, opened: tuple[ImageTable, int], prepared: Prepared, on_bad_image: BadImagePolicy
) -> Unlabelled:
    """Embed images without labels as those with were embedded.

    Images that look like a labelled one are left out, which has its label already.

    Args:
        data: What they were opened from.
        opened: What ``open_unlabelled`` gave.
        prepared: The labelled images.
        on_bad_image: What becomes of unreadable ones.

    Raises:
        InputError: Some look like images of the locked test, or none is left.
    """
    from cliptune.selection.unlabelled import Unlabelled
    from cliptune.splits.duplicates import find_duplicates

    task, watch, (table, n_all) = prepared.task, prepared.session.watch, opened
    embedded = prepared.session.embed(
        prepared.encoder,
        table,
        on_bad_image=on_bad_image,
        trunk="no" if task.trunk is None else "must",
    )
    features, table = embedded.features, embedded.table
    learned = np.sort(np.concatenate([task.train, task.val]))
    _refuse_test(data, prepared, embedded, np.setdiff1d(np.arange(len(task.labels)), learned))
    alike = np.unique(find_duplicates(task.vectors[learned], features.vectors).second)
    rows = np.setdiff1d(np.arange(len(table)), alike)
    if not len(rows):
        raise InputError(
            f"--unlabelled {for_terminal(data_name(data))}: each of its {len(table):,} images "
            "looks like a labelled one; give images that are not among them"
        )
    some = f", {len(table):,} of {n_all:,} drawn" if len(table) < n_all else ""
    left = f"; {len(alike):,} more look like labelled ones and are left out" if len(alike) else ""
    watch.note(f"{len(rows):,} images without labels{some}{left}")
    trunk = features.trunk
    return Unlabelled(features.vectors[rows], None if trunk is None else trunk[rows])


def _refuse_test(
    data: Data, prepared: Prepared, embedded: EmbeddedTable, kept_from: NDArray[np.int64]
) -> None:
    """Make sure that no image looks like one that is not learned from."""
    from cliptune.splits.duplicates import find_duplicates

    pairs = find_duplicates(prepared.task.vectors[kept_from], embedded.features.vectors)
    second, places = np.unique(pairs.second, return_index=True)
    if not len(second):
        return
    ids, theirs = embedded.table.ids, prepared.embedded.table.ids
    named = [
        f"{for_terminal(ids[one])} ({for_terminal(theirs[kept_from[pairs.first[place]]])})"
        for one, place in zip(second[:_NAMED], places[:_NAMED], strict=True)
    ]
    more = f" and {len(second) - _NAMED:,} more" if len(second) > _NAMED else ""
    raise InputError(
        f"--unlabelled {for_terminal(data_name(data))}: {len(second):,} of its images look like "
        f"images of the locked test, which nothing may be learned from: {', '.join(named)}{more}; "
        "leave them out"
    )
