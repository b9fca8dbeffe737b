"""What a study is about: images, labels, who may see which, and how each encoder sees them.

It knows nothing about sections, budgets or reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.head_data import HeadData
from cliptune.encoders import DualEncoder
from cliptune.errors import DataError
from cliptune.features import DataIdentity, FeatureStore
from cliptune.images import BadImage, ImageTable
from cliptune.multilabel.truth import membership
from cliptune.prompts import TemplateSet, ensemble_rows
from cliptune.splits.label_sets import LabelPartition, partition_label_sets
from cliptune.splits.partition import Partition, partition_table

__all__ = [
    "EncodedData",
    "LabelSets",
    "Progress",
    "StudyData",
    "order_by_turns",
    "spread_classes",
]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class EncodedData:
    """How one encoder sees the images.

    Attributes:
        name: What the user calls the encoder.
        encoder: The encoder, its weights as they came.
        store: Where embeddings are kept.
        table: N images.
        vectors: float32 (N, D), unit rows.
        truncate: Cut texts that are too long for the encoder.
        trunk: float32 (N, D + E), with the features before the projection behind the vectors, or
            None where the encoder has none.
    """

    name: str
    encoder: DualEncoder
    store: FeatureStore
    table: ImageTable
    vectors: NDArray[np.float32]
    truncate: bool = False
    trunk: NDArray[np.float32] | None = None

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Return texts as unit rows, float32 (T, D), through the store."""
        return self.store.text_features(self.encoder, texts, truncate=self.truncate)

    def text_rows(self, templates: tuple[str, ...]) -> NDArray[np.float32]:
        """Return the class texts as unit rows, float32 (C, D)."""
        return ensemble_rows(self.encode_texts, self.table.class_names, templates)

    def tokens(self, rows: NDArray[np.int64], progress: Progress) -> NDArray[np.float32]:
        """Return one vector per patch of some images, float32 (n, T, D)."""
        features = self.store.features(
            self.encoder,
            self.table.select(rows),
            tokens=True,
            progress=lambda p: progress("patches", p.done, p.total),
        )
        assert features.tokens is not None, "tokens were asked for"
        return features.tokens


@dataclass(frozen=True)
class LabelSets:
    """What images are labelled with and who may see which, where one may have several labels.

    Attributes:
        truth: bool (N, C): which classes each image has.
        problem: Why nothing can be learned and tested here; empty where it can.
    """

    truth: NDArray[np.bool_]
    problem: str
    _partition: LabelPartition | None

    @property
    def partition(self) -> LabelPartition:
        """Who may see which image, as ``fit`` decides it; only where there is no problem."""
        assert self._partition is not None, self.problem
        return self._partition

    @classmethod
    def of(cls, table: ImageTable, vectors: NDArray[np.float32], *, seed: int) -> LabelSets:
        """Lock a test away, where the images are enough for it.

        Args:
            table: N images that may have several labels.
            vectors: float32 (N, D), their embeddings.
            seed: Of the cut.
        """
        truth = membership(table.label_sets or (), len(table.class_names))
        try:
            return cls(truth, "", partition_label_sets(table, truth, vectors, seed=seed))
        except DataError as error:
            return cls(truth, str(error), None)


@dataclass(frozen=True)
class StudyData:
    """Everything that the sections of a study have in common.

    Attributes:
        data: The data set, as it was named.
        table: All images that can be read and, where there are labels, have one.
        bad: Images that cannot be read and were left out.
        n_unlabelled: Images that were left out because others have labels and they have none.
        views: One an encoder; the first is the headline.
        val_fraction: Share of training images cut for validation.
        seed: Of everything random.
        device: As the user named it.
        reading: Words of a command line that read the data and compute as here.
    """

    data: str
    table: ImageTable
    bad: tuple[BadImage, ...]
    n_unlabelled: int
    views: tuple[EncodedData, ...]
    val_fraction: float
    seed: int
    device: str = "auto"
    reading: tuple[str, ...] = ()

    @property
    def has_labels(self) -> bool:
        """Whether the images have labels of two or more classes."""
        return len(self.table.class_names) > 1 and bool((self.table.labels >= 0).all())

    @cached_property
    def sets(self) -> LabelSets | None:
        """What images are labelled with, where one may have several labels; else nothing."""
        if self.table.label_sets is None:
            return None
        return LabelSets.of(self.table, self.views[0].vectors, seed=self.seed)

    @cached_property
    def partition(self) -> Partition:
        """Who may see which image; near-duplicates are those of the first encoder.

        Raises:
            DataError: A class would be empty on one side.
        """
        if isinstance(self._cut, DataError):
            raise self._cut
        return self._cut

    @cached_property
    def _cut(self) -> Partition | DataError:
        vectors, fraction = self.views[0].vectors, self.val_fraction
        try:
            return partition_table(self.table, vectors, val_fraction=fraction, seed=self.seed)
        except DataError as error:
            return error

    @property
    def is_divided(self) -> bool:
        """Whether there are labels, and enough images of each for training and a test."""
        return self.has_labels and not isinstance(self._cut, DataError)

    @property
    def open_rows(self) -> NDArray[np.int64]:
        """All rows outside the locked test, int64, sorted; without a test all rows."""
        if self.sets is not None and not self.sets.problem:
            return self.sets.partition.train
        if not self.is_divided:
            return np.arange(len(self.table))
        return np.sort(np.concatenate([self.partition.train, self.partition.val]))

    @cached_property
    def images(self) -> DataIdentity:
        """Which images these are and what each is for; without a partition, its split."""
        n_images = len(self.table)
        roles = self.table.splits
        if self.sets is not None and not self.sets.problem:
            roles = self.sets.partition.roles(n_images)
        elif self.is_divided:
            roles = self.partition.roles(n_images)
        return self.views[0].store.identify(self.table, roles)

    def images_for(self, train: NDArray[np.int64], val: NDArray[np.int64]) -> DataIdentity:
        """Say which images a training learns from and is judged on, and which are locked."""
        roles = np.array(self.images.roles)
        roles[roles != "test"] = ""
        roles[train], roles[val] = "train", "val"
        return replace(self.images, roles=tuple(roles.tolist()))

    @property
    def where(self) -> str:
        """What ``open_rows`` are, in words."""
        if self.is_divided or (self.sets is not None and not self.sets.problem):
            return "outside the locked test"
        return "of the data set, which is too small to lock a test away"

    def zero_shot_hits(self, view: EncodedData, template_set: TemplateSet) -> NDArray[np.bool_]:
        """Return which validation images are nearest to the text of their class, bool (V,)."""
        rows = self.partition.val
        cosines = view.vectors[rows] @ view.text_rows(template_set.templates).T
        hits: NDArray[np.bool_] = cosines.argmax(axis=1) == self.table.labels[rows]
        return hits

    def task(self, view: EncodedData, template_set: TemplateSet) -> HeadData:
        """Return what heads without tokens are fitted on.

        Args:
            view: Whose embeddings.
            template_set: How class names become texts.
        """
        return HeadData(
            vectors=view.vectors,
            tokens=None,
            labels=self.table.labels,
            class_names=self.table.class_names,
            text_rows=view.text_rows(template_set.templates),
            logit_scale=view.encoder.logit_scale,
            train=self.partition.train,
            val=self.partition.val,
            seed=self.seed,
            trunk=view.trunk,
            groups=self.table.groups,
            soft_labels=self.table.soft_labels,
        )


def order_by_turns(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Order rows at random, but so that every class comes once before any comes twice.

    Args:
        labels: int64 (n,).
        rng: Of the order.
    """
    order = rng.permutation(len(labels))
    _, inverse = np.unique(labels[order], return_inverse=True)
    seen: dict[int, int] = {}
    turn = np.empty(len(order), dtype=np.int64)
    for place, label in enumerate(inverse.tolist()):
        turn[place] = seen[label] = seen.get(label, -1) + 1
    ordered: NDArray[np.int64] = order[np.lexsort((inverse, turn))]
    return ordered


def spread_classes(subject: StudyData, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of some rows, the classes as even as they can be, sorted."""
    rng = np.random.default_rng([subject.seed, 11])
    order = order_by_turns(subject.table.labels[rows], rng)
    return np.sort(rows[order[:most]])
