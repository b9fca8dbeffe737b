"""ModelConfig: all that rebuilds a model around its weights, small enough to keep beside them.

It knows nothing about runs; whoever keeps weights says where the files are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cliptune.encoders.hub import tokenizer_files
from cliptune.encoders.model_files import ModelFiles
from cliptune.encoders.names import split_crops
from cliptune.encoders.precision import choose_device
from cliptune.errors import CheckpointError

__all__ = ["ModelConfig", "blueprint_of", "rebuild_encoder", "tokenizer_contents"]

_TOKENIZER, _TEXT_MODEL = "tokenizer", "text_model"


@dataclass(frozen=True)
class ModelConfig:
    """A model without its weights.

    Attributes:
        kind: ``lite``, ``open_clip`` for all that open_clip can describe, or ``transformers`` for
            the families that transformers builds.
        config: open_clip's or transformers' description of the model, or that of the text tower
            of ``lite``.
        preprocess: Fields of open_clip's ``PreprocessCfg``, or of ``Preprocess`` for
            transformers; empty for ``lite``.
        files: Contents of the tokenizer's and the text tower's files, by relative path.
    """

    kind: Literal["lite", "open_clip", "transformers"]
    config: Mapping[str, Any]  # Any: nested JSON
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:  # Any: nested JSON
        """Return all but the files, as plain JSON values."""
        return {
            "kind": self.kind,
            "config": dict(self.config),
            "preprocess": dict(self.preprocess),
        }


def blueprint_of(config: Mapping[str, Any], files: ModelFiles) -> ModelConfig:
    """Describe a model that open_clip built.

    Args:
        config: open_clip's description, as it was used.
        files: Where tokenizer and text tower were read from.
    """
    contents = tokenizer_contents(files.tokenizer)
    if files.text_model is not None:
        contents[f"{_TEXT_MODEL}/config.json"] = (files.text_model / "config.json").read_bytes()
    return ModelConfig("open_clip", config, files.preprocess, contents)


def tokenizer_contents(folder: Path | None) -> dict[str, bytes]:
    """Return the contents of a tokenizer's files, by the path that a blueprint keeps them at."""
    paths = [] if folder is None else tokenizer_files(folder)
    return {f"{_TOKENIZER}/{path.name}": path.read_bytes() for path in paths}


def rebuild_encoder(
    name: str,
    facts: Mapping[str, Any],
    *,
    weights: Path,
    folder: Path,
    device: str,
    precision: str,
) -> Any:  # Any: a TorchEncoder, whose module imports torch
    """Build a model from its blueprint and weights, and nothing else.

    Args:
        name: What the user called it.
        facts: What ``ModelConfig.to_dict`` gave.
        weights: A safetensors file with every tensor under the model's own names.
        folder: Where the blueprint's files are.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        CheckpointError: The blueprint is broken, or the weights do not fit it.
    """
    base, crops = split_crops(name)
    if crops > 1:
        seen_once = rebuild_encoder(
            base, facts, weights=weights, folder=folder, device=device, precision=precision
        )
        return seen_once.with_crops(crops, name)
    kind, config, preprocess = _read_facts(facts, name)
    target = choose_device(device)
    if kind == "lite":
        from cliptune.encoders.lite_rebuild import rebuild_lite

        return rebuild_lite(
            config, weights=weights, folder=folder, device=target, precision=precision
        )
    tokenizer, text_model = folder / _TOKENIZER, folder / _TEXT_MODEL
    files = ModelFiles(
        weights=weights,
        config=config,
        preprocess=preprocess,
        tokenizer=tokenizer if tokenizer.is_dir() else None,
        text_model=text_model if text_model.is_dir() else None,
    )
    if kind == "transformers":
        from cliptune.encoders.transformers_encoder import build_family_encoder

        return build_family_encoder(name, files, device=target, precision=precision)
    from cliptune.encoders.open_clip_encoder import build_encoder

    return build_encoder(name, files, device=target, precision=precision)


def _read_facts(
    facts: Mapping[str, Any], name: str
) -> tuple[str, dict[str, Any], dict[str, Any]]:  # Any: nested JSON
    try:
        kind, config, preprocess = (facts[key] for key in ("kind", "config", "preprocess"))
    except KeyError as error:
        raise CheckpointError(f"the description of encoder {name!r} lacks {error}") from error
    if kind not in ("lite", "open_clip", "transformers"):
        raise CheckpointError(
            f"encoder {name!r} is of the kind {kind!r:.80}; expected lite, open_clip or "
            "transformers"
        )
    if not isinstance(config, dict) or not isinstance(preprocess, dict):
        raise CheckpointError(
            f"the description of encoder {name!r} has a config or preprocess that is no JSON object"
        )
    return kind, config, preprocess
