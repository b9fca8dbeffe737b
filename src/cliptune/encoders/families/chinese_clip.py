"""Chinese-CLIP: CLIP's image tower with a Chinese RoBERTa as its text tower."""

from __future__ import annotations

from cliptune.encoders.families.facts import Towers, TransformersFamily
from cliptune.encoders.families.metaclip_2 import OPENAI_PROCESSOR, VIT_FIELDS

__all__ = ["FAMILY"]

FAMILY = TransformersFamily(
    name="chinese_clip",
    title="Chinese-CLIP",
    examples=("hf-hub:OFA-Sys/chinese-clip-vit-base-patch16",),
    cleaning="the tokenizer's own (BERT's, lower case)",
    context=52,
    padding="none that counts: padding is masked",
    mask="both ways, padding masked",
    pooling="text: first position, projected; image: class token, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="see its repository",
    paper="2211.01335",
    special="trained on texts of up to 52 tokens, though its tower has 512 positions",
    model_class="ChineseCLIPModel",
    config_class="ChineseCLIPConfig",
    top_fields=("projection_dim", "logit_scale_init_value"),
    text_fields=(
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "max_position_embeddings", "hidden_act", "layer_norm_eps",
        "initializer_range", "initializer_factor", "pad_token_id", "bos_token_id", "eos_token_id",
        "hidden_dropout_prob", "attention_probs_dropout_prob", "type_vocab_size",
    ),
    vision_fields=VIT_FIELDS,
    towers=Towers(text_row="first", projections="both"),
    end="padding",
    pads_to=52,
    activations={"vision_config": "quick_gelu", "text_config": "gelu"},
    processor=OPENAI_PROCESSOR,
)  # fmt: skip
