"""The part of the campaign whose names are code: for browsers, tables, terminals and figures."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from campaign_tools import Outcome, Tally, Workplace, draw_picture

__all__ = ["run"]

_MARK = "campaign-mark"
# Names of classes: what each would do where nobody escapes it is harmless, and can be seen.
_NAMES = (
    f"<b id={_MARK}>bold<b>",
    "=1+1",
    "+plus| pipe |",
    "@at $x^{2}$ $$",
    "[red]bracket[/red] [bold",
    "\x1b[31mred\x1b[0m",
    f"quote\"><i id='{_MARK}'>",
    "{{ 7*7 }} {% raw %}",
    "![image](nowhere) `tick`",
)
_TEMPLATE = f"a <u id={_MARK}>photo</u> of a {{}}."
_FORMULA = re.compile(r"^\s*[=+@\t\r-]")
_NUMBER = re.compile(r"^[+-]?[\d.]+(e[+-]?\d+)?$")


def run(work: Workplace, tally: Tally) -> None:
    """Let every command that writes pages, tables or figures meet such names."""
    data = work.new(f"d[ata] <b id={_MARK}>=x")
    for split, n in (("train", 12), ("test", 4)):
        for tint, name in enumerate(_NAMES):
            folder = data / split / name.replace("/", "\N{DIVISION SLASH}")
            folder.mkdir(parents=True)
            for number in range(n):
                seed = 10_000 * (split == "test") + 100 * tint + number
                draw_picture(seed, tint).save(folder / f"<b id={_MARK}>{number}.png")
    base = ["--model", work.model, "--engine", "torch"]
    template = ["--template", _TEMPLATE]
    commands = {
        "evaluate": ["evaluate", data, *base, *template],
        "fit": ["fit", data, "--method", "linear", *base, *template],
        "map": ["map", data, *base, *template],
        "sweep": ["sweep", data, "--method", "linear", *base, *template],
        "study": ["study", data, *base, "--only", "data,top5,zero-shot,heads,ship"],
    }
    places = []
    for name, words in commands.items():
        out = work.new(f"out-{name}")
        outcome = work.apart([*words, "--out", out])
        tally.add("markup", f"{name} ends", "" if outcome.code == 0 else outcome.err[-500:])
        tally.add("markup", f"{name} on the terminal", _terminal_fault(outcome))
        if outcome.code == 0:
            places.append(out)
            for file in sorted(path for path in out.rglob("*") if path.is_file()):
                if (fault := _file_fault(file)) is not None:
                    tally.add("markup", f"{name}: {file.name}", fault)
    for out in places:
        page = work.new("page").with_suffix(".html")
        outcome = work.here(["report", out, "--out", page])
        fault = _page_fault(page) if outcome.code == 0 else outcome.err[-500:]
        tally.add("markup", f"report of {out.name}", fault)


def _terminal_fault(outcome: Outcome) -> str:
    text = outcome.out + outcome.err
    return "an escape sequence reaches the terminal" if "\x1b" in text else ""


def _file_fault(file: Path) -> str | None:
    match file.suffix:
        case ".html":
            return _page_fault(file)
        case ".csv":
            return _table_fault(file)
        case ".md":
            return _card_fault(file.read_text(encoding="utf-8"))
        case ".svg":
            return _figure_fault(file)
        case _:
            return None


class _Finder(HTMLParser):
    """Looks for elements that only a name can have made."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        if any(key == "id" and value == _MARK for key, value in attrs):
            self.found.append(tag)


def _page_fault(page: Path) -> str:
    finder = _Finder()
    text = page.read_text(encoding="utf-8")
    finder.feed(text)
    if finder.found:
        return f"a name became the element {finder.found[0]!r}"
    return "a control character is in the page" if "\x1b" in text else ""


def _cells(file: Path) -> Iterator[str]:
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.reader(lines):
            yield from row


def _table_fault(file: Path) -> str:
    for cell in _cells(file):
        if _FORMULA.match(cell) and not _NUMBER.match(cell):
            return f"the cell {cell!r} is a formula"
    return ""


def _card_fault(text: str) -> str:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    raw = re.search(r"(?<!\\)<(b|i|u) id", prose)
    return f"raw HTML: {prose[raw.start() : raw.start() + 40]!r}" if raw else ""


def _figure_fault(file: Path) -> str:
    try:
        ElementTree.parse(file)
    except ElementTree.ParseError as error:
        return f"the figure is no XML ({error})"
    return ""
