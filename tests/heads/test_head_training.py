from dataclasses import replace

import numpy as np
import pytest
import torch
from head_rows import SCALE, as_tokens, make_clusters
from torch.nn.functional import cross_entropy, normalize

from cliptune.errors import InputError
from cliptune.heads import HEADS, Member, TrainingPlan
from cliptune.heads.attention_stack import AttentionStack
from cliptune.heads.cache_keys import CacheStack
from cliptune.heads.contract import check_fit
from cliptune.heads.dual_linear_stack import DualLinearStack
from cliptune.heads.grids import fit_grid
from cliptune.heads.linear_sgd import LinearStack
from cliptune.heads.products import rounded_factors
from cliptune.heads.training import train_one, train_stacked

# Heads share the cores, so that what they share must be right where there are two.
pytestmark = pytest.mark.usefixtures("two_threads")
CLUSTERS = make_clusters(noise=1.0)
PLAN = TrainingPlan(epochs=4, batch_size=32)


def data_of(clusters=CLUSTERS, *, validation=True, tokens=False):
    shape = as_tokens if tokens else lambda rows: rows
    return check_fit(
        shape(clusters.X),
        clusters.y,
        text_rows=clusters.text_rows,
        logit_scale=SCALE,
        n_classes=None,
        validation=(shape(clusters.X_val), clusters.y_val) if validation else None,
        needs="tokens" if tokens else "pooled",
    )


def linear_stack(clusters=CLUSTERS, **options):
    return LinearStack(clusters.text_rows, SCALE, **options)


def dual_stack(clusters=CLUSTERS, **options):
    return DualLinearStack(clusters.text_rows, SCALE, **options)


def attention_stack(clusters=CLUSTERS):
    return AttentionStack(clusters.text_rows, SCALE, n_heads=4, token_norm=3.0)


def cache_stack(clusters=CLUSTERS):
    labels = np.sort(clusters.y)
    keys = clusters.X[np.argsort(clusters.y, kind="stable")]
    return CacheStack(keys, labels, clusters.text_rows, SCALE, weights=(1.0, 5.5))


def grid(rates, decays=(0.0,), seeds=(0,)):
    return [Member(lr, decay, seed) for lr in rates for decay in decays for seed in seeds]


def train(stack, members, plan=PLAN, **options):
    found = list(train_stacked(stack, data_of(**options), members, plan))
    return sorted(found, key=lambda trained: trained.index)


def perturbed(stack, n_heads=3):
    torch.manual_seed(0)
    start = stack.start(0)
    return {
        name: (value + 0.2 * torch.randn(n_heads, *value.shape[1:])).requires_grad_()
        for name, value in start.items()
    }


def dual_logits(parameters, X, texts, ratio):
    sides = []
    for side, rows in (("image", X), ("text", texts)):
        out = torch.einsum("nd,med->mne", rows, parameters[f"{side}_weight"])
        out = out + parameters[f"{side}_bias"][:, None]
        sides.append(normalize(ratio * out + (1 - ratio) * rows, dim=2))
    return SCALE * sides[0] @ sides[1].transpose(1, 2)


@pytest.mark.parametrize("ratio", [1.0, 0.4])
def test_dual_linear_gradient_agrees_with_automatic_differentiation(ratio):
    stack = dual_stack(residual_ratio=ratio)
    parameters = perturbed(stack)
    X, y = torch.from_numpy(CLUSTERS.X[:10]), torch.from_numpy(CLUSTERS.y[:10])
    logits = dual_logits(parameters, X, torch.from_numpy(CLUSTERS.text_rows), ratio)
    losses = torch.stack([cross_entropy(one, y) for one in logits])
    losses.sum().backward()
    plain = {name: value.detach() for name, value in parameters.items()}
    into = {name: torch.ones_like(value) for name, value in plain.items()}
    sums, correct = stack.accumulate(plain, X, y, into, beta=0.5)
    assert torch.allclose(sums / 10, losses, atol=1e-5)
    assert torch.equal(correct, (logits.argmax(dim=2) == y).sum(dim=1))
    assert torch.allclose(stack.logits(plain, X), logits, atol=1e-4)
    for name, value in parameters.items():
        assert torch.allclose(into[name] - 0.5, value.grad, atol=2e-5), name


def test_linear_gradient_agrees_with_automatic_differentiation():
    stack = linear_stack()
    parameters = perturbed(stack)
    X, y = torch.from_numpy(CLUSTERS.X[:10]), torch.from_numpy(CLUSTERS.y[:10])
    logits = SCALE * (X @ parameters["weight"].transpose(1, 2) + parameters["bias"][:, None])
    losses = torch.stack([cross_entropy(one, y) for one in logits])
    losses.sum().backward()
    plain = {name: value.detach() for name, value in parameters.items()}
    into = {name: torch.ones_like(value) for name, value in plain.items()}
    sums, correct = stack.accumulate(plain, X, y, into, beta=0.5)
    assert torch.allclose(sums / 10, losses, atol=1e-5)
    assert torch.equal(correct, (logits.argmax(dim=2) == y).sum(dim=1))
    for name, value in parameters.items():
        assert torch.allclose(into[name] - 0.5, value.grad, atol=2e-5), name


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_one_head_follows_torch_optim(optimizer, schedule):
    plan = TrainingPlan(optimizer=optimizer, schedule=schedule, epochs=3, batch_size=50)
    trained = train_one(linear_stack(), data_of(validation=False), Member(0.01, seed=5), plan)
    weight = torch.tensor(CLUSTERS.text_rows, requires_grad=True)
    bias = torch.zeros(4, requires_grad=True)
    if optimizer == "sgd":
        theirs = torch.optim.SGD([weight, bias], lr=0.01, momentum=0.9)
    else:
        theirs = torch.optim.AdamW([weight, bias], lr=0.01, weight_decay=0)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=9)
    X, y = torch.from_numpy(CLUSTERS.X), torch.from_numpy(CLUSTERS.y)
    for epoch in range(1, 4):
        order = np.random.default_rng([5, epoch]).permutation(len(X))
        for first in range(0, len(X), 50):
            rows = order[first : first + 50]
            theirs.zero_grad()
            cross_entropy(SCALE * (X[rows] @ weight.T + bias), y[rows]).backward()
            theirs.step()
            if schedule == "cosine":
                falling.step()
    assert np.allclose(trained.parameters["weight"], weight.detach(), atol=2e-5)
    assert np.allclose(trained.parameters["bias"], bias.detach(), atol=2e-5)


@pytest.mark.parametrize("make", [linear_stack, dual_stack, attention_stack, cache_stack])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_stack_trains_each_head_as_alone(make, optimizer):
    plan = TrainingPlan(optimizer=optimizer, epochs=3, batch_size=32)
    members = grid([1e-3, 1e-2], [0.0, 0.1], seeds=[0, 7])
    tokens = make is attention_stack
    together = train(make(), members, plan, tokens=tokens)
    for index, member in enumerate(members):
        alone = train_one(make(), data_of(tokens=tokens), member, plan)
        assert together[index].member == member
        assert together[index].best_epoch == alone.best_epoch
        for name, value in alone.parameters.items():
            assert np.allclose(together[index].parameters[name], value, atol=2e-5), name
        for ours, theirs in zip(together[index].history, alone.history, strict=True):
            assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-4)
            assert ours.val_accuracy == theirs.val_accuracy


@pytest.mark.parametrize("ratio", [1.0, 0.4])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_a_factored_text_layer_takes_the_same_steps_as_the_whole_one(ratio, decay):
    assert CLUSTERS.text_rows.shape[0] < CLUSTERS.text_rows.shape[1]
    stacks = [dual_stack(linear_steps=linear, residual_ratio=ratio) for linear in (True, False)]
    assert "text_factor" in stacks[0].start(0)
    trained = [train(stack, grid([1e-2], [decay]))[0] for stack in stacks]
    factored, whole = (
        stack.layers(one.parameters) for stack, one in zip(stacks, trained, strict=True)
    )
    assert factored.keys() == whole.keys()
    assert np.abs(whole["text_weight"] - np.eye(len(whole["text_weight"]))).max() > 1e-3
    for name, value in whole.items():
        assert np.allclose(factored[name], value, atol=2e-6), name
    assert trained[0].history[-1].val_loss == pytest.approx(trained[1].history[-1].val_loss)


def test_a_stack_divided_by_memory_gives_the_same_heads():
    members = grid(np.geomspace(1e-4, 1e-1, 5).tolist())
    whole = train(dual_stack(), members)
    # Two parameter sets, momentum and best ones, and a batch of 32: about 13 kB a head.
    split_plan = TrainingPlan(epochs=4, batch_size=32, max_memory_bytes=30_000)
    parts = list(train_stacked(dual_stack(), data_of(), members, split_plan))
    assert len({trained.seconds for trained in parts}) == 3  # stacks of 2, 2 and 1
    for ours, theirs in zip(whole, sorted(parts, key=lambda t: t.index), strict=True):
        for name, value in theirs.parameters.items():
            assert np.allclose(ours.parameters[name], value, atol=2e-5)


def test_too_little_memory_says_what_one_head_takes():
    plan = TrainingPlan(max_memory_bytes=1000)
    with pytest.raises(InputError, match=r"max_memory_bytes is 1000, one head takes \d{5}"):
        train(dual_stack(), grid([0.1]), plan)


@pytest.mark.parametrize("make", [linear_stack, dual_stack])
def test_a_diverging_head_is_marked_and_leaves_the_others_alone(make):
    good, bad = Member(1e-3), Member(1e38)
    _, burst, after = train(make(), [good, bad, good])
    (alone,) = train(make(), [good])
    assert burst.diverged
    assert burst.best_epoch == 0
    assert not np.isfinite(burst.history[-1].train_loss + burst.history[-1].val_loss)
    start = make().start(0)
    for name, value in burst.parameters.items():
        assert np.array_equal(value, start[name][0])
    assert not after.diverged
    for name, value in alone.parameters.items():
        assert np.allclose(after.parameters[name], value, atol=1e-6)


def test_a_loss_above_its_start_counts_as_diverged():
    member = Member(100.0)
    (trained,) = train(linear_stack(), [member], validation=False)
    assert np.isfinite(trained.history[-1].train_loss)
    assert trained.history[-1].train_loss > trained.history[0].train_loss
    assert trained.diverged


def test_without_validation_a_diverged_head_falls_back_to_its_start():
    (trained,) = train(linear_stack(), [Member(1e38)], validation=False)
    assert trained.diverged
    assert trained.best_epoch == 0
    assert np.array_equal(trained.parameters["weight"], CLUSTERS.text_rows)


def test_epoch_0_is_the_zero_shot_answer():
    trained = train(dual_stack(), grid([1e-3, 1e-2]))
    logits = torch.from_numpy(SCALE * CLUSTERS.X @ CLUSTERS.text_rows.T)
    y = torch.from_numpy(CLUSTERS.y)
    for one in trained:
        assert one.history[0].train_loss == pytest.approx(float(cross_entropy(logits, y)), rel=1e-5)
        assert one.history[0].train_accuracy == float((logits.argmax(1) == y).double().mean())


def test_early_stopping_keeps_the_best_epoch():
    plan = TrainingPlan(epochs=200, batch_size=32, schedule="constant", patience=3)
    (trained,) = train(linear_stack(), [Member(0.02)], plan)
    losses = [record.val_loss for record in trained.history]
    assert len(losses) < 201
    assert trained.best_epoch == int(np.argmin(losses)) == len(losses) - 1 - 3
    weight, bias = trained.parameters["weight"], trained.parameters["bias"]
    logits = torch.from_numpy(SCALE * (CLUSTERS.X_val @ weight.T + bias))
    loss = float(cross_entropy(logits, torch.from_numpy(CLUSTERS.y_val)))
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_stopped_heads_do_not_stop_the_others():
    plan = TrainingPlan(epochs=30, batch_size=32, schedule="constant", patience=2)
    fast, slow = train(linear_stack(), grid([0.1, 1e-4]), plan)
    assert len(fast.history) < len(slow.history) == 31


def test_weight_decay_pulls_towards_the_start():
    free, held = train(linear_stack(), grid([0.01], [0.0, 50.0]), validation=False)
    start = CLUSTERS.text_rows
    moved = [np.abs(one.parameters["weight"] - start).mean() for one in (free, held)]
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or not torch.cpu.get_capabilities().get("avx512_bf16"),
    reason="no bfloat16 instructions here",
)
@pytest.mark.parametrize("make", [linear_stack, dual_stack, cache_stack, attention_stack])
def test_bfloat16_products_stay_near_fp32(make):
    members, tokens = grid(np.geomspace(1e-3, 1e-2, 8)), make is attention_stack
    # torch multiplies few numbers in fp32 all the same; how few depends on the processor
    wide, plan = make_clusters(noise=4.0, dim=256), replace(PLAN, batch_size=120)
    exact, rounded = (
        train(make(wide), members, replace(plan, products=kind), clusters=wide, tokens=tokens)
        for kind in ("fp32", "bf16")
    )
    for one, other in zip(exact, rounded, strict=True):
        assert one.history[-1].val_loss == pytest.approx(other.history[-1].val_loss, rel=0.03)
        assert any(
            not np.array_equal(one.parameters[k], other.parameters[k]) for k in one.parameters
        )


def test_the_rounding_of_factors_comes_back_to_what_it_was():
    before = torch.get_float32_matmul_precision()
    with pytest.raises(RuntimeError), rounded_factors("bf16"):
        assert torch.get_float32_matmul_precision() == "medium"
        raise RuntimeError
    assert torch.get_float32_matmul_precision() == before


def test_how_many_steps_a_share_takes_at_once_changes_no_bit(monkeypatch):
    def run():
        return list(train_stacked(linear_stack(), data_of(), grid([0.01, 0.1], seeds=[0]), PLAN))

    at_once = run()
    monkeypatch.setattr("cliptune.heads.stack_run._BATCHES_BYTES", 1)
    assert len(CLUSTERS.X) > 2 * PLAN.batch_size
    for one, other in zip(at_once, run(), strict=True):
        for name, values in one.parameters.items():
            np.testing.assert_array_equal(values, other.parameters[name])
        assert [e.val_loss for e in one.history] == [e.val_loss for e in other.history]
        assert one.history[-1].train_loss == pytest.approx(other.history[-1].train_loss, rel=1e-12)


def test_finished_stacks_arrive_before_the_grid_ends():
    arriving = train_stacked(linear_stack(), data_of(), grid([0.01], seeds=[0, 1]), PLAN)
    assert next(arriving).member.seed == 0  # the second seed has not been trained yet
    assert [trained.member.seed for trained in arriving] == [1]


@pytest.mark.parametrize("name", ["linear-sgd", "dual-linear", "attention"])
def test_a_grid_of_a_head_holds_what_its_fit_gives(name):
    clusters = CLUSTERS
    shape = as_tokens if name == "attention" else lambda rows: rows
    arguments = {
        "text_rows": clusters.text_rows,
        "logit_scale": SCALE,
        "validation": (shape(clusters.X_val), clusters.y_val),
    }
    head = HEADS[name](lr=0.003, plan=PLAN)
    members = [Member(0.03), Member(0.003)]
    grid_of = list(fit_grid(head, shape(clusters.X), clusters.y, members=members, **arguments))
    adopted = HEADS[name](lr=0.003, plan=PLAN).adopt(
        grid_of[1], data_of(tokens=name == "attention")
    )
    fitted = head.fit(shape(clusters.X), clusters.y, **arguments)
    X = shape(clusters.X_test)
    assert np.allclose(adopted.predict_logits(X), fitted.predict_logits(X), atol=2e-3)
    assert adopted.best_epoch_ == fitted.best_epoch_


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adam"}, "optimizer 'adam'"),
        ({"epochs": 0}, "epochs 0"),
        ({"batch_size": 0}, "batch size 0"),
        ({"momentum": 1.0}, "momentum 1"),
        ({"schedule": "step"}, "schedule 'step'"),
        ({"patience": 0}, "patience 0"),
        ({"products": "fp16"}, "products 'fp16'"),
        ({"max_memory_bytes": 0}, "max memory 0"),
    ],
)
def test_refuses_plans_that_make_no_sense(changes, message):
    with pytest.raises(InputError, match=message):
        TrainingPlan(**changes)


@pytest.mark.parametrize("arguments", [(0.0,), (float("nan"),), (0.1, -1.0), (0.1, 0.0, -1)])
def test_refuses_members_that_make_no_sense(arguments):
    with pytest.raises(InputError, match="expected"):
        Member(*arguments)
