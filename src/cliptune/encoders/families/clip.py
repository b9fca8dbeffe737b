"""CLIP as OpenAI, LAION, DataComp and others trained it: ViT and ResNet."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="clip",
    title="CLIP",
    examples=("ViT-B-32/openai", "ViT-B-32/laion2b_s34b_b79k", "ViT-L-14/datacomp_xl_s13b_b90k"),
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
    licence="MIT (OpenAI, LAION)",
    paper="2103.00020",
    special="OpenAI's weights need QuickGELU; PLIP, FashionCLIP and other models of "
    "transformers' type clip are read as this family",
    pattern=r".*",
)
