"""Every parameter falls into one named group; rates, freezing and unfreezing follow the names."""

import pytest
from torch import nn

from cliptune.errors import InputError, UnknownNameError
from cliptune.finetuning.groups import describe_plans, name_groups, plan_groups, select_groups
from cliptune.finetuning.options import TrainableOptions, parse_rates, parse_unfreeze
from tiny_training import make_model

DEFAULT = {"all": 1e-5}


def plans_of(module, **options):
    plans = plan_groups(name_groups(module), TrainableOptions(**options), default_rates=DEFAULT)
    return {plan.group.name: plan for plan in plans}


def training(plans):
    return {name for name, plan in plans.items() if plan.start_epoch is not None}


@pytest.mark.parametrize("custom_text", [False, True])
def test_every_parameter_of_an_open_clip_model_has_one_group(custom_text):
    model = make_model(custom_text=custom_text)
    groups = name_groups(model)
    assert [group.name for group in groups] == [
        *["image.stem", "image.block0", "image.block1", "image.block2", "image.top"],
        "image.projection",
        *["text.stem", "text.block0", "text.block1", "text.top", "text.projection"],
        "logit_scale",
    ]
    names = [name for group in groups for name, _ in group.parameters]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    by_name = {g.name: {n.split(".")[-2] for n, _ in g.parameters if "." in n} for g in groups}
    assert by_name["image.top"] == {"ln_post"}
    assert by_name["text.top"] == {"ln_final"}
    assert "token_embedding" in by_name["text.stem"]


def test_a_residual_tower_is_sorted_by_its_layers():
    tower = {"image_size": 32, "layers": (1, 1, 1, 1), "width": 8, "head_width": 16}
    model = make_model(vision=tower)
    names = [group.name for group in name_groups(model)]
    assert names[:6] == ["image.stem", *(f"image.block{i}" for i in (1, 2, 3, 4)), "image.top"]


def test_head_and_wrapping_do_not_change_the_names(tiny_model):
    both = nn.ModuleDict({"model": tiny_model, "head": nn.Linear(24, 3)})
    names = [group.name for group in name_groups(both)]
    assert names == [*(group.name for group in name_groups(tiny_model)), "head"]


def test_last_blocks_come_with_all_that_follows_them(tiny_model):
    groups = name_groups(tiny_model)
    assert select_groups(groups, "image.last1") == {
        "image.block2",
        "image.top",
        "image.projection",
    }
    assert select_groups(groups, "projection") == {"image.projection", "text.projection"}


def test_unknown_group_lists_the_nearest(tiny_model):
    with pytest.raises(UnknownNameError, match=r"unknown group 'imgae'; nearest: .*image"):
        plans_of(tiny_model, freeze=("imgae",))


def test_the_most_specific_rate_wins_whatever_the_order(tiny_model):
    rates = (("image.block2", 3e-4), ("image", 1e-4), ("all", 1e-6))
    for order in (rates, rates[::-1]):
        plans = plans_of(tiny_model, rates=order)
        assert plans["image.block2"].learning_rate == 3e-4
        assert plans["image.block1"].learning_rate == 1e-4
        assert plans["text.block1"].learning_rate == 1e-6


def test_rate_zero_freezes(tiny_model):
    plans = plans_of(tiny_model, rates=parse_rates("image=1e-5,text=0"))
    assert "text.block0" not in training(plans)
    assert "image.block0" in training(plans)


def test_layer_decay_lowers_the_rate_with_the_distance_from_the_output(tiny_model):
    plans = plans_of(tiny_model, layer_decay=0.5)
    factors = [plans[f"image.{part}"].learning_rate / 1e-5 for part in ("projection", "top")]
    factors += [plans[f"image.block{i}"].learning_rate / 1e-5 for i in (2, 1, 0)]
    factors += [plans["image.stem"].learning_rate / 1e-5, plans["logit_scale"].learning_rate / 1e-5]
    assert factors == pytest.approx([1, 1, 0.5, 0.25, 0.125, 0.0625, 1])


def test_train_and_freeze_leave_their_difference(tiny_model):
    plans = plans_of(tiny_model, train=("image", "logit_scale"), freeze=("image.stem",))
    assert training(plans) == {
        *(f"image.block{i}" for i in range(3)),
        *("image.top", "image.projection", "logit_scale"),
    }


def test_refuses_a_rate_for_a_frozen_group(tiny_model):
    with pytest.raises(InputError, match=r"rate text=1e-05 came for a group that is frozen"):
        plans_of(tiny_model, freeze=("text",), rates=(("text", 1e-5),))
    with pytest.raises(InputError, match="frozen"):
        plans_of(tiny_model, train=("image",), rates=(("logit_scale", 1e-5),))


def test_refuses_to_train_nothing(tiny_model):
    with pytest.raises(InputError, match="nothing is left to train"):
        plans_of(tiny_model, train=("text",), freeze=("text",))
    with pytest.raises(InputError, match="nothing is left to train"):
        plans_of(tiny_model, rates=(("all", 0.0),))


def test_unfreezing_starts_each_group_at_its_epoch_and_leaves_the_rest(tiny_model):
    plans = plans_of(
        tiny_model, unfreeze=parse_unfreeze("0:image.projection 2:image.last1 4:image")
    )
    starts = {name: plan.start_epoch for name, plan in plans.items()}
    assert starts["image.projection"] == 0
    assert starts["image.block2"] == 2
    assert starts["image.stem"] == 4
    assert starts["text.block0"] is None


def test_unfreezing_must_begin_at_once(tiny_model):
    with pytest.raises(InputError, match="nothing trains before epoch 2"):
        plans_of(tiny_model, unfreeze=((2, "image"),))


@pytest.mark.parametrize("text", ["head", "head=fast", "=", "image:1e-5"])
def test_refuses_rates_of_another_form(text):
    with pytest.raises(InputError, match="GROUP=NUMBER"):
        parse_rates(text)


@pytest.mark.parametrize("text", ["head", "x:head", "2:", "-1:all"])
def test_refuses_unfreezing_of_another_form(text):
    with pytest.raises(InputError, match="EPOCH:GROUP"):
        parse_unfreeze(text)


def test_the_table_holds_every_group(tiny_model):
    plans = plan_groups(
        name_groups(tiny_model), TrainableOptions(train=("image",)), default_rates=DEFAULT
    )
    rows = describe_plans(plans)
    assert sum(row["parameters"] for row in rows) == sum(p.numel() for p in tiny_model.parameters())
    frozen = next(row for row in rows if row["group"] == "text.stem")
    assert frozen["learning_rate"] == 0
    assert frozen["start_epoch"] is None
