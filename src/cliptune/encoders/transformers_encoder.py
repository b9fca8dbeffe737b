"""transformers' models as dual encoders: built from a description, filled from a checkpoint.

It does not know names of models, nor where files come from; see ``model_files``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cliptune.encoders.checkpoints import describe_faults, load_weights, read_checkpoint
from cliptune.encoders.families import TransformersFamily
from cliptune.encoders.family_tokenizer import FamilyTokenizer
from cliptune.encoders.model_config import ModelConfig, tokenizer_contents
from cliptune.encoders.model_files import ModelFiles
from cliptune.encoders.precision import choose_precision
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.quiet import quiet_transformers
from cliptune.encoders.torch_encoder import TorchEncoder, is_convolutional
from cliptune.encoders.transformers_config import find_family, permit_family_config
from cliptune.encoders.transformers_towers import TransformersModel, wrap_model
from cliptune.errors import CheckpointError

__all__ = ["build_family_encoder"]

_log = logging.getLogger(__name__)
_GEMMA_WORDS = 256_000  # SigLIP 2's vocabulary, whose tokenizer keeps capitals that no text had
_REMEDY = "use the config.json that belongs to these weights"
_NOT_WEIGHTS = ("position_ids",)  # buffers that older releases saved


def build_family_encoder(
    name: str, files: ModelFiles, *, device: str, precision: str
) -> TorchEncoder:
    """Build a model of a family, load its weights and wrap it.

    Args:
        name: What the user calls the model.
        files: Its weights, description and tokenizer.
        device: As ``choose_device`` returns it.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        CheckpointError: The weights are refused or do not fit the description.
        DeviceError: The precision is not to be had on the device.
    """
    described = files.config or {}
    family = find_family(described, files.weights)
    assert family is not None, "clip is built by open_clip"
    config = permit_family_config(family, described, files.weights)  # a run's may be a stranger's
    tensors = read_checkpoint(files.weights).tensors
    tokenizer = _tokenizer(family, config, files)
    model = _build(family, config, tensors, files.weights, tokenizer.pad_id)
    _require_vocabulary(model, tokenizer, files)
    choice = choose_precision(precision, device, convolutional=is_convolutional(model))
    _log.info("%s: weights from %s", name, files.weights)
    blueprint = ModelConfig(
        "transformers", config, files.preprocess, tokenizer_contents(files.tokenizer)
    )
    return TorchEncoder(
        name=name,
        model=model,
        tokenizer=tokenizer,
        preprocess=_preprocess(files),
        device=device,
        precision=choice.precision,
        precision_reason=choice.reason,
        causal_text=family.end == "id",
        architecture=json.dumps(config, sort_keys=True),
        blueprint=blueprint,
        family=family.name,
        score=family.score,
        prompt=family.prompt,
    )


def _preprocess(files: ModelFiles) -> Preprocess:
    try:
        return Preprocess.from_dict(files.preprocess)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the description beside {files.weights}: {error}") from error


def _tokenizer(
    family: TransformersFamily, config: Mapping[str, Any], files: ModelFiles
) -> FamilyTokenizer:
    text = config["text_config"]
    if files.tokenizer is None:
        raise CheckpointError(
            f"there is no tokenizer beside {files.weights}; put its files (tokenizer.json, "
            "tokenizer_config.json) there"
        )
    return FamilyTokenizer(
        files.tokenizer,
        context_length=_context(family, text),
        lower=family.name == "siglip" and text.get("vocab_size") == _GEMMA_WORDS,
        masked=family.end == "padding",
    )


def _context(family: TransformersFamily, text: Mapping[str, Any]) -> int:
    """Return the ids in a row: what the tower has positions for, or less if it learned less."""
    defaults = {"siglip": 64, "siglip2": 64, "tipsv2": 64, "metaclip_2": 77, "altclip": 514}
    positions = int(text.get("max_position_embeddings", defaults.get(family.name, 512)))
    if family.name == "altclip":  # counted from behind the padding token's id
        positions -= int(text.get("pad_token_id", 1)) + 1
    return min(positions, family.pads_to or positions)


def _build(
    family: TransformersFamily,
    config: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    source: Path,
    pad_id: int,
) -> TransformersModel:
    import transformers

    values = {name: value for name, value in config.items() if name != "model_type"}
    kind = getattr(transformers, family.model_class)
    try:
        with quiet_transformers():
            settings = getattr(transformers, family.config_class)(**values)
            model = kind(settings)
    except Exception as error:  # three libraries' reasons over a stranger's numbers
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"transformers cannot build the model described: {reason}") from error
    wrapped = wrap_model(model, family, config, pad_id)
    if set(tensors) == set(wrapped.state_dict()):  # as a run keeps them
        load_weights(wrapped, tensors, source, remedy=_REMEDY)
        return wrapped
    return wrap_model(_filled(kind, settings, tensors, source), family, config, pad_id)


def _filled(kind: Any, settings: Any, tensors: Mapping[str, torch.Tensor], source: Path) -> Any:
    """Have transformers load tensors, which knows the names of its older releases.

    Any: transformers carries no types here.
    """
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(_NOT_WEIGHTS)}
    try:
        with quiet_transformers():
            model, told = kind.from_pretrained(
                None,
                config=settings,
                state_dict=given,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # as above, over a stranger's tensors
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{source} does not fit the model: {reason}") from error
    faults = {
        "missing": sorted(told["missing_keys"]),
        "not in the model": sorted(told["unexpected_keys"]),
        "of another shape or kind": [
            f"{name} {list(theirs)}, the model has {list(ours)}"
            for name, theirs, ours in sorted(told["mismatched_keys"])
        ],
    }
    if found := describe_faults(faults, tensors):
        raise CheckpointError(f"{source} does not fit the model: {found}; {_REMEDY}")
    return model.eval()


def _require_vocabulary(
    model: TransformersModel, tokenizer: FamilyTokenizer, files: ModelFiles
) -> None:
    """Make sure that no id of the tokenizer is outside of the text tower's table."""
    rows = model.text_model.get_input_embeddings().weight.shape[0]
    if tokenizer.vocabulary_size > rows:
        raise CheckpointError(
            f"the tokenizer in {files.tokenizer} knows {tokenizer.vocabulary_size} tokens, the "
            f"text tower of {files.weights} {rows}; use the tokenizer that belongs to these weights"
        )
