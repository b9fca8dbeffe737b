"""Which CLIP architecture a set of tensors belongs to, told from names and shapes.

It reads no file and builds no model. Shapes do not tell everything: neither the activation nor
the number of heads is among them. The heads come from the known architecture with these shapes;
the activation is a guess, which is logged with the way to say it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.encoders.published import architectures, model_config
from cliptune.errors import CheckpointError

if TYPE_CHECKING:
    from cliptune.encoders.checkpoints import Checkpoint

__all__ = ["infer_config"]

_log = logging.getLogger(__name__)

_HEAD_WIDTH = 64
_DEFAULT_VISION = {"layers": 12, "width": 768, "patch_size": 16, "image_size": 224}
_DEFAULT_TEXT = {
    "context_length": 77,
    "vocab_size": 49408,
    "width": 512,
    "layers": 12,
}
_NEEDED = (
    "positional_embedding",
    "text_projection",
    "token_embedding.weight",
    "ln_final.weight",
    "visual.conv1.weight",
)


def infer_config(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:  # Any: nested JSON
    """Describe the model that fits a checkpoint, in open_clip's terms.

    QuickGELU is assumed for OpenAI's own layout and for plain tensors, which mostly derive
    from OpenAI's, and GELU for a checkpoint of open_clip's training.

    Args:
        checkpoint: Tensors under open_clip's names.
        path: Where they come from, for messages.

    Raises:
        CheckpointError: The tensors are not those of a plain CLIP with a ViT or a ResNet.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    known_layout = all(name in shapes for name in _NEEDED)
    is_vit = "visual.positional_embedding" in shapes and "visual.proj" in shapes
    is_resnet = "visual.attnpool.positional_embedding" in shapes
    if not known_layout or not (is_vit or is_resnet):
        raise CheckpointError(
            f"{path}: the architecture cannot be told from the tensors; "
            f"name it as ARCHITECTURE@{path}, e.g. ViT-B-16-SigLIP@{path}"
        )
    facts = {
        "embed_dim": shapes["text_projection"][1],
        "vision_cfg": _vit_facts(shapes) if is_vit else _resnet_facts(shapes),
        "text_cfg": _text_facts(shapes),
    }
    name = _find_architecture(facts)
    config = model_config(name) if name else _with_usual_heads(facts, path)
    config["quick_gelu"] = checkpoint.origin != "training"
    _warn(name, checkpoint.origin, path)
    return config


def _vit_facts(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    width, _, patch_size, _ = shapes["visual.conv1.weight"]
    grid = round((shapes["visual.positional_embedding"][0] - 1) ** 0.5)
    return {
        "layers": _count_blocks(shapes, "visual.transformer.resblocks."),
        "width": width,
        "patch_size": patch_size,
        "image_size": patch_size * grid,
    }


def _resnet_facts(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    cells = round((shapes["visual.attnpool.positional_embedding"][0] - 1) ** 0.5)
    return {
        "layers": [_count_blocks(shapes, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)],
        "width": 2 * shapes["visual.conv1.weight"][0],
        "patch_size": None,
        "image_size": 32 * cells,
    }


def _text_facts(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    return {
        "context_length": shapes["positional_embedding"][0],
        "vocab_size": shapes["token_embedding.weight"][0],
        "width": shapes["ln_final.weight"][0],
        "layers": _count_blocks(shapes, "transformer.resblocks."),
    }


def _count_blocks(names: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)})


def _find_architecture(facts: Mapping[str, Any]) -> str | None:
    """Find the first plain CLIP among the known architectures with these facts."""
    for name in architectures():
        config = model_config(name)
        special = config.get("custom_text") or "timm_model_name" in config["vision_cfg"]
        if special or "hf_tokenizer_name" in config["text_cfg"] or name.endswith("-quickgelu"):
            continue
        vision = {**_DEFAULT_VISION, **config["vision_cfg"]}
        text = {**_DEFAULT_TEXT, **config["text_cfg"]}
        same_vision = all(vision[k] == v for k, v in facts["vision_cfg"].items())
        same_text = all(text[k] == v for k, v in facts["text_cfg"].items())
        if same_vision and same_text and config["embed_dim"] == facts["embed_dim"]:
            return name
    return None


def _with_usual_heads(facts: dict[str, Any], path: Path) -> dict[str, Any]:
    """Fill in heads of 64 channels, CLIP's rule, where that is possible."""
    vision, text = facts["vision_cfg"], facts["text_cfg"]
    channels = vision["width"] * (32 if vision["patch_size"] is None else 1)  # of the attention
    if channels % _HEAD_WIDTH or text["width"] % _HEAD_WIDTH:
        raise CheckpointError(
            f"{path}: towers of width {vision['width']} and {text['width']} belong to no known "
            f"architecture, and heads of {_HEAD_WIDTH} channels do not divide them; put the file "
            f"into a folder with an open_clip_config.json"
        )
    return {**facts, "text_cfg": {**text, "heads": text["width"] // _HEAD_WIDTH}}


def _warn(name: str | None, origin: str, path: Path) -> None:
    if origin == "openai" and name:
        return
    remedy = (
        f"{name}@{path} for GELU or {name}-quickgelu@{path} for QuickGELU"
        if name
        else "a folder with the file and an open_clip_config.json"
    )
    _log.warning(
        "%s: the shapes are those of %s, but do not tell the activation; taking %s; "
        "to be sure, name %s",
        path,
        name or "no known architecture (heads of 64 channels assumed)",
        "GELU" if origin == "training" else "QuickGELU",
        remedy,
    )
