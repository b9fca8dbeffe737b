"""Does the rate range test agree with a sweep? Both on the same images, model and method.

    python bench/range_and_sweep.py DATA [--rows 1000] [--budget 10m]

DATA is a folder; of Parquet files, the first ``--rows`` rows of each are taken, for both. Only the
image tower moves: the range test (``cliptune check``) raises its rate over a few batches; the sweep
trains at a range of rates with successive halving and a head that all but rests. Printed: the
suggestion, where the loss broke, the best rate of the sweep and its noise band, and the ratio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results"
GRID = "backbone=1e-6,1e-5,1e-4,1e-3,1e-2 head=1e-9"


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
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = cut(Path(options.data), options.rows, Path(folder) / "data")
        checks = run("check", data, "--method", "head-then-full", "--train", "image")["checks"]
        words = ["--method", "full", "--grid", GRID, "--budget", options.budget]
        words += ["--seeds", "1", "--out", f"{folder}/run", "--cache-dir", f"{folder}/cache"]
        swept = run("sweep", data, *words)
    found = next(check for check in checks if check["name"] == "rate_range")["value"]
    best = swept["recommendation"]["best_moving"]["backbone"]
    band = swept["within_noise"]["bands"]["backbone"]
    result = {
        "data": Path(options.data).name,
        "suggested": found["suggested"],
        "breaks_at": found["breaks_at"],
        "best": best,
        "within_noise": [band["low"], band["high"]],
        "ratio": best / found["suggested"],
        "n_train": swept["n_train"],
        "n_val": swept["n_val"],
        "complete": swept["complete"],
        "within_three_of_band": band["low"] / 3 <= found["suggested"] <= 3 * band["high"],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"range_and_sweep_{result['data']}.json"
    (options.out / name).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
