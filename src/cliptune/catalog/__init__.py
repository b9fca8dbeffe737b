"""Data sets that can be named: where they lie, where they come from, what their classes mean.

This package knows nothing about tables or decoding; it ends at a path and a few words.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cliptune.catalog.cifar import CIFAR10, CIFAR100, CifarLayout, write_cifar
from cliptune.catalog.fetch import Download, fetch_dataset, unpack_zip
from cliptune.errors import MissingExtraError, UnknownNameError
from cliptune.system.paths import cache_dir, data_dir

__all__ = [
    "DatasetInfo",
    "Located",
    "find_dataset",
    "known_class_names",
    "list_datasets",
]

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DatasetInfo:
    """What can be known about a named data set without having it.

    Attributes:
        name: What the user calls it.
        about: What is in it.
        licence: What its makers say about its use.
        source: Where it comes from.
        n_images: How many images the whole of it has.
        labels: C labels as the data have them, in the order of their classes.
        class_names: C names for prompts.
    """

    name: str
    about: str
    licence: str
    source: str
    n_images: int
    labels: tuple[str, ...]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Located:
    """Where a named data set lies.

    Attributes:
        path: A folder that can be read like any other data set, or holds ``files``.
        files: From file name to label, where only these files of the folder belong to it.
    """

    path: Path
    files: Mapping[str, str] | None = None


# Labelled by looking at each picture. Left out of scikit-image's files: drawings, charts,
# micrographs, what is blurred beyond recognition, and the second of two stereo views.
_SAMPLES = {
    "astronaut.png": "astronaut",
    "brick.png": "bricks",
    "camera.png": "photographer",
    "chelsea.png": "cat",
    "coffee.png": "cup of coffee",
    "coins.png": "coins",
    "grass.png": "grass",
    "gravel.png": "gravel",
    "hubble_deep_field.jpg": "galaxies in deep space",
    "moon.png": "surface of the moon",
    "motorcycle_left.png": "motorcycle",
    "page.png": "page of printed text",
    "retina.jpg": "retina of an eye",
    "rocket.jpg": "rocket",
    "text.png": "handwritten formula",
}
_TEXTILE = {
    "global": "woven textile with an irregular weave",
    "local": "woven textile with a small flaw",
    "nominal": "regular woven textile",
}
_CATALOG = {
    info.name: info
    for info in (
        DatasetInfo(
            name="hymenoptera",
            about="ants and bees: photographs of insects, the PyTorch transfer-learning tutorial's",
            licence="taken from ImageNet: non-commercial research and education",
            source="https://download.pytorch.org/tutorial/hymenoptera_data.zip",
            n_images=397,
            labels=("ants", "bees"),
            class_names=("ant", "bee"),
        ),
        DatasetInfo(
            name="cifar10",
            about="10 kinds of vehicles and animals in 32 x 32 pixels (Krizhevsky 2009)",
            licence="no licence given; cite the technical report",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
            n_images=60_000,
            labels=CIFAR10.labels,
            class_names=CIFAR10.labels,
        ),
        DatasetInfo(
            name="cifar100",
            about="100 kinds of things and beings in 32 x 32 pixels (Krizhevsky 2009)",
            licence="no licence given; cite the technical report",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
            n_images=60_000,
            labels=CIFAR100.labels,
            class_names=CIFAR100.labels,
        ),
        DatasetInfo(
            name="textile",
            about="simulated cloth: faultless, with a local flaw, with a shifted weave "
            "(Megahed et al., arXiv:2501.12596)",
            licence="MIT",
            source="the PyPI package conformal-clip-data",
            n_images=2_000,
            labels=tuple(_TEXTILE),
            class_names=tuple(_TEXTILE.values()),
        ),
        DatasetInfo(
            name="samples",
            about="one photograph each of everyday and unusual things, from scikit-image",
            licence="free, image by image: see scikit-image's data sets",
            source="the PyPI package scikit-image",
            n_images=len(_SAMPLES),
            labels=tuple(sorted(_SAMPLES.values())),
            class_names=tuple(sorted(_SAMPLES.values())),
        ),
    )
}
_FOLDERS = {"hymenoptera": ("hymenoptera", "hymenoptera_data")}
_DOWNLOADS = {
    "hymenoptera": Download(
        url="https://download.pytorch.org/tutorial/hymenoptera_data.zip",
        sha256="fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
        n_bytes=47_286_322,
    ),
    # The binary variants: the ones for Python are pickles, which can run code.
    "cifar10": Download(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        n_bytes=170_052_171,
    ),
    "cifar100": Download(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        n_bytes=168_513_733,
    ),
}
_CIFAR: dict[str, CifarLayout] = {"cifar10": CIFAR10, "cifar100": CIFAR100}


def list_datasets() -> tuple[DatasetInfo, ...]:
    """Return every data set that can be named."""
    return tuple(_CATALOG.values())


def known_class_names(labels: Collection[str]) -> Mapping[str, str] | None:
    """Return names for prompts when these labels are exactly those of a named data set."""
    wanted = {_spaced(label): label for label in labels}
    for info in _CATALOG.values():
        names = dict(zip(map(_spaced, info.labels), info.class_names, strict=True))
        if names.keys() == wanted.keys():
            return {wanted[label]: name for label, name in names.items()}
    return None


def _spaced(label: str) -> str:
    return " ".join(label.replace("_", " ").replace("-", " ").split())


def find_dataset(name: str, *, progress: Progress | None = None) -> Located:
    """Find a named data set, or fetch it.

    It is looked for under ``$CLIPTUNE_DATA``, then in the package that brings it or in the
    cache, then fetched from its public home.

    Args:
        name: One of ``list_datasets``.
        progress: Called with (bytes so far, bytes in all) while it is fetched.

    Raises:
        UnknownNameError: There is no such name.
        MissingExtraError: It comes with a package that is not installed.
        UnavailableError: It is not here and cannot be fetched; the message says where to put it.
    """
    if name not in _CATALOG:
        raise UnknownNameError(
            "data set", name, _CATALOG, "or give the path of a folder or a manifest"
        )
    own = data_dir()
    folders = [] if own is None else [own / f for f in _FOLDERS.get(name, (name,))]
    here = next((folder for folder in folders if folder.is_dir()), None)
    if here is not None:
        _log.info("%s is %s", name, here)
        return Located(here)
    if name == "textile":
        return Located(
            _package_folder("conformal_clip_data", name) / "data/textile_images/simulated"
        )
    if name == "samples":
        return Located(_package_folder("skimage", name) / "data", _SAMPLES)
    return Located(_fetch(name, progress))


def _package_folder(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("samples", f"the data set {name!r}")
    return Path(spec.submodule_search_locations[0])


def _fetch(name: str, progress: Progress | None) -> Path:
    own, kept = data_dir(), cache_dir() / "datasets"
    unpack = (
        partial(write_cifar, layout=_CIFAR[name])
        if name in _CIFAR
        # The archive also holds a placeholder, imageNotFound.gif, which is no photograph.
        else partial(unpack_zip, top="hymenoptera_data", suffixes=(".jpg",))
    )
    return fetch_dataset(
        _DOWNLOADS[name],
        kept / name,
        unpack=unpack,
        places=[place for place in (own, kept) if place is not None],
        progress=progress,
    )
