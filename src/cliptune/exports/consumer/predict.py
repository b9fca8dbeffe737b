"""Classify images with an exported graph: python predict.py IMAGE... (numpy, Pillow, onnxruntime).

The graph takes bytes of any size: resize, crop, normalisation, tower, head, temperature and
threshold are inside. All that is left here is to decode a file to upright RGB.
"""

import json
import sys
from pathlib import Path
from typing import Any

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

    def predict(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return what is said of one image, uint8 (H, W, 3): the graph's outputs by name."""
        values = self.session.run(self.outputs, {"image": np.ascontiguousarray(image)[None]})
        return {name: value[0] for name, value in zip(self.outputs, values, strict=True)}


def main() -> None:
    """Print file, likeliest class, its probability, and abstention or all labels present."""
    classifier = Classifier(Path(__file__).parent / "image.onnx")
    for file in sys.argv[1:]:
        said = classifier.predict(read_image(file))
        best = int(said["probabilities"].argmax())
        note = "\tabstains" if said.get("abstained", False) else ""
        if "present" in said:  # an image may have several labels
            note = "\t" + ",".join(np.array(classifier.class_names)[said["present"]])
        print(f"{file}\t{classifier.class_names[best]}\t{said['probabilities'][best]:.4f}{note}")


if __name__ == "__main__":
    main()
