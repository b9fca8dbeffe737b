"""``fit``: heads on the cached features of a frozen model, compared, and one shipped.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cliptune.encoders.names import require_one_encoder
from cliptune.errors import InputError, SeveralLabelsError
from cliptune.finetuning.options import MAX_RATE, METHODS
from cliptune.selection.methods import Criterion, check_criterion
from cliptune.system.bounds import INNER_SHARE, MAX_SEED, require_count, require_number
from cliptune.workflows.dataset import data_name
from cliptune.workflows.fit_heads import HeadRequest, Shots, fit_heads
from cliptune.workflows.options import ComputeOptions, DataOptions, Prompts, read_prompts
from cliptune.workflows.progress import ProgressLike, Watch, watching
from cliptune.workflows.prompting import choose_one_template_set
from cliptune.workflows.requirements import name_of, require_class_names, require_compute
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.results.fitted import FitResult
    from cliptune.results.label_sets import FitLabelsResult
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

__all__ = ["MAX_DRAWS", "fit", "refuse_training_on_parts"]

MAX_DRAWS = 1000  # for each number of images: beyond, only the time grows


def fit(
    data: Data,
    *,
    method: str = "all",
    model: Model = "lite",
    margin: float = 1.0,
    select: Criterion = "accuracy",
    balance: Literal["none", "loss", "prior"] = "none",
    class_thresholds: bool = False,
    unlabelled: Data | None = None,
    val: float | None = None,
    shots: Shots | None = None,
    seeds: int = 1,
    lr: float | None = None,
    weight_decay: float | None = None,
    epochs: int | None = None,
    features: Literal["auto", "embedding", "penultimate", "both", "trunk"] | None = None,
    abstain_precision: float | None = None,
    embed_encoder: bool = False,
    prompts: Prompts = (),
    out: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    seed: int = 0,
    progress: ProgressLike = None,
) -> FitResult | FitLabelsResult:
    """Learn a head on a frozen model.

    Everything is chosen on held-out images; the test split stays locked until the end. Where an
    image may have several labels, one answer a class is learned instead.

    Args:
        data: A data set by name, or a table; or the folder of an embedding job, whose parts are
            read a few times and need not fit in memory (zero-shot, prototype, discriminant and
            linear).
        method: ``all``: every head is compared by cross-validation and the best recommended; or
            one of ``HEADS``.
        model: Which encoder, by name or loaded. Several names with ``+`` between them are put side
            by side and compared with each alone.
        margin: Points that a cheaper method may cost and still be as good; hundredths of a nat
            where the score is the log-loss.
        select: The score that methods are compared by.
        balance: Where classes are of unlike sizes: ``loss`` lets all count alike in what logistic
            regression minimises, ``prior`` answers as if all were as common.
        class_thresholds: Give each class of the recommended method a threshold of its own, so
            that ``select`` is highest on held-out images; kept where other images gain by it.
        unlabelled: Images without labels, as ``predict`` takes them, which move a linear method
            unless held-out images show that this makes it worse. None may look like one of the
            locked test.
        val: Hold out one such share of the training images instead of cross-validation.
        shots: Learn from so many images of each class: a number or several.
        seeds: Draws of these images for each number.
        lr: Learning rate of a head that trains by gradient.
        weight_decay: Its weight decay.
        epochs: Its passes over the training images.
        features: What ``prototype``, ``discriminant`` and ``linear`` learn from; the ones with
            the lowest log-loss on held-out images otherwise.
        abstain_precision: Choose a threshold below which the classifier abstains, so that this
            share of its answers is right on held-out images.
        embed_encoder: Keep the encoder's weights in the run, so that it needs no other.
        prompts: How class names become texts.
        out: Folder for the classifier; ``runs/fit-...`` otherwise.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        seed: Of everything random.
        progress: A callback, or True for bars.

    Returns:
        Scores of every method, the recommendation, and where the classifier is.

    Raises:
        CliptuneError: Data, options, model or place do not fit; the message says which.
    """
    template_set = choose_one_template_set(read_prompts(prompts), "fit")
    require_class_names(dataset)
    check_criterion(select)
    _require_numbers(margin, val, lr, weight_decay, epochs, abstain_precision, seeds, seed)
    _refuse_training(method)
    require_compute(compute, [model])
    if embed_encoder:
        require_one_encoder([name_of(model)], "a run can hold one")
    given = {"lr": lr, "weight_decay": weight_decay, "epochs": epochs, "features": features}
    request = HeadRequest(
        data=data,
        method="all" if method == "ladder" else method,
        template_set=template_set,
        margin=margin / 100,
        select=select,
        balance=balance,
        class_thresholds=class_thresholds,
        unlabelled=unlabelled,
        val=val,
        shots=shots,
        n_seeds=seeds,
        options={name: value for name, value in given.items() if value is not None},
        abstain_precision=abstain_precision,
        embed_encoder=embed_encoder,
        dataset=dataset,
        model=model,
        seed=seed,
    )
    return _fit_at(request, None if out is None else Path(out), compute, watching(progress))


def _fit_at(
    request: HeadRequest, place: Path | None, compute: ComputeOptions, watch: Watch
) -> FitResult | FitLabelsResult:
    """Take a place for the run, and fit there what the data ask for."""
    from cliptune.runs.place import claim_place

    name, session = data_name(request.data), Session(compute, watch)
    if _holds_parts(request.data):
        from cliptune.workflows.fit_parts import fit_parts, refuse_beyond_parts

        refuse_beyond_parts(request, compute)
        with claim_place(place, "fit", name) as claimed:
            return fit_parts(request, claimed, session)
    with claim_place(place, "fit", name) as claimed:
        try:
            return fit_heads(request, claimed, session)
        except SeveralLabelsError:
            from cliptune.workflows.fit_labels import fit_labels

            return fit_labels(request, claimed, session)


def refuse_training_on_parts(data: Data, method: str) -> None:
    """Make sure that a method which trains the model itself has images to train on.

    Raises:
        InputError: The data are the folder of an embedding job, which has vectors.
    """
    if _holds_parts(data):
        raise InputError(
            f"--method {method} trains on images, and {str(data)!r} is a job's vectors; name the "
            "images, or one of zero-shot, prototype, discriminant and linear"
        )


def _holds_parts(data: Data) -> bool:
    """Say whether data are the folder of an embedding job, by its ``job.json``."""
    from cliptune.scale.plan import holds_job

    return isinstance(data, str | Path) and holds_job(Path(data))


def _require_numbers(
    margin: float,
    val: float | None,
    lr: float | None,
    weight_decay: float | None,
    epochs: int | None,
    abstain_precision: float | None,
    seeds: int,
    seed: int,
) -> None:
    require_number("--margin", margin, at_least=0, below=100)
    require_count("--seeds", seeds, at_most=MAX_DRAWS)
    require_count("--seed", seed, at_least=0, at_most=MAX_SEED)
    if val is not None:
        require_number("--val", val, **INNER_SHARE)
    if lr is not None:
        require_number("--lr", lr, above=0, at_most=MAX_RATE)
    if weight_decay is not None:
        require_number("--weight-decay", weight_decay, at_least=0)
    if epochs is not None:
        require_count("--epochs", epochs)
    if abstain_precision is not None:
        require_number("--abstain-precision", abstain_precision, above=0, at_most=1)


def _refuse_training(method: str) -> None:
    if method in METHODS:
        raise InputError(f"method {method} trains the model itself; call finetune for it")
