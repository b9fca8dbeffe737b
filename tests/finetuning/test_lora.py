"""Low-rank updates: what they reach, how they start, and that merging changes no embedding."""

import pytest
import torch
from torch import nn

from cliptune.errors import CheckpointError, InputError
from cliptune.finetuning.groups import name_groups
from cliptune.finetuning.lora import add_lora, lora_targets, merge_lora
from cliptune.finetuning.options import FinetuneOptions, LoraOptions
from cliptune.finetuning.towers import encode_images, encode_tokens
from tiny_training import HashTokenizer, make_model, run

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TOKENS = HashTokenizer()(["red", "a blue dot"])


def rows_of(model):
    return [encode_images(model, IMAGES), encode_tokens(model, TOKENS)]


def disturb(model, size):
    """Move the updates away from zero, as training would."""
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=size)


def test_updates_reach_q_k_v_and_out_of_every_block_and_nothing_else(tiny_model):
    update = add_lora(tiny_model, LoraOptions(rank=2), seed=0)
    expected = [f"visual.transformer.resblocks.{i}.attn.{p}" for i in range(3) for p in PROJECTIONS]
    expected += [f"transformer.resblocks.{i}.attn.{p}" for i in range(2) for p in PROJECTIONS]
    assert sorted(update.targets) == sorted(expected)
    names = [n.split(".lora_A")[0] for n, _ in tiny_model.named_parameters() if ".lora_A" in n]
    assert sorted(names) == sorted(expected)


def test_one_tower_alone_gets_updates_where_the_names_of_the_other_end_alike(tiny_model):
    add_lora(tiny_model, LoraOptions(rank=2, towers=("text",)), seed=0)
    names = [n for n, _ in tiny_model.named_parameters() if "lora_" in n]
    assert names
    assert not [n for n in names if n.startswith("visual")]


def test_the_updates_form_groups_of_their_own(tiny_model):
    add_lora(tiny_model, LoraOptions(rank=2), seed=0)
    groups = {group.name: group for group in name_groups(tiny_model)}
    assert groups["lora.image"].n_parameters == 3 * 4 * 2 * (32 + 32)
    assert groups["lora.text"].n_parameters == 2 * 4 * 2 * (32 + 32)
    assert "image.block2" in groups


def test_updates_start_at_zero_and_follow_from_the_seed(tiny_model):
    before = rows_of(tiny_model)
    add_lora(tiny_model, LoraOptions(rank=2), seed=3)
    for a, b in zip(rows_of(tiny_model), before, strict=True):
        torch.testing.assert_close(a, b)
    other = make_model()
    add_lora(other, LoraOptions(rank=2), seed=3)
    pairs = zip(tiny_model.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_merging_keeps_the_embeddings_and_restores_the_layout(tiny_model):
    layout = {name: tuple(p.shape) for name, p in tiny_model.state_dict().items()}
    start = {name: p.clone() for name, p in tiny_model.state_dict().items()}
    update = add_lora(tiny_model, LoraOptions(rank=2, alpha=4), seed=0)
    disturb(tiny_model, 0.05)
    before = [rows.detach().clone() for rows in rows_of(tiny_model)]
    assert (before[0] - rows_of(make_model())[0]).abs().max() > 1e-3
    error = merge_lora(update, lambda: rows_of(tiny_model))
    assert error <= 1e-4
    for a, b in zip(rows_of(tiny_model), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
    assert {name: tuple(p.shape) for name, p in tiny_model.state_dict().items()} == layout
    changed = {n for n, p in tiny_model.state_dict().items() if not torch.equal(p, start[n])}
    assert len(changed) == 10  # in_proj_weight and out_proj.weight of five blocks
    assert all(n.endswith(("in_proj_weight", "out_proj.weight")) for n in changed)


def test_the_merged_weight_is_the_published_sum(tiny_model):
    """W + alpha / r * B A, for the second of q, k, v."""
    name = "visual.transformer.resblocks.1.attn"
    start = tiny_model.get_submodule(name).in_proj_weight.detach().clone()
    update = add_lora(tiny_model, LoraOptions(rank=2, alpha=6), seed=0)
    disturb(tiny_model, 0.05)
    key = tiny_model.get_submodule(name + ".k_proj")
    low_rank = key.lora_B["default"].weight @ key.lora_A["default"].weight
    expected = start[32:64] + 3.0 * low_rank.detach()
    merge_lora(update, lambda: rows_of(tiny_model))
    merged = tiny_model.get_submodule(name).in_proj_weight[32:64]
    torch.testing.assert_close(merged, expected)


def test_a_convolutional_tower_gets_its_pointwise_layers():
    tower = {"image_size": 32, "layers": (1, 1, 1, 1), "width": 8, "head_width": 16}
    model = make_model(vision=tower)
    before = [rows.detach() for rows in rows_of(model)]
    update = add_lora(model, LoraOptions(rank=2, towers=("image",)), seed=0)
    kinds = {type(model.get_submodule(name).get_base_layer()) for name in update.targets}
    assert kinds == {nn.Conv2d}
    assert not [name for name in update.targets if "attnpool" in name]
    disturb(model, 0.3)
    moved = rows_of(model)
    assert (moved[0] - before[0]).abs().max() > 1e-3
    assert merge_lora(update, lambda: rows_of(model)) <= 1e-4


def test_refuses_a_tower_without_such_layers(tiny_model):
    tiny_model.visual = nn.Sequential(nn.Conv2d(3, 24, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    names = list(tiny_model.state_dict())
    with pytest.raises(InputError, match="the image tower has none; leave that tower out"):
        add_lora(tiny_model, LoraOptions(), seed=0)
    assert list(tiny_model.state_dict()) == names


def test_targets_of_a_plain_model_leave_out_layers_that_are_never_called(tiny_model):
    assert lora_targets(tiny_model, ("image", "text")) == ()


def test_a_merge_that_changes_the_embeddings_is_refused(tiny_model):
    update = add_lora(tiny_model, LoraOptions(rank=2), seed=0)
    calls = iter([[torch.zeros(2, 3)], [torch.full((2, 3), 2e-4)]])
    with pytest.raises(CheckpointError, match=r"changed the embeddings by 2\.0e-04"):
        merge_lora(update, lambda: next(calls))


def test_updates_that_are_not_finite_are_refused(tiny_model):
    update = add_lora(tiny_model, LoraOptions(rank=2), seed=0)
    disturb(tiny_model, float("inf"))
    with pytest.raises(CheckpointError, match="cannot be merged"):
        merge_lora(update, lambda: [torch.zeros(1)])


def test_a_run_in_bf16_is_held_to_the_same_parity():
    """Rounding to bf16 alone would differ by more than the merge may."""
    options = FinetuneOptions(
        method="lora", precision="bf16", learning_rate=1e-2, epochs=1, batch_size=8
    )
    _, events = run(options=options)
    assert 0 < events[-1].merge_error <= 1e-4
