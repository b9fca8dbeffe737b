"""Small spaces with known geometry, and maps made of them."""

import numpy as np
import pytest
from PIL import Image

from cliptune.modality_gap.inputs import MapInputs, MapView
from cliptune.modality_gap.measured import Space
from cliptune.modality_gap.pairing import pair_by_group
from cliptune.modality_gap.relation import relate_groups


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def make_space():
    """Pair images and texts by group, leaving their length as it is."""

    def make(images, texts, image_groups=None, text_groups=None):
        image_groups = np.arange(len(images)) if image_groups is None else image_groups
        text_groups = np.arange(len(texts)) if text_groups is None else text_groups
        pairing, rows, partners = pair_by_group(image_groups, text_groups)
        relation = relate_groups(pairing.image_groups, pairing.text_groups)
        return Space(images[rows], texts[partners], pairing, relation)

    return make


@pytest.fixture(scope="session")
def make_class_inputs():
    """Class-labelled images: a cluster a class, texts beside them at an offset."""

    def make(n=120, n_classes=6, *, offsets=(1.0,), noise=(0.6,), names=None, seed=0, dim=24):
        rng = np.random.default_rng(seed)
        middles = rng.normal(size=(n_classes, dim))
        gap = rng.normal(size=dim)
        labels = np.arange(n) % n_classes
        views = []
        for number, (offset, spread) in enumerate(zip(offsets, noise, strict=True)):
            images = unit(middles[labels] + spread * rng.normal(size=(n, dim)) + offset * gap)
            texts = unit(middles + 0.3 * rng.normal(size=(n_classes, dim)) - offset * gap)
            views.append(MapView(("before", "after", "third")[number], images, texts))
        class_names = names or tuple(f"class {c}" for c in range(n_classes))
        return MapInputs(
            data="shapes",
            image_ids=tuple(f"{label}/{row}.png" for row, label in enumerate(labels)),
            views=tuple(views),
            texts=class_names,
            text_groups=np.arange(n_classes),
            labels=labels,
            class_names=class_names,
            load_image=lambda row: Image.new("RGB", (40, 30), colour_of(row)),
        )

    return make


@pytest.fixture(scope="session")
def make_caption_inputs():
    """Images with captions of their own, near them but for an offset."""

    def make(n=40, per_image=3, *, views=1, noise=1.0, seed=0, dim=24):
        rng = np.random.default_rng(seed)
        content, gap = rng.normal(size=(n, dim)), rng.normal(size=dim)
        owners = np.repeat(np.arange(n), per_image)
        made = []
        for number in range(views):
            images = unit(content + 0.2 * rng.normal(size=(n, dim)) + gap)
            texts = unit(content[owners] + noise * rng.normal(size=(len(owners), dim)) - gap)
            made.append(MapView(("before", "after")[number], images, texts))
        return MapInputs(
            data="captioned",
            image_ids=tuple(f"{row}.jpg" for row in range(n)),
            views=tuple(made),
            texts=tuple(f"caption {t} of image {o}" for t, o in enumerate(owners)),
            text_groups=owners,
            load_image=lambda row: Image.new("RGB", (30, 40), colour_of(row)),
        )

    return make


def colour_of(row):
    """A colour that tells rows apart, even after compression."""
    return (40 + 60 * (row % 4), 40 + 60 * (row // 4 % 4), 40 + 60 * (row // 16 % 4))
