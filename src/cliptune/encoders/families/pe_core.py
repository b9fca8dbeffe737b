"""PE-Core: Meta's perception encoder."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="pe_core",
    title="PE-Core",
    examples=("PE-Core-T-16-384/meta", "PE-Core-B-16/meta", "PE-Core-L-14-336/meta"),
    cleaning="mended, HTML entities decoded, white space joined, lower case",
    context=32,
    padding="to 32 (72 for bigG) with zeros, after the end mark",
    mask="causal",
    pooling="text: end mark, projected; image: attention pooling, projected",
    scale="learned factor",
    score="softmax",
    resize="squash",
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    licence="Apache-2.0",
    paper="2504.13181",
    special="texts are cut at 32 tokens, where CLIP has 77",
    pattern=r"PE-Core.*",
)
