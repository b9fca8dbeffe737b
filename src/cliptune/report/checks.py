"""Runs of ``check`` as documents.

It knows what the command writes and computes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cliptune.report.blocks import run_facts
from cliptune.report.document import Column, Document, Section, Table
from cliptune.runs import RunDir

__all__ = ["check_document"]

Json = Mapping[str, Any]  # Any: plain JSON values

_SOURCE = "checks.json"
_STATES = ("failed", "warned", "passed", "skipped")


def check_document(run: RunDir) -> Document:
    """Read a run of ``check``."""
    result = run.read_json(_SOURCE)
    checks = result["checks"]
    counts = {state: sum(c["status"] == state for c in checks) for state in _STATES}
    sentence = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    section = Section(
        name="checks",
        title="Checks",
        question="Are data and set-up fit for a long run?",
        conclusion=f"Of {len(checks)} checks: {sentence}.",
        numbers=result,
        blocks=(_checks_table(checks),),
        notes=tuple(
            f"{c['name'].replace('_', ' ')}: {c['advice']}"
            for c in checks
            if c["status"] in ("failed", "warned") and c["advice"]
        ),
    )
    return Document(
        title=f"Checks of {result['data']}",
        summary=f"{result['method']} with {result['model']}",
        answer=section.conclusion,
        answer_title="Before a long run",
        command="",
        tiles=(),
        sections=(section,),
        facts=run_facts(run),
        source=_SOURCE,
    )


def _checks_table(checks: list[Json]) -> Table:
    columns = (
        Column("check", "check"),
        Column("status", "status", "status"),
        Column("expected", "expected"),
        Column("meaning", "meaning"),
    )
    rows = [
        (c["name"].replace("_", " "), c["status"], _written(c["expected"]), c["meaning"])
        for c in checks
    ]
    return Table("checks", "What was looked at", columns, tuple(rows), shown=len(rows))


def _written(value: Any) -> str:  # Any: plain JSON values
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
