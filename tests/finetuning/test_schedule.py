"""Optimiser groups, frozen parameters and the rate at every step."""

import math

import pytest
import torch
from torch import nn

from cliptune.finetuning.groups import name_groups, plan_groups
from cliptune.finetuning.options import OptimizerOptions, TrainableOptions
from cliptune.finetuning.schedule import build_optimizer, rate_factor, set_rates, set_trainable


def plans_of(module, **options):
    return plan_groups(
        name_groups(module), TrainableOptions(**options), default_rates={"all": 1e-3}
    )


def test_the_rate_rises_then_falls_as_a_cosine():
    factors = [rate_factor(step, n_steps=100, warmup=0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert factors[10] == 1.0
    assert max(factors) == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))


def test_without_warm_up_the_first_step_is_full():
    assert rate_factor(0, n_steps=10, warmup=0.0) == 1.0


def test_a_group_that_starts_later_warms_up_on_its_own(tiny_model):
    plans = plans_of(tiny_model, unfreeze=((0, "image.projection"), (2, "image")))
    optimizer = build_optimizer(plans, OptimizerOptions())
    steps = {"n_steps": 40, "steps_a_epoch": 10, "warmup": 0.1}
    assert set_rates(optimizer, 19, **steps)["image.block0"] == 0.0
    first = set_rates(optimizer, 20, **steps)
    assert first["image.block0"] == pytest.approx(first["image.projection"] / 5)
    later = set_rates(optimizer, 25, **steps)
    assert later["image.block0"] == later["image.projection"]


def test_weight_decay_spares_norms_biases_scalars_and_positions(tiny_model):
    optimizer = build_optimizer(plans_of(tiny_model), OptimizerOptions(weight_decay=0.1))
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    names = {name for name, p in tiny_model.named_parameters() if id(p) in decayed}
    assert "visual.transformer.resblocks.0.attn.in_proj_weight" in names
    assert not [n for n in names if "ln_" in n or n.endswith("bias") or "positional" in n]
    assert "logit_scale" not in names


def test_every_training_parameter_is_in_the_optimizer_once(tiny_model):
    optimizer = build_optimizer(
        plans_of(tiny_model, train=("image",)), OptimizerOptions(name="sgd")
    )
    found = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in tiny_model.visual.parameters())


def test_gradients_flow_to_the_groups_of_the_epoch_and_no_other(tiny_model):
    plans = plans_of(tiny_model, unfreeze=((0, "image.projection"), (2, "image")))
    set_trainable(plans, 1)
    open_now = {name for name, p in tiny_model.named_parameters() if p.requires_grad}
    assert open_now == {"visual.proj"}
    set_trainable(plans, 2)
    assert all(p.requires_grad for p in tiny_model.visual.parameters())
    assert not tiny_model.logit_scale.requires_grad


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_takes_the_step_of_the_published_rule(nesterov):
    """Two steps on f(w) = w: v <- m v + 1; w <- w - lr v (or lr (1 + m v) with Nesterov)."""
    head = nn.ModuleDict({"head": nn.Linear(1, 1, bias=False)})
    plans = plan_groups(name_groups(head), TrainableOptions(), default_rates={"head": 0.1})
    options = OptimizerOptions(name="sgd", momentum=0.5, nesterov=nesterov, weight_decay=0.0)
    optimizer = build_optimizer(plans, options)
    weight = head["head"].weight
    torch.nn.init.zeros_(weight)
    for _ in range(2):
        set_rates(optimizer, 0, n_steps=2, steps_a_epoch=2, warmup=0.0)
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    steps = [1 + 0.5 * 1, 1 + 0.5 * 1.5] if nesterov else [1.0, 1.5]
    assert weight.item() == pytest.approx(-0.1 * sum(steps))
