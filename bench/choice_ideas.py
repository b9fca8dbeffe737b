"""Peers and ideas beside the blend, on the same draws of labels: what each reaches on the test.

    python bench/choice_ideas.py DATA_ROOT [--shots 4,8,16] [--seeds 2]

- Tip-Adapter-F (arXiv:2111.03930; its keys are trained from the labelled embeddings) and a residual
  layer on images and texts as in CLIP-Adapter (arXiv:2110.04544): ``cache`` with ``fine_tuned`` and
  ``dual-linear`` here, with the settings of their papers: so few labels leave nothing to choose on.
- ProKeR (arXiv:2501.11175): kernel ridge regression towards one-hot labels, pulled to zero-shot;
  kernel width, ridge and the weight of zero-shot by the log-loss of leave-one-out answers, which
  the inverse of the kernel matrix gives. On the embedding, and on what is before the projection.
- EM with unlabelled images, the idea of StatA (arXiv:2501.03729): Gaussian classes with one shrunk
  covariance on the features before the projection, started from labels, texts in the prior;
  unlabelled images (the rest of the training images) count in means and covariance by their
  probability, each a tenth of a label or one.
- ``fit --unlabelled``: the same behind the recommended method, whose calibrated answers are the
  prior of each unlabelled image, instead of texts; beside ``fit`` without.

Accuracies of ``fit``'s own methods are those of bench/results/choice.json, so run choice.py before.
Writes bench/results/choice_ideas.json and choice_ideas.md.
"""

import json
import sys
from dataclasses import replace

import choice
import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from cliptune.choosing import choose_methods
from cliptune.classifiers.fitting import score_fitted
from cliptune.encoders.engines import open_on_engine
from cliptune.features import FeatureStore
from cliptune.heads.arrays import softmax
from cliptune.heads.build import make_head
from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.selection.methods import COMPARED
from cliptune.selection.unlabelled import Unlabelled
from cliptune.system.paths import cache_dir

RIDGES = 10.0 ** np.arange(-3, 2.5, 0.5)
WIDTHS = (0.5, 1.0, 2.0, 5.0, 10.0)
PULLS = (0.0, 0.003, 0.01, 0.03, 0.1)
COUNTED = (0.1, 1.0)
PEERS = {
    "Tip-Adapter-F": ("cache", {"fine_tuned": True}),
    "CLIP-Adapter-like residual": ("dual-linear", {}),
}
ROUNDS, COLUMNS, SHRINKAGE = 8, 256, 0.4


def proker(rows, labels, texts, test_rows, test_texts):
    """Return logits (T, C) for the test rows; settings by leave-one-out."""
    wanted = np.eye(texts.shape[1])[labels]
    squared = ((rows[:, None] - rows[None]) ** 2).sum(axis=2) if len(rows) < 400 else None
    if squared is None:
        squared = np.maximum(2 - 2 * rows @ rows.T, 0)
    best = None
    for width in WIDTHS:
        values, vectors = eigh(np.exp(-width * squared))
        for ridge in RIDGES:
            inverse = (vectors / (values + ridge)) @ vectors.T
            for pull in PULLS:
                start = pull * texts
                weights = inverse @ (wanted - start)
                left_out = wanted - weights / np.diag(inverse)[:, None]
                loss = calibrated_log_loss(left_out * 20, labels)
                if best is None or loss < best[0]:
                    best = loss, width, weights, pull
    _, width, weights, pull = best
    kernel = np.exp(-width * np.maximum(2 - 2 * test_rows @ rows.T, 0))
    return pull * test_texts + kernel @ weights


def expectation_maximisation(rows, labels, others, other_texts, counted):
    """Return weights (C, m) and biases (C,) of Gaussian classes learned from both."""
    n_classes = int(labels.max()) + 1
    known = np.eye(n_classes)[labels]
    shares = np.zeros((len(others), n_classes))
    for round_number in range(ROUNDS):
        factor = counted if round_number else 0.0
        counts = known.sum(axis=0) + factor * shares.sum(axis=0)
        means = (known.T @ rows + factor * shares.T @ others) / counts[:, None]
        total = rows.T @ rows + factor * (others * shares.sum(axis=1)[:, None]).T @ others
        within = (total - (means * counts[:, None]).T @ means) / counts.sum()
        mixed = (1 - SHRINKAGE) * within
        mixed[np.diag_indices(len(mixed))] += SHRINKAGE * np.trace(within) / len(mixed)
        weight = cho_solve(cho_factor(mixed), means.T).T
        bias = -0.5 * (weight * means).sum(axis=1)
        gaussian = others @ weight.T + bias
        gaussian -= gaussian.mean(axis=1, keepdims=True)
        # In so many dimensions Gaussians are far too sure: as spread as texts scaled likewise.
        shares = softmax(gaussian / max(gaussian.std() / 4, 1e-9) + other_texts)
    return weight, bias


def with_unlabelled(task, rows, rest, test):
    """Return probabilities (T, C) of what ``fit --unlabelled`` recommends."""
    own = replace(task, train=rows, val=rows[:0])
    others = Unlabelled(task.vectors[rest], task.trunk[rest])
    chosen = choose_methods(own, COMPARED, options={}, unlabelled=others)
    return score_fitted(own, chosen.fitted[chosen.answer.method or "zero-shot"], test)[1]


def run_case(task, rows, pool, test):
    labels = task.labels
    texts = zero_shot_logits(task.vectors, task.text_rows, task.logit_scale)
    texts -= texts.mean(axis=1, keepdims=True)
    behind = task.trunk[:, task.vectors.shape[1] :]
    found = {}
    for name, head in PEERS.items():
        fitted = make_head(*head, seed=task.seed).fit(
            task.vectors[rows], labels[rows], text_rows=task.text_rows, logit_scale=task.logit_scale
        )
        found[name] = fitted.predict_logits(task.vectors[test])
    for name, columns in (("embedding", task.vectors), ("penultimate", behind)):
        logits = proker(columns[rows], labels[rows], texts[rows], columns[test], texts[test])
        found[f"ProKeR, {name}"] = logits
    rest = np.setdiff1d(pool, rows)
    seen = np.concatenate([rows, rest])
    mean = behind[seen].mean(axis=0)
    _, _, basis = np.linalg.svd(behind[seen] - mean, full_matrices=False)
    small = (behind - mean) @ basis[:COLUMNS].T
    prior = texts / max(texts.std(), 1e-9)
    for counted in (0.0, *COUNTED):
        weight, bias = expectation_maximisation(
            small[rows], labels[rows], small[rest], prior[rest], counted
        )
        name = f"EM, an unlabelled image counts {counted:g}" if counted else "the same without them"
        found[name] = small[test] @ weight.T + bias
    found["fit --unlabelled"] = with_unlabelled(task, rows, rest, test)
    return {
        name: float((logits.argmax(axis=1) == labels[test]).mean())
        for name, logits in found.items()
    }


def main():
    parser = choice.draws_parser(
        __doc__.splitlines()[0], sets=",".join(choice.SETS), shots="4,8,16", seeds=2
    )
    options = parser.parse_args()
    kept = json.loads((choice.RESULTS / "choice.json").read_text())["cases"]
    fitted = {
        (c["set"], c["shots"], c["seed"]): {
            **c["accuracy"], "fit": c["accuracy"][c["recommended"] or "zero-shot"],
        }
        for c in kept
    }  # fmt: skip
    encoder, store = open_on_engine("lite"), FeatureStore(cache_dir())
    cases = []
    for name in options.only.split(","):
        table, pool, test = choice.load_set(name, options.root)
        task = choice.embed(table, encoder, store)
        for shots in map(int, options.shots.split(",")):
            for seed in range(options.seeds):
                rows = choice.draw(task.labels, pool, shots, seed)
                if rows is None or (name, shots, seed) not in fitted:
                    continue
                own = fitted[(name, shots, seed)]
                found = run_case(replace(task, seed=seed), rows, pool, test)
                found = {n: own[n] for n in ("discriminant", "linear", "blend", "fit")} | found
                cases.append({"set": name, "shots": shots, "seed": seed, "accuracy": found})
                print(name, shots, seed, found, file=sys.stderr, flush=True)
    text = render(cases)
    (choice.RESULTS / "choice_ideas.json").write_text(json.dumps(cases, indent=1) + "\n")
    (choice.RESULTS / "choice_ideas.md").write_text(text)
    print(text)


def render(cases):
    shots = sorted({case["shots"] for case in cases})
    lines = [f"| | {' | '.join(f'{n} a class' for n in shots)} | worst against the blend |"]
    lines += ["|---" * (len(shots) + 2) + "|"]
    for name in cases[0]["accuracy"]:
        means = [
            100 * np.mean([c["accuracy"][name] for c in cases if c["shots"] == n]) for n in shots
        ]
        worst = 100 * min(c["accuracy"][name] - c["accuracy"]["blend"] for c in cases)
        lines.append(f"| {name} | {' | '.join(f'{m:.1f} %' for m in means)} | {worst:+.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
