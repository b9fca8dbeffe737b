"""The part of the campaign that kills long commands and compares what they end with.

Each of embed, fit, sweep and study runs once undisturbed; then six processes, one after another
on one place, are killed (signal 9) at random moments, and a last one is left alone. A process that
ends before its death is compared at once, and the next begin on another place.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from campaign_tools import Tally, Workplace, without_times

__all__ = ["run"]

_KILLS = 6
Words = Sequence[object]


def run(work: Workplace, tally: Tally, seed: int) -> None:
    """Kill four commands six times each."""
    rng = random.Random(seed)
    for name, (words, result) in _commands(work).items():
        _try_one(work, tally, rng, name, words, result)


def _commands(
    work: Workplace,
) -> dict[str, tuple[Callable[[Path], Words], Callable[[Path, str], Any]]]:  # Any: JSON values
    """Return the words of each command in a place, and how its result is read."""
    # One engine: another one rounds otherwise, and the fastest is chosen by a measurement.
    base = ["--model", work.model, "--engine", "torch", "--json"]

    def places(folder: Path) -> Words:
        return ["--cache-dir", folder / "cache", "--out", folder / "out"]

    full = ["--method", "full", "--epochs", 6, "--batch-size", 12, "--checkpoint-seconds", 0]
    grid = ["--method", "linear-sgd", "--grid", "lr=1e-3..1:8 wd=0,1e-4", "--epochs", 40]
    sections = ["--only", "data,zero-shot,heads,map", "--budget", "10m"]
    return {
        "embed": (lambda at: ["embed", work.data, *base, *places(at)], _vectors),
        "fit": (lambda at: ["fit", work.data, *full, "--no-check", *base, *places(at)], _json),
        "sweep": (lambda at: ["sweep", work.data, *grid, *base, *places(at)], _json),
        "study": (lambda at: ["study", work.data, *sections, *base, *places(at)], _json),
    }


def _try_one(
    work: Workplace,
    tally: Tally,
    rng: random.Random,
    name: str,
    words: Callable[[Path], Words],
    read: Callable[[Path, str], Any],  # Any: plain JSON values
) -> None:
    whole, broken = work.new("whole"), work.new("broken")
    undisturbed = work.apart(words(whole))
    if undisturbed.code != 0:
        tally.add(f"kills of {name}", "undisturbed", undisturbed.err[-600:])
        return
    kills, seconds = 0, undisturbed.seconds
    for _ in range(3 * _KILLS):
        if kills == _KILLS:
            break
        process = work.start(words(broken))
        # The first part of a process is its start, where nothing can be lost yet.
        began = time.perf_counter()
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.2, 0.95) * seconds)
            seconds = min(seconds, time.perf_counter() - began)  # it is quicker now
        process.send_signal(signal.SIGKILL)
        _, messages = process.communicate()
        if process.returncode == -signal.SIGKILL:
            kills += 1
            tally.add(f"kills of {name}", f"kill {kills}", "")
            continue
        # It was quicker than its death, or there was nothing left to do: begin anew elsewhere.
        ended = process.returncode == 0 or "finished" in messages
        if not ended:
            tally.add(f"kills of {name}", "taken up", messages[-600:])
        _compare(work, tally, name, words, read, (whole, undisturbed.out), broken)
        broken = work.new("broken")
    if kills < _KILLS:
        tally.add(f"kills of {name}", "kills", f"only {kills} of {_KILLS} came in time")
    _compare(work, tally, name, words, read, (whole, undisturbed.out), broken)


def _compare(
    work: Workplace,
    tally: Tally,
    name: str,
    words: Callable[[Path], Words],
    read: Callable[[Path, str], Any],  # Any: plain JSON values
    expected: tuple[Path, str],
    broken: Path,
) -> None:
    out = broken / "out"
    finished = out / "metrics.json"
    last = work.apart(words(broken))
    if last.code != 0 and not (finished.is_file() and (out / "manifest.json").is_file()):
        tally.add(f"kills of {name}", "taken up", last.err[-600:])
        return
    text = last.out if last.code == 0 else finished.read_text(encoding="utf-8")
    wanted, found = read(*expected), read(broken, text)
    fault = _difference(wanted, found)
    left = [str(p.relative_to(out)) for p in out.rglob("*") if p.name.startswith(".tmp-")]
    fault = fault or (f"left behind: {left[:3]}" if left else "")
    tally.add(f"kills of {name}", "the same result", fault)


def _vectors(place: Path, _: str) -> list[Any]:  # Any: bits of vectors
    column = pq.read_table(place / "out" / "features.parquet", columns=["vector"])["vector"]
    rows = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
    return [rows.tobytes().hex()]


def _json(place: Path, text: str) -> Any:  # Any: plain JSON values
    return without_times(json.loads(text.replace(str(place), "")))


def _difference(wanted: Any, found: Any, at: str = "") -> str:  # Any: plain JSON values
    """Say where two results differ first; floats may differ in their last digits."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted(wanted.keys() | found.keys()):
            if key not in wanted or key not in found:
                return f"{at}.{key} is in one result only"
            if difference := _difference(wanted[key], found[key], f"{at}.{key}"):
                return difference
        return ""
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        parts = (_difference(a, b, f"{at}[{i}]") for i, (a, b) in enumerate(zip(wanted, found)))  # noqa: B905  equal lengths
        return next((part for part in parts if part), "")
    if isinstance(wanted, float) and isinstance(found, float):
        near = abs(wanted - found) <= 1e-6 + 1e-6 * abs(wanted)
        return "" if near else f"{at}: {wanted} undisturbed, {found} after kills"
    same = wanted == found
    return "" if same else f"{at}: {str(wanted)[:80]} undisturbed, {str(found)[:80]} after kills"
