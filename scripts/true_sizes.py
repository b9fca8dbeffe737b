"""Write the table of true sizes in docs/models.md: random models of each family and its library.

    python scripts/true_sizes.py [FAMILY ...]

Models have the size that transformers' own configuration or open_clip's list gives, random weights
and small tokenizers; each is saved by its library, loaded by both, and removed. Six minutes on two
cores. With some families only, it prints and writes nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "encoders"))

from family_models import FAMILIES, make  # noqa: E402  of the tests
from models import TEXTS, put_table  # noqa: E402
from open_clip_models import make_open_clip, open_clip_rows, true_size_of  # noqa: E402

from cliptune.encoders import load_encoder  # noqa: E402
from cliptune.encoders.engines.agreement import photo_like  # noqa: E402
from cliptune.encoders.families import families  # noqa: E402

MARK = "<!-- true sizes -->"
HEADER = ("family", "size", "parameters", "largest difference, pictures", "texts")
Rows = NDArray[np.float32]


def main() -> None:
    """Measure families; put the table of all of them into the page."""
    chosen = sys.argv[1:] or list(families())
    rows = []
    for name in chosen:
        rows.append((families()[name].title, *measure(name)))
        print(*rows[-1], sep=" | ", flush=True)
    if chosen == list(families()):
        page = ROOT / "docs" / "models.md"
        text = page.read_text(encoding="utf-8")
        page.write_text(put_table(text, MARK, [HEADER, *rows]), encoding="utf-8")


def measure(name: str) -> tuple[str, ...]:
    """Return size, parameters, and the largest differences of unit rows."""
    drawn = photo_like(3, (240, 320)).transpose(0, 2, 3, 1)
    pictures = [Image.fromarray(picture) for picture in drawn]
    with tempfile.TemporaryDirectory() as place:
        if name in FAMILIES:
            folder, size = Path(place), "transformers' own configuration"
            theirs = by_transformers(name, folder, pictures)
        else:
            made = make_open_clip(name, Path(place), true_size=True)
            folder, size = made.folder, f"`{true_size_of(name)}`"
            theirs = open_clip_rows(made, pictures, TEXTS)[:2]
        encoder = load_encoder(str(folder), device="cpu", precision="fp32")
        pixels = np.stack([encoder.preprocess(picture) for picture in pictures])
        ours = encoder.encode_images(pixels), encoder.encode_texts(TEXTS)
        number = sum(weights.numel() for weights in encoder.model.parameters())
        for rows in theirs:
            assert np.isfinite(rows).all()
            assert rows[0] @ rows[1] < 0.9999, "the weights tell inputs apart"
    differences = [f"{np.abs(a - b).max():.0e}" for a, b in zip(ours, theirs, strict=True)]
    return size, f"{number / 1e6:.0f} million", *differences


def by_transformers(name: str, folder: Path, pictures: list[Image.Image]) -> tuple[Rows, Rows]:
    """Save a family's model, and return what transformers answers."""
    model = make(name, folder, true_size=True)
    theirs = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    with torch.no_grad():
        pixels = processor.image_processor(images=pictures, return_tensors="pt")
        ids = processor.tokenizer(TEXTS, return_tensors="pt", truncation=True, **model.padding)
        out = theirs(**pixels, **ids)
    images, texts = (normalize(e, dim=-1).numpy() for e in (out.image_embeds, out.text_embeds))
    return images, texts


if __name__ == "__main__":
    main()
