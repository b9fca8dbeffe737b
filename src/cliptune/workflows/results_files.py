"""Results and runs, read again from where they were written.

It knows which files the verbs leave, and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.errors import RunError
from cliptune.results.base import Result
from cliptune.system.file_kinds import is_file, is_folder
from cliptune.system.json_files import read_object

if TYPE_CHECKING:
    from cliptune.runs import RunDir

__all__ = ["load_result", "load_run", "result_kinds"]

# Of a task its class; of ``fit`` that of heads, see ``_kind_of``.
_KINDS = {
    "predict": "predictions:PredictResult",
    "embed": "predictions:EmbedResult",
    "embed-shards": "embedded_shards:EmbedShardsResult",
    "index": "embedded_shards:IndexResult",
    "search": "embedded_shards:SearchResult",
    "zero-shot": "scores:EvaluateResult",
    "fitted": "scores:FittedEvaluateResult",
    "retrieval": "retrieval:RetrievalResult",
    "fit": "fitted:FitResult",
    "finetune": "finetuned:FinetuneResult",
    "fit-labels": "label_sets:FitLabelsResult",
    "label-sets": "label_sets:EvaluateLabelsResult",
    "predict-labels": "label_sets:PredictLabelsResult",
    "check": "checked:CheckReport",
    "sweep": "swept:SweepResult",
    "map": "mapped:MapResult",
    "study": "studied:StudyResult",
    "label-next": "labelled_next:LabelNextResult",
    "relabel": "labelled_next:RelabelResult",
    "refit": "refitted:RefitResult",
    "open-test": "refitted:TestOpening",
    "compare": "refitted:RunComparison",
    "export": "exported:ExportResult",
}
_IN_RUNS = ("metrics.json", "checks.json")
_BESIDE = ("study.json", "parity.json")  # of folders that are no runs


def load_run(path: str | Path) -> RunDir:
    """Open a finished run and check every file against its recorded digest.

    Args:
        path: Its folder.

    Raises:
        RunError: It is missing, unfinished, altered, or of a newer format.
    """
    from cliptune.runs import RunDir

    return RunDir.open(path)


def load_result(path: str | Path) -> Result:
    """Read what a verb gave.

    Args:
        path: The folder of a finished run, a study or an export, or a file with what ``to_json`` or
            ``--json`` wrote.

    Raises:
        RunError: It is missing, unfinished, altered, holds no result, or one of a later version;
            the message names it.
    """
    place = Path(path)
    if is_folder(place):
        return _read_folder(place)
    if not is_file(place):
        raise RunError(f"there is no run and no file {str(path)!r}; give what a verb wrote")
    return _read(read_object(place), str(place))


def _read_folder(place: Path) -> Result:
    for name in _BESIDE:
        if is_file(place / name):
            return _read(read_object(place / name), str(place / name))
    run = load_run(place)
    for name in _IN_RUNS:
        if run.files is not None and name in run.files:
            return _read(run.read_json(name), str(place / name))
    raise RunError(f"{str(place)!r} holds no result; expected one of {', '.join(_IN_RUNS)}")


def _read(values: Mapping[str, Any], where: str) -> Result:  # Any: plain JSON values
    return _kind(_KINDS[_kind_of(values, where)]).from_dict(values, where)


def result_kinds() -> tuple[type[Result], ...]:
    """Return the classes of all results."""
    return tuple(_kind(home) for home in _KINDS.values())


def _kind(home: str) -> type[Result]:
    module, _, name = home.partition(":")
    found: type[Result] = getattr(import_module(f"cliptune.results.{module}"), name)
    return found


def _kind_of(values: Mapping[str, Any], where: str) -> str:  # Any: plain JSON values
    task = values.get("task")
    if task in ("predict-labels", "label-sets"):
        return str(task)
    if "predictions" in values:  # of zero-shot or of a fitted classifier, image by image
        return "predict"
    if task == "fit" and "best_epoch" in values:
        return "finetune"
    if not isinstance(task, str) or task not in _KINDS:
        known = ", ".join(_KINDS)
        raise RunError(f"{where} is of task {task!r:.40}, which is no result; expected {known}")
    return task
