"""Towers of many families trained behind their frozen blocks, and as a whole where they must be."""

import numpy as np
import pytest

from cliptune.encoders import load_encoder
from cliptune.finetuning.entry import ActivationPlace
from cliptune.finetuning.options import FinetuneOptions, TrainableOptions
from cliptune.finetuning.records import StepRecord
from tiny_training import make_data, run


@pytest.mark.parametrize(
    ("kind", "name", "kept"),
    [
        ("transformers", "siglip", "images and texts"),  # all ids of a text count
        ("transformers", "chinese_clip", "images and texts"),  # padding is masked
        ("transformers", "siglip2", "texts"),  # each image has a mask of its own
        ("open_clip", "clip", "images and texts"),
        ("open_clip", "coca", "images"),  # its text tower looks at more than the blocks' output
    ],
)
def test_the_loss_is_that_of_the_whole_towers(request, tmp_path, kind, name, kept):
    fixture = {"transformers": "small_family", "open_clip": "small_open_clip"}[kind]
    folder = str(request.getfixturevalue(fixture)(name).folder)
    place = ActivationPlace(tmp_path, lambda images: [f"{images.seed} {i}" for i in images.ids])
    found = {}
    for train in (("image.last1", "text.last1"), ("image.last1",)):
        options = FinetuneOptions(
            epochs=1, batch_size=8, views=1, precision="fp32", learning_rate=1e-5,
            interpolate=False, trainable=TrainableOptions(train=train),
        )  # fmt: skip
        losses = []
        for where in (None, place):
            encoder = load_encoder(folder, device="cpu", precision="fp32")
            _, events = run(encoder, make_data(), options, activations=where)
            losses.append([event.loss for event in events if isinstance(event, StepRecord)])
        np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
        found[train] = events[0].kept_bytes
    images_and_texts, images = found.values()
    assert (images > 0) == ("images" in kept)
    assert (images_and_texts > images) == ("texts" in kept)
