"""The numbers as a table, in plain text and as HTML with the verdicts and what each means.

It knows nothing about scripts; what it writes can be read without any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cliptune.modality_gap.definitions import DEFINITIONS
from cliptune.system.escaping import for_html

__all__ = ["number_rows", "numbers_html", "omitted_sentence"]

Json = Mapping[str, Any]  # Any: plain JSON values


def numbers_html(numbers: Json) -> str:
    """Write verdicts, the table of all numbers, accuracies and definitions.

    Args:
        numbers: The ``numbers`` of a map.
    """
    parts = [
        "<h2>In words</h2>",
        *(_verdict(c) for c in numbers.get("comparisons", ())),
        *(_reading(view) for view in numbers["views"]),
        *(f'<p class="remark">{for_html(remark)}</p>' for remark in numbers["remarks"]),
        "<h2>In numbers</h2>",
        _table(numbers),
        f"<p class='remark'>{for_html(omitted_sentence(numbers['views']))}</p>",
        _definitions(numbers),
    ]
    return "\n".join(parts)


def _verdict(comparison: Json) -> str:
    title = f"{comparison['after']} against {comparison['before']}"
    return f'<p class="verdict"><b>{for_html(title)}.</b> {for_html(comparison["verdict"])}</p>'


def _reading(view: Json) -> str:
    return f'<p class="verdict"><b>{for_html(view["name"])}.</b> {for_html(view["reading"])}</p>'


def _table(numbers: Json) -> str:
    heads, rows = number_rows(numbers)
    lines = [_row(heads, "th")]
    for title, *cells in rows:
        shown = [
            f"{for_html(value)} <small>{for_html(rest)}</small>" if rest else for_html(value)
            for value, _, rest in (cell.partition(" ") for cell in cells)
        ]
        lines.append(_html_row([for_html(title), *shown]))
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def number_rows(numbers: Json) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table of all numbers, as plain texts.

    Args:
        numbers: The ``numbers`` of a map.
    """
    views, comparisons = numbers["views"], numbers.get("comparisons", [])
    heads = ["", *(view["name"] for view in views)]
    heads += [f"change to {comparison['after']}" for comparison in comparisons]
    rows = []
    for name in DEFINITIONS:
        if not any(name in view["gap"] for view in views):
            continue
        cells = [DEFINITIONS[name].title, *(_cell(view["gap"].get(name)) for view in views)]
        cells += [_cell(comparison["change"].get(name), signed=True) for comparison in comparisons]
        rows.append(cells)
    return heads, rows + _accuracy_rows(views, comparisons)


def _accuracy_rows(views: Sequence[Json], comparisons: Sequence[Json]) -> list[list[str]]:
    titles = {
        "nearest_text": ("Accuracy of the nearest class text", "nearest_text"),
        "own_predictions": ("Accuracy of its own predictions", "classifier"),
    }
    rows = []
    for name, (title, compared) in titles.items():
        scores = [(view["accuracy"] or {}).get(name) for view in views]
        if not any(scores):
            continue
        changes = []
        for comparison in comparisons:
            both = comparison["accuracy"]
            # Without predictions of their own the nearest text is the classifier.
            found = both.get(compared) or both.get("classifier")
            changes.append(
                {
                    "value": found["difference"],
                    "interval": [found["low"], found["high"]],
                    "n": found["n"],
                }
            )
        rows.append([title, *[_cell(s) for s in scores], *[_cell(c, signed=True) for c in changes]])
    return rows


def _cell(score: Json | None, *, signed: bool = False) -> str:
    if score is None:
        return "–"  # noqa: RUF001  a dash for what is not there
    low, high = score["interval"]
    digits = _digits(score["value"], high - low)
    sign = "+" if signed else ""
    value, bounds = f"{score['value']:{sign}.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}"
    mark = "*" if signed and (low > 0 or high < 0) else ""
    return f"{value}{mark} [{bounds}] n={score['n']}"


def _digits(value: float, width: float) -> int:
    """As many decimals as the interval's width leaves meaningful, at least three digits."""
    scale = max(width, abs(value) / 1000)
    if scale == 0:
        return 3
    return min(max(1 - math.floor(math.log10(scale)), 0), 6)


def _row(texts: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{for_html(text)}</{tag}>" for text in texts) + "</tr>"


def _html_row(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def omitted_sentence(views: Sequence[Json]) -> str:
    """Say which numbers are missing and why; nothing when none is."""
    reasons = {
        f"{DEFINITIONS[name].title}: {reason}"
        for view in views
        for name, reason in view["omitted"].items()
    }
    return f"Not computed. {'; '.join(sorted(reasons))}." if reasons else ""


def _definitions(numbers: Json) -> str:
    known = [n for n in DEFINITIONS if any(n in view["gap"] for view in numbers["views"])]
    entries = "".join(
        f"<dt>{for_html(DEFINITIONS[n].title)}</dt>"
        f"<dd>{for_html(DEFINITIONS[n].formula)}. n counts {for_html(DEFINITIONS[n].counts)}. "
        f"{for_html(DEFINITIONS[n].source)}</dd>"
        for n in known
    )
    note = (
        "Brackets are 95 % intervals. Images are resampled, each bringing its own text; changes "
        "are paired, and * marks those whose interval leaves out zero. x are image vectors, y "
        "text vectors; a group is a class, or one captioned image."
    )
    title = "<summary>What the numbers mean</summary>"
    return f"<details>{title}<p>{note}</p><dl>{entries}</dl></details>"
