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

__all__ = ["hex_digests", "name_and_journal", "take_journal"]

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

    journal, contents = Journal(path), hex_digests(table)
    journal.require_data(table.root, contents)
    labelled, notes = apply_journal(table, contents, journal.standing)
    if labelled.reading is None:
        return labelled
    return replace(labelled, reading=labelled.reading.add(notes=notes))


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
