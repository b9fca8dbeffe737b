"""Starts beside those of a former version: import, help, and one image with warm caches.

    python bench/start_former.py [DATA] [--runs 9] [--former COMMIT]

``git worktree`` lays out the former version, by default the last one before there was a Python
API. Whole processes, alternating; processor time, which a busy machine changes less, is told
beside seconds on the clock, and ratios are of processor time, run by run. Each version has a
cache of its own, filled by a run that is not counted.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from harness import data_parser, picture_files, rate_row, ratio, target, write

HOME = Path(__file__).resolve().parent.parent
FORMER = "5f020e6"


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--former", default=FORMER)
    parser.set_defaults(runs=9)
    options = parser.parse_args()
    (image,), _ = picture_files(options.data, 1, 1)
    run = [sys.executable, "-m", "cliptune"]
    commands = {
        "import cliptune": [sys.executable, "-c", "import cliptune"],
        "cliptune --help": [*run, "--help"],
        "predict, warm": [*run, "predict", image, "--labels", "ant,bee"],
    }
    runs = 1 if options.quick else options.runs
    with tempfile.TemporaryDirectory() as folder:
        former = Path(folder) / "former"
        subprocess.run(
            ["git", "-C", HOME, "worktree", "add", "--detach", former, options.former],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            found = measure(commands, {"former": former, "ours": HOME}, Path(folder), runs)
        finally:
            subprocess.run(["git", "-C", HOME, "worktree", "remove", "--force", former], check=True)
    report(found, runs, options.former)


def measure(commands, homes, folder, runs):
    """Return seconds on the clock and of the processor by command and version."""
    found = {}
    for what, command in commands.items():
        for number in range(-2, runs):
            for way, home in homes.items():
                clock, processor = timed(command, home, folder / f"cache-{way}")
                if number >= 0:
                    own = found.setdefault(what, {}).setdefault(way, {"clock": [], "processor": []})
                    own["clock"].append(clock)
                    own["processor"].append(processor)
    return found


def timed(command, home, cache):
    """Return the seconds of a whole process, on the clock and of the processor."""
    environment = {**os.environ, "PYTHONPATH": str(home / "src"), "CLIPTUNE_CACHE": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as an installed package is
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, env=environment, cwd="/", stdout=quiet, stderr=quiet)
    clock = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(found, runs, former):
    """Write the table, and the former version's time over ours."""
    rows = [
        rate_row(f"{what}, {kind}", way, 1, seconds, "runs/s")
        for what, ways in found.items()
        for way, kinds in ways.items()
        for kind, seconds in kinds.items()
    ]
    targets = [
        target(
            f"{what}, over the former version",
            ratio(ways["former"]["processor"], ways["ours"]["processor"]),
            1,
        )
        for what, ways in found.items()
    ]
    mean = {
        what: {way: median(kinds["processor"]) for way, kinds in ways.items()}
        for what, ways in found.items()
    }
    about = f"Whole processes, alternating, {runs} runs; the former version is {former}."
    write("start_former", {"about": about, "seconds": found, "medians": mean}, targets, rows)


if __name__ == "__main__":
    main()
