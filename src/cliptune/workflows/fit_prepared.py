"""What heads are fitted on: images, embedded and divided; and the choice among methods on it.

It knows features and partitions, and nothing about what is done with a choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cliptune.selection.methods import needed_rows
from cliptune.system.formatting import percent
from cliptune.workflows.dataset import open_learnable
from cliptune.workflows.session import EmbeddedTable, Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.choosing import Chosen
    from cliptune.classifiers.fitting import Fitted
    from cliptune.classifiers.head_data import HeadData
    from cliptune.encoders import DualEncoder
    from cliptune.selection.unlabelled import Unlabelled
    from cliptune.splits.partition import Partition
    from cliptune.workflows.fit_heads import HeadRequest
    from cliptune.workflows.session import Model

__all__ = ["Prepared", "choose", "prepare"]

_LONG = 2000  # images to learn from, above which a comparison takes long enough to be told of


@dataclass(frozen=True)
class Prepared:
    """What heads are fitted on.

    Attributes:
        session: Who embedded.
        encoder: What embedded.
        embedded: The images.
        task: Features, labels, texts.
        partition: Who may see which image.
    """

    session: Session
    encoder: DualEncoder
    embedded: EmbeddedTable
    task: HeadData
    partition: Partition


def prepare(
    request: HeadRequest,
    methods: Sequence[str],
    counts: Sequence[int],
    session: Session,
    *,
    alike: Prepared | None = None,
) -> Prepared:
    """Open the data set, embed it, and divide it.

    Args:
        request: What was asked for.
        methods: Names of methods, which say what is to be embedded.
        counts: Images a class that are to be drawn.
        session: Where and how to embed.
        alike: The same images, embedded in another way: they are divided as these are.

    Raises:
        InputError: A method needs patches, and several crops are averaged.
    """
    from cliptune.splits.partition import draw_shots, partition_table, rehearse_partition

    options, seed = request.chosen_options, request.seed
    needs = {row for name in methods for row in needed_rows(name, options)}
    if "tokens" in needs:
        _require_patches(request.model, session)
    if alike is None:
        table = open_learnable(request.data, request.dataset, session.watch, confidence=True)
        rehearsed = rehearse_partition(table, val_fraction=None, seed=seed)
        for n in counts:
            draw_shots(table.labels, rehearsed, shots=n, class_names=table.class_names, seed=0)
    else:
        table = alike.embedded.table
    encoder = session.open_encoder(request.model, table)
    embedded = session.embed(
        encoder,
        table,
        on_bad_image=request.dataset.on_bad_image,
        trunk=_wants_trunk(needs, options),
        meanwhile="torch",
    )
    table, vectors = embedded.table, embedded.features.vectors
    partition = (
        partition_table(table, vectors, val_fraction=None, seed=seed)
        if alike is None
        else alike.partition
    )
    task = session.make_task(
        encoder,
        embedded,
        partition,
        templates=request.template_set.templates,
        seed=seed,
        tokens="tokens" in needs,
    )
    return Prepared(session, encoder, embedded, task, partition)


def _wants_trunk(needs: Set[str], options: Mapping[str, Any]) -> Literal["no", "must", "may"]:
    if "trunk" not in needs:
        return "no"
    return "must" if "features" in options else "may"


def _require_patches(model: Model, session: Session) -> None:
    from cliptune.encoders.names import require_one_encoder, split_crops
    from cliptune.encoders.picture_crops import require_one_crop

    name = session.compute.model_name(model) if isinstance(model, str) else model.name
    require_one_encoder([name], "their patches cannot be joined")
    require_one_crop(split_crops(name)[1], name, "the patches of a picture")


def choose(
    prepared: Prepared,
    methods: Sequence[str],
    request: HeadRequest,
    *,
    groups: NDArray[np.int64] | None = None,
    unlabelled: Unlabelled | None = None,
) -> Chosen:
    """Compare methods on held-out images; see ``choose_methods``.

    Args:
        prepared: The data.
        methods: Names of methods.
        request: What was asked for.
        groups: int64 (N,), images that are held out together; those of the partition otherwise.
        unlabelled: Images without labels, embedded as these.
    """
    from cliptune.choosing import choose_methods

    watch = prepared.session.watch

    def tell(one: Fitted) -> None:
        if one.val is not None and one.val.accuracy.n >= _LONG:
            watch.note(f"{one.name}: {percent(one.val.accuracy.value)} right on held-out images")

    with watch.stage("fitting", "methods") as show:
        return choose_methods(
            prepared.task,
            methods,
            options=request.chosen_options,
            abstain_precision=request.abstain_precision,
            margin=request.margin,
            select=request.select,
            balance=request.balance,
            class_thresholds=request.class_thresholds,
            unlabelled=unlabelled,
            cut=request.val,
            groups=prepared.partition.groups if groups is None else groups,
            progress=show,
            scored=tell,
        )
