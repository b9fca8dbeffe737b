"""Does the rate range test agree with a sweep? Both on the same images, model and method.

    python bench/range_and_sweep.py DATA [--train-images 300] [--budget 10m]

The range test (``cliptune check``) raises one rate over a few batches of ``head-then-full``; the
sweep trains at a range of backbone rates with successive halving. Printed: the suggestion, where
the loss broke, the best backbone rate of the sweep and its noise band, and the ratio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
GRID = "backbone=1e-6,1e-5,1e-4,1e-3,1e-2 head=1e-3"


def run(*words):
    command = [sys.executable, "-m", "cliptune", *words, "--json"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--train-images", default="300")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    checks = run("check", options.data, "--method", "head-then-full")["checks"]
    found = next(check for check in checks if check["name"] == "rate_range")["value"]
    with tempfile.TemporaryDirectory() as folder:
        words = ["--method", "full", "--grid", GRID, "--train-images", options.train_images]
        words += ["--budget", options.budget, "--seeds", "1", "--out", f"{folder}/run"]
        swept = run("sweep", options.data, *words)
    best = swept["recommendation"]["best_moving"]["backbone"]
    band = swept["within_noise"]["bands"]["backbone"]
    result = {
        "data": Path(options.data).name,
        "suggested": found["suggested"],
        "breaks_at": found["breaks_at"],
        "best": best,
        "within_noise": [band["low"], band["high"]],
        "ratio": best / found["suggested"],
        "in_band": band["low"] / 3 <= found["suggested"] <= 3 * band["high"],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"range_and_sweep_{result['data']}.json"
    (options.out / name).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
