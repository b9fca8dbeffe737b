"""``cliptune fit``: learn a classifier on cached features, with evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cliptune.cli.console import print_result
from cliptune.cli.finetune import USUAL_CUT, train_model
from cliptune.cli.finetune_options import (
    RunOptions,
    TuningOptions,
    read_single_rate,
    refuse_for_head,
    refuse_for_model,
)
from cliptune.cli.help_pages import further
from cliptune.cli.numbers import number, whole
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName, Output, Templates
from cliptune.finetuning.options import METHODS
from cliptune.selection.methods import as_criterion
from cliptune.system.bounds import INNER_SHARE
from cliptune.workflows.fit import fit as fit_head
from cliptune.workflows.fit import refuse_training_on_parts
from cliptune.workflows.options import ComputeOptions, TemplateOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["fit"]

_TRAINING = Parameter(name="*", group=further("How full, lora and head-then-full train"))


def fit(
    data: str,
    /,
    *,
    method: str = "all",
    margin: Annotated[float, number()] = 1.0,
    select: str = "accuracy",
    balance: Literal["none", "loss", "prior"] = "none",
    class_thresholds: bool = False,
    unlabelled: str | None = None,
    val: Annotated[float | None, number(**INNER_SHARE)] = None,
    shots: str | None = None,
    seeds: Annotated[int, whole()] = 1,
    lr: str | None = None,
    weight_decay: Annotated[float | None, number()] = None,
    epochs: Annotated[int | None, whole()] = None,
    features: Literal["auto", "embedding", "penultimate", "both", "trunk"] | None = None,
    abstain_precision: Annotated[float | None, number()] = None,
    embed_encoder: bool = False,
    out: Path | None = None,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    prompts: Templates = TemplateOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
    tuning: Annotated[TuningOptions, _TRAINING] = TuningOptions(),
    around: Annotated[RunOptions, _TRAINING] = RunOptions(),
) -> None:
    """Learn a classifier: a head on a frozen model, or the model itself.

    Everything is chosen on held-out images; the test split stays locked until the end.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'; or
            the folder of a job of 'cliptune embed --executor', whose rows need not fit in memory.
        method: all: every head is compared by cross-validation and the best recommended; or one
            of zero-shot, prototype, discriminant, linear, blend, linear-sgd, dual-linear, knn,
            cache, attention. They encode each image once. full, lora or head-then-full train the
            model itself.
        margin: Points that a cheaper method may cost and still be as good; hundredths of a nat
            where the score is the log-loss.
        select: The score that methods are compared by: accuracy, balanced-accuracy or macro-f1,
            which count rare classes like common ones, or log-loss.
        balance: Where classes are of unlike sizes: loss lets all count alike in what linear (and
            blend) minimises, prior answers as if all were as common.
        class_thresholds: Give each class a threshold of its own, for which the selected score is
            highest on held-out images; kept where other images gain by it.
        unlabelled: Images without labels: they move a linear method unless held-out images show
            that this makes it worse.
        val: Hold out one such share of the training images instead of cross-validation; for a
            method that trains the model itself, the share cut for validation (0.2 by default).
        shots: Learn from so many images of each class: one number, or several such as
            1,2,4,8,16 for a learning curve.
        seeds: Draws of these images for each number; mean and deviation are over them.
        lr: Learning rate of a method that trains by gradient; for the model itself one number
            or GROUP=NUMBER[,GROUP=NUMBER...], e.g. head=1e-2,image=1e-5,text=0.
        weight_decay: Its weight decay.
        epochs: Its passes over the training images.
        features: What prototype, discriminant and linear learn from: the embedding; penultimate,
            the image tower's features before the projection; both (once called trunk); or auto,
            the ones with the lowest log-loss on held-out images, which it is by default.
        abstain_precision: Choose a threshold below which the classifier abstains, so that this
            share of its answers is right on held-out images.
        embed_encoder: Keep the encoder's weights in the run, so that it needs no other.
        out: Folder for the classifier; runs/fit-... otherwise.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            a local path, or several of these with + between them, side by side.
        dataset: How to read the data set.
        prompts: How class names become texts.
        compute: Where and how the encoder computes.
        output: How results are shown.
        tuning: How the model itself is trained.
        around: What surrounds that training.
    """
    shared: dict[str, Any] = {  # Any: each its own type
        "model": model,
        "abstain_precision": abstain_precision,
        "prompts": prompts,
        "out": out,
        "dataset": dataset,
        "compute": compute,
    }
    rates: dict[str, Any] = {"weight_decay": weight_decay, "epochs": epochs}
    if method in METHODS:
        refuse_training_on_parts(data, method)
        refuse_for_model(
            method, shots=shots, features=features, seeds=_unless(seeds, 1),
            select=_unless(select, "accuracy"), balance=_unless(balance, "none"),
            unlabelled=unlabelled, **{"class-thresholds": class_thresholds or None},
        )  # fmt: skip
        cut = USUAL_CUT if val is None else val
        train_model(data, method, (tuning, around, output), lr=lr, **rates, val=cut, **shared)
        return
    refuse_for_head(method, tuning, around)
    fitted = fit_head(
        data, method=method, margin=margin, select=as_criterion(select), balance=balance,
        class_thresholds=class_thresholds, unlabelled=unlabelled, val=val, shots=shots, seeds=seeds,
        lr=read_single_rate(lr), features=features,
        embed_encoder=embed_encoder, seed=output.seed, progress=TerminalWatch(), **rates, **shared,
    )  # fmt: skip
    print_result(fitted, as_json=output.json)


def _unless(value: str | int, usual: str | int) -> str | int | None:
    return None if value == usual else value
