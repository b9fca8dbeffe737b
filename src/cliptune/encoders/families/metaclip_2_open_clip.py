"""MetaCLIP 2 in open_clip's format."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="metaclip_2-open_clip",
    title="MetaCLIP 2 (open_clip)",
    examples=("ViT-H-14-worldwide/metaclip2_worldwide",),
    cleaning="mended, white space joined; case stays (XLM-V)",
    context=77,
    padding="to 77 with zeros, after the end mark",
    mask="causal",
    pooling="text: the first end mark, projected; image: class token, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="CC-BY-NC-4.0",
    paper="2507.22062",
    special="QuickGELU by variant; the 378-pixel variants squash",
    pattern=r".*worldwide.*",
)
