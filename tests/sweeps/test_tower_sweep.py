"""Sweeps that move weights: on a tiny encoder of the real architecture, from budget to advice."""

import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import tiny_training as tiny
from cliptune.classifiers.head_data import HeadData
from cliptune.errors import InputError
from cliptune.finetuning.entry import ActivationPlace
from cliptune.prompts import ensemble_rows
from cliptune.sweeps.grid import parse_grid
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.records import TrialConfig
from cliptune.sweeps.report import summarise
from cliptune.sweeps.store import StudyStore
from cliptune.sweeps.tower_sweep import TowerSweep

IMAGES = tiny.identify(train=tiny.ColourTable(4))
GRID = "backbone=0,1e-4,1e-3,1e1 head=1e-3,1e-1"


@dataclass(frozen=True)
class Table(tiny.ColourTable):
    """The first rows teach, the rest validate."""

    def select(self, rows):
        return Rows(self, np.asarray(rows))


@dataclass(frozen=True)
class Rows:
    table: Table
    rows: np.ndarray
    captions: None = None

    @property
    def labels(self):
        return self.table.labels[self.rows]

    @property
    def class_names(self):
        return self.table.class_names

    def __len__(self):
        return len(self.rows)

    def load_image(self, row):
        return self.table.load_image(int(self.rows[row]))


def make_sweep(
    encoder, *, method="full", grid=GRID, seconds=120.0, n=60, n_val=30, blocks=None, place=None
):
    table = Table(n + n_val)
    pixels = np.stack([encoder.preprocess(table.load_image(row)) for row in range(len(table))])
    templates = ("a photo of a {}.",)
    task = HeadData(
        vectors=encoder.encode_images(pixels),
        tokens=None,
        labels=table.labels,
        class_names=table.class_names,
        text_rows=ensemble_rows(encoder.encode_texts, table.class_names, templates),
        logit_scale=encoder.logit_scale,
        train=np.arange(n),
        val=np.arange(n, n + n_val),
    )
    options = SweepOptions(
        method=method, epochs=2, batch_size=20, optimizer="adamw", seeds=2, blocks=blocks
    )
    return TowerSweep(
        encoder,
        table,
        task,
        parse_grid(grid, known=("backbone", "head")),
        options,
        templates=templates,
        began=time.monotonic(),
        budget_seconds=seconds,
        activations=place,
    )


def run_sweep(sweep, folder):
    address = f"sqlite:///{folder / 's.sqlite3'}"
    with StudyStore.open(address, "s", {}, images=IMAGES) as store:
        worker = sweep.worker(store)
        list(worker.run())
        return store.trials(), worker


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_sweep_of_moving_weights_ends_in_advice_and_leaves_the_weights(method, tmp_path):
    encoder = tiny.make_encoder()
    before = tiny.weights_of(encoder)
    sweep = make_sweep(encoder, method=method)
    trials, worker = run_sweep(sweep, tmp_path)
    after = tiny.weights_of(encoder)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not worker.out_of_time
    summary = summarise(sweep.conclude(trials))
    rows = summary["heatmap"]["backbone"]
    assert rows[:4] == [0.0, 1e-4, 1e-3, 1e1]
    assert len(summary["heatmap"]["val_accuracy"]) == len(rows)
    frozen = [t for t in summary["trials"] if t["backbone"] == 0]
    assert len(frozen) >= 2
    assert all("image" in t["frozen"] for t in frozen)
    moved = [t for t in summary["trials"] if t["backbone"] == 1e-4]
    assert moved
    assert not any("image" in t["frozen"] for t in moved)
    advice = summary["recommendation"]
    starts = {"train": "Unfreeze", "do-not-train": "Freeze", "undecided": "Too few"}
    assert advice["text"].startswith(starts[advice["answer"]])
    guess = advice["answer"] == "train" or (
        advice["answer"] == "undecided" and advice["against_frozen"]["difference"] > 0.01
    )
    assert ("image" in advice["freeze"]) == (not guess)
    assert {"against_frozen", "cost", "edge"} <= set(advice)
    bands = summary["within_noise"]["bands"]
    assert bands["backbone"]["low"] <= summary["best"]["backbone"] <= bands["backbone"]["high"]


def test_a_rate_that_breaks_the_model_is_marked_and_never_advised(tmp_path):
    sweep = make_sweep(tiny.make_encoder(), grid="backbone=0,1e-4,1e2 head=1e-3,1e-2")
    trials, _ = run_sweep(sweep, tmp_path)
    broken = [t for t in trials if t.cell.rates["backbone"] == 1e2]
    assert broken
    assert all(t.diverged for t in broken)
    summary = summarise(sweep.conclude(trials))
    assert summary["best"]["backbone"] < 1e2
    assert (
        "Every training diverged from a backbone rate of 100 on"
        in summary["recommendation"]["text"]
    )


def test_a_budget_below_one_trial_says_what_one_costs():
    with pytest.raises(InputError, match=r"shortest one takes about .* s") as caught:
        make_sweep(tiny.make_encoder(), seconds=0.01)
    assert "--budget" in str(caught.value)


def test_the_last_blocks_alone_move_and_what_is_kept_changes_no_trial(tmp_path):
    def contents(images):
        return [f"{row} of {len(images)}" for row in range(len(images))]

    losses = []
    for place in (None, ActivationPlace(tmp_path / "activations", contents)):
        sweep = make_sweep(tiny.make_encoder(), blocks=1, place=place, seconds=20.0)
        trial = sweep._trainer._train_one(
            TrialConfig({"backbone": 1e-3, "head": 1e-2}, 0, 20, 60, steps=6)
        )
        losses.append(trial.losses)
        assert "blocks" in sweep.identity
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    assert list((tmp_path / "activations").rglob("*.rows"))


def test_blocks_are_of_full_only():
    with pytest.raises(InputError, match="--blocks is of --method full"):
        SweepOptions(method="lora", blocks=2)
