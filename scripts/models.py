"""Write the tables of docs/models.md: what families state, and how near rows are to the originals.

``python scripts/models.py`` builds the small random models of the tests, whose largest difference
in any component of a row, image or text, stands in the table, and converts their towers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from torch.nn.functional import normalize

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "encoders"))

from family_models import FAMILIES, make  # noqa: E402  of the tests

from cliptune.encoders import load_encoder  # noqa: E402
from cliptune.encoders.engines.agreement import photo_like  # noqa: E402
from cliptune.encoders.engines.conversion import (  # noqa: E402
    convert_to_onnx,
    convert_to_openvino,
)
from cliptune.encoders.families import Family, families  # noqa: E402
from cliptune.encoders.refused import REFUSED  # noqa: E402

TEXTS = ["This is a photo of an ant.", "a photo of a bee", "  Two   blue BIRDS!", "it's a cat"]
MARKS = ("<!-- families -->", "<!-- refused -->", "<!-- end -->")


def main() -> None:
    """Measure, and put both tables between their marks."""
    page = ROOT / "docs" / "models.md"
    text = page.read_text(encoding="utf-8")
    rows = [_row(family) for family in families().values()]
    text = _replace(text, MARKS[0], [_HEADER, *rows])
    refused = [(one.title, one.why, f"`{one.instead}`") for one in REFUSED]
    text = _replace(text, MARKS[1], [("model", "why", "instead"), *refused])
    page.write_text(text, encoding="utf-8")


_HEADER = (
    "family", "for example", "built by", "parity", "engines", "score", "pictures", "special",
)  # fmt: skip


def _row(family: Family) -> tuple[str, ...]:
    parity, engines = _measure(family.name) if family.name in FAMILIES else ("", "")
    pictures = f"{family.resize}, {family.interpolation}"
    example = f"`{family.examples[0]}`"
    return (family.title, example, family.backend, parity, engines, family.score, pictures,
            family.special)  # fmt: skip


def _replace(text: str, mark: str, rows: list[tuple[str, ...]]) -> str:
    """Put a table behind a mark, in the place of what stands there up to the end mark."""
    before, _, rest = text.partition(f"{mark}\n")
    _, _, after = rest.partition(f"{MARKS[2]}\n")
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join([f"{before}{mark}", *lines, f"{MARKS[2]}", ""]) + after


def _measure(name: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as place:
        model = make(name, Path(place))
        encoder = load_encoder(place, device="cpu", precision="fp32")
        drawn = photo_like(3, (240, 320)).transpose(0, 2, 3, 1)
        images = [Image.fromarray(picture) for picture in drawn]
        theirs = transformers.AutoModel.from_pretrained(place, dtype=torch.float32).eval()
        processor = transformers.AutoProcessor.from_pretrained(place)
        with torch.no_grad():
            pixels = processor.image_processor(images=images, return_tensors="pt")
            ids = processor.tokenizer(TEXTS, return_tensors="pt", truncation=True, **model.padding)
            out = theirs(**pixels, **ids)
        ours = [
            encoder.encode_images(np.stack([encoder.preprocess(image) for image in images])),
            encoder.encode_texts(TEXTS),
        ]
        rows = [normalize(e, dim=-1).numpy() for e in (out.image_embeds, out.text_embeds)]
        largest = max(np.abs(a - b).max() for a, b in zip(ours, rows, strict=True))
        return f"{largest:.0e}", ", ".join(_engines(encoder, Path(place)))


def _engines(encoder: object, place: Path) -> list[str]:
    found = ["torch"]
    for name, convert in (("openvino", convert_to_openvino), ("onnx", convert_to_onnx)):
        for tower in ("image", "text"):
            convert(encoder, tower, place)
        found.append(name)
    return found


if __name__ == "__main__":
    main()
