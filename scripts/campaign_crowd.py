"""The part of the campaign that starts several commands at once on one place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from campaign_tools import Outcome, Tally, Workplace, refusal_fault

__all__ = ["run"]


def run(work: Workplace, tally: Tally) -> None:
    """Try four places that several commands want at the same moment."""
    base = ["--model", work.model, "--engine", "torch", "--json"]
    tally.add("crowd", "evaluations without --out", _try_default_folders(work, base))
    tally.add("crowd", "embeddings on one cache", _try_one_cache(work, base))
    tally.add("crowd", "sweeps on one study", _try_one_storage(work, base))
    tally.add("crowd", "studies in one folder", _try_one_folder(work, base))


def _together(
    work: Workplace, commands: Sequence[Sequence[object]], place: Path | None = None
) -> list[Outcome]:
    running = [work.start(words, place=place) for words in commands]
    ended = [process.communicate(timeout=900) for process in running]
    codes = [process.returncode for process in running]
    return [Outcome(code, *texts, 0.0) for code, texts in zip(codes, ended, strict=True)]


def _try_default_folders(work: Workplace, base: Sequence[object]) -> str:
    """Each gets a folder of its own, whatever the clock says."""
    place = work.new("place")
    place.mkdir()
    ended = _together(work, [["evaluate", work.data, *base]] * 4, place)
    if failed := [one for one in ended if one.code != 0]:
        return failed[0].err[-400:]
    folders = {json.loads(one.out)["run"] for one in ended}
    there = [path for path in (place / "runs").iterdir() if (path / "manifest.json").is_file()]
    ok = len(folders) == len(there) == len(ended)
    return "" if ok else f"4 evaluations report {len(folders)} folders, {len(there)} are there"


def _try_one_cache(work: Workplace, base: Sequence[object]) -> str:
    """All get the same vectors."""
    cache, outs = work.new("cache"), [work.new("out") for _ in range(4)]
    commands = [["embed", work.data, *base, "--cache-dir", cache, "--out", out] for out in outs]
    if failed := [one for one in _together(work, commands) if one.code != 0]:
        return failed[0].err[-400:]
    tables = [pq.read_table(out / "features.parquet") for out in outs]
    return "" if all(table.equals(tables[0]) for table in tables) else "the vectors differ"


def _try_one_storage(work: Workplace, base: Sequence[object]) -> str:
    """They share the work: every training is done once, and both end with all of it."""
    storage = f"sqlite:///{work.new('study')}.sqlite3"
    grid = ["--method", "linear-sgd", "--grid", "lr=1e-3..1:6 wd=0", "--epochs", 20]
    shared = ["sweep", work.data, *grid, *base, "--storage", storage]
    ended = _together(work, [[*shared, "--out", work.new("out")] for _ in range(2)])
    if failed := [one for one in ended if one.code != 0]:
        return failed[0].err[-400:]
    results = [json.loads(one.out) for one in ended]
    trained = sum(result["n_trained_here"] for result in results)
    n_trials = max(len(result["trials"]) for result in results)  # a grid may have grown
    return "" if trained == n_trials else f"{trained} trainings for {n_trials} trials"


def _try_one_folder(work: Workplace, base: Sequence[object]) -> str:
    """One of them works; the other says who does."""
    out = work.new("out")
    words = ["study", work.data, *base, "--only", "data,zero-shot", "--out", out]
    ended = sorted(_together(work, [words, words]), key=lambda one: one.code)
    if ended[0].code != 0:
        return ended[0].err[-400:]
    if ended[1].code == 0:
        return ""  # the first had ended before the second came
    return refusal_fault(Outcome(ended[1].code, ended[1].out, ended[1].err, 0.0))
