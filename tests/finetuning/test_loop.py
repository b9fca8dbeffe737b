"""The loop from epoch 0 to the chosen weights: what it measures, moves and leaves alone."""

import dataclasses

import numpy as np
import pytest
import torch

from cliptune.errors import BadImageError, InputError, RunError, UnknownNameError
from cliptune.finetuning.data import TrainingData, WatchData
from cliptune.finetuning.loop import finetune
from cliptune.finetuning.options import FinetuneOptions, OptimizerOptions, TrainableOptions
from cliptune.finetuning.records import (
    EpochRecord,
    HeadRecord,
    Interpolation,
    StepRecord,
    TrainingOutcome,
    TrainingPlan,
)
from cliptune.finetuning.step import NonFiniteError
from cliptune.prompts import ensemble_rows
from tiny_training import (
    ColourTable,
    make_data,
    make_encoder,
    make_model,
    run,
    weights_of,
)

FAST = FinetuneOptions(epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32", seed=3)


def epochs_of(events):
    return [event for event in events if isinstance(event, EpochRecord)]


def zero_shot(encoder, table, templates):
    """Accuracy and log loss through the encoder's own path, not the loop's."""
    pixels = np.stack([encoder.preprocess(table.load_image(row)) for row in range(len(table))])
    rows = ensemble_rows(encoder.encode_texts, table.class_names, templates)
    logits = torch.from_numpy(encoder.logit_scale * encoder.encode_images(pixels) @ rows.T)
    labels = torch.from_numpy(table.labels)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return accuracy, torch.nn.functional.cross_entropy(logits, labels).item()


def test_events_come_in_order():
    _, events = run(options=FAST)
    kinds = [type(event) for event in events]
    steps = [StepRecord] * 3
    assert kinds == [
        *(TrainingPlan, EpochRecord, *steps, EpochRecord, *steps, EpochRecord),
        *(Interpolation, TrainingOutcome),
    ]
    assert [event.step for event in events if isinstance(event, StepRecord)] == [1, 2, 3, 4, 5, 6]
    assert [record.epoch for record in epochs_of(events)] == [0, 1, 2]


def test_epoch_0_is_zero_shot_and_training_improves_on_it():
    data = make_data()
    expected = zero_shot(make_encoder(), data.val, data.templates)
    encoder, events = run(data=data, options=FAST)
    first, *_, last = epochs_of(events)
    assert (first.val.accuracy, first.val.log_loss) == pytest.approx(expected, abs=1e-5)
    assert first.loss is None
    assert last.val.is_better_than(first.val)
    assert last.train.n == 24
    result = events[-1]
    assert result.val.n == 12
    found = zero_shot(encoder, data.val, data.templates)
    assert (result.val.accuracy, result.val.log_loss) == pytest.approx(found, abs=1e-5)


def test_the_plan_tells_groups_sizes_and_precision():
    _, (plan, *_) = run(options=dataclasses.replace(FAST, epochs=1))
    assert (plan.loss, plan.precision, plan.batch_size) == ("class-aware", "fp32", 8)
    assert (plan.steps_an_epoch, plan.n_processes, plan.resumed_at_step) == (3, 1, 0)
    rates = {row["group"]: row["learning_rate"] for row in plan.groups}
    assert rates["image.block0"] == 1e-3


def test_one_seed_gives_one_result_and_another_gives_another():
    options = dataclasses.replace(FAST, epochs=1, interpolate=False)
    first, second = (weights_of(run(options=options)[0]) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = weights_of(run(options=dataclasses.replace(options, seed=4))[0])
    assert not all(torch.equal(first[name], third[name]) for name in first)


@pytest.mark.parametrize("loss", ["clip", "cross-entropy", "sigmoid"])
def test_every_loss_trains(loss):
    _, events = run(options=dataclasses.replace(FAST, loss=loss))
    first, *_, last = epochs_of(events)
    assert last.val.log_loss < first.val.log_loss


def test_batches_in_parts_take_the_same_steps():
    whole = run(options=FAST)[1]
    parts = run(options=dataclasses.replace(FAST, micro_batch_size=3))[1]
    losses = [[e.loss for e in events if isinstance(e, StepRecord)] for events in (whole, parts)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_the_largest_batch_that_fits_is_all_of_a_tiny_data_set():
    _, (plan, *_) = run(options=dataclasses.replace(FAST, epochs=1, batch_size="auto"))
    assert (plan.batch_size, plan.micro_batch_size, plan.steps_an_epoch) == (24, 24, 1)


def test_frozen_groups_keep_every_bit():
    encoder = make_encoder()
    before = weights_of(encoder)
    options = dataclasses.replace(FAST, trainable=TrainableOptions(train=("image.last1",)))
    run(encoder, options=options)
    after = weights_of(encoder)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "visual.transformer.resblocks.2.attn.in_proj_weight" in moved
    assert all(
        n.startswith(("visual.transformer.resblocks.2", "visual.ln_post", "visual.proj"))
        for n in moved
    )


def test_unfreezing_lets_a_group_move_only_from_its_epoch_on():
    encoder = make_encoder()
    text = encoder.model.ln_final.weight.detach().clone()
    unfreeze = ((0, "image"), (1, "text"))
    options = dataclasses.replace(FAST, trainable=TrainableOptions(unfreeze=unfreeze))
    moved = []
    for event in finetune(encoder, make_data(), options):
        if isinstance(event, StepRecord):
            moved.append(not torch.equal(encoder.model.ln_final.weight, text))
    assert moved == [False] * 3 + [True] * 3


def test_batch_norm_statistics_stay_frozen():
    tower = {"image_size": 32, "layers": (1, 1, 1, 1), "width": 8, "head_width": 16}
    encoder = make_encoder(make_model(vision=tower))
    before = weights_of(encoder)
    for event in finetune(encoder, make_data(), dataclasses.replace(FAST, epochs=1)):
        if isinstance(event, StepRecord):
            after = weights_of(encoder)
    statistics = [name for name in before if "running" in name or "num_batches" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert not torch.equal(before["visual.bn1.weight"], after["visual.bn1.weight"])


def test_training_that_does_harm_ends_with_the_starting_weights():
    """Labels of the training images are wrong, those of validation are right."""
    good, _ = run(options=dataclasses.replace(FAST, epochs=4))
    start = weights_of(good)
    wrong = ColourTable(24)
    object.__setattr__(wrong, "labels", (wrong.labels + 1) % 3)
    data = TrainingData(wrong, ColourTable(12, seed=1), ("a photo of a {}.", "{}"))
    _, events = run(good, data, FAST)
    interpolation = next(e for e in events if isinstance(e, Interpolation))
    assert interpolation.alpha == 0.0
    assert [p.alpha for p in interpolation.curve] == [round(i / 10, 1) for i in range(11)]
    assert interpolation.curve[-1].val.accuracy < interpolation.curve[0].val.accuracy
    after = weights_of(good)
    assert all(torch.equal(start[name], after[name]) for name in start)
    _, events = run(good, data, dataclasses.replace(FAST, interpolate=False))
    assert events[-1].best_epoch == 0
    assert all(torch.equal(start[n], tensor) for n, tensor in weights_of(good).items())


def test_patience_ends_the_run_early():
    frozen = TrainableOptions(train=("logit_scale",))
    options = dataclasses.replace(FAST, epochs=9, patience=2, trainable=frozen, learning_rate=1e-12)
    _, events = run(options=options)
    assert events[-1].stopped_early
    assert len(epochs_of(events)) < 9


def test_watched_data_is_scored_at_every_epoch_and_along_the_mixture():
    watch = {"greys": WatchData(ColourTable(9, ("dark", "light"), seed=5))}
    _, events = run(options=dataclasses.replace(FAST, epochs=1), watch=watch)
    expected = zero_shot(make_encoder(), watch["greys"].images, watch["greys"].templates)
    first, last = epochs_of(events)
    assert first.watch["greys"].accuracy == pytest.approx(expected[0])
    interpolation = next(e for e in events if isinstance(e, Interpolation))
    assert interpolation.curve[0].watch["greys"].log_loss == pytest.approx(expected[1], abs=1e-5)
    assert interpolation.curve[-1].watch["greys"].log_loss == pytest.approx(
        last.watch["greys"].log_loss
    )


def test_captions_are_trained_as_pairs_and_scored_by_retrieval():
    def captioned(n, seed):
        plain = ColourTable(n, seed=seed)
        texts = tuple(
            (f"{plain.class_names[c]} number {r}", "noise") for r, c in enumerate(plain.labels)
        )
        return dataclasses.replace(plain, captions=texts)

    data = TrainingData(captioned(12, 0), captioned(6, 1))
    _, events = run(data=data, options=dataclasses.replace(FAST, batch_size=6))
    assert events[0].loss == "clip"
    first, *_, last = epochs_of(events)
    assert last.loss is not None
    assert first.val.n == 6
    with pytest.raises(InputError, match="loss class-aware needs classes"):
        run(data=data, options=dataclasses.replace(FAST, batch_size=6, loss="class-aware"))
    with pytest.raises(InputError, match="loss cross-entropy needs classes"):
        run(data=data, options=FinetuneOptions(method="head-then-full"))


def test_lora_moves_attention_alone_and_merges_within_tolerance():
    encoder = make_encoder()
    before = weights_of(encoder)
    _, events = run(encoder, options=dataclasses.replace(FAST, method="lora", learning_rate=1e-2))
    after = weights_of(encoder)
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(n.endswith(("attn.in_proj_weight", "attn.out_proj.weight")) for n in moved)
    assert 0 <= events[-1].merge_error <= 1e-4
    first, *_, last = epochs_of(events)
    assert last.val.is_better_than(first.val)


def test_the_head_is_fitted_before_anything_else_moves():
    encoder = make_encoder()
    data = make_data()
    _, events = run(encoder, data, dataclasses.replace(FAST, method="head-then-full"))
    first, head = events[1], events[2]
    assert isinstance(first, EpochRecord)
    assert isinstance(head, HeadRecord)
    assert first.val.accuracy == pytest.approx(
        zero_shot(make_encoder(), data.val, data.templates)[0]
    )
    assert head.val.is_better_than(first.val)
    weight, bias = events[-1].head
    assert (weight.shape, bias.shape) == ((3, 24), (3,))
    pixels = np.stack([encoder.preprocess(data.val.load_image(row)) for row in range(12)])
    logits = encoder.encode_images(pixels) @ weight.T + bias
    accuracy = (logits.argmax(1) == data.val.labels).mean()
    assert accuracy == pytest.approx(events[-1].val.accuracy)
    text = [n for n in weights_of(encoder) if not n.startswith("visual")]
    assert all(torch.equal(weights_of(encoder)[n], weights_of(make_encoder())[n]) for n in text)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_that_is_left_early_gives_the_module_its_own_layout_back(method):
    encoder = make_encoder()
    names = list(encoder.model.state_dict())
    events = finetune(encoder, make_data(), dataclasses.replace(FAST, method=method))
    next(event for event in events if isinstance(event, StepRecord))
    events.close()
    assert list(encoder.model.state_dict()) == names
    kinds = {type(block.attn).__name__ for block in encoder.model.visual.transformer.resblocks}
    assert kinds == {"MultiheadAttention"}


class Poisoned(torch.nn.Module):
    """A layer whose third pass with gradients goes wrong, as an overflow would."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))
        self.passes = 0

    def forward(self, x):
        self.passes += torch.is_grad_enabled()
        return x * self.gain * (float("inf") if self.passes == 3 else 1.0)


def test_stops_at_the_first_loss_that_is_not_finite_and_keeps_what_was_before(tmp_path):
    model = make_model()
    model.visual.ln_pre = Poisoned()
    encoder, seen = make_encoder(model), []
    with pytest.raises(NonFiniteError, match=r"step 3 of epoch 1: the loss is nan"):
        for event in finetune(
            encoder, make_data(), dataclasses.replace(FAST, micro_batch_size=8), folder=tmp_path
        ):
            seen.append(event)
            if isinstance(event, StepRecord):
                kept = {n: p.clone() for n, p in encoder.model.named_parameters()}
    assert isinstance(seen[-1], StepRecord)
    from cliptune.finetuning.checkpoints import load_state

    state = load_state(tmp_path)
    assert state.facts["batch"] == 2
    same = [torch.equal(state.weights[f"model.{n}"], tensor) for n, tensor in kept.items()]
    assert all(same)


def test_names_the_tensor_whose_gradient_is_not_finite():
    encoder = make_encoder()
    encoder.model.visual.proj.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFiniteError, match=r"the gradient of model\.visual\.proj is not finite"):
        run(encoder, options=FAST)


def test_an_unreadable_image_stops_the_run_with_its_own_error():
    class Broken(ColourTable):
        def load_image(self, row):
            if row == 5:
                raise BadImageError("0005.png: cut off")
            return super().load_image(row)

    with pytest.raises(BadImageError, match=r"0005\.png"):
        run(data=TrainingData(Broken(24), ColourTable(12)), options=FAST)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 64}, InputError, "a batch of 64 is larger than the 24 training images"),
        ({"batch_size": 1}, InputError, "leaves a contrastive loss without negatives"),
        (
            {"method": "full", "trainable": TrainableOptions(train=("head",))},
            UnknownNameError,
            "unknown group 'head'",
        ),
        (
            {"trainable": TrainableOptions(freeze=("all",))},
            InputError,
            "nothing is left to train",
        ),
        (
            {"trainable": TrainableOptions(freeze=("text",), rates=(("text", 1e-5),))},
            InputError,
            "a group that is frozen",
        ),
    ],
)
def test_refuses_options_that_do_not_fit_before_anything_is_computed(options, error, message):
    encoder = make_encoder()
    before = weights_of(encoder)
    with pytest.raises(error, match=message):
        run(encoder, options=dataclasses.replace(FAST, **options))
    assert all(torch.equal(before[n], tensor) for n, tensor in weights_of(encoder).items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lore"}, r"unknown method 'lore'; nearest: lora"),
        ({"loss": "clap"}, "unknown loss 'clap'; nearest: clip"),
        ({"epochs": 0}, "epochs 0 came"),
        ({"batch_size": 0}, "batch size 0 came"),
        ({"learning_rate": -1.0}, "learning rate -1 came"),
        ({"method": "head-then-full", "loss": "clip"}, "trains its head by cross-entropy"),
    ],
)
def test_refuses_values_that_no_run_could_use(options, message):
    with pytest.raises(InputError, match=message):
        FinetuneOptions(**options)
    with pytest.raises(InputError, match="nesterov came with sgd and momentum 0"):
        OptimizerOptions(name="sgd", momentum=0.0, nesterov=True)
    with pytest.raises(InputError, match="nesterov came with adamw"):
        OptimizerOptions(nesterov=True)


def test_refuses_an_encoder_in_half_precision(tiny_encoder):
    tiny_encoder.precision = "bf16"
    with pytest.raises(InputError, match="training keeps its weights in fp32"):
        run(tiny_encoder, options=FAST)


def test_refuses_unlabelled_images_and_no_validation():
    partly = ColourTable(24)
    partly.labels[3] = -1
    with pytest.raises(ValueError, match="1 of the 24 training images have no label"):
        run(data=TrainingData(partly, ColourTable(6)), options=FAST)
    with pytest.raises(ValueError, match="no validation image"):
        run(data=TrainingData(ColourTable(24), ColourTable(0)), options=FAST)


def test_refuses_to_write_over_a_run_and_to_resume_from_nothing(tmp_path):
    run(options=dataclasses.replace(FAST, epochs=1), folder=tmp_path)
    with pytest.raises(RunError, match="holds a run already"):
        run(options=FAST, folder=tmp_path)
    with pytest.raises(RunError, match="cannot read the checkpoint"):
        run(options=FAST, folder=tmp_path / "nothing", resume=True)
    with pytest.raises(InputError, match="a resume came without a folder"):
        run(options=FAST, resume=True)


def test_bf16_training_keeps_float32_weights_and_learns():
    encoder, events = run(options=dataclasses.replace(FAST, precision="bf16"))
    assert {tensor.dtype for tensor in weights_of(encoder).values()} == {torch.float32}
    first, *_, last = epochs_of(events)
    assert last.val.is_better_than(first.val)


def test_unknown_and_missing_trackers_are_refused(monkeypatch):
    with pytest.raises(UnknownNameError, match="unknown tracker 'tensorbord'; nearest"):
        run(options=FAST, trackers=("tensorbord",))
    monkeypatch.setattr("accelerate.utils.is_wandb_available", lambda: False)
    with pytest.raises(InputError, match="tracker 'wandb' is not installed; pip install wandb"):
        run(options=FAST, trackers=("wandb",))
