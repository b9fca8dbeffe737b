"""What fine-tuning on photos does to art, cartoons and sketches, and what mixing recovers.

    python bench/finetune_shift.py DATA [--epochs 8] [--rate 1e-4] [--seeds 3]

DATA holds PACS as ``train.parquet`` and ``test.parquet`` with a column ``domain``. ``lite`` is
fine-tuned on four fifths of the training photos; its last weights are mixed with the starting
ones (arXiv:2109.01903) and the share is chosen on the other fifth. Art, cartoons and sketches are
seen by nothing but the last table, and so are the test photos.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from seed_means import mean_difference

from cliptune.encoders import load_encoder
from cliptune.evaluation.metrics import wilson_interval
from cliptune.finetuning.data import TrainingData
from cliptune.finetuning.loop import finetune
from cliptune.finetuning.merge import ALPHAS, choose_alpha, interpolate
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.records import AlphaPoint, StepRecord
from cliptune.finetuning.scoring import score_logits
from cliptune.images import ImageTable
from cliptune.images.split import split_validation
from cliptune.prompts import ensemble_rows, load_template_set

STYLES = ("photo", "art_painting", "cartoon", "sketch")
WAYS = ("zero-shot", "fine-tuned", "interpolated")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    tests = {style: open_style(arguments.data, style).split("test") for style in STYLES}
    photos = open_style(arguments.data, "photo").split("train")
    hits: dict[str, dict[str, list[np.ndarray]]] = {way: {s: [] for s in STYLES} for way in WAYS}
    alphas = []
    for seed in range(arguments.seeds):
        alpha, found = one_seed(photos, tests, seed, arguments)
        alphas.append(alpha)
        for way, by_style in found.items():
            for style, correct in by_style.items():
                hits[way][style].append(correct)
    write(hits, alphas, arguments)


def open_style(data: Path, style: str) -> ImageTable:
    return ImageTable.open(data, where={"domain": (style,)})


def one_seed(photos, tests, seed, arguments):
    encoder = load_encoder("lite", device="cpu", precision="fp32")
    templates = load_template_set("small").templates
    divided = split_validation(photos, 0.2, seed=seed)
    data = TrainingData(divided.split("train"), divided.split("val"), templates)
    start = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    options = FinetuneOptions(
        epochs=arguments.epochs,
        batch_size=arguments.batch,
        learning_rate=arguments.rate,
        precision="fp32",
        seed=seed,
    )
    for event in finetune(encoder, data, options):
        if isinstance(event, StepRecord) and event.step == event.n_steps:
            end = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
            break
    curve = []
    for alpha in ALPHAS:
        encoder.model.load_state_dict(interpolate(start, end, alpha))
        logits, labels = classify(encoder, data.val, templates)
        curve.append(AlphaPoint(alpha, score_logits(logits, labels)))
    chosen = choose_alpha(curve).alpha
    found = {}
    for way, alpha in zip(WAYS, (0.0, 1.0, chosen), strict=True):
        encoder.model.load_state_dict(interpolate(start, end, alpha))
        found[way] = {}
        for style, table in tests.items():
            logits, labels = classify(encoder, table, templates)
            found[way][style] = (logits.argmax(dim=1) == labels).numpy()
    shown = {
        way: {s: round(float(h.mean()), 3) for s, h in by.items()} for way, by in found.items()
    }
    print(json.dumps({"seed": seed, "alpha": chosen, **shown}), flush=True)
    return chosen, found


def classify(encoder, table, templates):
    rows = ensemble_rows(encoder.encode_texts, table.class_names, templates)
    parts = []
    for begin in range(0, len(table), 64):
        images = [table.load_image(r) for r in range(begin, min(begin + 64, len(table)))]
        parts.append(encoder.encode_images(np.stack([encoder.preprocess(i) for i in images])))
    logits = encoder.logit_scale * np.concatenate(parts) @ rows.T
    return torch.from_numpy(logits), torch.from_numpy(table.labels)


def write(hits, alphas, arguments) -> None:
    asked = {name: value for name, value in vars(arguments).items() if name != "data"}
    found = {"arguments": asked, "alphas": alphas, "accuracy": {}, "changes": {}}
    for way in WAYS:
        found["accuracy"][way] = {style: pooled(hits[way][style]) for style in STYLES}
    for style in STYLES:
        found["changes"][style] = {
            "changed by fine-tuning": mean_difference(hits[WAYS[0]][style], hits[WAYS[1]][style]),
            "changed again by mixing": mean_difference(hits[WAYS[1]][style], hits[WAYS[2]][style]),
        }
    RESULTS.mkdir(exist_ok=True)
    place = RESULTS / f"finetune_shift_{arguments.rate:g}.json"
    place.write_text(json.dumps(found, indent=2) + "\n")
    place.with_suffix(".md").write_text(as_markdown(found))


def pooled(correct: list[np.ndarray]) -> dict[str, object]:
    """Mean over the seeds; the interval is that of one test set, whose images are the same."""
    mean, n = float(np.mean(correct)), len(correct[0])
    interval = [round(end, 4) for end in wilson_interval(round(mean * n), n)]
    return {"mean": round(mean, 4), "n": n, "interval": interval}


def as_markdown(found) -> str:
    lines = ["| | " + " | ".join(STYLES) + " |", "|---" * (len(STYLES) + 1) + "|"]
    for way, by_style in found["accuracy"].items():
        cells = [
            f"{100 * entry['mean']:.1f} % ({100 * entry['interval'][0]:.1f} to "
            f"{100 * entry['interval'][1]:.1f})"
            for entry in by_style.values()
        ]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    for kind in ("changed by fine-tuning", "changed again by mixing"):
        cells = []
        for style in STYLES:
            entry = found["changes"][style][kind]
            low, high = entry["interval"]
            cells.append(
                f"{100 * entry['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            )
        lines.append(f"| {kind}, points | " + " | ".join(cells) + " |")
    n_images = found["accuracy"]["zero-shot"]["photo"]["n"]
    alphas = ", ".join(f"{alpha:.1f}" for alpha in found["alphas"])
    lines += [
        "",
        f"n = {n_images} test images a style; mean over {len(found['alphas'])} seeds, 95 % "
        f"intervals over images; alpha by seed: {alphas}.",
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
