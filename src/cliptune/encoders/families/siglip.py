"""SigLIP, and SigLIP 2 at a fixed resolution, whose repositories call themselves ``siglip``."""

from __future__ import annotations

from cliptune.encoders.families.facts import Towers, TransformersFamily

__all__ = ["FAMILY", "TEXT_FIELDS", "VISION_FIELDS"]

_BLOCK_FIELDS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
    "layer_norm_eps", "attention_dropout",
)  # fmt: skip
TEXT_FIELDS = (
    *_BLOCK_FIELDS, "vocab_size", "max_position_embeddings", "pad_token_id", "bos_token_id",
    "eos_token_id", "projection_size",
)  # fmt: skip
VISION_FIELDS = (*_BLOCK_FIELDS, "num_channels", "image_size", "patch_size", "vision_use_head")

FAMILY = TransformersFamily(
    name="siglip",
    title="SigLIP, and SigLIP 2 of a fixed size",
    examples=("hf-hub:google/siglip2-base-patch16-224", "hf-hub:google/siglip-base-patch16-224"),
    cleaning="the tokenizer's own; lower case where the vocabulary is Gemma's (SigLIP 2)",
    context=64,
    padding="always to the whole context, on the side that the tokenizer says",
    mask="none: every position sees all, padding included, unless the tokenizer gives a mask",
    pooling="text: last position and a linear layer; image: attention pooling",
    scale="learned factor and learned bias",
    score="sigmoid",
    resize="squash",
    interpolation="bicubic (SigLIP), bilinear (SigLIP 2)",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    licence="Apache-2.0",
    paper="2303.15343, 2502.14786",
    special="texts that are not padded to the context (64; 16 of so400m-patch14-224) get other "
    "rows; scores near 0 are no fault: each label is judged on its own",
    prompt="This is a photo of {}.",
    model_class="SiglipModel",
    config_class="SiglipConfig",
    text_fields=TEXT_FIELDS,
    vision_fields=VISION_FIELDS,
    towers=Towers(patches="head", prefix=0),
    end="full",
    activations={"vision_config": "gelu_pytorch_tanh", "text_config": "gelu_pytorch_tanh"},
    processor={
        "size": {"height": 224, "width": 224},
        "resample": 3,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "do_center_crop": False,
    },
)
