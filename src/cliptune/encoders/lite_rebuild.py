"""``lite`` from weights that are kept elsewhere, without its wheels and its maps.

It knows the shapes of the model and nothing about how its weights came to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cliptune.encoders.lite import TOKENIZER_FILE, assemble_lite, make_parts, wrap_lite
from cliptune.encoders.lite_wheels import LiteTokenizer, new_classifier, new_sentence_encoder
from cliptune.errors import CheckpointError

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = ["rebuild_lite"]

_MAP_SHAPES = {"ridge": (384, 1280), "labels": (1000, 384), "text_mean": (384,), "logit_scale": ()}


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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(weights)
        tokenizer = LiteTokenizer((folder / TOKENIZER_FILE).read_bytes(), config["context_length"])
        maps = {name: torch.zeros(shape) for name, shape in _MAP_SHAPES.items()}
        bert = new_sentence_encoder(dict(config["text"]))
        model = assemble_lite(*new_classifier(), bert, maps)
        model.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(f"cannot rebuild 'lite' from {str(weights)!r} ({error})") from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"the weights in {str(weights)!r} do not fit the model 'lite': {reason}; restore them"
        ) from error
    parts = make_parts(model, tokenizer, config["text"])
    return wrap_lite(parts, device=device, precision=precision)
