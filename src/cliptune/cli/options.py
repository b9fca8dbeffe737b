"""Options that several commands share, each defined once.

It imports nothing of the library, so that reading options stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cliptune.bounds import MAX_SEED
from cliptune.cli.numbers import whole

__all__ = ["ComputeOptions", "DataOptions", "ModelOptions", "OutputOptions", "TemplateOptions"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How to read a data set."""

    split: str | None = None
    """Which split; without it the test split, else the validation split, else all images."""

    image_column: str | None = None
    """Column of the manifest with paths or image bytes; found by its name otherwise."""

    label_column: str | None = None
    """Column of the manifest with labels; found by its name otherwise."""

    caption_column: str | None = None
    """Column of the manifest with captions; found by its name otherwise."""

    group_column: str | None = None
    """Column of the manifest that says what an image belongs with, such as a patient."""

    group_pattern: str | None = None
    """Regular expression that finds the group in an image's path, e.g. 'patient_([0-9]+)'."""

    labels_from: str | None = None
    """folders, table, or a table's path in DATA, where several of them say labels."""

    folder: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """What a folder is: NAME=train|val|test|unlabelled|class|ignore; can be given several times."""

    class_level: Annotated[int | None, whole(1)] = None
    """How many levels below DATA the folders of classes are; found by the folders otherwise."""

    class_names: Path | None = None
    """File with the class names for prompts: JSON (list or folder-to-name object) or lines."""

    where: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Keep only rows of the manifest with COLUMN=VALUE[,VALUE...]; can be given several times."""

    on_bad_image: Literal["fail", "skip"] = "fail"
    """An unreadable image stops the run, or is listed and left out."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """Where and how encoders compute."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """What the encoder computes in; int8 quantises the image tower on your first images."""

    engine: Literal["auto", "torch", "openvino", "onnx"] = "auto"
    """What runs the encoder; auto takes the fastest here that keeps the answers."""

    truncate: Annotated[bool, Parameter(negative="")] = False
    """Cut texts that are longer than the model's context instead of refusing them."""

    cache_dir: Path | None = None
    """Where embeddings are kept; $CLIPTUNE_CACHE or the user's cache otherwise."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ModelOptions(ComputeOptions):
    """Which encoder, where and how it computes."""

    model: Annotated[str, Parameter(alias="-m")] = "lite"
    """lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME, or a local path."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TemplateOptions:
    """How class names become texts."""

    templates: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Named template set; give several to compare them, the first is the headline."""

    template: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Your own template such as "a photo of a {}."; all those given are averaged."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How results are shown."""

    json: Annotated[bool, Parameter(negative="")] = False
    """One JSON object on standard output; progress and messages go to standard error."""

    seed: Annotated[int, whole(0, MAX_SEED)] = 0
    """Seed of everything random."""
