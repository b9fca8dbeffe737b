"""How far the rows of two encoders agree: what a faster one changes in the answers.

Embeddings of images share a large mean, which flatters a plain cosine; so cosines are taken
after the reference's mean is subtracted. It knows arrays only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.encoders.preprocess import Preprocess
from cliptune.system.formatting import percent

__all__ = [
    "MIN_COSINE",
    "MIN_TOP1",
    "PROBE_LABELS",
    "Agreement",
    "compare_rows",
    "draw_inputs",
    "photo_like",
]

MIN_COSINE = 0.999
MIN_TOP1 = 0.995

# Labels for the comparison where the user's are not known.
PROBE_LABELS = (
    "person", "child", "crowd", "dog", "cat", "horse", "cow", "sheep", "bird", "fish", "insect",
    "flower", "tree", "forest", "mountain", "beach", "sea", "river", "sky", "snow", "city",
    "street", "house", "bridge", "room", "kitchen", "chair", "table", "bed", "car", "bus",
    "train", "bicycle", "boat", "aeroplane", "food", "fruit", "bread", "bottle", "cup", "book",
    "screen", "telephone", "clock", "shoe", "shirt", "ball", "tool", "text", "pattern",
)  # fmt: skip


@dataclass(frozen=True)
class Agreement:
    """A faster way beside the reference, on the same images.

    Attributes:
        n_images: N.
        min_cosine: Smallest mean-centred cosine of an image's two embeddings.
        top1: Share of the images with the same most probable label.
    """

    n_images: int
    min_cosine: float
    top1: float

    @property
    def keeps_answers(self) -> bool:
        """Whether both are as near as an automatic choice asks for."""
        return self.min_cosine >= MIN_COSINE and self.top1 >= MIN_TOP1

    def __str__(self) -> str:
        """Say it in one clause."""
        return (
            f"mean-centred cosine at least {self.min_cosine:.5f} and the same label for "
            f"{percent(self.top1)} of {self.n_images} images"
        )

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)


def compare_rows(
    images: NDArray[np.float32],
    texts: NDArray[np.float32],
    reference_images: NDArray[np.float32],
    reference_texts: NDArray[np.float32],
) -> Agreement:
    """Compare unit rows of N images (N, D) and of C labels (C, D) with those of the reference."""
    mean = reference_images.mean(axis=0, dtype=np.float64)
    ours, theirs = images - mean, reference_images - mean
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1) / np.maximum(lengths, 1e-12)
    labels = (images @ texts.T).argmax(axis=1)
    reference_labels = (reference_images @ reference_texts.T).argmax(axis=1)
    finite = np.isfinite(cosines).all()
    return Agreement(
        n_images=len(images),
        min_cosine=float(cosines.min()) if finite else -1.0,
        top1=float((labels == reference_labels).mean()),
    )


def draw_inputs(preprocess: Preprocess, n: int) -> NDArray[np.uint8]:
    """Draw N pictures as a model's input (N, 3, H, W), for want of real ones."""
    if preprocess.resize_mode != "native":
        return photo_like(n, preprocess.shape[1:])
    drawn = photo_like(n, (preprocess.side, preprocess.side)).transpose(0, 2, 3, 1)
    return np.stack([preprocess(Image.fromarray(picture)) for picture in drawn])


def photo_like(n: int, size: tuple[int, int], *, seed: int = 0) -> NDArray[np.uint8]:
    """Draw N pictures (N, 3, H, W) with the spectrum of photographs, for want of real ones.

    Amplitudes fall with the frequency, as in natural images (Field, 1987); phases are random.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    amplitude = 1 / np.maximum(radius, 1 / max(size))
    noise = rng.standard_normal((n, 3, height, width)).astype(np.float32)
    noise[:, 1:] = 0.7 * noise[:, :1] + 0.7 * noise[:, 1:]  # channels of a photograph correlate
    waves = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=size)
    spread = waves / waves.std(axis=(1, 2, 3), keepdims=True)
    brightness = rng.uniform(70, 180, (n, 1, 1, 1))
    pixels: NDArray[np.uint8] = np.clip(brightness + 55 * spread, 0, 255).astype(np.uint8)
    return pixels
