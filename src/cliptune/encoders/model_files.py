"""Where a model's weights, description and tokenizer are, or get, on this machine.

It finds and fetches files and reads the small ones; weights stay unread.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cliptune.encoders.hub import (
    cached_file,
    fetch_file,
    fetch_tokenizer,
    has_tokenizer,
    old_cache_file,
)
from cliptune.encoders.names import HubRepo, LocalFile, LocalFolder
from cliptune.encoders.permitted import permit_config
from cliptune.encoders.published import Published, model_config, published
from cliptune.encoders.transformers_format import convert_config, convert_preprocess
from cliptune.errors import CheckpointError
from cliptune.system.json_files import read_object

__all__ = ["ModelFiles", "find_files", "is_local"]

_log = logging.getLogger(__name__)

_OPEN_CLIP_CONFIG = "open_clip_config.json"
_OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
_TRANSFORMERS_CONFIG = "config.json"
_TRANSFORMERS_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_PROCESSOR_CONFIGS = ("preprocessor_config.json", "processor_config.json")
_ANY_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class ModelFiles:
    """All that is needed to build a model, on this machine.

    Attributes:
        weights: A file in one of the formats that ``read_checkpoint`` takes.
        config: open_clip's description of the model; ``None`` to infer it from the tensors.
        preprocess: Fields of open_clip's ``PreprocessCfg`` that differ from its defaults.
        tokenizer: Folder of a Hugging Face tokenizer; ``None`` for CLIP's own.
        text_model: Folder with the ``config.json`` of a Hugging Face text tower, if it has one.
    """

    weights: Path
    config: dict[str, Any] | None = None  # Any: nested JSON
    preprocess: dict[str, Any] = field(default_factory=dict)  # Any: numbers, lists, strings
    tokenizer: Path | None = None
    text_model: Path | None = None


def find_files(ref: Published | HubRepo | LocalFolder | LocalFile, name: str) -> ModelFiles:
    """Find a model's files, fetching what is not here.

    Args:
        ref: The model.
        name: What the user called it, for messages.

    Raises:
        UnavailableError: Something is not here and cannot be fetched; within seconds.
        CheckpointError: A folder's description is missing, broken or of another kind.
    """
    if isinstance(ref, Published):
        return _published_files(ref, name)
    if isinstance(ref, LocalFile):
        return _file_files(ref, name)
    return _folder_files(ref.path, name) if isinstance(ref, LocalFolder) else _hub_files(ref, name)


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


def _hub_files(ref: HubRepo, name: str) -> ModelFiles:
    purpose = f"the description of {name!r}"
    configs = (_OPEN_CLIP_CONFIG, _TRANSFORMERS_CONFIG)
    config = fetch_file(ref.repo, configs, purpose=purpose)
    by_open_clip = config.name == _OPEN_CLIP_CONFIG
    names = _OPEN_CLIP_WEIGHTS if by_open_clip else _TRANSFORMERS_WEIGHTS
    weights = fetch_file(ref.repo, names, purpose=f"the weights of {name!r}")
    if by_open_clip:
        return _described_files(config, weights, name)
    processor = fetch_file(ref.repo, _PROCESSOR_CONFIGS, purpose=f"the preprocessing of {name!r}")
    return _transformers_files(config, weights, processor)


def _folder_files(folder: Path, name: str) -> ModelFiles:
    weights = _weights_in(folder)
    if (config := folder / _OPEN_CLIP_CONFIG).is_file():
        return _described_files(config, weights, name)
    if (config := folder / _TRANSFORMERS_CONFIG).is_file():
        processors = [folder / p for p in _PROCESSOR_CONFIGS if (folder / p).is_file()]
        return _transformers_files(config, weights, processors[0] if processors else None)
    raise CheckpointError(
        f"folder {folder} has neither {_OPEN_CLIP_CONFIG} nor {_TRANSFORMERS_CONFIG}; add one, "
        f"or name the weights as ARCHITECTURE@{weights}"
    )


def _weights_in(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    others = sorted(path for path in folder.iterdir() if path.suffix in _ANY_WEIGHTS)
    if len(others) == 1:
        return others[0]
    found = ", ".join(path.name for path in others[:5]) or "none"
    raise CheckpointError(
        f"folder {folder}: which file holds the weights? found {found}; expected one, or one "
        f"called {_WEIGHTS[0]}"
    )


def _described_files(path: Path, weights: Path, name: str) -> ModelFiles:
    """Follow an ``open_clip_config.json``."""
    described = read_object(path, CheckpointError)
    config = permit_config(described.get("model_cfg"), str(path))
    preprocess = described.get("preprocess_cfg") or {}
    return _with_text_files(weights, config, preprocess, name, beside=path.parent)


def _transformers_files(config: Path, weights: Path, processor: Path | None) -> ModelFiles:
    """Follow a ``config.json`` of the transformers library."""
    settings = read_object(processor, CheckpointError) if processor else {}
    settings = settings.get("image_processor", settings)
    return ModelFiles(
        weights=weights,
        config=convert_config(read_object(config, CheckpointError), config),
        preprocess=convert_preprocess(settings, processor or config),
    )


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
        text_model = fetch_file(repo, [_TRANSFORMERS_CONFIG], purpose=purpose).parent
    return ModelFiles(weights, config, preprocess, tokenizer, text_model)
