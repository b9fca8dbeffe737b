"""Where a model's weights, description and tokenizer are, or get, on this machine.

It finds and fetches files and reads the small ones; weights stay unread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cliptune.encoders.hub import (
    cached_file,
    fetch_file,
    fetch_tokenizer,
    has_tokenizer,
    old_cache_file,
)
from cliptune.encoders.names import (
    HubRepo,
    LocalFile,
    LocalFolder,
    split_crops,
    split_max_patches,
)
from cliptune.encoders.permitted import permit_config
from cliptune.encoders.plain_files import TEXT_MODELS
from cliptune.encoders.published import Published, model_config, published
from cliptune.encoders.shards import SHARDS, shard_names
from cliptune.encoders.transformers_config import (
    find_family,
    permit_family_config,
    read_processor,
)
from cliptune.encoders.transformers_format import convert_config, convert_preprocess
from cliptune.errors import CheckpointError, InputError
from cliptune.system.json_files import read_object

__all__ = ["ModelFiles", "find_files", "is_local"]

_log = logging.getLogger(__name__)

_OPEN_CLIP_CONFIG = "open_clip_config.json"
_OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_TRANSFORMERS_WEIGHTS = ("model.safetensors", SHARDS, "pytorch_model.bin")
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    *_TRANSFORMERS_WEIGHTS,
)
_TRANSFORMERS_CONFIG = "config.json"
_PROCESSOR_CONFIGS = ("preprocessor_config.json", "processor_config.json")
_ANY_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class ModelFiles:
    """All that is needed to build a model, on this machine.

    Attributes:
        weights: A file in one of the formats that ``read_checkpoint`` takes.
        config: open_clip's description of the model, or transformers' where it names a
            ``model_type``; ``None`` to infer it from the tensors.
        preprocess: Fields of open_clip's ``PreprocessCfg`` that differ from its defaults, or of
            ``Preprocess`` for transformers' families.
        tokenizer: Folder of a Hugging Face tokenizer; ``None`` for CLIP's own.
        text_model: Folder with the ``config.json`` of a Hugging Face text tower, if it has one.
    """

    weights: Path
    config: dict[str, Any] | None = None  # Any: nested JSON
    preprocess: dict[str, Any] = field(default_factory=dict)  # Any: numbers, lists, strings
    tokenizer: Path | None = None
    text_model: Path | None = None

    @property
    def by_transformers(self) -> bool:
        """Whether transformers builds the model."""
        return self.config is not None and "model_type" in self.config


def find_files(ref: Published | HubRepo | LocalFolder | LocalFile, name: str) -> ModelFiles:
    """Find a model's files, fetching what is not here.

    Args:
        ref: The model.
        name: What the user called it, for messages.

    Raises:
        UnavailableError: Something is not here and cannot be fetched; within seconds.
        CheckpointError: A folder's description is missing, broken or of another kind.
    """
    name, max_patches = split_max_patches(split_crops(name)[0])
    if isinstance(ref, Published):
        files = _published_files(ref, name)
    elif isinstance(ref, LocalFile):
        files = _file_files(ref, name)
    elif isinstance(ref, LocalFolder):
        files = _folder_files(ref, name, max_patches)
    else:
        files = _hub_files(ref, name, max_patches)
    if max_patches is not None and not files.preprocess.get("patch_size"):
        raise InputError(
            f"--max-patches {max_patches}: {name} takes pictures of one size; it is for models "
            "that keep the aspect ratio (SigLIP 2 NaFlex)"
        )
    return files


def is_local(entry: Published) -> bool:
    """Say whether published weights are on this machine already."""
    return (cached_file(entry.repo, _repo_weights(entry)) or old_cache_file(entry.url)) is not None


def _published_files(entry: Published, name: str) -> ModelFiles:
    names = _repo_weights(entry)
    weights = cached_file(entry.repo, names) or old_cache_file(entry.url)
    if weights is None:
        weights = fetch_file(entry.repo, names, purpose=f"the weights of {name!r}")
    config = model_config(entry.architecture)
    # The tag says what it was trained with; open_clip itself only warns where they differ.
    config["quick_gelu"] = bool(config.get("quick_gelu")) or entry.quick_gelu
    return _with_text_files(weights, config, entry.preprocess, name)


def _repo_weights(entry: Published) -> tuple[str, ...]:
    if not entry.filename:
        return _OPEN_CLIP_WEIGHTS
    return (str(Path(entry.filename).with_suffix(".safetensors")), entry.filename)


def _file_files(ref: LocalFile, name: str) -> ModelFiles:
    if ref.architecture is None:
        return ModelFiles(ref.path)
    config = model_config(ref.architecture)
    preprocess = _usual_preprocess(ref.architecture, name)
    return _with_text_files(ref.path, config, preprocess, name)


def _usual_preprocess(architecture: str, name: str) -> dict[str, Any]:
    """Return what all published weights of an architecture share, else CLIP's own."""
    entries = published().get(architecture, {})
    kinds = {repr(entry.preprocess): entry.preprocess for entry in entries.values()}
    if len(kinds) == 1:
        return next(iter(kinds.values()))
    if kinds:
        _log.warning(
            "%s: published %s weights differ in their preprocessing; taking CLIP's own; to be "
            "sure, use a folder with an open_clip_config.json",
            name,
            architecture,
        )
    return {}


def _hub_files(ref: HubRepo, name: str, max_patches: int | None) -> ModelFiles:
    purpose = f"the description of {name!r}"
    configs = (_OPEN_CLIP_CONFIG, _TRANSFORMERS_CONFIG)
    fetch = partial(fetch_file, ref.repo, revision=ref.revision)
    config = fetch(configs, purpose=purpose)
    by_open_clip = config.name == _OPEN_CLIP_CONFIG
    if not by_open_clip:  # before hundreds of megabytes are fetched for nothing
        find_family(read_object(config, CheckpointError), config)
    names = _OPEN_CLIP_WEIGHTS if by_open_clip else _TRANSFORMERS_WEIGHTS
    weights = fetch(names, purpose=f"the weights of {name!r}")
    for shard in shard_names(weights):
        fetch([shard], purpose=f"a part of the weights of {name!r}")
    if by_open_clip:
        return _described_files(config, weights, name)
    processor = fetch(_PROCESSOR_CONFIGS, purpose=f"the preprocessing of {name!r}")

    def tokenizer() -> Path:
        purpose = f"the tokenizer of {name!r}"
        return fetch_tokenizer(ref.repo, purpose=purpose, revision=ref.revision)

    return _transformers_files(config, weights, processor, tokenizer, max_patches)


def _folder_files(ref: LocalFolder, name: str, max_patches: int | None) -> ModelFiles:
    folder = ref.path
    described = ref.config or _only_description(folder)
    by_transformers = described == _TRANSFORMERS_CONFIG
    weights = _weights_in(folder, _TRANSFORMERS_WEIGHTS if by_transformers else _WEIGHTS)
    if described == _OPEN_CLIP_CONFIG:
        return _described_files(folder / described, weights, name)
    if described == _TRANSFORMERS_CONFIG:
        processors = [folder / p for p in _PROCESSOR_CONFIGS if (folder / p).is_file()]
        processor = processors[0] if processors else None
        return _transformers_files(
            folder / described, weights, processor, lambda: folder, max_patches
        )
    raise CheckpointError(
        f"folder {folder} has neither {_OPEN_CLIP_CONFIG} nor {_TRANSFORMERS_CONFIG}; add one, "
        f"or name the weights as ARCHITECTURE@{weights}"
    )


def _only_description(folder: Path) -> str | None:
    """Return which description a folder is to be read by, if it has one.

    Raises:
        CheckpointError: It holds the model in both formats, and nobody can tell which is meant.
    """
    formats = {_OPEN_CLIP_CONFIG: _WEIGHTS[:3], _TRANSFORMERS_CONFIG: _TRANSFORMERS_WEIGHTS}
    present = [config for config in formats if (folder / config).is_file()]
    whole = [c for c in present if any((folder / name).is_file() for name in formats[c])]
    if len(whole) > 1:
        raise CheckpointError(
            f"folder {folder} holds a model in two formats, open_clip's ({_OPEN_CLIP_CONFIG}) and "
            f"transformers' ({_TRANSFORMERS_CONFIG}), each with weights; name the one that is "
            f"meant: {folder / _OPEN_CLIP_CONFIG} or {folder / _TRANSFORMERS_CONFIG}"
        )
    return next(iter([*whole, *present]), None)


def _weights_in(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    others = sorted(path for path in folder.iterdir() if path.suffix in _ANY_WEIGHTS)
    if len(others) == 1:
        return others[0]
    found = ", ".join(path.name for path in others[:5]) or "none"
    raise CheckpointError(
        f"folder {folder}: which file holds the weights? found {found}; expected one, or one "
        f"called {names[0]}"
    )


def _described_files(path: Path, weights: Path, name: str) -> ModelFiles:
    """Follow an ``open_clip_config.json``."""
    described = read_object(path, CheckpointError)
    config = permit_config(described.get("model_cfg"), str(path))
    preprocess = described.get("preprocess_cfg") or {}
    return _with_text_files(weights, config, preprocess, name, beside=path.parent)


def _transformers_files(
    config: Path,
    weights: Path,
    processor: Path | None,
    tokenizer: Callable[[], Path],
    max_patches: int | None,
) -> ModelFiles:
    """Follow a ``config.json`` of the transformers library."""
    described = read_object(config, CheckpointError)
    family = find_family(described, config)
    settings = read_object(processor, CheckpointError) if processor else {}
    settings = settings.get("image_processor", settings)
    if family is None:
        return ModelFiles(
            weights=weights,
            config=convert_config(described, config),
            preprocess=convert_preprocess(settings, processor or config),
        )
    kept = permit_family_config(family, described, config)
    preprocess = read_processor(
        family, kept, settings, processor or config, max_patches=max_patches
    )
    folder = tokenizer()
    if not has_tokenizer(folder):
        raise CheckpointError(
            f"folder {folder} has no tokenizer; put its files there (tokenizer.json or the "
            "vocabulary, tokenizer_config.json): a family's texts need its own"
        )
    return ModelFiles(weights, kept, preprocess.to_dict(), folder)


def _with_text_files(
    weights: Path,
    config: dict[str, Any],
    preprocess: dict[str, Any],
    name: str,
    *,
    beside: Path | None = None,
) -> ModelFiles:
    """Add the tokenizer and the text tower's description where they come from elsewhere."""
    text_cfg = config["text_cfg"]
    tokenizer = text_model = None
    if repo := text_cfg.get("hf_tokenizer_name"):
        if beside is not None and has_tokenizer(beside):
            tokenizer = beside
        else:
            tokenizer = fetch_tokenizer(repo, purpose=f"the tokenizer of {name!r} ({repo})")
    if repo := text_cfg.get("hf_model_name"):
        purpose = f"the text tower's description of {name!r} ({repo})"
        own = _has_text_tower(beside)
        text_model = (
            beside if own else fetch_file(repo, [_TRANSFORMERS_CONFIG], purpose=purpose).parent
        )
    return ModelFiles(weights, config, preprocess, tokenizer, text_model)


def _has_text_tower(folder: Path | None) -> bool:
    """Say whether a folder describes a Hugging Face text tower beside open_clip's description."""
    path = None if folder is None else folder / _TRANSFORMERS_CONFIG
    if path is None or not path.is_file():
        return False
    return read_object(path, CheckpointError).get("model_type") in TEXT_MODELS
