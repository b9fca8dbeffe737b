"""SigLIP 2 NaFlex: pictures keep their aspect ratio, as up to so many patches."""

from __future__ import annotations

from cliptune.encoders.families.facts import Towers, TransformersFamily
from cliptune.encoders.families.siglip import TEXT_FIELDS, VISION_FIELDS

__all__ = ["FAMILY"]

FAMILY = TransformersFamily(
    name="siglip2",
    title="SigLIP 2 NaFlex",
    examples=("hf-hub:google/siglip2-base-patch16-naflex",),
    cleaning="the tokenizer's own: lower case (punctuation stays)",
    context=64,
    padding="always to the whole context, on the side that the tokenizer says",
    mask="texts: none, padding is seen, unless the tokenizer gives a mask; patches: those of the "
    "picture alone",
    pooling="text: last position and a linear layer; image: attention pooling",
    scale="learned factor and learned bias",
    score="sigmoid",
    resize="native aspect ratio, to at most --max-patches patches (256)",
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    licence="Apache-2.0",
    paper="2502.14786",
    special="the number of patches changes the rows, so embeddings are kept by it",
    prompt="This is a photo of {}.",
    model_class="Siglip2Model",
    config_class="Siglip2Config",
    text_fields=TEXT_FIELDS,
    vision_fields=tuple({*VISION_FIELDS, "num_patches"} - {"image_size"}),
    towers=Towers(patches="none", prefix=0),
    end="full",
    activations={"vision_config": "gelu_pytorch_tanh", "text_config": "gelu_pytorch_tanh"},
    processor={"resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
)
