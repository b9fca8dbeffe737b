"""CoCa: a captioner's contrastive towers."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="coca",
    title="CoCa",
    examples=("coca_ViT-B-32/laion2b_s13b_b90k",),
    cleaning="mended, HTML entities decoded, white space joined, lower case",
    context=76,
    padding="to 76 with zeros; a class token behind it",
    mask="causal, padding masked",
    pooling="text: class token, projected; image: attention pooling",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="MIT",
    paper="2205.01917",
    special="its text decoder is loaded and not used",
    pattern=r"coca.*",
)
