"""ALIGN: an EfficientNet beside BERT, as Kakao Brain published it."""

from __future__ import annotations

from cliptune.encoders.families.facts import Towers, TransformersFamily

__all__ = ["FAMILY"]

FAMILY = TransformersFamily(
    name="align",
    title="ALIGN",
    examples=("hf-hub:kakaobrain/align-base",),
    cleaning="the tokenizer's own (BERT's, lower case)",
    context=64,
    padding="none that counts: padding is masked",
    mask="both ways, padding masked",
    pooling="text: first position, projected; image: mean over the cells, not projected",
    scale="learned temperature: the factor's inverse",
    score="softmax",
    resize="squash to 346, centre crop of 289",
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    licence="see its repository",
    paper="2102.05918",
    special="the image processor may move values to [-1, 1] without a mean and std",
    model_class="AlignModel",
    config_class="AlignConfig",
    top_fields=("projection_dim", "temperature_init_value"),
    text_fields=(
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "intermediate_size", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob",
        "max_position_embeddings", "type_vocab_size", "initializer_range", "layer_norm_eps",
        "pad_token_id", "bos_token_id", "eos_token_id",
    ),
    vision_fields=(
        "num_channels", "image_size", "width_coefficient", "depth_coefficient", "depth_divisor",
        "kernel_sizes", "in_channels", "out_channels", "depthwise_padding", "strides",
        "num_block_repeats", "expand_ratios", "squeeze_expansion_ratio", "hidden_act",
        "hidden_dim", "pooling_type", "initializer_range", "batch_norm_eps",
        "batch_norm_momentum", "drop_connect_rate",
    ),
    towers=Towers(text_row="first", projections="text", temperature=True, patches="cells"),
    end="padding",
    pads_to=64,
    activations={"vision_config": "swish", "text_config": "gelu"},
    processor={
        "size": {"height": 346, "width": 346},
        "crop_size": {"height": 289, "width": 289},
        "resample": 3,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "do_center_crop": False,
        "rescale_offset": False,
        "include_top": True,
    },
)  # fmt: skip
