"""A sweep over made-up rows that takes a second, and a process that works on one.

    python small_sweep.py URL [hang]

With ``hang`` the process claims cells and then never finishes them.
"""

import sys
import time

import numpy as np

from cliptune.classifiers.head_data import HeadData
from cliptune.features import DataIdentity
from cliptune.sweeps.grid import parse_grid
from cliptune.sweeps.head_sweep import HeadSweep
from cliptune.sweeps.options import SweepOptions
from cliptune.sweeps.store import StudyStore

IDENTITY = {"encoder": "made up"}
IMAGES = DataIdentity(("a.png",), ("00",), ("a",), ("train",))


def make_task(n=240, n_val=200, dim=16, n_classes=3, seed=0):
    """Rows around class centres; the texts are near the centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, dim))
    labels = np.arange(n + n_val) % n_classes
    vectors = centres[labels] + 1.6 * rng.normal(size=(n + n_val, dim))
    texts = centres + 0.9 * rng.normal(size=centres.shape)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (vectors, texts)]
    return HeadData(
        vectors=unit[0].astype(np.float32),
        tokens=None,
        labels=labels,
        class_names=("a", "b", "c"),
        text_rows=unit[1].astype(np.float32),
        logit_scale=10.0,
        train=np.arange(n),
        val=np.arange(n, n + n_val),
    )


def make_sweep(grid="lr=1e-3..1e1:5 wd=0", *, budget=float("inf"), task=None, **options):
    settings = {"epochs": 4, "batch_size": 32, "seeds": 3, **options}
    chosen = SweepOptions(**settings)
    known = ("penalty",) if chosen.method == "linear" else ("lr", "wd")
    return HeadSweep(
        task or make_task(),
        parse_grid(grid, known=known),
        chosen,
        began=time.monotonic(),
        budget_seconds=budget,
    )


def run_sweep(url, sweep, name="s"):
    """Work on a study to its end; return its trials and how many this worker trained."""
    with StudyStore.open(url, name, IDENTITY, images=IMAGES) as store:
        worker = sweep.worker(store)
        list(worker.run())
        return store.trials(), worker


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def hang_in_training(url):
    sweep = make_sweep()
    with StudyStore.open(url, "s", IDENTITY, images=IMAGES) as store:
        worker = sweep.worker(store)
        claims, _ = store.claim(lambda *asked: worker.strategy.choose(*asked)[:2])
        say("claimed", len(claims))
        time.sleep(600)


if __name__ == "__main__":
    if "hang" in sys.argv:
        hang_in_training(sys.argv[1])
    else:
        say("ready")
        sys.stdin.readline()
        say("trained", run_sweep(sys.argv[1], make_sweep())[1].n_trained)
