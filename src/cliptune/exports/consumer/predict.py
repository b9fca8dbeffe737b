"""Classify images with an exported graph: python predict.py IMAGE... (numpy, Pillow, onnxruntime).

The graph takes bytes of any size: resize, crop, normalisation, tower, head, temperature and
threshold are inside. All that is left here is to decode a file to upright RGB.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps


def read_image(file: str | Path) -> NDArray[np.uint8]:
    """Decode a file to uint8 (H, W, 3): upright, on white."""
    image: Image.Image = ImageOps.exif_transpose(Image.open(file))
    if image.mode.startswith("I;16"):  # grey of more than 8 bits
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(image.convert("RGB"))


class Classifier:
    """An exported graph and the names in it."""

    def __init__(self, graph: str | Path) -> None:
        self.session = onnxruntime.InferenceSession(str(graph))
        facts = self.session.get_modelmeta().custom_metadata_map
        self.class_names: list[str] = json.loads(facts["class_names"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def predict(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], bool]:
        """Return the probabilities (C,) of one image, uint8 (H, W, 3), and whether it abstains."""
        values = self.session.run(self.outputs, {"image": np.ascontiguousarray(image)[None]})
        found = {name: value[0] for name, value in zip(self.outputs, values, strict=True)}
        return found["probabilities"], bool(found.get("abstained", False))


def main() -> None:
    """Print the file, the most probable class, its probability, and whether it abstains."""
    classifier = Classifier(Path(__file__).parent / "image.onnx")
    for file in sys.argv[1:]:
        probabilities, abstained = classifier.predict(read_image(file))
        best = int(probabilities.argmax())
        note = "\tabstains" if abstained else ""
        print(f"{file}\t{classifier.class_names[best]}\t{probabilities[best]:.4f}{note}")


if __name__ == "__main__":
    main()
