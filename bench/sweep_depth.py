"""Trials of a sweep that moves the last blocks: from kept hidden states, and not.

    python bench/sweep_depth.py DATA [--images 2000] [--blocks 2] [--epochs 5] [--rounds 3]

``lite``, ``sweep --method full --blocks K``: the same trial of as many epochs as a finished one of
a sweep has, with its validation, in turns in one process. The first trial from kept states fills
them. Prints medians of elapsed and of processor time (on a busy machine the better judge), their
ratios, that of a sweep of 12 trials with what filling took, how far the losses of a trial are
apart, and how much of the last kept trial were its steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import machine, result_path

import cliptune as ct
from cliptune.classifiers.head_data import HeadData
from cliptune.encoders import load_encoder
from cliptune.finetuning.entry import ActivationPlace
from cliptune.prompts import DEFAULT_TEMPLATE_SET, ensemble_rows, load_template_set
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.records import Trial, TrialConfig
from cliptune.sweeps.towers import TowerTrainer
from cliptune.system.allocator import freed_memory_kept

BATCH, VAL_SHARE, TRIALS = 64, 0.2, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, freed_memory_kept():
        found = measure(arguments, Path(folder))
    print(json.dumps(found, indent=2))
    result_path("sweep_depth", "json").write_text(json.dumps(found, indent=2) + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    encoder = load_encoder("lite", device="cpu", precision="fp32")
    templates = load_template_set(DEFAULT_TEMPLATE_SET).templates
    table, task = draw(arguments, encoder, templates)
    options = SweepOptions(
        method="full", epochs=arguments.epochs, batch_size=BATCH, optimizer="adamw",
        blocks=arguments.blocks,
    )  # fmt: skip
    place = ActivationPlace(folder, lambda images: list(images.ids))
    ways = {
        name: TowerTrainer(encoder, table, task, templates, options, where)
        for name, where in (("all blocks", None), ("kept", place))
    }
    steps = arguments.epochs * -(-len(task.train) // BATCH)
    cell = TrialConfig({"backbone": 1e-4, "head": 1e-2}, 0, BATCH, len(task.train), steps)
    first, filled = {}, {}
    for name, trainer in ways.items():
        first[name], filled[name], _ = timed(trainer, cell)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, trainer in ways.items():
            _, *times = timed(trainer, cell)
            taken[name].append(tuple(times))
    processor, elapsed = (
        {name: statistics.median(pair[which] for pair in pairs) for name, pairs in taken.items()}
        for which in (0, 1)
    )
    whole, kept = processor["all blocks"], processor["kept"]
    filling = filled["kept"] - kept
    losses = [np.array(trial.losses) for trial in first.values()]
    return {
        "machine": machine(),
        **vars(arguments),
        "data": Path(arguments.data).name,
        "steps": steps,
        "seconds": {name: round(value, 2) for name, value in elapsed.items()},
        "processor_seconds": {name: round(value, 2) for name, value in processor.items()},
        "processor_seconds_to_fill": round(filling, 2),
        "seconds_of_steps_in_the_last_kept_trial": round(ways["kept"]._step_seconds * steps, 2),
        "a_trial": round(whole / kept, 2),
        "a_trial_elapsed": round(elapsed["all blocks"] / elapsed["kept"], 2),
        f"a_sweep_of_{TRIALS}": round(TRIALS * whole / (filling + TRIALS * kept), 2),
        "loss_differs_by": float(np.abs(losses[0] - losses[1]).max()),
    }


def timed(trainer: TowerTrainer, cell: TrialConfig) -> tuple[Trial, float, float]:
    """Train a trial; return it with the seconds of processors and of the clock."""
    began, clock = time.process_time(), time.perf_counter()
    trial = trainer._train_one(cell)
    return trial, time.process_time() - began, time.perf_counter() - clock


def draw(arguments: argparse.Namespace, encoder, templates) -> tuple[ct.ImageTable, HeadData]:
    """Take as many training images, a fifth of them to validate on, and embed them."""
    whole = ct.open_images(arguments.data)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(np.flatnonzero(whole.splits == "train"))[: arguments.images])
    table = whole.select(rows)
    pixels = (encoder.preprocess(table.load_image(row)) for row in range(len(table)))
    vectors = [encoder.encode_images(one[None]) for one in pixels]
    order = rng.permutation(len(table))
    n_val = int(VAL_SHARE * len(table))
    task = HeadData(
        vectors=np.concatenate(vectors),
        tokens=None,
        labels=table.labels,
        class_names=table.class_names,
        text_rows=ensemble_rows(encoder.encode_texts, table.class_names, templates),
        logit_scale=encoder.logit_scale,
        train=np.sort(order[n_val:]),
        val=np.sort(order[:n_val]),
        seed=0,
    )
    return table, task


if __name__ == "__main__":
    main()
