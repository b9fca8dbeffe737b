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
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "encoders"))

from family_models import FAMILIES, make  # noqa: E402  of the tests
from open_clip_models import OPEN_CLIP_FAMILIES, make_open_clip, open_clip_rows  # noqa: E402

from cliptune.encoders import DualEncoder, load_encoder  # noqa: E402
from cliptune.encoders.engines.agreement import draw_inputs, photo_like  # noqa: E402
from cliptune.encoders.engines.conversion import (  # noqa: E402
    convert_to_onnx,
    convert_to_openvino,
)
from cliptune.encoders.engines.runtimes import Run, open_graph  # noqa: E402
from cliptune.encoders.families import Family, families  # noqa: E402
from cliptune.encoders.refused import REFUSED  # noqa: E402

TEXTS = ["This is a photo of an ant.", "a photo of a bee", "  Two   blue BIRDS!", "it's a cat"]
MARKS, END = ("<!-- families -->", "<!-- refused -->"), "<!-- end -->"


def main() -> None:
    """Measure, and put both tables between their marks."""
    page = ROOT / "docs" / "models.md"
    text = page.read_text(encoding="utf-8")
    rows = [_row(family) for family in families().values()]
    text = put_table(text, MARKS[0], [_HEADER, *rows])
    refused = [(one.title, one.why, f"`{one.instead}`") for one in REFUSED]
    text = put_table(text, MARKS[1], [("model", "why", "instead"), *refused])
    page.write_text(text, encoding="utf-8")


_HEADER = (
    "family", "for example", "built by", "parity", "tested on", "engines", "score", "pictures",
    "special",
)  # fmt: skip


def _row(family: Family) -> tuple[str, ...]:
    parity, engines = _measure(family.name)
    pictures = f"{family.resize}, {family.interpolation}"
    example = f"`{family.examples[0]}`"
    tested = OPEN_CLIP_FAMILIES.get(family.name, "transformers' own class")
    print(family.title, parity, engines, flush=True)
    return (family.title, example, family.backend, parity, tested, engines, family.score, pictures,
            family.special)  # fmt: skip


def put_table(text: str, mark: str, rows: list[tuple[str, ...]]) -> str:
    """Put a table behind a mark, in the place of what stands there up to the end mark."""
    before, _, rest = text.partition(f"{mark}\n")
    _, _, after = rest.partition(f"{END}\n")
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join([f"{before}{mark}", *lines, f"{END}", ""]) + after


def _measure(name: str) -> tuple[str, str]:
    """Return the largest difference of a row, and the engines that both towers convert for."""
    drawn = photo_like(3, (240, 320)).transpose(0, 2, 3, 1)
    images = [Image.fromarray(picture) for picture in drawn]
    with tempfile.TemporaryDirectory() as place:
        folder, rows = (_by_transformers if name in FAMILIES else _by_open_clip)(
            name, Path(place), images
        )
        encoder = load_encoder(str(folder), device="cpu", precision="fp32")
        ours = [
            encoder.encode_images(np.stack([encoder.preprocess(image) for image in images])),
            encoder.encode_texts(TEXTS),
        ]
        largest = max(np.abs(a - b).max() for a, b in zip(ours, rows, strict=True))
        return f"{largest:.0e}", ", ".join(_engines(encoder, Path(place)))


def _by_transformers(
    name: str, place: Path, images: list[Image.Image]
) -> tuple[Path, list[NDArray[np.float32]]]:
    model = make(name, place)
    theirs = transformers.AutoModel.from_pretrained(place, dtype=torch.float32).eval()
    processor = transformers.AutoProcessor.from_pretrained(place)
    with torch.no_grad():
        pixels = processor.image_processor(images=images, return_tensors="pt")
        ids = processor.tokenizer(TEXTS, return_tensors="pt", truncation=True, **model.padding)
        out = theirs(**pixels, **ids)
    return place, [normalize(e, dim=-1).numpy() for e in (out.image_embeds, out.text_embeds)]


def _by_open_clip(
    name: str, place: Path, images: list[Image.Image]
) -> tuple[Path, list[NDArray[np.float32]]]:
    model = make_open_clip(name, place)
    return model.folder, list(open_clip_rows(model, images, TEXTS)[:2])


def _engines(encoder: DualEncoder, place: Path) -> list[str]:
    """Name the engines whose graphs of both towers give torch's rows to within 1e-4."""
    found = ["torch"]
    for name, convert in (("openvino", convert_to_openvino), ("onnx", convert_to_onnx)):
        for tower in ("image", "text"):
            convert(encoder, tower, place)
            path = place / f"{tower}.{'xml' if name == 'openvino' else 'onnx'}"
            _compare(encoder, tower, open_graph(name, path, precision="fp32"), cut=name != "onnx")
        found.append(name)
    return found


def _compare(encoder: DualEncoder, tower: str, graph: Run, *, cut: bool) -> None:
    if tower == "image":
        given = draw_inputs(encoder.preprocess, 3)
        expected = encoder.encode_images(given)
    else:
        given, expected = encoder.tokenizer(TEXTS).numpy(), encoder.encode_texts(TEXTS)
        given = given[:, : encoder.text_end.lengths(given).max()] if cut else given
    np.testing.assert_allclose(graph(given), expected, atol=1e-4)


if __name__ == "__main__":
    main()
