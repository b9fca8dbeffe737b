"""Options that several verbs share, each defined once.

It imports nothing of the library, so that a command line can read it quickly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from cliptune.errors import InputError
from cliptune.system.bounds import require_count
from cliptune.system.patterns import compile_pattern

__all__ = [
    "ComputeOptions",
    "DataOptions",
    "Prompts",
    "ShardOptions",
    "Shards",
    "TemplateOptions",
    "option_words",
    "read_prompts",
    "read_shards",
]

_SHAPES_ANSWERS = ("device", "precision", "engine", "truncate", "max_patches")


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

    label_confidence: str | None = None
    """Column that says how sure labels are: numbers from 0 to 1, or votes by class."""

    labels_from: str | None = None
    """folders, table, or a table's path in DATA, where several of them say labels."""

    folder: tuple[str, ...] = ()
    """What a folder is: NAME=train|val|test|unlabelled|class|ignore; can be given several times."""

    class_level: int | None = None
    """How many levels below DATA the folders of classes are; found by the folders otherwise."""

    class_names: Path | None = None
    """File with the class names for prompts: JSON (list or folder-to-name object) or lines."""

    where: tuple[str, ...] = ()
    """Keep only rows of the manifest with COLUMN=VALUE[,VALUE...]; can be given several times."""

    journal: Path | None = None
    """Journal of labels that people gave in 'cliptune app': they take the place of the data's."""

    on_bad_image: Literal["fail", "skip"] = "fail"
    """An unreadable image stops the run, or is listed and left out."""

    def __post_init__(self) -> None:
        _set(self, "journal", _as_path(self.journal))
        _set(self, "class_names", _as_path(self.class_names))
        _set(self, "where", _as_tuple(self.where))
        _set(self, "folder", _as_tuple(self.folder))
        if self.class_level is not None:
            require_count("--class-level", self.class_level)
        if self.group_pattern is not None:
            compile_pattern("--group-pattern", self.group_pattern, example="'patient_([0-9]+)'")


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """Where and how encoders compute."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """What the encoder computes in; int8 quantises the image tower on your first images."""

    engine: Literal["auto", "torch", "openvino", "onnx"] = "auto"
    """What runs the encoder; auto takes the fastest here that keeps the answers."""

    truncate: bool = False
    """Cut texts that are longer than the model's context instead of refusing them."""

    max_patches: int | None = None
    """Patches of a picture at most, for models that keep the aspect ratio (SigLIP 2 NaFlex)."""

    crops: Literal[1, 2, 6, 12] = 1
    """Crops of a picture whose embeddings are averaged: 2 mirrored, 6 cut out, 12 both."""

    offline: bool = False
    """Fetch no model: what is on this machine is used, all else is refused."""

    cache_dir: Path | None = None
    """Where embeddings are kept; $CLIPTUNE_CACHE or the user's cache otherwise."""

    def __post_init__(self) -> None:
        _set(self, "cache_dir", _as_path(self.cache_dir))
        if self.max_patches is not None:
            require_count("--max-patches", self.max_patches)
        if self.crops != 1:
            from cliptune.encoders.picture_crops import require_crops

            require_crops(self.crops)

    @property
    def parts_of_names(self) -> dict[str, int]:
        """What is asked of pictures, by option, and becomes part of a model's name."""
        patches = {} if self.max_patches is None else {"max_patches": self.max_patches}
        return patches if self.crops == 1 else {**patches, "crops": self.crops}

    def model_name(self, name: str) -> str:
        """Return a model's name with what is asked of its pictures behind it.

        Raises:
            InputError: The name asks for something else.
        """
        from cliptune.encoders.names import require_one_encoder

        for option, number in self.parts_of_names.items():
            said = option.replace("_", "-")
            require_one_encoder(
                [name],
                f"--{said} cannot say for which",
                instead=f"write ?{option}={number} behind the names of those that it is for",
            )
            if f"?{option}=" not in name:
                name = f"{name}?{option}={number}"
            elif f"?{option}={number}?" not in f"{name}?":
                raise InputError(
                    f"--{said} {number} came, and the model is {name!r}; leave out the option"
                )
        return name


@dataclass(frozen=True, kw_only=True)
class TemplateOptions:
    """How class names become texts."""

    templates: tuple[str, ...] = ()
    """Named template set; give several to compare them, the first is the headline."""

    template: tuple[str, ...] = ()
    """Your own template such as "a photo of a {}."; all those given are averaged."""

    def __post_init__(self) -> None:
        _set(self, "templates", _as_tuple(self.templates))
        _set(self, "template", _as_tuple(self.template))


@dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """Who computes a job shard by shard, and how large shards are."""

    executor: Literal["local", "ray"] | None = None
    """Compute shards in processes of this machine (local) or as tasks of Ray (ray)."""

    workers: int | None = None
    """Shards computed at once; as many as cores otherwise."""

    address: str | None = None
    """Of a Ray cluster, HOST:PORT or auto; Ray is started here otherwise."""

    rows_per_shard: int | None = None
    """Images of a shard; 4096 otherwise, 10000 of a tar."""

    retry: bool = False
    """Compute shards again that failed before."""

    def __post_init__(self) -> None:
        for name in ("workers", "rows_per_shard"):
            if getattr(self, name) is not None:
                require_count(_option(name), getattr(self, name))
        given = [
            _option(field.name)
            for field in fields(ShardOptions)
            if field.name != "executor" and getattr(self, field.name) not in (None, False)
        ]
        if self.executor is None and given:
            raise InputError(
                f"{', '.join(given)} came without --executor; add --executor local or ray"
            )
        if self.executor not in (None, "local", "ray"):
            raise InputError(f"--executor {self.executor!r} came; expected local or ray")
        if self.address is not None and self.executor != "ray":
            raise InputError(f"--address came with --executor {self.executor}; it is ray's")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _set(options: object, name: str, value: object) -> None:
    object.__setattr__(options, name, value)  # frozen, but not before it is whole


def _as_path(value: str | Path | None) -> Path | None:
    """Take a text for the path that it names, as callers from Python give it."""
    return None if value is None else Path(value)


def _as_tuple(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


Shards = ShardOptions | Mapping[str, str | int | bool]
"""Who computes shards: options, or these by name: ``{"executor": "local", "workers": 4}``."""


def read_shards(shards: Shards | None) -> ShardOptions:
    """Return options of shards; without any there is no executor.

    Raises:
        InputError: An option is unknown, or does not fit.
    """
    if isinstance(shards, ShardOptions):
        return shards
    given = dict(shards or {})
    known = [field.name for field in fields(ShardOptions)]
    if unknown := [name for name in given if name not in known]:
        raise InputError(f"shards have no option {unknown[0]!r}; expected {', '.join(known)}")
    if given and "executor" not in given:
        raise InputError("shards came without an executor; expected 'local' or 'ray'")
    return ShardOptions(**given)  # type: ignore[arg-type]  # each is looked at there


Prompts = TemplateOptions | str | Sequence[str]
"""Template options, or names of template sets, or templates with ``{}`` of one's own."""


def read_prompts(prompts: Prompts) -> TemplateOptions:
    """Return template options; what has a ``{}`` is a template, all else the name of a set."""
    if isinstance(prompts, TemplateOptions):
        return prompts
    given = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    return TemplateOptions(
        templates=tuple(text for text in given if "{}" not in text),
        template=tuple(text for text in given if "{}" in text),
    )


def option_words(dataset: DataOptions, compute: ComputeOptions) -> tuple[str, ...]:
    """Return the words on a command line that read data and compute in the same way.

    Args:
        dataset: All that is not as usual.
        compute: Of it what shapes answers.
    """
    words: list[str] = []
    usual = DataOptions(), ComputeOptions()
    names = [f.name for f in fields(dataset)], _SHAPES_ANSWERS
    for given, plain, own in zip((dataset, compute), usual, names, strict=True):
        for name in own:
            value, option = getattr(given, name), "--" + name.replace("_", "-")
            if value == getattr(plain, name):
                continue
            if value is True:
                words.append(option)
                continue
            for one in value if isinstance(value, tuple) else (value,):
                words += [option, str(one)]
    return tuple(words)
