"""SigLIP 2 of a fixed size in open_clip's format."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="siglip2-open_clip",
    title="SigLIP 2 (open_clip)",
    examples=("ViT-B-16-SigLIP2/webli", "ViT-SO400M-14-SigLIP2/webli"),
    cleaning="mended, without punctuation, lower case (canonical)",
    context=64,
    padding="always to the whole context",
    mask="none: every position sees all, padding included",
    pooling="text: last position, projected; image: attention pooling",
    scale="learned factor and learned bias",
    score="sigmoid",
    resize="squash",
    interpolation="bicubic",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    licence="Apache-2.0",
    paper="2502.14786",
    special="open_clip strips punctuation, transformers' tokenizer lower-cases "
    "alone: rows of one text differ",
    pattern=r".*SigLIP2.*",
)
