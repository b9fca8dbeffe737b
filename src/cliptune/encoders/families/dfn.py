"""DFN: CLIP on filtered data."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="dfn",
    title="DFN",
    examples=("ViT-B-16/dfn2b", "ViT-H-14-quickgelu/dfn5b"),
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
    licence="Apple's own (apple-amlr)",
    paper="2309.17425",
    special="most with QuickGELU, which the tag says and is followed",
    pattern=r"(?!MobileCLIP).*",
    tags=r"dfn.*",
)
