"""A CLIP model as the transformers library saves it, told in open_clip's terms.

It renames and rearranges what it is given; it neither reads files nor builds a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.errors import CheckpointError

if TYPE_CHECKING:
    import torch

__all__ = ["convert_config", "convert_preprocess", "convert_tensors", "is_transformers"]

_BPE_SIZE = 49408
_LAYER_NORM_EPSILON = 1e-5
_RESAMPLE_NAMES = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
_TOP_NAMES = {
    "logit_scale": "logit_scale",
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm": "visual.ln_pre",  # their spelling
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.encoder.layers.": "transformer.resblocks.",
    "vision_model.encoder.layers.": "visual.transformer.resblocks.",
}
_BLOCK_NAMES = {
    ".layer_norm1.": ".ln_1.",
    ".layer_norm2.": ".ln_2.",
    ".mlp.fc1.": ".mlp.c_fc.",
    ".mlp.fc2.": ".mlp.c_proj.",
    ".self_attn.out_proj.": ".attn.out_proj.",
}


def is_transformers(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Say whether tensors bear the names of transformers' ``CLIPModel``."""
    return "text_model.embeddings.token_embedding.weight" in tensors


def convert_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of a ``CLIPModel``; queries, keys and values become one matrix."""
    import torch

    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith("position_ids"):
            continue
        if ".self_attn.q_proj." in name:
            parts = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            suffix = name.rpartition(".")[2]
            stem = _rename(name).partition(".self_attn.")[0]
            renamed[f"{stem}.attn.in_proj_{suffix}"] = torch.cat(parts)
        elif ".self_attn.k_proj." not in name and ".self_attn.v_proj." not in name:
            transpose = name in ("text_projection.weight", "visual_projection.weight")
            renamed[_rename(name)] = tensor.T if transpose else tensor
    return renamed


def convert_config(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Turn the content of a ``config.json`` into open_clip's description of the same model.

    Args:
        config: Nested JSON, hence ``Any``.
        path: Where it stands, for the message.

    Raises:
        CheckpointError: It is of another kind of model, or asks for something that
            open_clip's towers cannot do.
    """
    if config.get("model_type") != "clip":
        raise CheckpointError(
            f"{path} describes a model of type {config.get('model_type')!r}; of the models that "
            f"transformers saves only 'clip' can be read; look for an open_clip version of it"
        )
    text, vision = (_settings(config, part, path) for part in _DEFAULTS)
    _reject_unusual(text, vision, path)
    return {
        "embed_dim": config.get("projection_dim", 512),
        "quick_gelu": text["hidden_act"] == "quick_gelu",
        "vision_cfg": {
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "width": vision["hidden_size"],
            "layers": vision["num_hidden_layers"],
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "width": text["hidden_size"],
            "heads": text["num_attention_heads"],
            "layers": text["num_hidden_layers"],
            "mlp_ratio": text["intermediate_size"] / text["hidden_size"],
        },
    }


def convert_preprocess(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Turn an image processor's settings into fields of open_clip's preprocessing.

    Args:
        config: ``preprocessor_config.json``; what it leaves out has OpenAI's values.
        path: Where it stands, for the message.

    Raises:
        CheckpointError: It asks for an input that open_clip's transform cannot make.
    """
    size = config.get("size", 224)
    edge = size.get("shortest_edge") if isinstance(size, Mapping) else size
    crop = config.get("crop_size") or edge
    sides = map(crop.get, ("height", "width")) if isinstance(crop, Mapping) else (crop, crop)
    height, width = sides
    resample = config.get("resample", 3)
    interpolation = _RESAMPLE_NAMES.get(resample) if isinstance(resample, int) else None
    skipped = [step for step in _STEPS if not config.get(step, True)]
    if type(edge) is not int or not edge == height == width or interpolation is None or skipped:
        raise CheckpointError(
            f"{path}: size {size}, crop_size {crop}, resample {config.get('resample')}, without "
            f"{skipped}; expected one shortest_edge that is also the crop, resample 2 or 3, "
            f"and every step done"
        )
    constants = {"mean": config.get("image_mean"), "std": config.get("image_std")}
    given = {name: value for name, value in constants.items() if value}
    return {"size": edge, "interpolation": interpolation, **given}


# What transformers assumes where a config.json is silent.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "text_config": {
        "hidden_act": "quick_gelu",
        "hidden_size": 512,
        "intermediate_size": 2048,
        "layer_norm_eps": _LAYER_NORM_EPSILON,
        "max_position_embeddings": 77,
        "num_attention_heads": 8,
        "num_hidden_layers": 12,
        "vocab_size": _BPE_SIZE,
    },
    "vision_config": {
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "image_size": 224,
        "intermediate_size": 3072,
        "layer_norm_eps": _LAYER_NORM_EPSILON,
        "num_attention_heads": 12,
        "num_channels": 3,
        "num_hidden_layers": 12,
        "patch_size": 32,
    },
}


def _rename(name: str) -> str:
    for theirs, ours in _TOP_NAMES.items():
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    for theirs, ours in _BLOCK_NAMES.items():
        name = name.replace(theirs, ours)
    return name


def _settings(config: Mapping[str, Any], part: str, path: Path) -> dict[str, Any]:
    """Fill a tower's settings in with what transformers assumes; the numbers have to be numbers."""
    given = config.get(part) or {}
    if not isinstance(given, Mapping):
        raise CheckpointError(f"{path}: {part} is no JSON object")
    merged = {**_DEFAULTS[part], **given}
    for name, usual in _DEFAULTS[part].items():
        value = merged[name]
        if isinstance(usual, int) and (type(value) is not int or value < 1):
            raise CheckpointError(
                f"{path}: {part}.{name} is {value!r:.80}; expected a number above 0"
            )
    return merged


def _reject_unusual(text: Mapping[str, Any], vision: Mapping[str, Any], path: Path) -> None:
    activation = text["hidden_act"]
    demands = {
        f"text and image towers with one activation, not {activation!r} and "
        f"{vision['hidden_act']!r}": vision["hidden_act"] == activation,
        f"quick_gelu or gelu, not {activation!r}": activation in ("quick_gelu", "gelu"),
        f"CLIP's {_BPE_SIZE} tokens, not {text['vocab_size']}": text["vocab_size"] == _BPE_SIZE,
        "a layer_norm_eps of 1e-5": text["layer_norm_eps"]
        == vision["layer_norm_eps"]
        == _LAYER_NORM_EPSILON,
        "three colour channels": vision["num_channels"] == 3,
    }
    unmet = [demand for demand, met in demands.items() if not met]
    if unmet:
        raise CheckpointError(f"{path}: expected {'; '.join(unmet)}; convert the model by hand")
