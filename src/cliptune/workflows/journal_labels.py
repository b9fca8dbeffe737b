"""Labels of a journal in place of those of a data set, wherever a data set is opened.

It knows where a journal is named, and leaves what its acts mean to ``annotations``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.system.file_kinds import is_file

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = ["KEPT_FOLDER", "hex_digests", "name_and_journal", "take_journal", "with_kept"]

KEPT_FOLDER = "kept"  # of pictures that were dropped on the page, beside the journal

_READERS = 4


def name_and_journal(data: str, journal: Path | None) -> tuple[str, Path | None]:
    """Return the data set and the journal that were named; a journal names its data set itself.

    Raises:
        DataError: The journal's first line is broken.
    """
    if not is_file(data):
        return data, journal
    from cliptune.annotations.journal import is_journal, journal_data

    return (journal_data(data), Path(data)) if is_journal(data) else (data, journal)


def take_journal(table: ImageTable, path: Path) -> ImageTable:
    """Return the table with the labels of a journal; its notes say so.

    Raises:
        DataError: It is no journal, or one of other data; the message names both.
    """
    from cliptune.annotations import Journal
    from cliptune.annotations.labelled_table import apply_journal

    table = with_kept(table, path.parent)
    journal, contents = Journal(path), hex_digests(table)
    journal.require_data(table.root, contents)
    labelled, notes = apply_journal(table, contents, journal.standing)
    if labelled.reading is None:
        return labelled
    return replace(labelled, reading=labelled.reading.add(notes=notes))


def with_kept(table: ImageTable, place: Path) -> ImageTable:
    """Return the table with the pictures that people dropped on the page, as images without labels.

    Args:
        table: N images.
        place: The folder of the journal.
    """
    import numpy as np

    from cliptune.images.sources import FileSource

    folder = place / KEPT_FOLDER
    names = sorted(p.name for p in folder.glob("*") if not p.name.startswith("."))
    there = {source.id for source in table.sources} if names else set()
    new = [f"{KEPT_FOLDER}/{name}" for name in names if f"{KEPT_FOLDER}/{name}" not in there]
    if not new or table.label_sets is not None:
        return table
    n = len(new)
    split = "unlabelled" if (table.splits != "").any() else ""
    return replace(
        table,
        sources=[*table.sources, *(FileSource(name, str(place / name)) for name in new)],
        labels=np.concatenate([table.labels, np.full(n, -1, np.int64)]),
        splits=np.concatenate([table.splits.astype("<U10"), np.full(n, split, "<U10")]),
        captions=None if table.captions is None else (*table.captions, *[()] * n),
        groups=None if table.groups is None else np.concatenate([table.groups, np.full(n, "")]),
        confidence=None if table.confidence is None else (*table.confidence, *[None] * n),
    )


def hex_digests(table: ImageTable, cache_dir: Path | None = None) -> Sequence[str]:
    """Return what is in the file of each image, as a digest in hex; see ``content_digests``.

    Args:
        table: N images.
        cache_dir: Where digests are remembered; the user's cache otherwise.
    """
    from cliptune.features.digests import MEMO_NAME, content_digests
    from cliptune.features.keys import CONTENT_BYTES
    from cliptune.system.paths import cache_dir as usual

    place = cache_dir or usual()
    place.mkdir(parents=True, exist_ok=True)
    found = content_digests(table.sources, place / MEMO_NAME, workers=_READERS)
    text = found.tobytes().hex()
    return [text[i : i + 2 * CONTENT_BYTES] for i in range(0, len(text), 2 * CONTENT_BYTES)]
