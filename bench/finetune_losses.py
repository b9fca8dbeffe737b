"""What the diagonal loss costs when classes repeat in a batch: CIFAR-100, seeds, same steps.

    python bench/finetune_losses.py DATA [--train 5000] [--seeds 3] [--rate 1e-4] [--size 112]

DATA holds ``train.parquet`` and ``test.parquet``. Every run starts from ``lite`` and sees the same
images in the same batches of 64. With the diagonal each image brings a caption of its own, its
class in one of the templates drawn at random, and every other caption is a negative; class-aware
has one prompt a class and step. (With one prompt a class both losses are the same number: equal
columns share their probability.) Nothing is chosen: the weights of the last step are scored on
the same test images. The pictures have 32 pixels a side; the model gets them at ``--size``
instead of its 224, which makes a step that much cheaper.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from seed_means import mean_difference

from cliptune.encoders import load_encoder
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.evaluation.metrics import wilson_interval
from cliptune.evaluation.significance import compare_correct
from cliptune.finetuning.data import TrainingData
from cliptune.finetuning.loop import finetune
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.records import StepRecord
from cliptune.images import ImageTable
from cliptune.prompts import ensemble_rows, fill_template, load_template_set

LOSSES = ("class-aware", "clip")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    table = ImageTable.open(arguments.data)
    train, test = table.split("train"), table.split("test")
    rng = np.random.default_rng(0)
    test = test.select(np.sort(rng.permutation(len(test))[: arguments.test]))
    templates = load_template_set("small").templates
    encoder = make_encoder(arguments.size)
    zero_shot = score(encoder, test, templates)
    runs = [report("zero-shot", None, zero_shot)]
    hits = {}
    for seed in range(arguments.seeds):
        rows = np.random.default_rng([1, seed]).permutation(len(train))
        data = TrainingData(
            train.select(np.sort(rows[: arguments.train])),
            train.select(np.sort(rows[arguments.train : arguments.train + 100])),
            templates,
        )
        for loss in LOSSES:
            seen = data if loss == "class-aware" else with_captions(data, seed)
            hits[seed, loss], facts = train_and_score(seen, test, loss, seed, arguments)
            runs.append(report(loss, seed, hits[seed, loss], **facts))
    found = {"arguments": {k: str(v) for k, v in vars(arguments).items() if k != "data"}}
    found |= {"classes_a_batch": classes_a_batch(train.labels), "runs": runs}
    found["by_seed"] = [
        compare(seed, hits[seed, "clip"], hits[seed, "class-aware"])
        for seed in range(arguments.seeds)
    ]
    found["mean"] = mean_difference(
        *([hits[seed, loss] for seed in range(arguments.seeds)] for loss in reversed(LOSSES))
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "finetune_losses.json").write_text(json.dumps(found, indent=2) + "\n")
    (RESULTS / "finetune_losses.md").write_text(as_markdown(found))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--train", type=int, default=5000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def with_captions(data: TrainingData, seed: int) -> TrainingData:
    """Give each image one caption: its class in a template drawn at random."""
    rng = np.random.default_rng([2, seed])
    parts = []
    for part in (data.train, data.val):
        drawn = rng.integers(len(data.templates), size=len(part))
        texts = [
            (fill_template(data.templates[t], part.class_names[label]),)
            for t, label in zip(drawn, part.labels, strict=True)
        ]
        parts.append(replace(part, captions=tuple(texts)))
    return TrainingData(*parts, data.templates)


def make_encoder(size: int) -> TorchEncoder:
    base = load_encoder("lite", precision="fp32")
    base.preprocess = replace(base.preprocess, size=(size, size))
    return base.rewrapped(device="auto", precision="fp32")


def train_and_score(data, test, loss, seed, arguments) -> tuple[np.ndarray, dict[str, float]]:
    encoder = make_encoder(arguments.size)
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
            final_loss, n_steps = event.loss, event.n_steps
            if event.step == n_steps:
                weights = {n: t.clone() for n, t in encoder.model.state_dict().items()}
                break
    encoder.model.load_state_dict(weights)
    facts = {"last_loss": round(final_loss, 4), "steps": n_steps}
    facts["seconds"] = round(time.monotonic() - began)
    return score(encoder, test, data.templates), facts


def score(encoder, table, templates) -> np.ndarray:
    rows = ensemble_rows(encoder.encode_texts, table.class_names, templates)
    hits = []
    for start in range(0, len(table), 64):
        images = [table.load_image(r) for r in range(start, min(start + 64, len(table)))]
        vectors = encoder.encode_images(np.stack([encoder.preprocess(i) for i in images]))
        hits.append((vectors @ rows.T).argmax(axis=1) == table.labels[start : start + 64])
    return np.concatenate(hits)


def report(loss: str, seed: int | None, correct: np.ndarray, **facts) -> dict[str, object]:
    low, high = wilson_interval(int(correct.sum()), len(correct))
    run = {"run": loss, "seed": seed, "n": len(correct), **facts}
    run |= {
        "accuracy": round(float(correct.mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
    }
    print(json.dumps(run), flush=True)
    return run


def compare(seed: int, diagonal: np.ndarray, class_aware: np.ndarray) -> dict[str, object]:
    found = compare_correct(diagonal, class_aware)
    numbers = {k: round(v, 5) for k, v in vars(found).items() if k != "method"}
    return {"seed": seed, **numbers, "method": found.method}


def classes_a_batch(labels: np.ndarray) -> float:
    rng = np.random.default_rng(0)
    draws = [len(np.unique(rng.choice(labels, 64, replace=False))) for _ in range(200)]
    return round(float(np.mean(draws)), 1)


def as_markdown(found) -> str:
    lines = [
        "| run | seed | accuracy | 95 % interval | last loss | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for run in found["runs"]:
        low, high = run["interval"]
        lines.append(
            f"| {run['run']} | {'' if run['seed'] is None else run['seed']} "
            f"| {100 * run['accuracy']:.1f} % | {100 * low:.1f} to {100 * high:.1f} "
            f"| {run.get('last_loss', '')} | {run.get('seconds', '')} |"
        )
    mean = found["mean"]
    low, high = mean["interval"]
    lines += [
        "",
        f"Class-aware less diagonal, mean over seeds: {100 * mean['difference']:+.1f} points, "
        f"95 % interval {100 * low:+.1f} to {100 * high:+.1f} (n = {mean['n']} test images). "
        f"A batch of 64 holds {found['classes_a_batch']} distinct classes on average.",
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
