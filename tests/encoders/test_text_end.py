"""Texts at their true length give the embeddings of full length."""

import numpy as np
import pytest
import torch

from cliptune.encoders.causal_text import encode_cut_text, find_text_end
from cliptune.encoders.text_end import TextEnd, encode_by_length
from cliptune.encoders.tokenizers import BytePairTokenizer

TEXTS = ["a photo of a bee", "ant", "a very long description of a red bicycle by a wall", "ant"]


@pytest.mark.parametrize(
    ("end", "lengths"),
    [
        (TextEnd("largest"), [3, 5, 1]),
        (TextEnd("id", 9), [3, 5, 5]),
        (TextEnd("padding", 0), [3, 5, 1]),
        (TextEnd(), [5, 5, 5]),
    ],
)
def test_ends_by_every_rule(end, lengths):
    ids = np.array([[1, 5, 9, 0, 0], [1, 5, 5, 5, 9], [8, 0, 0, 0, 0]], np.int64)
    assert end.lengths(ids).tolist() == lengths


def test_rows_come_back_in_their_order_and_no_wider_than_needed():
    widths = []

    def encode(ids):
        widths.append(ids.shape[1])
        return ids[:, :1].astype(np.float32)

    rng = np.random.default_rng(0)
    ids = np.zeros((300, 77), np.int64)
    for row, length in enumerate(rng.integers(1, 78, 300)):
        ids[row, :length] = row + 1
    rows = encode_by_length(encode, ids, TextEnd("padding", 0))
    np.testing.assert_array_equal(rows[:, 0], np.arange(1, 301))
    assert widths == sorted(widths)
    assert widths[0] < 40


@pytest.mark.parametrize("pool", ["argmax", "eos"])
@pytest.mark.parametrize("custom", [False, True])
def test_a_causal_tower_cut_to_length_equals_its_own_forward(tiny_config, make_model, pool, custom):
    text = {**tiny_config["text_cfg"], "pool_type": pool, "eos_id": 49407}
    model = make_model({**tiny_config, "text_cfg": text, "custom_text": custom})
    ids = BytePairTokenizer()(TEXTS)
    end = find_text_end(model)
    assert end == (TextEnd("largest") if pool == "argmax" else TextEnd("id", 49407))
    with torch.no_grad():
        full = model.encode_text(ids)
        cut = encode_cut_text(model, ids[:, : int(end.lengths(ids.numpy()).max())])
    torch.testing.assert_close(cut, full, rtol=1e-5, atol=1e-5)


def test_a_tower_without_a_causal_mask_keeps_its_length(tiny_config, make_model):
    text = {**tiny_config["text_cfg"], "no_causal_mask": True}
    assert find_text_end(make_model({**tiny_config, "text_cfg": text})) == TextEnd()
