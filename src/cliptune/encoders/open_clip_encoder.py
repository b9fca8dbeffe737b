"""open_clip's models as dual encoders: built from a description, filled from a checkpoint.

It does not know names of published models, nor where files come from; see ``model_files``.

The models are built from open_clip's classes directly: its factory configures the root logger
on the way, only warns where the activation does not suit the weights, and takes OpenAI's pixel
constants for every local file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.factory import convert_to_custom_text_state_dict
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from cliptune.encoders.checkpoints import Checkpoint, load_weights, read_checkpoint
from cliptune.encoders.inference import infer_config
from cliptune.encoders.model_config import blueprint_of
from cliptune.encoders.model_files import ModelFiles
from cliptune.encoders.patch_tokens import encode_patches
from cliptune.encoders.permitted import permit_config, permit_preprocess
from cliptune.encoders.plain_files import plain_text_model
from cliptune.encoders.precision import choose_precision
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.tokenizers import build_tokenizer
from cliptune.encoders.torch_encoder import TorchEncoder, is_convolutional
from cliptune.encoders.transformers_format import convert_tensors, is_transformers
from cliptune.encoders.trunk_features import encode_with_trunk
from cliptune.errors import CheckpointError

__all__ = ["build_encoder", "build_model", "to_preprocess"]

_log = logging.getLogger(__name__)

# open_clip has no types, so its classes are Any to mypy.


class _Clip(open_clip.CLIP):  # type: ignore[misc]
    """CLIP with vectors per patch and features before the projection."""

    def encode_image_tokens(self, images: torch.Tensor) -> torch.Tensor:
        return encode_patches(self.visual, images)

    def encode_image_trunk(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return encode_with_trunk(self.visual, images)


class _CustomTextClip(open_clip.CustomTextCLIP):  # type: ignore[misc]
    """The same with its text tower in a module of its own."""

    def encode_image_tokens(self, images: torch.Tensor) -> torch.Tensor:
        return encode_patches(self.visual, images)

    def encode_image_trunk(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return encode_with_trunk(self.visual, images)


class _CoCa(open_clip.CoCa):  # type: ignore[misc]
    """The same of CoCa; its text decoder is loaded and not used."""

    def encode_image_tokens(self, images: torch.Tensor) -> torch.Tensor:
        return encode_patches(self.visual, images)

    def encode_image_trunk(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return encode_with_trunk(self.visual, images)


def build_encoder(name: str, files: ModelFiles, *, device: str, precision: str) -> TorchEncoder:
    """Build a model, load its weights and wrap it.

    Args:
        name: What the user calls the model.
        files: Its weights, description and tokenizer.
        device: As ``choose_device`` returns it.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        CheckpointError: The weights are refused or do not fit the description.
        DeviceError: The precision is not to be had on the device.
    """
    checkpoint = read_checkpoint(files.weights)
    if is_transformers(checkpoint.tensors):
        checkpoint = _from_transformers(checkpoint, files)
    config = files.config or infer_config(checkpoint, files.weights)
    model = build_model(config, text_model=files.text_model)
    load_weights(model, _adapt(model, checkpoint.tensors), files.weights)
    choice = choose_precision(precision, device, convolutional=is_convolutional(model))
    _log.info("%s: weights from %s", name, files.weights)
    return TorchEncoder(
        name=name,
        model=model,
        tokenizer=build_tokenizer(config["text_cfg"], files.tokenizer),
        preprocess=to_preprocess(files.preprocess, model.visual.image_size),
        device=device,
        precision=choice.precision,
        precision_reason=choice.reason,
        causal_text=_is_causal(config),
        architecture=_identify(config),
        blueprint=blueprint_of(config, files),
    )


def build_model(config: Mapping[str, Any], *, text_model: Path | None = None) -> Any:
    """Make a randomly initialised model from open_clip's description.

    Args:
        config: Nested JSON, hence ``Any``: ``embed_dim``, ``vision_cfg``, ``text_cfg``, ...
        text_model: Folder with the description of a Hugging Face text tower.

    Returns:
        An ``nn.Module`` that follows ``DualModel``; ``Any`` because open_clip has no types.

    Raises:
        CheckpointError: open_clip cannot build what is described, or it asks for something
            that no description may ask for; see ``permitted``.
    """
    options = deepcopy(permit_config(config, "the model's description"))
    named = options["text_cfg"].get("hf_model_name")
    custom = options.pop("custom_text", False) or named is not None
    if "timm_model_name" in options["vision_cfg"]:
        options["vision_cfg"]["timm_model_pretrained"] = False
    kind = _CoCa if custom and "multimodal_cfg" in options else _CustomTextClip if custom else _Clip
    if text_model is None:
        if named:
            raise CheckpointError(
                f"the model's description names the text tower {named!r}, and its config.json is "
                f"not beside the weights; restore it"
            )
        return _make(kind, options)
    with plain_text_model(text_model) as folder:
        options["text_cfg"].update(hf_model_name=str(folder), hf_model_pretrained=False)
        return _make(kind, options)


def _make(kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:  # Any: as above
    try:
        return kind(**options)
    except Exception as error:  # three libraries' reasons over a stranger's numbers
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"open_clip cannot build the model described: {reason}") from error


def to_preprocess(fields: Mapping[str, Any], image_size: int | tuple[int, int]) -> Preprocess:
    """Turn open_clip's preprocessing fields into ours.

    Args:
        fields: Some of ``PreprocessCfg``'s; the rest have its defaults.
        image_size: What the image tower takes; it overrules ``size``.

    Raises:
        CheckpointError: A field asks for something that ``Preprocess`` does not do.
    """
    try:
        permitted = permit_preprocess(fields, "the model's description")
        cfg = PreprocessCfg(**merge_preprocess_dict(PreprocessCfg(), permitted))
    except AssertionError as error:
        mode = fields.get("mode")
        raise CheckpointError(f"preprocessing with mode {mode!r}; expected RGB") from error
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    # open_clip's evaluation transform takes bicubic for 'random', and always for a crop that is
    # not square.
    cropped = cfg.resize_mode == "shortest" and size[0] != size[1]
    interpolation = "bicubic" if cropped or cfg.interpolation == "random" else cfg.interpolation
    if cfg.resize_mode not in ("shortest", "longest", "squash"):
        raise CheckpointError(
            f"preprocessing with resize_mode {cfg.resize_mode!r}; expected shortest, longest "
            f"or squash; correct the model's open_clip_config.json"
        )
    if interpolation not in ("bicubic", "bilinear"):
        raise CheckpointError(
            f"preprocessing with interpolation {interpolation!r}; expected bicubic or bilinear; "
            f"correct the model's open_clip_config.json"
        )
    return Preprocess(
        size=cast(tuple[int, int], size),
        resize_mode=cast(Literal["shortest", "longest", "squash"], cfg.resize_mode),
        interpolation=cast(Literal["bicubic", "bilinear"], interpolation),
        mean=_per_channel(cfg.mean),
        std=_per_channel(cfg.std),
        fill=cfg.fill_color,
    )


def _per_channel(constants: float | tuple[float, ...]) -> tuple[float, float, float]:
    """Repeat one number for three channels, as open_clip does."""
    values = (constants,) * 3 if isinstance(constants, int | float) else tuple(constants)
    return cast(tuple[float, float, float], values)


def _from_transformers(checkpoint: Checkpoint, files: ModelFiles) -> Checkpoint:
    if files.config is None:
        raise CheckpointError(
            f"{files.weights} is of the transformers library, and its shapes do not tell all of "
            f"the architecture; name the folder that holds it with its config.json"
        )
    return replace(checkpoint, tensors=convert_tensors(checkpoint.tensors))


def _adapt(model: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring other layouts of the same weights to the model's names and shapes."""
    adapted: dict[str, torch.Tensor] = dict(convert_state_dict(model, tensors))  # MobileCLIP
    if "positional_embedding" in adapted and not hasattr(model, "positional_embedding"):
        adapted = convert_to_custom_text_state_dict(adapted)
    adapted.pop("text.transformer.embeddings.position_ids", None)  # of an older transformers
    for name in ("logit_scale", "logit_bias"):
        own = getattr(model, name, None)
        if own is not None and name in adapted and adapted[name].numel() == own.numel():
            adapted[name] = adapted[name].reshape(own.shape)
    if getattr(model, "logit_bias", None) is not None and "logit_scale" in adapted:
        # weights without a bias in a model with one: it moves logits, never embeddings
        adapted.setdefault("logit_bias", torch.zeros_like(model.logit_bias))
    return adapted


def _is_causal(config: Mapping[str, Any]) -> bool:
    """Say whether ids behind the end mark cannot change a text's embedding."""
    text = open_clip.CLIPTextCfg(**config["text_cfg"])
    reads_the_end = text.pool_type in ("argmax", "eos") and not text.embed_cls
    return not text.hf_model_name and not text.no_causal_mask and reads_the_end


def _identify(config: Mapping[str, Any]) -> str:
    """Tell all of a description that shapes what the model computes, defaults filled in."""
    text = asdict(open_clip.CLIPTextCfg(**config["text_cfg"]))
    vision = asdict(open_clip.CLIPVisionCfg(**config["vision_cfg"]))
    for absent in (
        "hf_tokenizer_name",
        "tokenizer_mode",
        "tokenizer_kwargs",
        "hf_model_pretrained",
    ):
        text.pop(absent)  # told by the tokenizer's own identity, or without effect
    vision.pop("timm_model_pretrained")
    return json.dumps([bool(config.get("quick_gelu")), vision, text], sort_keys=True)
