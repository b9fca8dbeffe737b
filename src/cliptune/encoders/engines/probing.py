"""Trained weights on public pictures: do these find their captions, and if not, why not.

It knows encoders in torch and the packaged pictures, and nothing of what else is checked.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.activations import swapped_activation
from cliptune.encoders.engines.findings import Finding
from cliptune.encoders.probe_pictures import Probe, load_probe

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["probe_answers"]

# Of 24 pictures by chance 1 is right; 5 or more have a probability of 0.003 (binomial).
_ENOUGH_HITS = 5
_NORMALISATIONS = {
    "0.5 and 0.5": ((0.5,) * 3, (0.5,) * 3),
    "OpenAI's": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0,) * 3, (1.0,) * 3),
}


def probe_answers(encoder: TorchEncoder, trained: bool, seconds: float | None) -> Finding:
    """Match public pictures with their captions; where that fails, find out what would mend it.

    Args:
        encoder: In fp32.
        trained: Its weights are not as a library initialises them.
        seconds: What this may take at most; a slower model's answers stay unseen.
    """
    if not trained:
        return Finding("probe", "unseen", "the weights are untrained: every answer is by chance")
    probe = load_probe()
    if probe is None:
        said = "the pictures are not installed: pip install 'cliptune[samples]'"
        return Finding("probe", "unseen", said)
    start = time.perf_counter()
    pixels = np.stack([encoder.preprocess(picture) for picture in probe.pictures])
    encoder.encode_images(pixels[:1])
    if seconds is not None and (time.perf_counter() - start) * len(pixels) > seconds:
        return Finding(
            "probe", "unseen", "the model is slow here: 'cliptune doctor' takes its time"
        )
    hits = _hits(encoder, pixels, probe)
    right = f"{hits} of {len(pixels)} public pictures find their caption"
    if hits >= _ENOUGH_HITS:
        return Finding("probe", "passed", right)
    cause = _likeliest_cause(encoder, pixels, probe, hits)
    return Finding(
        "probe",
        "warned",
        f"with {encoder.name} only {right}, where 1 is chance and {_ENOUGH_HITS} were expected: "
        f"{cause}",
    )


def _hits(encoder: TorchEncoder, pixels: NDArray[np.uint8], probe: Probe) -> int:
    images = encoder.encode_images(pixels)
    texts = encoder.encode_texts([f"{caption}." for caption in probe.captions], truncate=True)
    return int(((images @ texts.T).argmax(axis=1) == np.arange(len(images))).sum())


def _likeliest_cause(
    encoder: TorchEncoder, pixels: NDArray[np.uint8], probe: Probe, hits: int
) -> str:
    found: dict[str, int] = {}
    own = encoder.preprocess
    for name, (mean, std) in _NORMALISATIONS.items():
        encoder.preprocess = replace(own, mean=mean, std=std)
        words = f"the normalisation is wrong, with {name} mean and std {{}} do"
        found[words] = _hits(encoder, pixels, probe)
    encoder.preprocess = own
    with swapped_activation(encoder.model) as other:
        if other:
            words = f"the activation is wrong, with {other} {{}} do"
            found[words] = _hits(encoder, pixels, probe)
    best = max(found, key=lambda words: found[words])
    if found[best] >= max(_ENOUGH_HITS, 2 * hits):
        return best.format(found[best])
    return (
        "neither another normalisation nor another activation mends it; look at the tokenizer "
        "(padding, vocabulary) and at where the weights come from"
    )
