"""``cliptune fit``: learn a classifier on cached features, with evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cliptune.cli.early import require_class_names, require_compute, require_trainable
from cliptune.cli.few_shot import MAX_DRAWS
from cliptune.cli.finetune import fit_encoder
from cliptune.cli.finetune_options import (
    RunOptions,
    TuningOptions,
    make_finetune_options,
    read_single_rate,
    refuse_for_head,
)
from cliptune.cli.finetune_start import FinetuneRequest
from cliptune.cli.fit_heads import HeadRequest, fit_heads
from cliptune.cli.numbers import number, whole
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import choose_one_template_set
from cliptune.errors import InputError
from cliptune.finetune.options import METHODS

__all__ = ["fit"]

_USUAL_CUT = 0.2


def fit(
    data: str,
    /,
    *,
    method: str = "all",
    margin: Annotated[float, number(at_least=0, below=100)] = 1.0,
    val: Annotated[float | None, number(above=0, below=1)] = None,
    shots: str | None = None,
    seeds: Annotated[int, whole(1, MAX_DRAWS)] = 1,
    lr: str | None = None,
    weight_decay: Annotated[float | None, number(at_least=0)] = None,
    epochs: Annotated[int | None, whole(1)] = None,
    features: Literal["auto", "embedding", "penultimate", "both", "trunk"] | None = None,
    abstain_precision: Annotated[float | None, number(above=0, at_most=1)] = None,
    embed_encoder: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    dataset: DataOptions = DataOptions(),
    prompts: TemplateOptions = TemplateOptions(),
    model: ModelOptions = ModelOptions(),
    output: OutputOptions = OutputOptions(),
    tuning: TuningOptions = TuningOptions(),
    around: RunOptions = RunOptions(),
) -> None:
    """Learn a classifier: a head on a frozen model, or the model itself.

    Everything is chosen on held-out images; the test split stays locked until the end.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        method: all: every head is compared by cross-validation and the best recommended; or one
            of zero-shot, prototype, discriminant, linear, linear-sgd, dual-linear, knn, cache,
            attention. They encode each image once. full, lora or head-then-full train the model
            itself.
        margin: Points of accuracy that a simpler method may cost and still be as good.
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
        dataset: How to read the data set.
        prompts: How class names become texts.
        model: Which encoder, where and how it computes.
        output: How results are shown.
        tuning: How the model itself is trained.
        around: What surrounds that training.
    """
    template_set = choose_one_template_set(prompts, "fit")
    require_class_names(dataset)
    if method in METHODS:
        require_trainable(model)
        _refuse_for_model(
            method, shots=shots, features=features, seeds=None if seeds == 1 else str(seeds)
        )
        fit_encoder(
            FinetuneRequest(
                data=data,
                options=make_finetune_options(
                    tuning,
                    method=method,
                    lr=lr,
                    weight_decay=weight_decay,
                    epochs=epochs,
                    precision=model.precision,
                    seed=output.seed,
                    checkpoint_seconds=around.checkpoint_seconds,
                ),
                template_set=template_set,
                val=_USUAL_CUT if val is None else val,
                abstain_precision=abstain_precision,
                out=out,
                around=around,
                dataset=dataset,
                model=model,
                output=output,
            )
        )
        return
    refuse_for_head(method, tuning, around)
    require_compute(model, [model.model])
    fit_heads(
        HeadRequest(
            data=data,
            method="all" if method == "ladder" else method,
            template_set=template_set,
            margin=margin / 100,
            val=val,
            shots=shots,
            seeds=seeds,
            options=_given(
                lr=read_single_rate(lr), weight_decay=weight_decay, epochs=epochs, features=features
            ),
            abstain_precision=abstain_precision,
            embed_encoder=embed_encoder,
            out=out,
            dataset=dataset,
            model=model,
            output=output,
        )
    )


def _refuse_for_model(method: str, **options: str | None) -> None:
    """Make sure that no option of heads came with a method that trains the model itself."""
    given = ", ".join(f"--{name}" for name, value in options.items() if value is not None)
    if given:
        raise InputError(
            f"method {method} trains the model and takes no {given}; they are for heads"
        )


def _given(**options: float | str | None) -> dict[str, float | str]:
    return {name: value for name, value in options.items() if value is not None}
