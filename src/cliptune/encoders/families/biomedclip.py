"""BiomedCLIP: a PubMedBERT beside a ViT."""

from __future__ import annotations

from cliptune.encoders.families.facts import OpenClipFamily

__all__ = ["FAMILY"]

FAMILY = OpenClipFamily(
    name="biomedclip",
    title="BiomedCLIP",
    examples=("hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",),
    cleaning="mended, white space joined; the tokenizer lower-cases",
    context=256,
    padding="to 256, masked",
    mask="both ways, padding masked",
    pooling="text: first position, projected; image: class token, projected",
    scale="learned factor",
    score="softmax",
    resize="shortest side, centre crop",
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    licence="MIT",
    paper="2303.00915",
    special="offline the text tower's config.json is to lie beside the weights; else it is fetched",
    pattern=r"(?!)",
)
