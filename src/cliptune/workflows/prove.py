"""``prove``: runs of a project in time, side by side, and on the locked test when it is opened.

It knows projects, runs and paired tests, and nothing about pages.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.errors import DataError, InputError, RunError
from cliptune.evaluation.metrics import Score, wilson_interval
from cliptune.evaluation.significance import Comparison, compare_correct
from cliptune.results.refitted import (
    ChangedImage,
    RefitResult,
    RunComparison,
    TestOpening,
    TimelineEntry,
)
from cliptune.runs import RunDir
from cliptune.system.escaping import from_csv
from cliptune.system.formatting import count, percent
from cliptune.workflows.label_project import LabelProject
from cliptune.workflows.refit import HELD_OUT
from cliptune.workflows.results_files import load_result

if TYPE_CHECKING:
    from cliptune.annotations import Act

__all__ = [
    "Believed",
    "believe",
    "compare_runs",
    "fits_encoder",
    "list_runs",
    "open_test",
    "run_path",
]

_LEVEL = 0.05
_SHOWN = 500  # images that changed, listed in a comparison


class Believed:
    """What a run says of every image of a project.

    Args:
        project: Images and encoder.
        run: The run's folder.

    Attributes:
        class_names: C names of the run.
        probabilities: float64 (N, C), calibrated.
        abstains: bool (N,).

    Raises:
        RunError: It holds no classifier, or one of another encoder.
    """

    def __init__(self, project: LabelProject, run: Path) -> None:
        calibrated = CalibratedHead.load(RunDir.open(run))
        calibrated.encoder.require_same(project.encoder)
        if calibrated.needs == "tokens":
            raise RunError(f"{str(run)!r} looks at patches of images; its images cannot be shown")
        X = project.rows_of_heads if calibrated.needs == "trunk" else project.vectors
        self.class_names = calibrated.class_names
        self.probabilities: NDArray[np.float64] = calibrated.predict_proba(X)
        self.abstains = calibrated.abstains(self.probabilities)


def believe(project: LabelProject, run: str) -> Believed:
    """Return what a run of the project says; ``run`` is a name as ``list_runs`` gives it."""
    return Believed(project, run_path(project, run))


def list_runs(project: LabelProject) -> list[TimelineEntry]:
    """Return the finished runs beside the journal, and the one that was given, in time."""
    openings = project.journal.standing.openings()
    places = sorted(p for p in project.place.glob("fit-*") if (p / "manifest.json").is_file())
    entries = [_entry(p, p.name, openings) for p in places]
    if project.classifier is not None:
        path = project.classifier.run.path
        if path.parent.resolve() != project.place.resolve():
            entries.append(_entry(path, str(path), openings))
    return sorted(entries, key=lambda entry: entry.finished)


def fits_encoder(project: LabelProject, run: str) -> bool:
    """Say whether a run takes what the project's encoder gives."""
    record = EncoderRecord.read(RunDir.open(run_path(project, run)))
    return record.fingerprint == project.encoder.fingerprint


def _entry(path: Path, name: str, openings: list[Act]) -> TimelineEntry:
    said = _read_entry(path, (path / "manifest.json").stat().st_mtime_ns)
    own = [act.facts for act in openings if act.facts.get("run") == name]
    test = None
    if own:
        accuracy, low, high, n = (own[-1][key] for key in ("accuracy", "low", "high", "n"))
        test = Score(accuracy, low, high, n, "Wilson")
    return replace(said, run=name, test=test, opened=len(own))


@lru_cache(maxsize=1024)
def _read_entry(path: Path, written_ns: int) -> TimelineEntry:
    """Read a run, whose files are digested, once for each time that it was written."""
    result, run = load_result(path), RunDir.open(path)
    if isinstance(result, RefitResult):
        method, n_labels, held_out = result.method, result.n_labels, result.held_out
    else:
        shipped = getattr(result, "shipped", None)
        method = shipped.method if shipped else str(getattr(result, "method", ""))
        n_labels = int(getattr(result, "n_train", 0))
        held_out = shipped.val.accuracy if shipped and shipped.val else None
    finished = str(run.manifest.get("finished", ""))
    return TimelineEntry("", finished, method, n_labels, held_out, None, 0)


def open_test(project: LabelProject, run: str, *, who: str, tab: str) -> TestOpening:
    """Score a run on the labelled images of the locked test, and write down that it was opened.

    Args:
        project: Images and journal.
        run: A name as ``list_runs`` gives it.
        who: By whom.
        tab: On which page or by which command.

    Raises:
        DataError: No image of the test has a label.
        RunError: There is no such run, or it is of another encoder.
    """
    believed = believe(project, run)
    rows, right = _on_test(project, believed)
    if not len(rows):
        raise DataError(
            "no image of the locked test has a label yet: label some of those that are kept for "
            "the test, a hundred if you can"
        )
    low, high = wilson_interval(int(right.sum()), len(right))
    score = Score(float(right.mean()), low, high, len(right), "Wilson")
    corrected = _corrected(project)
    facts = {
        "run": run,
        "accuracy": score.value,
        "low": low,
        "high": high,
        "n": score.n,
        "corrected": corrected,
    }
    project.journal.open_test(facts, who=who, tab=tab)
    opened = len(project.journal.standing.openings())
    return TestOpening(
        task="open-test",
        run=run,
        accuracy=score,
        opened=opened,
        corrected=corrected,
        sentence=_say_opening(run, score, opened, corrected),
    )


def _say_opening(run: str, score: Score, opened: int, corrected: int) -> str:
    times = "once" if opened == 1 else f"{opened} times"
    sentence = (
        f"{run} gets {percent(score.value)} of {count(score.n)} test images right "
        f"({100 * score.low:.1f} to {100 * score.high:.1f}); the test was opened {times}"
    )
    if corrected:
        sentence += f"; {corrected} of its labels were corrected by people"
    return sentence


def _on_test(
    project: LabelProject, believed: Believed
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return labelled test rows and whether the run is right there; unknown classes are wrong."""
    table = project.table()
    rows = np.flatnonzero(project.test_mask() & (table.labels >= 0))
    names = np.array([table.class_names[c] for c in table.labels[rows]], dtype=object)
    answers = np.array(believed.class_names, dtype=object)
    said = answers[believed.probabilities[rows].argmax(axis=1)]
    return rows, np.asarray(said == names, dtype=np.bool_)


def _corrected(project: LabelProject) -> int:
    """Count the labels of the test that people changed from what the data set says."""
    before, now = project.source, project.table()
    changed = (before.labels >= 0) & (before.labels != now.labels) & project.test_mask()
    return int(changed.sum())


def compare_runs(project: LabelProject, first: str, second: str) -> RunComparison:
    """Set two runs side by side on the same images, by a paired test.

    On the locked test where it was opened for both; else on images that both left out in turn
    while they were fitted, as far as their labels are the same still.

    Args:
        project: Images and journal.
        first: A name as ``list_runs`` gives it.
        second: Another.

    Raises:
        InputError: They are the same, or have no image in common.
        RunError: There is no such run.
    """
    if first == second:
        raise InputError(f"{first!r} was named twice; name two runs")
    opened = {act.facts.get("run") for act in project.journal.standing.openings()}
    if {first, second} <= opened:
        rows, one = _on_test(project, believe(project, first))
        _, other = _on_test(project, believe(project, second))
        on = "test"
    else:
        rows, one, other = _held_out_by_both(project, first, second)
        on = "held-out"
    if not len(rows):
        raise InputError(
            f"{first} and {second} left out no image in common; open the test for both, or re-fit"
        )
    found = compare_correct(one, other)
    table, sources = project.table(), project.source.sources
    changed = tuple(
        ChangedImage(
            sources[row].id,
            project.contents[row],
            table.class_names[table.labels[row]],
            bool(other[place]),
        )
        for place, row in enumerate(rows.tolist())
        if one[place] != other[place]
    )
    verdict = _verdict(found)
    return RunComparison(
        task="compare",
        first=first,
        second=second,
        on=on,
        comparison=found,
        verdict=verdict,
        sentence=_say_comparison(first, second, found, verdict, on),
        changed=changed[:_SHOWN],
    )


def _verdict(found: Comparison) -> str:
    if found.p_value >= _LEVEL or found.difference == 0:
        return "cannot-tell"
    return "better" if found.difference > 0 else "worse"


def _say_comparison(first: str, second: str, found: Comparison, verdict: str, on: str) -> str:
    where = "test images" if on == "test" else "images that both left out in turn"
    points = (
        f"{100 * found.difference:+.1f} points on {count(found.n)} {where} "
        f"({100 * found.low:+.1f} to {100 * found.high:+.1f}, p = {found.p_value:.2g})"
    )
    if verdict == "cannot-tell":
        return f"cannot tell whether {second} is better than {first}: {points}"
    return f"{second} is {verdict} than {first}: {points}"


def _held_out_by_both(
    project: LabelProject, first: str, second: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    one, other = _held_out(run_path(project, first)), _held_out(run_path(project, second))
    table = project.table()
    rows, hits = [], []
    for image in one.keys() & other.keys():
        row = project.row_of.get(image)
        label = "" if row is None or table.labels[row] < 0 else table.class_names[table.labels[row]]
        if row is not None and one[image][0] == other[image][0] == label:
            rows.append(row)
            hits.append((one[image][1] >= 0.5, other[image][1] >= 0.5))
    order = np.argsort(rows) if rows else np.zeros(0, np.int64)
    both = np.array(hits, dtype=np.bool_).reshape(-1, 2)[order]
    return np.array(rows, dtype=np.int64)[order], both[:, 0], both[:, 1]


def _held_out(run: Path) -> Mapping[str, tuple[str, float]]:
    """Read the label and the share of right answers of each image that was left out in turn."""
    opened = RunDir.open(run)
    if HELD_OUT not in (opened.files or ()):
        raise InputError(
            f"{str(run)!r} does not say which images it got right while they were left out; open "
            "the test for both runs, or re-fit"
        )
    try:
        with opened.file(HELD_OUT).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
        return {
            row["content"]: (from_csv(row["label"]), float(row["right"]))
            for row in rows
            if row["right"]
        }
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise RunError(f"cannot read {HELD_OUT} of {str(run)!r} ({error})") from error


def run_path(project: LabelProject, run: str) -> Path:
    """Return the folder of a run, named as ``list_runs`` does.

    Raises:
        RunError: There is no such run.
    """
    given = project.classifier
    if given is not None and run == str(given.run.path):
        return given.run.path
    names = [p.name for p in project.place.glob("fit-*") if (p / "manifest.json").is_file()]
    if run not in names:
        raise RunError(f"there is no run {run!r:.60} here; known: {', '.join(names) or 'none'}")
    return project.place / run
