"""ViTamin."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="vitamin",
    title="ViTamin",
    examples=("ViTamin-L/datacomp1b",),
    cleaning="mended, HTML entities decoded, white space joined, lower case",
    context=77,
    padding="to 77 with zeros, after the end mark",
    mask="causal",
    pooling="text: end mark, projected; image: mean, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="see its repository",
    paper="2404.02132",
    special="hybrid towers of timm's",
    pattern=r"ViTamin.*",
)
