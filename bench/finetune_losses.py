"""What the diagonal loss costs when classes repeat in a batch: CIFAR-100, seeds, same steps.

    python bench/finetune_losses.py DATA [--train 5000] [--seeds 3] [--rate 1e-4]

DATA holds ``train.parquet`` and ``test.parquet``. Every run starts from ``lite``, sees the same
images in the same batches of 64 and differs in the loss alone. Nothing is chosen: the weights
of the last step are scored on the same test images.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from cliptune.encoders import load_encoder
from cliptune.finetune.data import TrainingData
from cliptune.finetune.loop import finetune
from cliptune.finetune.options import FinetuneOptions
from cliptune.finetune.records import StepRecord
from cliptune.images import ImageTable
from cliptune.metrics import wilson_interval
from cliptune.paired import compare_correct
from cliptune.prompts import ensemble_rows, load_template_set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--train", type=int, default=5000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = ImageTable.open(arguments.data)
    train, test = table.split("train"), table.split("test")
    rng = np.random.default_rng(0)
    test = test.select(np.sort(rng.permutation(len(test))[: arguments.test]))
    templates = load_template_set("small").templates
    hits = {}
    for seed in range(arguments.seeds):
        rows = np.random.default_rng([1, seed]).permutation(len(train))
        data = TrainingData(
            train.select(np.sort(rows[: arguments.train])),
            train.select(np.sort(rows[arguments.train : arguments.train + 100])),
            templates,
        )
        for loss in ("class-aware", "clip"):
            hits[seed, loss] = train_and_score(data, test, loss, seed, arguments)
    encoder = load_encoder("lite", precision="fp32")
    report("zero-shot", score(encoder, test, templates))
    for seed in range(arguments.seeds):
        comparison = compare_correct(hits[seed, "clip"], hits[seed, "class-aware"])
        print(
            f"seed {seed}: class-aware less diagonal {comparison.difference:+.4f} "
            f"[{comparison.low:+.4f}, {comparison.high:+.4f}], p {comparison.p_value:.2g}"
        )


def train_and_score(data, test, loss, seed, arguments) -> np.ndarray:
    encoder = load_encoder("lite", precision="fp32")
    options = FinetuneOptions(
        loss=loss,
        epochs=arguments.epochs,
        batch_size=64,
        learning_rate=arguments.rate,
        precision="fp32",
        seed=seed,
        interpolate=False,
    )
    began = time.monotonic()
    for event in finetune(encoder, data, options):
        if isinstance(event, StepRecord):
            losses = event.loss
            if event.step == event.n_steps:
                weights = {n: t.clone() for n, t in encoder.model.state_dict().items()}
    encoder.model.load_state_dict(weights)
    seconds = time.monotonic() - began
    correct = score(encoder, test, data.templates)
    report(f"seed {seed} {loss}", correct, loss=round(losses, 4), seconds=round(seconds))
    return correct


def score(encoder, table, templates) -> np.ndarray:
    rows = ensemble_rows(encoder.encode_texts, table.class_names, templates)
    hits = []
    for start in range(0, len(table), 64):
        images = [table.load_image(r) for r in range(start, min(start + 64, len(table)))]
        vectors = encoder.encode_images(np.stack([encoder.preprocess(i) for i in images]))
        hits.append((vectors @ rows.T).argmax(axis=1) == table.labels[start : start + 64])
    return np.concatenate(hits)


def report(name: str, correct: np.ndarray, **facts) -> None:
    low, high = wilson_interval(int(correct.sum()), len(correct))
    accuracy = round(float(correct.mean()), 4)
    interval = [round(low, 4), round(high, 4)]
    print(
        json.dumps({"run": name, "accuracy": accuracy, "interval": interval, **facts}), flush=True
    )


if __name__ == "__main__":
    main()
