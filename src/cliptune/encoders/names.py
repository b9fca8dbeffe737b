"""What a user may call a model, and which model is meant by it.

It looks at names and at whether a path exists; it opens no file of weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cliptune.encoders.picture_crops import require_crops
from cliptune.encoders.published import (
    Published,
    architectures,
    find_published,
    is_architecture,
    published,
)
from cliptune.encoders.refused import refuse_named
from cliptune.errors import InputError, UnknownNameError

__all__ = [
    "DESCRIPTIONS",
    "LITE",
    "OPENAI_NAMES",
    "Embedded",
    "HubRepo",
    "LocalFile",
    "LocalFolder",
    "ModelRef",
    "parse_name",
    "require_one_encoder",
    "split_crops",
    "split_joint",
    "split_max_patches",
]

LITE = "lite"
DESCRIPTIONS = ("open_clip_config.json", "config.json")

OPENAI_NAMES = {
    "RN50": "RN50",
    "RN101": "RN101",
    "RN50x4": "RN50x4",
    "RN50x16": "RN50x16",
    "RN50x64": "RN50x64",
    "ViT-B/32": "ViT-B-32",
    "ViT-B/16": "ViT-B-16",
    "ViT-L/14": "ViT-L-14",
    "ViT-L/14@336px": "ViT-L-14-336",
}

_HUB_PREFIX = "hf-hub:"
_MAX_PATCHES = re.compile(r"^(?P<base>.+)\?max_patches=(?P<number>\d{1,6})$")
_CROPS = re.compile(r"^(?P<base>.+)\?crops=(?P<number>\d{1,3})$")
_WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_ELSE = (
    "or give hf-hub:OWNER/NAME, a local folder, a checkpoint file or ARCHITECTURE@FILE; "
    "'cliptune models' lists all names"
)


@dataclass(frozen=True)
class Embedded:
    """The default model, whose weights come as a package."""


@dataclass(frozen=True)
class HubRepo:
    """A repository on the Hugging Face hub; without a revision its main branch."""

    repo: str
    revision: str | None = None


@dataclass(frozen=True)
class LocalFolder:
    """A folder with a description of the model and its weights.

    ``config`` names the description where the folder holds several.
    """

    path: Path
    config: str | None = None


@dataclass(frozen=True)
class LocalFile:
    """A file of weights; without an architecture it is inferred from the tensors."""

    path: Path
    architecture: str | None = None


ModelRef: TypeAlias = Embedded | Published | HubRepo | LocalFolder | LocalFile


def parse_name(name: str) -> ModelRef:
    """Find out which model is meant; names that are known come before paths.

    Args:
        name: ``lite``; ``ARCHITECTURE/TAG``; one of OpenAI's names; ``hf-hub:OWNER/NAME``
            or ``hf-hub:OWNER/NAME@REVISION``;
            a folder; a file; ``ARCHITECTURE@FILE``; any of them with ``?max_patches=N`` or
            ``?crops=N`` behind it.

    Raises:
        UnknownNameError: Neither a known name nor a path that exists.
        InputError: An architecture without a tag, a broken hub name, a missing file, or a number
            of crops that there is not.
    """
    name, _ = split_crops(name)
    name, _ = split_max_patches(name)
    if name == LITE:
        return Embedded()
    if name in OPENAI_NAMES:
        return _known(OPENAI_NAMES[name], "openai")
    if name.startswith(_HUB_PREFIX):
        return _hub_repo(name)
    architecture, _, tag = name.rpartition("/")
    if found := find_published(architecture, tag):
        return found
    architecture, at, file = name.partition("@")
    if at and is_architecture(architecture):
        return LocalFile(_existing_file(file, name), architecture)
    path = Path(name).expanduser()
    if path.is_dir():
        return LocalFolder(path)
    if path.is_file():
        if path.name in DESCRIPTIONS:
            return LocalFolder(path.parent, path.name)
        return LocalFile(path)
    if _is_hub_name(name):
        return _hub_repo(f"{_HUB_PREFIX}{name}")
    raise _refusal(name)


def split_joint(name: str) -> tuple[str, ...]:
    """Part a name into those of the encoders that it puts side by side; one is one.

    A path that exists is one encoder, whatever it is called.

    Raises:
        InputError: A part is empty, or comes twice.
    """
    plain = re.sub(r"\?\w+=\d+$", "", name)
    if "+" not in name or Path(plain.partition("@")[2] or plain).expanduser().exists():
        return (name,)
    parts = tuple(name.split("+"))
    if not all(part.strip() for part in parts) or len(set(parts)) < len(parts):
        raise InputError(
            f"model {name!r}: expected different encoders with + between them, as in "
            "ViT-B-32/openai+lite"
        )
    return parts


def require_known(name: str) -> None:
    """Make sure that every encoder of a name is known; see ``parse_name``.

    Raises:
        UnknownNameError: One is not.
        InputError: One of several is not, or is an architecture without a tag.
    """
    parts = split_joint(name)
    for part in parts:
        try:
            parse_name(part)
        except UnknownNameError as error:
            if len(parts) == 1:
                raise
            raise InputError(
                f"{error}; {name!r} is no file or folder here, so that it is read as several "
                "encoders with + between them"
            ) from error


def require_one_encoder(
    names: Iterable[str], why: str, *, instead: str = "name one of them"
) -> None:
    """Make sure that no name puts several encoders side by side.

    Args:
        names: Of models.
        why: Why that does not go.
        instead: What to do.

    Raises:
        InputError: One does; the message says why that does not go.
    """
    for name in names:
        if len(split_joint(name)) > 1:
            raise InputError(
                f"model {name!r} is several encoders side by side, and {why}; {instead}"
            )


def split_max_patches(name: str) -> tuple[str, int | None]:
    """Part a name from the number of patches that is asked for behind it."""
    found = _MAX_PATCHES.match(name)
    return (found["base"], int(found["number"])) if found else (name, None)


def split_crops(name: str) -> tuple[str, int]:
    """Part a name from the number of crops that is asked for behind it; 1 where none is.

    Raises:
        InputError: There are no crops of this number.
    """
    found = _CROPS.match(name)
    if found is None:
        return name, 1
    crops = int(found["number"])
    require_crops(crops)
    return found["base"], crops


def _known(architecture: str, tag: str) -> Published:
    found = find_published(architecture, tag)
    if found is None:
        raise InputError(
            f"this release of open_clip has no weights {architecture}/{tag}; "
            f"install a newer one: pip install -U open_clip_torch"
        )
    return found


def _hub_repo(name: str) -> HubRepo:
    repo, at, revision = name.removeprefix(_HUB_PREFIX).partition("@")
    right = re.fullmatch(r"[\w.-]+/[\w.-]+", repo) and ".." not in revision
    refuse_named(repo)
    if not right or (at and not re.fullmatch(r"[\w./-]+", revision)):
        raise InputError(
            f"model {name!r}: expected {_HUB_PREFIX}OWNER/NAME, with @REVISION behind it or without"
        )
    return HubRepo(repo, revision or None)


def _existing_file(file: str, name: str) -> Path:
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"model {name!r}: there is no file {file!r}; check the part behind '@'")
    return path


def _is_hub_name(name: str) -> bool:
    """Say whether a name that is nothing else is one of the hub: its owner publishes models."""
    owner, slash, rest = name.partition("/")
    if not slash or "/" in rest or owner in architectures():
        return False
    from cliptune.encoders.families import families

    told = [example for family in families().values() for example in family.examples]
    owners = {example.removeprefix(_HUB_PREFIX).partition("/")[0] for example in told}
    for entry in (entry for tags in published().values() for entry in tags.values()):
        owners.add(entry.repo.partition("/")[0])
    return owner in owners - {""}


def _refusal(name: str) -> InputError:
    """Say what is wrong with a name that is neither known nor a path."""
    refuse_named(name)
    if name in architectures():
        return InputError(_without_tag(name))
    architecture, slash, tag = name.rpartition("/")
    if slash and architecture in architectures():
        tags = published().get(architecture, {})
        return UnknownNameError(f"tag of {architecture}", tag, tags, _ELSE)
    if name.endswith(_WEIGHT_SUFFIXES) or name.startswith((".", "/", "~")):
        return InputError(f"model {name!r}: there is no such file or folder; check the path")
    entries = [entry.name for tags in published().values() for entry in tags.values()]
    return UnknownNameError("model", name, [LITE, *OPENAI_NAMES, *entries], _ELSE)


def _without_tag(architecture: str) -> str:
    tags = list(published().get(architecture, {}))
    if not tags:
        return (
            f"model {architecture!r} is an architecture without published weights; "
            f"give your own as {architecture}@FILE"
        )
    return (
        f"model {architecture!r} is an architecture, its weights are missing; "
        f"add a tag, e.g. {architecture}/{tags[0]}; tags: {', '.join(tags)}"
    )
