"""From a finished run's folder to the document that is shown of it.

It knows which files the commands leave; it computes nothing and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cliptune.errors import RunError
from cliptune.report.checks import check_document
from cliptune.report.document import Document, Section, Tile, require_document
from cliptune.report.evaluations import evaluate_document
from cliptune.report.maps import map_document
from cliptune.report.runs import fit_document
from cliptune.report.sweeps import sweep_document
from cliptune.runs import RunDir
from cliptune.system.inside import file_inside
from cliptune.system.json_files import read_object

__all__ = ["STUDY_FILE", "read_document"]

STUDY_FILE = "study.json"
_READERS = {
    "check": check_document,
    "evaluate": evaluate_document,
    "fit": fit_document,
    "map": map_document,
    "sweep": sweep_document,
}


def read_document(folder: Path) -> Document:
    """Read a study, finished or interrupted, or a finished run of any other command.

    Raises:
        RunError: It is missing, unfinished, altered, or of a kind that has no report.
    """
    if (folder / STUDY_FILE).is_file():
        return _study_document(folder)
    run = RunDir.open(folder)
    command = run.read_json("config.json").get("command")
    if not isinstance(command, str) or command not in _READERS:
        raise RunError(
            f"{str(folder)!r} was written by {command!r}, which has no report; expected a run of "
            f"study, {', '.join(_READERS)}"
        )
    try:
        document = _READERS[command](run)
        require_document(document)
        return document
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RunError(
            f"{str(folder)!r} lacks what a report of {command!r} needs "
            f"({type(error).__name__}: {error}); was it written by another cliptune? Run it again"
        ) from error


def _study_document(folder: Path) -> Document:
    path = file_inside(folder, STUDY_FILE)
    try:
        document = _from_study(read_object(path))
        require_document(document)
        return document
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # a RunError is a ValueError
        raise RunError(
            f"cannot read the study in {str(path)!r} ({error}); start the study again: what is "
            "finished is kept"
        ) from error


def _from_study(values: Mapping[str, Any]) -> Document:  # Any: plain JSON values
    return Document(
        title=values["title"],
        summary=values["summary"],
        answer=values["answer"],
        answer_title=values["answer_title"],
        command=values["command"],
        tiles=tuple(Tile(**tile) for tile in values["tiles"]),
        sections=tuple(Section.from_dict(s) for s in values["sections"].values()),
        facts=tuple((name, value) for name, value in values["facts"]),
        source=STUDY_FILE,
    )
