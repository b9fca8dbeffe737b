"""Twenty-four public pictures with a caption each, out of packages that are installed.

Twenty-two come with scikit-image (the extra ``samples``), each free for any use, and two with
scikit-learn. It knows files and words, and no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

__all__ = ["CAPTIONS", "Probe", "load_probe"]

_FOLDERS = {"skimage": ("data",), "sklearn": ("datasets", "images")}
CAPTIONS = {
    "skimage/astronaut.png": "a woman in an orange space suit",
    "skimage/brick.png": "a brick wall",
    "skimage/camera.png": "a man with a camera on a tripod",
    "skimage/cell.png": "a single cell under a microscope",
    "skimage/chelsea.png": "the face of a cat",
    "skimage/chessboard_GRAY.png": "a chessboard of black and white squares",
    "skimage/clock_motion.png": "a clock, blurred by motion",
    "skimage/coffee.png": "a cup of coffee with a spoon",
    "skimage/coins.png": "rows of old coins",
    "skimage/grass.png": "grass from above",
    "skimage/gravel.png": "gravel stones",
    "skimage/horse.png": "the black silhouette of a horse",
    "skimage/hubble_deep_field.jpg": "galaxies and stars in deep space",
    "skimage/ihc.png": "stained tissue under a microscope",
    "skimage/logo.png": "the logo of a computer program",
    "skimage/moon.png": "the surface of the moon",
    "skimage/motorcycle_left.png": "a motorcycle in a workshop",
    "skimage/page.png": "a scanned page of printed text",
    "skimage/phantom.png": "an X-ray phantom of a head",
    "skimage/retina.jpg": "the retina of an eye",
    "skimage/rocket.jpg": "a rocket on its launch pad",
    "skimage/text.png": "handwritten words on paper",
    "sklearn/china.jpg": "a Chinese temple",
    "sklearn/flower.jpg": "a flower in bloom",
}


@dataclass(frozen=True)
class Probe:
    """Pictures and their captions, one a picture."""

    pictures: tuple[Image.Image, ...]
    captions: tuple[str, ...]


def load_probe() -> Probe | None:
    """Read the pictures, or return None where not all of them are installed."""
    paths = [_path(name) for name in CAPTIONS]
    found = [path for path in paths if path is not None]
    if len(found) < len(paths):
        return None
    return Probe(tuple(map(_read, found)), tuple(CAPTIONS.values()))


def _path(name: str) -> Path | None:
    package, _, file = name.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]).joinpath(*_FOLDERS[package], file)
    return path if path.is_file() else None


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
