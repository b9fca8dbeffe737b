"""How long choosing takes: penalties by cross-validation, and the whole choice.

    python bench/choice_speed.py DATA_ROOT [--peer-folds 5] [--runs 3]

Two sets of real features, before and behind the projection side by side, D = 1,664: 2,000 images of
CIFAR-10, 10,000 of CIFAR-100. Ours minimises all folds of a penalty as one batch, from the
strongest penalty to the weakest; scikit-learn's GridSearchCV fits every fold and penalty anew. The
same 5 folds, the same 13 penalties, rows and objective; what each found is compared by the
cross-validated log-loss of its best penalty. ``--peer-folds 1`` lets the peer answer one fold, and
multiplies its time by five: on 10,000 images of 100 classes it takes long.

Then ``fit`` whole (all methods, features and repeats) on 300 images of PACS, embedded before,
beside ``fit --method ladder`` of the commit before heads were compared by cross-validation, which
``git worktree`` lays out. Every measurement is a process of its own, one after another; peak
memory is beyond rows and imports. Writes bench/results/choice_speed.json and choice_speed.md.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
from harness import machine

FORMER = "8a79d8014e11dcbee652ac94e1e32cce03e8419f"
RESULTS = Path(__file__).parent / "results"
HOME = Path(__file__).resolve().parent.parent
CASES = {"cifar10": (2_000, 10), "cifar100": (10_000, 100)}
STRENGTHS = 10.0 ** np.arange(-2, 4.25, 0.5)  # scikit-learn's C
FOLDS = 5


def embedded(name, root):
    """Return the features, labels and class texts of so many training images, by ``lite``."""
    import choice

    from cliptune.encoders.engines import open_on_engine
    from cliptune.features import FeatureStore
    from cliptune.images import ImageTable
    from cliptune.system.paths import cache_dir

    table = ImageTable.open(str(root / name))
    table = table.select(np.flatnonzero(table.splits == "train"))
    n, n_classes = CASES[name]
    order = np.random.default_rng(0).permutation(len(table))
    rows = np.concatenate(
        [order[table.labels[order] == label][: n // n_classes] for label in range(n_classes)]
    )
    return choice.embed(table.select(rows), open_on_engine("lite"), FeatureStore(cache_dir()))


def timed(work):
    """Return what ``work`` returns, with its seconds and its peak beyond what came before in MB."""
    before, most = resource.getrusage(resource.RUSAGE_SELF), peak_mb()
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = peak_mb() - most
    return found, {"seconds": seconds, "processor_seconds": processor, "peak_mb": peak}


def peak_mb():
    """Return the most memory of this program; ``ru_maxrss`` would count what started it too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def pool_and_folds(path):
    from cliptune.selection.candidates import Pool
    from cliptune.selection.folds import Folds

    z = np.load(path)
    pool = Pool(z["vectors"], z["trunk"], None, z["labels"], z["texts"], float(z["scale"]), 0)
    order = np.random.default_rng(0).permutation(len(pool.labels))
    parts = tuple(np.sort(part) for part in np.array_split(order, FOLDS))
    return pool, Folds(parts, len(pool.labels), FOLDS, 1)


def log_losses(logits, labels):
    """Return the log-loss of each row, float64 (N,)."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.log(np.exp(wide).sum(axis=1)) - wide[np.arange(len(labels)), labels]


def measure_ours(path, peer_folds):
    """Minimise every fold and penalty; report the losses of the folds that the peer answers."""
    from cliptune.selection.shortcuts.linear import penalty_path
    from cliptune.selection.subspace import span

    pool, folds = pool_and_folds(path)
    labels, shown = pool.labels[folds.rows], folds.fold_of < peer_folds

    def work():
        subspace = span(pool.columns("both"))
        path = penalty_path(pool, folds, "both", subspace, text=0.0, multiples=tuple(1 / STRENGTHS))
        return [float(log_losses(one.logits, labels)[shown].mean()) for one in path]

    losses, took = timed(work)
    return {**took, "log_losses": losses}


def measure_peer(path, peer_folds):
    """Let GridSearchCV do the same; its time for all folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    pool, folds = pool_and_folds(path)
    splits = [(learned, held) for learned, held, _ in folds.splits()][:peer_folds]
    search = GridSearchCV(
        LogisticRegression(max_iter=1000),
        {"C": STRENGTHS},
        cv=splits,
        scoring="neg_log_loss",
        refit=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, took = timed(lambda: search.fit(pool.columns("both"), pool.labels))
    for key in ("seconds", "processor_seconds"):
        took[key] *= FOLDS / len(splits)
    return {**took, "log_losses": (-search.cv_results_["mean_test_score"]).tolist()}


def penalties(name, root, folder, options):
    """Return what both ways took and found on one set."""
    task, path = embedded(name, root), folder / f"{name}.npz"
    np.savez(
        path,
        vectors=task.vectors,
        trunk=task.trunk,
        labels=task.labels,
        texts=task.text_rows,
        scale=task.logit_scale,
    )
    found = {"ours": [], "scikit-learn": []}
    for run in range(options.runs):
        for way, runs in found.items():
            # Long runs of the peer vary little; one will do.
            if way == "ours" or run == 0 or name == "cifar10":
                runs.append(in_own_process(way, path, options.peer_folds))
                print(f"{name}, {way}: {runs[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    medians = {way: summary(runs) for way, runs in found.items()}
    ours, peer = medians["ours"], medians["scikit-learn"]
    return {
        "n": len(task.labels),
        "n_classes": len(task.class_names),
        "dim": task.trunk.shape[1],
        "folds_of_the_peer": options.peer_folds,
        **medians,
        "ratio": peer["seconds"] / ours["seconds"],
        "processor_ratio": peer["processor_seconds"] / ours["processor_seconds"],
        "log_loss_ours": min(ours["log_losses"]),
        "log_loss_peer": min(peer["log_losses"]),
    }


def summary(runs):
    keys = ("seconds", "processor_seconds", "peak_mb")
    return {
        **{key: median(one[key] for one in runs) for key in keys},
        "log_losses": runs[-1]["log_losses"],
    }


def in_own_process(way, path, peer_folds):
    command = [sys.executable, __file__, "--way", way, str(path), "--peer-folds", str(peer_folds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def whole_choice(root, folder, runs):
    """Return the seconds of ``fit`` and of the former ladder on 300 cached images."""
    from cliptune.images import ImageTable

    table = ImageTable.open(str(root / "pacs"))
    rows = np.random.default_rng(0).permutation(len(table))[:300]
    for number, row in enumerate(rows):
        home = folder / "pacs" / table.class_names[table.labels[row]]
        home.mkdir(parents=True, exist_ok=True)
        (home / f"{number}.jpg").write_bytes(table.sources[row].read())
    before = folder / "former"
    subprocess.run(["git", "-C", HOME, "worktree", "add", "--detach", before, FORMER], check=True)
    try:
        found = {"choice": [], "ladder": []}
        for run in range(runs + 1):  # the first fills the caches
            for way, seconds in found.items():
                took = timed_fit(folder, before if way == "ladder" else HOME, way)
                if run:
                    seconds.append(took)
    finally:
        subprocess.run(["git", "-C", HOME, "worktree", "remove", "--force", before], check=True)
    ratios = [ours / theirs for ours, theirs in zip(*found.values(), strict=True)]
    return {**found, "ratio": median(ratios), "low": min(ratios), "high": max(ratios)}


def timed_fit(folder, home, way):
    """Return the seconds of a whole command, start included."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "cliptune", "fit", folder / "pacs", "--out", out]
        + (["--method", "ladder"] if way == "ladder" else []),
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(home / "src"), "CLIPTUNE_CACHE": str(folder / way)},
    )
    return time.perf_counter() - began


def render(found):
    lines = ["# choice_speed", "", f"{machine()}", ""]
    lines += ["| images | classes | way | seconds | processor seconds | MB | best log-loss |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for case in found["penalties"]:
        for way in ("ours", "scikit-learn"):
            one = case[way]
            lines.append(
                f"| {case['n']:,} | {case['n_classes']} | {way} | {one['seconds']:.1f} | "
                f"{one['processor_seconds']:.1f} | {one['peak_mb']:.0f} | "
                f"{min(one['log_losses']):.4f} |"
            )
    lines += [""]
    for case in found["penalties"]:
        lines.append(
            f"- {case['n']:,} images: **{case['ratio']:.1f} times** as fast (processor time: "
            f"{case['processor_ratio']:.1f}); the peer answered {case['folds_of_the_peer']} of "
            f"{FOLDS} folds, scaled; log-loss {case['log_loss_ours']:.4f} against "
            f"{case['log_loss_peer']:.4f} on those"
        )
    whole = found["whole"]
    lines.append(
        f"- `fit` on 300 cached images: {median(whole['choice']):.1f} s, "
        f"**{whole['ratio']:.2f} times** the former ladder ({whole['low']:.2f} to "
        f"{whole['high']:.2f}; 3 is the aim)"
    )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--peer-folds", type=int, default=FOLDS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", choices=("ours", "scikit-learn"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        do = {"ours": measure_ours, "scikit-learn": measure_peer}[options.way]
        print(json.dumps(do(options.root, options.peer_folds)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "whole": whole_choice(options.root, folder, options.runs),
            "penalties": [penalties(case, options.root, folder, options) for case in CASES],
        }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "choice_speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "choice_speed.md").write_text(render(found))
    print(render(found))


if __name__ == "__main__":
    main()
