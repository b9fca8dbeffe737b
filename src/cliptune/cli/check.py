"""``cliptune check``: look at data and training set-up before a long run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cliptune.cli.console import print_result
from cliptune.cli.finetune_options import TuningOptions, make_finetune_options, refuse_for_head
from cliptune.cli.numbers import number
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName, Output, Templates
from cliptune.errors import InputError
from cliptune.system.bounds import INNER_SHARE
from cliptune.workflows.check import check as check_data
from cliptune.workflows.check import require_none_failed, trains
from cliptune.workflows.options import ComputeOptions, TemplateOptions
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.requirements import require_trainable

__all__ = ["check"]


def check(
    data: str,
    /,
    *,
    method: str | None = None,
    val: Annotated[float, number(**INNER_SHARE)] = 0.2,
    lr: str | None = None,
    weight_decay: Annotated[float | None, number()] = None,
    out: Path | None = None,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    prompts: Templates = TemplateOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
    tuning: TuningOptions = TuningOptions(),
) -> None:
    """Look at the data, and try the training out on a few images.

    Nothing is kept and no weight changes. Exit code 0 when no check failed, warnings included;
    2 when one did.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        method: full, lora or head-then-full: the training to try out, by default as in 'cliptune
            finetune'; the name of a head looks at the data only.
        val: Share of the training images cut for validation where there is no such split.
        lr: Learning rate, one number or GROUP=NUMBER[,GROUP=NUMBER...].
        weight_decay: Of the optimiser.
        out: Folder for the results and a picture of what the model sees.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            or a local path.
        dataset: How to read the data set.
        prompts: How class names become texts.
        compute: Where and how the encoder computes.
        output: How results are shown.
        tuning: How the model would be trained.
    """
    require_trainable(compute, model)
    options = None
    if method is None or trains(method):
        options = make_finetune_options(
            tuning,
            method=method,
            lr=lr,
            weight_decay=weight_decay,
            precision=compute.precision,
            seed=output.seed,
        )
        method = options.method
    else:
        refuse_for_head(method, tuning)
        if lr is not None or weight_decay is not None:
            raise InputError(
                f"--method {method} looks at the data only and takes no --lr and no --weight-decay"
            )
    report = check_data(
        data,
        method=method,
        options=options,
        model=model,
        val=val,
        prompts=prompts,
        out=out,
        dataset=dataset,
        compute=compute,
        seed=output.seed,
        progress=TerminalWatch(),
    )
    print_result(report, as_json=output.json)
    require_none_failed(report.checks)
