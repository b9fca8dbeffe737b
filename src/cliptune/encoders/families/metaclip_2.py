"""MetaCLIP 2: CLIP's towers with a worldwide vocabulary."""

from __future__ import annotations

from cliptune.encoders.families.facts import Towers, TransformersFamily

__all__ = ["FAMILY", "OPENAI_PROCESSOR", "VIT_FIELDS"]

_BLOCK_FIELDS = (
    "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers",
    "num_attention_heads", "hidden_act", "layer_norm_eps", "attention_dropout",
    "initializer_range", "initializer_factor",
)  # fmt: skip
VIT_FIELDS = (*_BLOCK_FIELDS, "num_channels", "image_size", "patch_size")
OPENAI_PROCESSOR = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "resample": 3,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "do_center_crop": True,
}

FAMILY = TransformersFamily(
    name="metaclip_2",
    title="MetaCLIP 2",
    examples=("hf-hub:facebook/metaclip-2-worldwide-huge-quickgelu",),
    cleaning="the tokenizer's own (XLM-V keeps case)",
    context=77,
    padding="to 77, after the end mark",
    mask="causal",
    pooling="text: the first end mark, projected; image: class token, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="CC-BY-NC-4.0",
    paper="2507.22062",
    special="the activation (GELU or QuickGELU) is the weights' own and stands in config.json",
    model_class="MetaClip2Model",
    config_class="MetaClip2Config",
    top_fields=("projection_dim", "logit_scale_init_value"),
    text_fields=(
        *_BLOCK_FIELDS, "vocab_size", "max_position_embeddings", "pad_token_id", "bos_token_id",
        "eos_token_id",
    ),
    vision_fields=VIT_FIELDS,
    towers=Towers(projections="both"),
    end="id",
    processor=OPENAI_PROCESSOR,
)  # fmt: skip
