"""TIPSv2: spatially aware towers; pictures are not normalised."""

from __future__ import annotations

from cliptune.encoders.families.facts import Towers, TransformersFamily

__all__ = ["FAMILY"]

FAMILY = TransformersFamily(
    name="tipsv2",
    title="TIPSv2",
    examples=("hf-hub:google/tipsv2-b14",),
    cleaning="the tokenizer's own: lower case",
    context=64,
    padding="none that counts: padding is masked",
    mask="both ways, padding masked",
    pooling="text: mean over what is not padding; image: class token; no projection",
    scale="temperature: the factor's inverse, 0.00507 where the weights have none",
    score="softmax",
    resize="squash",
    interpolation="bilinear",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    licence="see its repository",
    paper="2410.16512 (TIPS)",
    special="values stay in [0, 1]: a mean and std of other models ruins it; a text without a "
    "token has no row and is refused",
    model_class="Tipsv2Model",
    config_class="Tipsv2Config",
    top_fields=("temperature_init_value",),
    text_fields=(
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "max_position_embeddings", "hidden_act", "layer_norm_eps",
        "attention_dropout", "pad_token_id", "bos_token_id", "eos_token_id", "initializer_range",
        "scale_sqrt_depth", "pooling_epsilon",
    ),
    vision_fields=(
        "hidden_size", "num_hidden_layers", "num_attention_heads", "mlp_ratio", "hidden_act",
        "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range",
        "layer_norm_eps", "image_size", "patch_size", "num_channels", "qkv_bias",
        "layerscale_value", "drop_path_rate", "use_swiglu_ffn", "num_register_tokens",
    ),
    towers=Towers(temperature=True, patches="normed", prefix=2),
    end="padding",
    activations={"vision_config": "gelu", "text_config": "relu"},
    processor={
        "size": {"height": 448, "width": 448},
        "resample": 2,
        "do_normalize": False,
        "do_center_crop": False,
    },
)  # fmt: skip
