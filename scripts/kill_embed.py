"""Kill ``cliptune embed`` at random moments and compare what is left with an undisturbed run.

    python scripts/kill_embed.py DATA [--kills 20] [--n 5000] [--seed 0]

DATA is a folder with a train.parquet, of which the first N images are taken. Every killed process
is followed by the next on the same cache; the last one is left alone. It then says whether all
vectors have the bits of a run in a cache of its own, and how many images were embedded in all:
the vectors in the cache after each kill count what is kept, so at most the batch that was in work
at a kill can have been embedded twice.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from cliptune.features import list_cache


def write_images(data: Path, folder: Path, n: int) -> None:
    """Write the first n images as files."""
    rows = next(pq.ParquetFile(data / "train.parquet").iter_batches(batch_size=n))
    for number, row in enumerate(rows.to_pylist()):
        place = folder / row["class_name"] / f"{number:06d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(row["image"]["bytes"])


def start(images: Path, work: Path) -> subprocess.Popen[str]:
    """Start one embedding into the cache of ``work``."""
    command = [sys.executable, "-m", "cliptune", "embed", str(images), "--json"]
    # One engine: another one rounds otherwise, and the fastest is chosen by a measurement.
    command += ["--engine", "torch"]
    command += ["--out", str(work / "out"), "--cache-dir", str(work / "cache")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, float]:
    """Wait for an undisturbed process and return what it reports."""
    out, messages = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"embed ended with {process.returncode}: {messages}")
    found: dict[str, float] = json.loads(out)
    return found


def n_kept(work: Path) -> int:
    """Count the vectors of images in a cache."""
    return sum(e.n_vectors for e in list_cache(work / "cache") if e.kind == "pooled")


def vectors(work: Path) -> np.ndarray:
    """Read what an embedding wrote, in the table's order."""
    column = pq.read_table(work / "out" / "features.parquet", columns=["vector"])["vector"]
    return np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])


def main() -> None:
    """Run it and print one line a kill and the verdict; exit with 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        images, whole, broken = (Path(temporary) / name for name in ("images", "whole", "broken"))
        write_images(options.data, images, options.n)
        began = time.perf_counter()
        finish(start(images, whole))
        seconds = time.perf_counter() - began
        print(f"undisturbed: {n_kept(whole)} vectors in {seconds:.0f} s", flush=True)
        for kill in range(1, options.kills + 1):
            process = start(images, broken)
            time.sleep(rng.uniform(0.2, 1.5) * seconds / options.kills + rng.uniform(0, 12))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            print(f"kill {kill}: {n_kept(broken)} vectors kept", flush=True)
        before = n_kept(broken)
        last = finish(start(images, broken))
        equal = bool((vectors(whole) == vectors(broken)).all())
        complete = before + last["images_embedded"] == n_kept(whole) == n_kept(broken)
    print(f"the last process embedded {last['images_embedded']:.0f} of {options.n}")
    print(f"bits equal: {equal}; nothing that was kept was embedded again: {complete}")
    sys.exit(0 if equal and complete else 1)


if __name__ == "__main__":
    main()
