"""``lite`` from weights that are kept elsewhere, without its wheels and its maps.

It knows the shapes of the model and nothing about how its weights came to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cliptune.encoders.checkpoints import load_weights, read_checkpoint
from cliptune.encoders.lite import TOKENIZER_FILE, assemble_lite, make_parts, wrap_lite
from cliptune.encoders.lite_wheels import LiteTokenizer, new_classifier, new_sentence_encoder
from cliptune.encoders.plain_files import BERT_FIELDS
from cliptune.errors import CheckpointError

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = ["rebuild_lite"]

_MAP_SHAPES = {"ridge": (384, 1280), "labels": (1000, 384), "text_mean": (384,), "logit_scale": ()}
_LONGEST = 512  # positions of the sentence encoder


def rebuild_lite(
    config: Mapping[str, Any],  # Any: nested JSON
    *,
    weights: Path,
    folder: Path,
    device: str,
    precision: str,
) -> DualEncoder:
    """Build the model around other weights.

    Args:
        config: Of its blueprint.
        weights: A safetensors file with every tensor of the model.
        folder: Where the blueprint's files are.
        device: As for ``load_lite``.
        precision: As for ``load_lite``.

    Raises:
        CheckpointError: The weights do not fit, or a file is missing or broken.
        DeviceError: The device or precision is not to be had here.
    """
    text = _permit_text(config)
    try:
        definition = (folder / TOKENIZER_FILE).read_bytes()
        tokenizer = LiteTokenizer(definition, config["context_length"])
    except Exception as error:  # tokenizers raises nothing narrower
        raise CheckpointError(f"cannot rebuild the tokenizer of 'lite' ({error})") from error
    maps = {name: torch.zeros(shape) for name, shape in _MAP_SHAPES.items()}
    try:
        model = assemble_lite(*new_classifier(), new_sentence_encoder(text), maps)
    except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError) as error:
        raise CheckpointError(f"cannot rebuild the text tower of 'lite' ({error})") from error
    load_weights(model, read_checkpoint(weights).tensors, weights)
    parts = make_parts(model, tokenizer, text)
    return wrap_lite(parts, device=device, precision=precision)


def _permit_text(config: Mapping[str, Any]) -> dict[str, Any]:  # Any: numbers and words
    """Take of a text tower's description what shapes it."""
    text, length = config.get("text"), config.get("context_length")
    if not isinstance(text, dict) or type(length) is not int or not 2 <= length <= _LONGEST:
        raise CheckpointError(
            "the description of 'lite' has no 'text' or no 'context_length' that is right; "
            "restore the run"
        )
    return {name: text[name] for name in BERT_FIELDS if name in text}
