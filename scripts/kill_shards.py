"""Kills at random moments while shards are computed; the parts must be those of an undisturbed job.

    python scripts/kill_shards.py [DATA] [--kills 30] [--executors local ray] [--seed 0]

Each turn begins a job in a new folder, kills the driver or one process that computes (for Ray one
of its workers, or its node) with signal 9 at a random moment, starts the job again where it ended
unfinished, and compares every part with the undisturbed job's, bit by bit; rows are counted by
name. One moment in three is anywhere from the start on, the others lie between the first part and
the last.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow.parquet as pq


def main() -> None:
    """Kill, start again, compare, and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="hymenoptera")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--executors", nargs="+", default=["local", "ray"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, seconds, work, hits = {}, {}, {}, Counter()
        for executor in arguments.executors:
            began = time.time()
            subprocess.run(command(arguments.data, folder / executor, executor), check=True)
            seconds[executor] = time.time() - began
            whole[executor] = bytes_of(folder / executor)
            written = [part.stat().st_mtime for part in (folder / executor / "parts").iterdir()]
            work[executor] = max(written) - min(written)
        same = agree(list(whole.values()))
        print(f"undisturbed: {seconds}, of it with parts: {work}, executors agree: {same}")
        for turn in range(arguments.kills):
            executor = arguments.executors[turn % len(arguments.executors)]
            victim = rng.choice(["driver", "worker", *(["node"] if executor == "ray" else [])])
            out, during = folder / f"kill-{turn}", turn // len(arguments.executors) % 3 > 0
            moment = rng.random() * (work if during else seconds)[executor]
            killed, n_parts = kill_once(arguments.data, out, executor, victim, moment, during)
            hits[executor, victim] += killed != "no worker yet" and 0 < n_parts < len(
                whole[executor]
            )
            subprocess.run(command(arguments.data, out, executor), check=True)
            fine = bytes_of(out) == whole[executor] and each_once(out)
            wrong += not fine
            state = "bit-equal" if fine else "WRONG"
            after = "the first part" if during else "the start"
            print(
                f"{turn + 1}: {executor}, {victim} killed {moment:.1f} s after {after} with "
                f"{n_parts} parts there ({killed}): {state}",
                flush=True,
            )
    for (executor, victim), count in sorted(hits.items()):
        print(f"{executor}, {victim}: {count} hit a job between its first part and its last")
    print(f"{arguments.kills - wrong} of {arguments.kills} jobs are bit-equal, each row once")
    sys.exit(1 if wrong else 0)


def command(data: str, out: Path, executor: str) -> list[str]:
    """Return the command line of a job."""
    options = ["--executor", executor, "--workers", "2", "--rows-per-shard", "32"]
    return [sys.executable, "-m", "cliptune", "embed", data, "--out", str(out), *options]


def kill_once(
    data: str, out: Path, executor: str, victim: str, moment: float, during: bool
) -> tuple[str, int]:
    """Kill what was chosen, and wait until the job has ended, one way or the other.

    Returns:
        What became of it, and how many parts there were when it was hit.
    """
    process = subprocess.Popen(
        command(data, out, executor), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while during and process.poll() is None and not count_parts(out):
        time.sleep(0.02)
    time.sleep(moment)
    n_parts = count_parts(out)
    if process.poll() is not None:
        return "it had ended", n_parts
    everybody = psutil.Process(process.pid).children(recursive=True)
    if victim == "driver":
        process.kill()
        process.wait()
        for child in everybody:  # Ray's own processes and our workers end by themselves
            try:
                child.wait(timeout=30)
            except psutil.TimeoutExpired:
                child.kill()
        return "started again", n_parts
    marks = {"worker": ("ray::run_task", "spawn_main"), "node": ("/raylet --raylet_socket",)}
    named = [(one.pid, " ".join(cmdline(one))) for one in everybody]
    workers = [pid for pid, name in named if any(mark in name for mark in marks[victim])]
    if workers:
        os.kill(random.choice(workers), signal.SIGKILL)
    process.wait(timeout=300)
    return (f"ended with {process.returncode}" if workers else "no worker yet"), n_parts


def count_parts(folder: Path) -> int:
    """Count the parts that are there."""
    return len(list((folder / "parts").glob("part-*.parquet")))


def cmdline(process: psutil.Process) -> list[str]:
    """Return how a process was started; nothing where it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return the parts of a job."""
    return {part.name: part.read_bytes() for part in sorted((folder / "parts").iterdir())}


def agree(jobs: list[dict[str, bytes]]) -> bool:
    """Tell whether all jobs have the same parts."""
    return all(job == jobs[0] for job in jobs)


def each_once(folder: Path) -> bool:
    """Tell whether every row is there once, as many as the manifest says."""
    ids = [
        one
        for part in (folder / "parts").iterdir()
        for one in pq.read_table(part)["id"].to_pylist()
    ]
    total = json.loads((folder / "manifest.json").read_text())["rows"]
    return len(ids) == len(set(ids)) == total


if __name__ == "__main__":
    main()
