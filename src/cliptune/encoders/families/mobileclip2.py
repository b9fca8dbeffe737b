"""MobileCLIP and MobileCLIP2: Apple's small towers."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="mobileclip2",
    title="MobileCLIP2",
    examples=("MobileCLIP2-S0/dfndr2b", "MobileCLIP2-S4/dfndr2b"),
    cleaning="mended, HTML entities decoded, white space joined, lower case",
    context=77,
    padding="to 77 with zeros, after the end mark",
    mask="none (MobileCLIP2-S and L), causal (B)",
    pooling="text: end mark, projected; image: mean, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bilinear",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    licence="Apple's own (apple-amlr)",
    paper="2508.20691",
    special="S0, S2 and B are not normalised, S3 and S4 as OpenAI's",
    pattern=r"MobileCLIP.*",
)
