"""The end of a study: ``study.json`` and the page that shows it.

It puts finished sections together and computes nothing.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cliptune.report import Section, render_report
from cliptune.report.read import STUDY_FILE
from cliptune.runs import describe_machine
from cliptune.system.atomic import atomic_path
from cliptune.system.formatting import change as write_change
from cliptune.system.formatting import (
    change_interval,
    count,
    duration,
    interval,
    per_second,
    percent,
)

__all__ = ["StudyFacts", "write_page"]

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class StudyFacts:
    """What a study was made of.

    Attributes:
        data: The data set, as it was named.
        models: Names of encoders.
        encoders: One line on each.
        n_images: Images.
        n_classes: Classes.
        data_digest: Of ids, labels, splits and class names.
        seed: Of everything random.
        budget_seconds: What it was allowed.
        seconds: What it took.
        speeds: What was measured of this machine, as plain JSON values.
        command: What starts it again.
        computing: Engine and precision of the first encoder, and how many rows were checked.
    """

    data: str
    models: tuple[str, ...]
    encoders: tuple[str, ...]
    n_images: int
    n_classes: int
    data_digest: str
    seed: int
    budget_seconds: float
    seconds: float
    speeds: Mapping[str, Any]  # Any: plain JSON values
    command: str
    computing: Mapping[str, Any]  # Any: plain JSON values


def write_page(folder: Path, facts: StudyFacts, sections: Mapping[str, Section]) -> Path:
    """Write ``study.json`` and ``report.html``.

    Args:
        folder: The study's.
        facts: What it was made of.
        sections: By name, in order; skipped ones say why.

    Returns:
        The page.
    """
    ship = sections.get("ship")
    shipped = ship.numbers.get("recommended") if ship else None
    values: Json = {
        "task": "study",
        "data": facts.data,
        "models": list(facts.models),
        **facts.computing,
        "report": str(folder / "report.html"),
        "title": f"A study of {_short(facts.data)}",
        "summary": _summary(facts),
        "recommendation": ship.conclusion if ship and shipped else None,
        "answer": ship.conclusion if ship else "",
        "answer_title": "What to ship" if shipped else "Nothing to ship",
        "command": shipped["command"] if shipped else "",
        "predict": _predict_command(folder / shipped["run"]) if shipped else "",
        "tiles": [*_tiles(sections), *_size_tiles(facts)],
        "sections": {name: section.to_dict() for name, section in sections.items()},
        "budget_seconds": facts.budget_seconds,
        "seconds": facts.seconds,
        "seed": facts.seed,
        "facts": _facts(facts),
    }
    with atomic_path(folder / STUDY_FILE) as temporary:
        text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return render_report([folder])


def _predict_command(run: Path) -> str:
    return f"cliptune predict IMAGE --run {shlex.quote(str(run))}"


def _short(data: str) -> str:
    path = Path(data)
    return path.stem if path.exists() else data


def _summary(facts: StudyFacts) -> str:
    classes = f" of {facts.n_classes} classes" if facts.n_classes else ""
    models = ", ".join(facts.models)
    day = datetime.now(UTC).strftime("%d %B %Y").lstrip("0")
    return f"{count(facts.n_images)} images{classes}, seen by {models}. {day}."


def _tiles(sections: Mapping[str, Section]) -> list[dict[str, str]]:
    """Show zero-shot, what is shipped, and the difference; without a test what zero-shot gives."""
    ship, zero_shot = sections.get("ship"), sections.get("zero-shot")
    if ship and ship.numbers.get("recommended"):
        chosen = ship.numbers["recommended"]
        methods = ship.numbers["methods"]
        shipped = next(m for m in methods if m["run"] == chosen["run"])
        base = next(
            m for m in methods if (m["model"], m["method"]) == (chosen["model"], "zero-shot")
        )
        tiles = [_score_tile("Zero-shot", base["test"])]
        if shipped is not base:
            change = shipped["against_zero_shot"]
            tiles += [
                _score_tile(f"Shipped: {shipped['method']}", shipped["test"]),
                {
                    "title": "Gain on the locked test",
                    "value": write_change(change["difference"]),
                    "detail": f"points, {change_interval(change['low'], change['high'])}",
                },
            ]
        return tiles
    if zero_shot and zero_shot.skipped is None:
        return [
            _score_tile(f"Zero-shot, {model}", found["template_sets"][found["chosen"]])
            for model, found in zero_shot.numbers["models"].items()
        ]
    return []


def _size_tiles(facts: StudyFacts) -> list[dict[str, str]]:
    classes = f"of {facts.n_classes} classes" if facts.n_classes else "without classes"
    return [
        {"title": "Images", "value": f"{count(facts.n_images)}", "detail": classes},
        {
            "title": "Time",
            "value": duration(facts.seconds),
            "detail": f"of {duration(facts.budget_seconds)}",
        },
    ]


def _score_tile(title: str, summary: Json) -> dict[str, str]:
    area = summary.get("mean_average_precision")  # where an image may have several labels
    return {
        "title": title if area is None else f"{title}, mAP",
        "value": percent(summary["accuracy"] if area is None else area),
        "detail": f"{interval(*summary['interval'])}, n = {count(summary['n'])}",
    }


def _facts(facts: StudyFacts) -> list[list[str]]:
    machine = describe_machine()
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    speeds = "; ".join(
        f"{model}: {per_second(speed['images'])} images/s, {per_second(speed['texts'])} texts/s"
        for model, speed in facts.speeds.items()
    )
    where = machine["machine"]
    return [
        ["command", facts.command],
        ["time", f"{duration(facts.seconds)} of a budget of "
                 f"{duration(facts.budget_seconds)}"],
        ["data", f"{facts.data}, digest {facts.data_digest[:16]}"],
        ["encoders", "; ".join(facts.encoders)],
        ["machine", f"{where['platform']}, {where['cpu_count']} CPUs; {speeds}"],
        ["versions", versions],
        ["seed", str(facts.seed)],
    ]  # fmt: skip
