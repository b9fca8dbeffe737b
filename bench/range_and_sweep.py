"""Does the rate range test agree with a sweep? Both on the same images, model and method.

    python bench/range_and_sweep.py DATA [--rows 1000] [--budget 40m]

DATA is a folder; of Parquet files, the first ``--rows`` rows of each are taken, for both. Only the
image tower moves: the range test (``cliptune check``) raises its rate over a few batches, with
several seeds; the sweep trains at rates half a decade apart and a head that all but rests. The
budget is large enough that every rate gets a whole schedule; with less, successive halving leaves
few. Printed: the suggestions, where the loss broke, the best rate of the sweep and its noise band,
each rate's accuracy, and the ratios.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results"
GRID = "backbone=1e-6..1e-2:9 head=1e-9"
FACTOR = 3


def run(*words):
    command = [sys.executable, "-m", "cliptune", *words, "--json"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout)


def cut(data, n_rows, target):
    """Return a smaller copy of a folder of Parquet files; another folder as it is."""
    files = sorted(data.glob("**/*.parquet"))
    for file in files:
        place = target / file.relative_to(data)
        place.parent.mkdir(parents=True, exist_ok=True)
        rows = next(pq.ParquetFile(file).iter_batches(batch_size=n_rows))
        pq.write_table(pa.Table.from_batches([rows]), place)
    return str(target if files else data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--budget", default="40m")
    parser.add_argument("--epochs", default="5")
    parser.add_argument("--seeds", type=int, default=3, help="of the range test")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = cut(Path(options.data), options.rows, Path(folder) / "data")
        tests = [range_test(data, seed) for seed in range(options.seeds)]
        words = ["--method", "full", "--grid", GRID, "--budget", options.budget]
        words += ["--seeds", "1", "--epochs", options.epochs, "--out", f"{folder}/run"]
        swept = run("sweep", data, *words, "--storage", f"sqlite:///{folder}/study.db")
    suggested = statistics.median(test["suggested"] for test in tests)
    best = swept["recommendation"]["best_moving"]["backbone"]
    band = swept["within_noise"]["bands"]["backbone"]
    result = {
        "data": Path(options.data).name,
        "suggested": [test["suggested"] for test in tests],
        "breaks_at": [test["breaks_at"] for test in tests],
        "best": best,
        "within_noise": [band["low"], band["high"]],
        "best_over_median_suggestion": best / suggested,
        "near_best": 1 / FACTOR <= best / suggested <= FACTOR,
        "near_band": band["low"] / FACTOR <= suggested <= FACTOR * band["high"],
        "n_train": swept["n_train"],
        "n_val": swept["n_val"],
        "complete": swept["complete"],
        "trials": [trial_row(trial) for trial in swept["trials"]],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"range_and_sweep_{result['data']}.json"
    (options.out / name).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def range_test(data, seed):
    words = ["--method", "head-then-full", "--train", "image", "--seed", str(seed)]
    checks = run("check", data, *words)["checks"]
    return next(check for check in checks if check["name"] == "rate_range")["value"]


def trial_row(trial):
    return {
        "backbone": trial["backbone"],
        "steps": trial["steps"],
        "val_accuracy": trial["val_accuracy"],
        "val_loss": trial["val_loss"],
        "diverged": trial["diverged"],
    }


if __name__ == "__main__":
    main()
