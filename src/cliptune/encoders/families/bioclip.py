"""BioCLIP: the tree of life."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="bioclip",
    title="BioCLIP",
    examples=("hf-hub:imageomics/bioclip", "hf-hub:imageomics/bioclip-2"),
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
    paper="2311.18803, 2505.23883",
    special="prompts with taxonomic names do best",
    pattern=r"(?!)",
)
