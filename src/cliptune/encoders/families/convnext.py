"""CLIP with ConvNeXt towers."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="convnext",
    title="ConvNeXt CLIP",
    examples=("convnext_base_w/laion2b_s13b_b82k",),
    cleaning="mended, HTML entities decoded, white space joined, lower case",
    context=77,
    padding="to 77 with zeros, after the end mark",
    mask="causal",
    pooling="text: end mark, projected; image: mean, normed, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="MIT",
    paper="2201.03545",
    special="convolutions: bf16 moves the answers, so fp32 is taken",
    pattern=r"convnext.*",
)
