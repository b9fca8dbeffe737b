"""Labels that label-next needs, beside random choice and uncertainty alone; errors beside cleanlab.

    python bench/active.py DATA_ROOT [--data textile,pacs] [--seeds 5] [--only labels|errors]
                                     [--ways label-next]

Every way begins without labels, asks for 25 at a time up to 300, then for more up to 500, and is
scored by the same fit: ``linear`` on the embedding and the features before the projection, with
the class texts, on the test. cifar100 is in its 20 superclasses, cifar100-fine in its 100 classes;
they and cifar10 draw from the first 8,000 training images and are scored on the first 3,000 test
images. Needed: labels at which a way's mean curve first reaches what random reaches with 200,
between steps on a straight line.

Errors: labels of 2,000 training images are flipped, 5 % and 10 %, to any class or to the one that
zero-shot confuses most with it. On the same out-of-fold probabilities the first 100 of
``find_suspects`` and of cleanlab's ``find_label_issues`` (in an environment of its own, ranked by
normalized margin) are counted. Then the first 100 are mended and the head is fitted again.

Writes bench/results/active.json and active.md; what they hold of other data sets and of ways that
were not asked for stays, where the number of seeds is the same.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import harness
import numpy as np

import cliptune as ct
from cliptune.active.pool import LabelPool
from cliptune.active.strategies import choose_images
from cliptune.active.suspects import find_suspects
from cliptune.evaluation.label_errors import out_of_fold_probabilities
from cliptune.heads.linear import LinearHead
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.prompts import ensemble_rows
from cliptune.workflows.progress import watching
from cliptune.workflows.session import Session

DATA = ("cifar10", "cifar100", "pacs", "textile", "cifar100-fine")
STEPS = (25,) * 12 + (50, 50, 100)
WAYS = ("random", "uncertainty", "label-next")
AT, FIRST_TRAIN, FIRST_TEST, N_ERRORS = 200, 8000, 3000, 2000
SUPERCLASSES = {
    "aquatic mammals": "beaver,dolphin,otter,seal,whale",
    "fish": "aquarium fish,flatfish,ray,shark,trout",
    "flowers": "orchid,poppy,rose,sunflower,tulip",
    "food containers": "bottle,bowl,can,cup,plate",
    "fruit and vegetables": "apple,mushroom,orange,pear,sweet pepper",
    "household electrical devices": "clock,keyboard,lamp,telephone,television",
    "household furniture": "bed,chair,couch,table,wardrobe",
    "insects": "bee,beetle,butterfly,caterpillar,cockroach",
    "large carnivores": "bear,leopard,lion,tiger,wolf",
    "large man-made outdoor things": "bridge,castle,house,road,skyscraper",
    "large natural outdoor scenes": "cloud,forest,mountain,plain,sea",
    "large omnivores and herbivores": "camel,cattle,chimpanzee,elephant,kangaroo",
    "medium-sized mammals": "fox,porcupine,possum,raccoon,skunk",
    "non-insect invertebrates": "crab,lobster,snail,spider,worm",
    "people": "baby,boy,girl,man,woman",
    "reptiles": "crocodile,dinosaur,lizard,snake,turtle",
    "small mammals": "hamster,mouse,rabbit,shrew,squirrel",
    "trees": "maple tree,oak tree,palm tree,pine tree,willow tree",
    "vehicles 1": "bicycle,bus,motorcycle,pickup truck,train",
    "vehicles 2": "lawn mower,rocket,streetcar,tank,tractor",
}
CLEANLAB = """
import sys, numpy as np
from cleanlab.filter import find_label_issues
data = np.load(sys.argv[1])
rows = find_label_issues(data["labels"], data["probabilities"],
                         return_indices_ranked_by="normalized_margin", n_jobs=1)
np.save(sys.argv[2], rows)
"""


@dataclass(frozen=True)
class Embedded:
    """A data set in vectors: what is learned from, and the test."""

    vectors: np.ndarray
    trunk: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    texts: np.ndarray
    scale: float

    def fit(self, rows, labels=None):
        head = LinearHead(features="both")
        own = self.labels[rows] if labels is None else labels
        return head.fit(self.trunk[rows], own, text_rows=self.texts, logit_scale=self.scale)

    def accuracy(self, head):
        answers = head.predict_logits(self.trunk[self.test]).argmax(axis=1)
        return float((answers == self.labels[self.test]).mean())

    def accuracy_of_texts(self):
        head = ZeroShotHead().fit(None, None, text_rows=self.texts, logit_scale=self.scale)
        answers = head.predict_logits(self.vectors[self.test]).argmax(axis=1)
        return float((answers == self.labels[self.test]).mean())


def embed(name, root, session, encoder):
    place = root / name.removesuffix("-fine")
    table = ct.open_images(str(place) if place.exists() else name)
    if name == "cifar100":
        place_of = {c: k for k, cs in enumerate(SUPERCLASSES.values()) for c in cs.split(",")}
        codes = np.array([place_of[c] for c in table.class_names])
        names = tuple(SUPERCLASSES)
        table = replace(table, labels=codes[table.labels], class_names=names)
    held = next((s for s in ("test", "val") if (table.splits == s).any()), "")
    test = np.flatnonzero(table.splits == held)[:FIRST_TEST] if held else np.arange(0)
    rest = np.flatnonzero(table.splits != held)[:FIRST_TRAIN] if held else np.arange(len(table))
    if not len(test):
        order = np.random.default_rng(0).permutation(len(table))
        test, rest = np.sort(order[: len(table) // 4]), np.sort(order[len(table) // 4 :])
    table = table.select(np.concatenate([rest, test]))
    features = session.store.features(encoder, table, trunk=True)
    texts = ensemble_rows(session.text_encoder(encoder), table.class_names, ("a photo of a {}.",))
    where = np.arange(len(rest), len(table))
    return Embedded(
        features.vectors, features.trunk, table.labels, where, texts, encoder.logit_scale
    )


def believe(data, rows, known):
    if len(np.unique(data.labels[known])) > 1:
        return data.fit(known).predict_proba(data.trunk[rows])
    head = ZeroShotHead().fit(None, None, text_rows=data.texts, logit_scale=data.scale)
    return head.predict_proba(data.vectors[rows])


def choose(way, data, rows, known, n, seed):
    rest = np.setdiff1d(rows, known)
    if way == "random" or (way == "uncertainty" and not len(known)):
        return np.random.default_rng([seed, len(known)]).choice(rest, min(n, len(rest)), False)
    probabilities = believe(data, rows, known)
    labels = np.full(len(rows), -1)
    labels[known] = data.labels[known]
    pool = LabelPool(data.trunk[rows], labels, labels < 0, probabilities, seed)
    if way == "uncertainty":
        return rest[np.argsort(pool.margins[rest], kind="stable")[:n]]
    return np.array([pick.row for pick in choose_images(pool, n)])


def curve(way, data, seed):
    rows = np.arange(len(data.labels) - len(data.test))
    known, points = np.zeros(0, np.int64), [(0, data.accuracy_of_texts())]
    for n in STEPS:
        if len(known) + n > len(rows):
            break
        known = np.concatenate([known, choose(way, data, rows, known, n, seed)])
        points.append((len(known), data.accuracy(data.fit(known))))
    return points


def needed(points, target):
    for (n0, a0), (n1, a1) in pairwise(points):
        if a1 >= target:
            return n1 if a0 >= target else n0 + (n1 - n0) * (target - a0) / (a1 - a0)
    return None


def measure_labels(data, n_seeds, ways, before):
    found = dict(before)
    for way in ways:
        curves = [curve(way, data, seed) for seed in range(n_seeds)]
        mean = np.mean([[a for _, a in one] for one in curves], axis=0)
        found[way] = [(n, float(a)) for (n, _), a in zip(curves[0], mean, strict=True)]
    counts, accuracies = zip(*found["random"], strict=True)
    target = float(np.interp(min(AT, counts[-1]), counts, accuracies))
    return {
        "target": target,
        "needed": {way: needed(points[1:], target) for way, points in found.items()},
        "curves": found,
    }


def flip(data, rows, share, kind, rng):
    labels, n_classes = data.labels[rows].copy(), len(data.texts)
    flipped = rng.choice(len(rows), round(share * len(rows)), replace=False)
    if kind == "any class":
        labels[flipped] = (labels[flipped] + rng.integers(1, n_classes, len(flipped))) % n_classes
        return labels, flipped
    likeness = data.texts @ data.texts.T
    np.fill_diagonal(likeness, -2)
    labels[flipped] = likeness.argmax(axis=1)[labels[flipped]]
    return labels, flipped


def cleanlab_first(labels, probabilities):
    python = harness.peers_python("cleanlab")
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npy"
        np.savez(given, labels=labels, probabilities=probabilities)
        subprocess.run([python, "-c", CLEANLAB, given, found], check=True)
        return np.load(found)[:100]


def measure_errors(data, n_seeds):
    rows = np.arange(len(data.labels) - len(data.test))[:N_ERRORS]
    found = {}
    for kind in ("any class", "the most similar class"):
        for share in (0.05, 0.1):
            counts = []
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                labels, flipped = flip(data, rows, share, kind, rng)
                shares = out_of_fold_probabilities(
                    data.vectors[rows], labels, text_rows=data.texts, logit_scale=data.scale
                )
                ours = [s.row for s in find_suspects(data.vectors[rows], labels, shares, n=100)]
                theirs = cleanlab_first(labels, shares)
                mended = labels.copy()
                mended[ours] = data.labels[rows][ours]
                fits = (labels, mended, data.labels[rows])
                counts.append(
                    [
                        np.isin(ours, flipped).sum(),
                        np.isin(theirs, flipped).sum(),
                        *(100 * data.accuracy(data.fit(rows, one)) for one in fits),
                    ]
                )
            name = f"{share:.0%} to {kind}, {min(100, len(flipped))} could be found"
            found[name] = np.mean(counts, axis=0).tolist()
    return found


def write(results):
    lines = ["| data | random at 200 | random | uncertainty | label-next | of random |"]
    lines += ["|---|---|---|---|---|---|"]
    shares = []
    for name, one in results["labels"].items():
        need = one["needed"]
        shares.append((need["label-next"] or 500) / need["random"])
        cells = [f"{need[way]:.0f}" if need[way] else "> 500" for way in WAYS]
        cells = [name, f"{100 * one['target']:.1f} %", *cells, f"{100 * shares[-1]:.0f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    if shares:
        lines.append(f"| mean | | | | | {100 * np.mean(shares):.0f} % |")
    lines += ["", "| data | flipped | ours | cleanlab | untouched | mended | perfect |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, kinds in results["errors"].items():
        for kind, (ours, theirs, *fits) in kinds.items():
            cells = [name, kind, f"{ours:.0f}", f"{theirs:.0f}", *(f"{fit:.1f} %" for fit in fits)]
            lines.append(f"| {' | '.join(cells)} |")
    harness.RESULTS.mkdir(exist_ok=True)
    (harness.RESULTS / "active.json").write_text(json.dumps(results, indent=1) + "\n")
    (harness.RESULTS / "active.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=("labels", "errors"))
    parser.add_argument("--ways", default=",".join(WAYS))
    arguments = parser.parse_args()
    session = Session(ct.ComputeOptions(), watching(None))
    encoder = session.open_encoder("lite")
    results = {"seeds": arguments.seeds, "labels": {}, "errors": {}}
    place = harness.RESULTS / "active.json"
    if place.exists() and (before := json.loads(place.read_text()))["seeds"] == arguments.seeds:
        results = before
    for name in arguments.data.split(","):
        data = embed(name, arguments.root, session, encoder)
        if arguments.only != "errors":
            known = results["labels"].get(name, {}).get("curves", {})
            ways = arguments.ways.split(",")
            results["labels"][name] = measure_labels(data, arguments.seeds, ways, known)
        if arguments.only != "labels":
            results["errors"][name] = measure_errors(data, min(arguments.seeds, 3))
        print(name, "is done", file=sys.stderr)
        write(results)


if __name__ == "__main__":
    main()
