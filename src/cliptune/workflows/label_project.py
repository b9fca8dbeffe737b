"""LabelProject: a data set, what people said of its images, and the encoder that looks at them.

It brings together what every verb around labels needs, and knows nothing about strategies, heads
or pages.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.annotations import Journal
from cliptune.annotations.labelled_table import apply_journal
from cliptune.images import ImageTable
from cliptune.splits.duplicates import group_duplicates, join_groups
from cliptune.system.file_kinds import exists
from cliptune.system.places import file_stem
from cliptune.workflows.classifier import Classifier, open_classifier
from cliptune.workflows.dataset import data_name, read_whole_table
from cliptune.workflows.journal_labels import hex_digests, with_kept
from cliptune.workflows.options import DataOptions
from cliptune.workflows.session import EmbeddedTable, Session

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

__all__ = [
    "JOURNAL_NAME",
    "LabelProject",
    "open_project",
    "project_place",
    "user_name",
]

JOURNAL_NAME = "journal.jsonl"
_RESERVED = 0.2  # of the images, where a data set comes without a test
_MOST_RESERVED = 2000


@dataclass(frozen=True, eq=False)
class LabelProject:
    """A data set with a journal.

    Attributes:
        place: The folder of the journal and of the runs that were fitted on its labels.
        source: N readable images, labelled as the data set says.
        contents: N digests of their files, in hex.
        journal: What people said.
        encoder: What embeds.
        embedded: Their embeddings.
        classifier: The run that was given, or None.
        session: Where and how things are computed.
    """

    place: Path
    source: ImageTable
    contents: tuple[str, ...]
    journal: Journal
    encoder: DualEncoder
    embedded: EmbeddedTable
    classifier: Classifier | None
    session: Session

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Unit rows, float32 (N, D)."""
        return self.embedded.features.vectors

    @property
    def rows_of_heads(self) -> NDArray[np.float32]:
        """What heads may learn from, float32 (N, D + E) where the tower has features before D."""
        trunk = self.embedded.features.trunk
        return self.vectors if trunk is None else trunk

    @cached_property
    def row_of(self) -> dict[str, int]:
        """From digests to rows; of equal images the first."""
        return {image: row for row, image in reversed(list(enumerate(self.contents)))}

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """A number for each image, the same for near-duplicates and for what the data group."""
        groups = group_duplicates(self.vectors)
        return groups if self.source.groups is None else join_groups(groups, self.source.groups)

    def table(self) -> ImageTable:
        """Return the images with the labels that stand now."""
        return apply_journal(self.source, self.contents, self.journal.standing)[0]

    def test_mask(self) -> NDArray[np.bool_]:
        """Say which images belong to the locked test, bool (N,)."""
        own = _own_test(self.source)
        if own is not None:
            return own
        reserved = self.journal.standing.reserved
        return np.array([image in reserved for image in self.contents], dtype=np.bool_)

    def marked(self, mark: str) -> NDArray[np.bool_]:
        """Say of which images ``none`` or ``skip`` stands, bool (N,)."""
        answers = (self.journal.standing.answer(image) for image in self.contents)
        return np.array([one is not None and one.mark == mark for one in answers], dtype=np.bool_)

    def encode_texts(self) -> Callable[[list[str]], NDArray[np.float32]]:
        """Return the function that embeds texts, through the cache."""
        return self.session.text_encoder(self.encoder)


def open_project(
    data: Data,
    session: Session,
    *,
    run: str | Path | Classifier | None = None,
    model: Model = "lite",
    journal: Path | None = None,
    dataset: DataOptions = DataOptions(),
) -> LabelProject:
    """Open a data set to be labelled, embed what is new of it, and open or begin its journal.

    Where the data set brings no test, a fifth of the images, near-duplicates together, 2,000 at
    most, is reserved for one when the journal is begun.

    Args:
        data: A data set by name, or a table; with labels or without.
        session: Where and how to compute, and who is told.
        run: A classifier to start from; it brings its encoder.
        model: The encoder otherwise.
        journal: The journal's file; beside the run, else in ``runs/``, otherwise.
        dataset: How to read the data set.

    Raises:
        DataError: It has no images, several labels an image, or the journal is of other data.
        CliptuneError: It cannot be read, or the run or the model cannot be loaded.
    """
    from cliptune.images import refuse_label_sets

    table = read_whole_table(data, dataset, session.watch)
    refuse_label_sets(table)
    near = run.run.path if isinstance(run, Classifier) else run
    path = journal or project_place(data_name(data), near) / JOURNAL_NAME
    if exists(path):  # what is not ours is refused before anything is computed
        Journal(path)
    table = with_kept(table, path.parent)
    classifier = None if run is None else open_classifier(run, session, table)
    encoder = classifier.encoder if classifier else session.open_encoder(model, table)
    embedded = session.embed(
        encoder, table, on_bad_image=dataset.on_bad_image, trunk="may", meanwhile="torch"
    )
    contents = tuple(hex_digests(embedded.table, session.compute.cache_dir))
    place = Path(data_name(data))
    named = str(place.absolute()) if exists(place) else str(place)
    opened = Journal.open(path, data=named, contents=contents)
    project = LabelProject(
        path.parent, embedded.table, contents, opened, encoder, embedded, classifier, session
    )
    if _own_test(project.source) is None and not opened.standing.reserved:
        _reserve(project)
    return project


def project_place(data: str, run: str | Path | None) -> Path:
    """Return the folder of a data set's journal: beside a run, else among the runs made here."""
    folder = Path("runs") if run is None else Path(run).absolute().parent
    return folder / f"labels-{file_stem(data)}"


def user_name() -> str:
    """Return who is at work here, as the system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # nobody of that number is known here
        return "somebody"


def _own_test(table: ImageTable) -> NDArray[np.bool_] | None:
    """Return which images the data set itself keeps for the test, as ``fit`` understands it."""
    for name in ("test", "val"):
        mask: NDArray[np.bool_] = table.splits == name
        if mask.any() and not mask.all():
            return mask
    return None


def _reserve(project: LabelProject) -> None:
    n = len(project.contents)
    wanted = min(round(_RESERVED * n), _MOST_RESERVED)
    if wanted < 1:
        return
    rng = np.random.default_rng(0)
    order = rng.permutation(int(project.groups.max()) + 1)
    sizes = np.bincount(project.groups)[order]
    chosen = order[np.cumsum(sizes) <= wanted]
    rows = np.flatnonzero(np.isin(project.groups, chosen))
    images = sorted({project.contents[row] for row in rows.tolist()})
    if images:
        project.journal.reserve(images, who="cliptune", tab="start")
