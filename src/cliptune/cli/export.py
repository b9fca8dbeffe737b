"""``cliptune export``: a run as files that need neither this package nor torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cliptune.cli.console import print_result
from cliptune.cli.numbers import number, whole
from cliptune.cli.options import Compute, Dataset, DatasetOptions, Output
from cliptune.workflows.export import export as export_run
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["export"]


def export(
    run: Path,
    /,
    *,
    out: Path,
    format: Literal["onnx", "openvino", "hub"] = "onnx",
    input: Literal["image", "pixels"] | None = None,
    data: str | None = None,
    images: Annotated[int, whole(1)] = 500,
    limit: Annotated[float, number(at_least=0, at_most=1)] = 0.995,
    push: str | None = None,
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Write a run as files that need neither cliptune nor torch, and prove that they answer alike.

    The files run once in a fresh process without torch, on real images; parity.json beside them
    is the certificate.

    Args:
        run: A finished run of 'cliptune fit' or 'cliptune finetune'.
        out: Folder to write; an earlier export there is replaced.
        format: onnx, openvino, or hub for a folder that transformers and open_clip read.
        input: What a graph takes: image (bytes of any size) or pixels (resized and cropped);
            both are written otherwise.
        data: Images for the certificate; those that the run was fitted on otherwise.
        images: At most so many of them.
        limit: Smallest share of images that must get the same class as from the run.
        push: OWNER/NAME on the hub, to upload a folder of the format hub to, as a private model.
        dataset: How to read DATA.
        compute: Where graphs are kept; engine and precision play no part.
        output: How results are shown.
    """
    result = export_run(
        run,
        out=out,
        format=format,
        input=input,
        data=data,
        images=images,
        limit=limit,
        push=push,
        dataset=dataset,
        compute=compute,
        seed=output.seed,
        progress=TerminalWatch(),
    )
    print_result(result, as_json=output.json)
