"""EVA-CLIP."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="eva",
    title="EVA-CLIP",
    examples=("EVA02-B-16/merged2b_s8b_b131k",),
    cleaning="mended, HTML entities decoded, white space joined, lower case",
    context=77,
    padding="to 77 with zeros, after the end mark",
    mask="causal",
    pooling="text: end mark, projected; image: class token, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="MIT",
    paper="2303.15389",
    special="image towers are timm's",
    pattern=r"EVA.*",
)
