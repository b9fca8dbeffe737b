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
- The same behind the blend: its calibrated answers are the prior of each unlabelled image and of
  the test's, instead of texts.

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
from cliptune.system.paths import cache_dir

RIDGES = 10.0 ** np.arange(-3, 2.5, 0.5)
WIDTHS = (0.5, 1.0, 2.0, 5.0, 10.0)
PULLS = (0.0, 0.003, 0.01, 0.03, 0.1)
COUNTED = (0.1, 1.0)
PEERS = {
    "Tip-Adapter-F": ("cache", {"fine_tuned": True}),
    "CLIP-Adapter-like residual": ("dual-linear", {}),
}
ROUNDS, COLUMNS, SHRINKAGE, FLOOR = 8, 256, 0.4, 1e-6


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


def expectation_maximisation(rows, labels, others, prior, counted, *, start=None, spread=4.0):
    """Return weights (C, m) and biases (C,) of Gaussian classes learned from both, and a scale.

    Their logits, as far apart as ``spread`` says, are added to those of ``prior`` (M, C).
    """
    n_classes = int(labels.max()) + 1
    known = np.eye(n_classes)[labels]
    shares = np.zeros((len(others), n_classes)) if start is None else start
    for round_number in range(ROUNDS):
        factor = counted if round_number or start is not None else 0.0
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
        # In so many dimensions Gaussians are far too sure.
        scale = spread / max(gaussian.std(), 1e-9)
        shares = softmax(scale * gaussian + prior)
    return weight, bias, scale


def behind_the_blend(task, rows, rest, test, columns, counted):
    """Return logits (T, C): the blend's answers, and Gaussian classes that these started."""
    own = replace(task, train=rows, val=rows[:0])
    blend = choose_methods(own, ("discriminant", "linear", "blend"), options={}).fitted["blend"]
    there, here = (
        np.log(score_fitted(own, blend, some)[1] + FLOOR).astype(np.float32)
        for some in (rest, test)
    )
    weight, bias, scale = expectation_maximisation(
        columns[rows], task.labels[rows], columns[rest], there, counted,
        start=softmax(there), spread=there.std(),
    )  # fmt: skip
    return here + scale * (columns[test] @ weight.T + bias)


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
        weight, bias, _ = expectation_maximisation(
            small[rows], labels[rows], small[rest], prior[rest], counted
        )
        name = f"EM, an unlabelled image counts {counted:g}" if counted else "the same without them"
        found[name] = small[test] @ weight.T + bias
    for counted in COUNTED:
        found[f"the same behind the blend, {counted:g}"] = behind_the_blend(
            task, rows, rest, test, small, counted
        )
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
    fitted = {(c["set"], c["shots"], c["seed"]): c["accuracy"] for c in kept}
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
                found = run_case(task, rows, pool, test)
                found = {n: own[n] for n in ("discriminant", "linear", "blend")} | found
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
