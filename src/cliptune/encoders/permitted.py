"""What a model's own files may ask of open_clip, timm and transformers: explicit lists.

A folder, a run or a repository of a stranger describes a model; everything in the description
that reaches a loader is named here, and nothing else gets through. It loads nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from cliptune.errors import CheckpointError

__all__ = [
    "is_number",
    "permit_config",
    "permit_preprocess",
    "permit_repository",
    "permit_tokenizer_options",
    "require_plain",
]

_TOP_FIELDS = (
    "embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "quick_gelu", "custom_text",
    "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale", "output_dict", "pad_id",
)  # fmt: skip
_BLOCK_FIELDS = (
    "width", "layers", "mlp_ratio", "ls_init_value", "final_ln_after_pool", "pool_type",
    "output_tokens", "act_kwargs", "norm_kwargs", "block_type", "qk_norm", "scaled_cosine_attn",
    "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc",
)  # fmt: skip
_VISION_FIELDS = (
    *_BLOCK_FIELDS, "head_width", "patch_size", "image_size", "patch_dropout", "attentional_pool",
    "attn_pooler_queries", "attn_pooler_heads", "no_ln_pre", "pos_embed_type", "timm_model_name",
    "timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop",
    "timm_drop_path",
)  # fmt: skip
_TEXT_FIELDS = (
    *_BLOCK_FIELDS, "context_length", "vocab_size", "hf_tokenizer_name", "tokenizer_mode",
    "tokenizer_kwargs", "heads", "embed_cls", "pad_id", "eos_id", "no_causal_mask", "proj_bias",
    "proj_type", "hf_model_name", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type",
)  # fmt: skip
_MULTIMODAL_FIELDS = (*_TEXT_FIELDS, "dim_head", "n_queries", "attn_pooler_heads")
_PARTS = {
    "vision_cfg": _VISION_FIELDS,
    "text_cfg": _TEXT_FIELDS,
    "multimodal_cfg": _MULTIMODAL_FIELDS,
}
_COUNTS = ("embed_dim", "width", "heads", "head_width", "context_length", "vocab_size")
_LARGEST = 10_000_000  # no count in a model's description is larger
_MOST_LAYERS = 1_000
_TOKENIZER_OPTIONS = ("clean", "strip_sep_token", "language")
_CLEANINGS = ("canonicalize", "lower", "whitespace")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_TIMM_NAME = re.compile(r"[\w.-]+", re.ASCII)


def permit_config(config: object, source: str) -> dict[str, Any]:  # Any: nested JSON
    """Return open_clip's description of a model if all that it asks for is on the lists.

    Args:
        config: What a file holds.
        source: The file, for messages.

    Raises:
        CheckpointError: It is incomplete, asks for something else, or a value is of the wrong
            kind; the message names it.
    """
    checked = _permit_fields(config, _TOP_FIELDS, "model_cfg", source)
    for part, fields in _PARTS.items():
        if part in checked:
            checked[part] = _permit_fields(checked[part], fields, part, source)
            _require_counts(checked[part], part, source)
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - checked.keys()
    if missing:
        raise CheckpointError(
            f"{source} lacks {', '.join(sorted(missing))} in its description of a model; expected "
            f"a 'model_cfg' with 'embed_dim', 'vision_cfg' and 'text_cfg'"
        )
    _require_counts(checked, "model_cfg", source)
    if (name := checked["vision_cfg"].get("timm_model_name")) is not None:
        # A name with a scheme, as hf-hub:, would have timm follow it to another description.
        _require_name(name, _TIMM_NAME, "timm_model_name", source)
    for key in ("hf_tokenizer_name", "hf_model_name"):
        if (name := checked["text_cfg"].get(key)) is not None:
            permit_repository(name, key, source)
    return checked


def permit_repository(name: object, key: str, source: str) -> str:
    """Return the name of a repository on the hub if it is one."""
    return _require_name(name, _REPOSITORY, key, source) if name != "" else ""


def permit_tokenizer_options(
    options: object, source: str
) -> dict[str, Any]:  # Any: strings and truth values
    """Return the options of a tokenizer if each is one of open_clip's own.

    Raises:
        CheckpointError: One is not, or has a value that it does not take.
    """
    if not isinstance(options, Mapping):
        raise CheckpointError(f"{source}: tokenizer_kwargs is {options!r}; expected an object")
    for name, value in options.items():
        if name not in _TOKENIZER_OPTIONS:
            raise CheckpointError(
                f"{source} asks for the tokenizer option {name!r}, refused; a model may set "
                f"{', '.join(_TOKENIZER_OPTIONS)} only, and no file of it is run as code; remove "
                f"it from tokenizer_kwargs"
            )
        is_right = {
            "clean": value in _CLEANINGS if isinstance(value, str) else False,
            "strip_sep_token": isinstance(value, bool),
            "language": isinstance(value, str),
        }[name]
        if not is_right:
            raise CheckpointError(f"{source}: tokenizer option {name} cannot be {value!r}")
    return dict(options)


def permit_preprocess(fields: object, source: str) -> dict[str, Any]:  # Any: numbers, words
    """Return open_clip's preprocessing fields if their numbers can normalise an image.

    Raises:
        CheckpointError: One is of the wrong kind, or would give no finite pixels.
    """
    if not isinstance(fields, Mapping):
        raise CheckpointError(f"{source}: preprocess_cfg is {_shown(fields)}; expected an object")
    kept = {name: value for name, value in fields.items() if value is not None}
    for name, value in kept.items():
        require_plain(value, f"preprocess_cfg.{name}", source)
    for name, lowest in (("mean", -_LARGEST), ("std", 1e-6)):
        value = kept.get(name, 1.0)
        numbers = list(value) if isinstance(value, list | tuple) else [value] * 3
        if len(numbers) != 3 or not all(is_number(n) and n >= lowest for n in numbers):
            raise CheckpointError(
                f"{source}: preprocess_cfg.{name} is {_shown(value)}; expected a number or three"
                f"{' above 0' if name == 'std' else ''}"
            )
    fill = kept.get("fill_color", 0)
    if type(fill) is not int or not 0 <= fill <= 255:
        raise CheckpointError(f"{source}: fill_color is {_shown(fill)}; expected 0 to 255")
    return kept


def is_number(value: object) -> bool:
    """Say whether a value of a JSON file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _permit_fields(
    values: object, fields: tuple[str, ...], part: str, source: str
) -> dict[str, Any]:  # Any: nested JSON
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{source}: {part} is {_shown(values)}; expected an object")
    for name, value in values.items():
        if name not in fields:
            raise CheckpointError(
                f"{source}: {part} asks for {name!r}, which is none of the settings that a model "
                f"may bring: {', '.join(fields)}; remove it"
            )
        if name not in _PARTS and name != "tokenizer_kwargs":
            require_plain(value, f"{part}.{name}", source)
    return dict(values)


def require_plain(value: object, name: str, source: str) -> None:
    """Make sure that a value is a number, a short word, or a flat list or object of them.

    Raises:
        CheckpointError: It is not; the message names it and its source.
    """
    flat = (
        list(value.values())
        if isinstance(value, Mapping)
        else value
        if isinstance(value, list | tuple)
        else [value]
    )
    if len(flat) > 64 or not all(_is_scalar(item) for item in flat):
        raise CheckpointError(f"{source}: {name} cannot be {_shown(value)}")


def _is_scalar(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return abs(value) <= _LARGEST  # which NaN is not
    return isinstance(value, str) and len(value) <= 200


def _require_counts(values: Mapping[str, Any], part: str, source: str) -> None:
    for name in _COUNTS:
        value = values.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or value < 1
        ):
            raise CheckpointError(
                f"{source}: {part}.{name} is {_shown(value)}; expected a whole number above 0"
            )
    layers = values.get("layers")
    numbers = layers if isinstance(layers, list | tuple) else [layers]
    if any(n is not None and (type(n) is not int or not 0 <= n <= _MOST_LAYERS) for n in numbers):
        raise CheckpointError(
            f"{source}: {part}.layers is {_shown(layers)}; expected at most {_MOST_LAYERS}"
        )


def _require_name(name: object, pattern: re.Pattern[str], key: str, source: str) -> str:
    if not isinstance(name, str) or not pattern.fullmatch(name) or ".." in name:
        raise CheckpointError(
            f"{source}: {key} is {_shown(name)}; expected a plain name, which is no path and no "
            f"address"
        )
    return name


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
