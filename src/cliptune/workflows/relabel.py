"""``relabel``: answers of people who label with their own tool, taken into the journal.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.annotations import Answer, Journal
from cliptune.errors import DataError
from cliptune.system.file_kinds import exists
from cliptune.workflows.answer_files import read_answers
from cliptune.workflows.dataset import data_name, read_whole_table
from cliptune.workflows.journal_labels import hex_digests
from cliptune.workflows.label_project import JOURNAL_NAME, project_place, user_name
from cliptune.workflows.options import ComputeOptions, DataOptions
from cliptune.workflows.progress import ProgressLike, watching

if TYPE_CHECKING:
    from cliptune.images import ImageTable
    from cliptune.results.labelled_next import RelabelResult
    from cliptune.workflows.dataset import Data

__all__ = ["relabel"]


def relabel(
    data: Data,
    answers: str | Path,
    *,
    run: str | Path | None = None,
    journal: str | Path | None = None,
    who: str | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    progress: ProgressLike = None,
) -> RelabelResult:
    """Take the answers of another tool into the journal; files of the data set stay as they are.

    Args:
        data: A data set by name, or a table.
        answers: A CSV, TSV, JSON or JSONL file with a column of images (``id``, ``path``,
            ``image``, ``file``, ``filename`` or ``content``) and one of labels (``label``,
            ``class`` or ``answer``); or an export of Label Studio. An empty label says nothing.
        run: The classifier whose neighbour the journal is; in ``runs/`` otherwise.
        journal: The file of labels itself.
        who: By whom; the user of this machine otherwise.
        dataset: How to read the data set.
        compute: Where digests of files are remembered.
        progress: A callback, or True for bars.

    Raises:
        DataError: The answers name no image or no label, or the journal is of other data.
        UnavailableError: A file cannot be read or written.
        InputError: A label is no text.
    """
    from cliptune.results.labelled_next import RelabelResult

    given = read_answers(Path(answers))
    plain = replace(dataset, journal=None)
    table = read_whole_table(data, plain, watching(progress))
    contents = hex_digests(table, compute.cache_dir)
    path = dataset.journal if journal is None else Path(journal)
    path = path or project_place(data_name(data), run) / JOURNAL_NAME
    place = Path(data_name(data))
    named = str(place.absolute()) if exists(place) else str(place)
    image_of = _names(table, contents)
    found = {name: image_of.get(name) or image_of.get(name.rpartition("/")[2]) for name in given}
    unknown = tuple(name for name, image in found.items() if image is None)
    if len(unknown) == len(given):
        raise DataError(
            f"none of the {len(given)} images in {str(answers)!r} is in {table.root!r}, such as "
            f"{unknown[0]!r:.200}; expected ids or paths as 'cliptune label-next' gives them"
        )
    opened = Journal.open(path, data=named, contents=contents)
    row_of = {image: row for row, image in enumerate(contents)}
    wanted = {image: label for name, label in given.items() if (image := found[name]) is not None}
    new = {i: a for i, a in wanted.items() if _stands(opened, table, row_of[i], i) != a}
    _write(opened, new, who or user_name())
    known = (*table.class_names, *opened.standing.class_names)
    return RelabelResult(
        task="relabel",
        command="relabel",
        data=data_name(data),
        answers=str(answers),
        journal=str(path),
        n_read=len(given),
        n_taken=len(new),
        n_same=len(wanted) - len(new),
        unknown=unknown,
        class_names=tuple(dict.fromkeys(known)),
    )


def _names(table: ImageTable, contents: Iterable[str]) -> dict[str, str]:
    """Return the digest of each image by all that it may be called."""
    places: dict[str, str] = {}
    twice: set[str] = set()
    own: dict[str, str] = {}
    for source, image in zip(table.sources, contents, strict=True):
        last = source.id.rpartition("/")[2]
        if places.setdefault(last, image) != image:
            twice.add(last)
        own |= {source.id: image, source.location: image, image: image}
        own[str(Path(source.location).absolute())] = image
    return {name: image for name, image in places.items() if name not in twice} | own


def _stands(journal: Journal, table: ImageTable, row: int, image: str) -> Answer | None:

    said = journal.standing.answer(image)
    if said is not None:
        return said
    code = int(table.labels[row])
    return Answer("label", table.class_names[code]) if code >= 0 else None


def _write(journal: Journal, answers: Mapping[str, Answer], who: str) -> None:
    """Write one act for each different answer."""
    for answer in dict.fromkeys(answers.values()):
        images = [image for image, given in answers.items() if given == answer]
        journal.label(images, answer, who=who, tab="relabel")
