"""NLLB-CLIP: 201 languages."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="nllb",
    title="NLLB-CLIP",
    examples=("nllb-clip-base/v1",),
    cleaning="mended, white space joined; case stays",
    context=77,
    padding="to 77, masked",
    mask="both ways, padding masked",
    pooling="text: first position, projected; image: class token, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="CC-BY-NC-4.0",
    paper="2309.01859",
    special="the description of the text tower comes from another repository",
    pattern=r"nllb-clip-(base|large)",
)
