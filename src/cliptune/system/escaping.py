"""Names as they may be written: one function for each kind of output.

Class names, file names, templates, models and data paths come from whoever made the data. None of
them may become markup, a formula, a command to the terminal, or a picture of endless width. This
module knows the outputs and nothing about what is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = [
    "for_csv",
    "for_figure",
    "for_html",
    "for_legend",
    "for_markdown",
    "for_picture",
    "for_terminal",
    "from_csv",
    "json_for_terminal",
    "markdown_code",
    "shorten",
]

LONGEST_IN_FIGURE = 60  # a picture's names; all of a name stands in the tables

# What moves the cursor, colours or turns the line around: C0 and C1 controls, line and paragraph
# separators, marks that change the direction of writing, halves of surrogate pairs.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
    "\ufffe\uffff\ud800-\udfff]"
)
_CONTROL_BUT_LAYOUT = re.compile(_CONTROL.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
_MARKDOWN = {c: "\\" + c for c in "\\`*_{}[]#"} | {c: f"&#{ord(c)};" for c in "|~$"}
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED_FORMULA = re.compile(r"''*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def for_terminal(text: str, *, layout: bool = False) -> str:
    r"""Return a text whose control characters are written out, as ``\x1b``.

    Args:
        text: Any text.
        layout: Leave line ends and tabs as they are.
    """
    pattern = _CONTROL_BUT_LAYOUT if layout else _CONTROL
    return pattern.sub(lambda found: _written_out(found[0]), text)


def json_for_terminal(value: Mapping[str, Any]) -> str:  # Any: plain JSON values
    """Return a JSON object in one line without a control character, which JSON can write out."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def for_figure(text: str, *, longest: int = LONGEST_IN_FIGURE) -> str:
    """Return a text for matplotlib: no formula, no control character, no line end.

    SVG cannot hold control characters, ``$`` begins a formula, and a name of thousands of letters
    takes a minute to lay out.

    Args:
        text: Any text.
        longest: Letters that are kept; a cut text ends in an ellipsis.
    """
    return shorten(for_terminal(text), longest).replace("$", r"\$")


def for_legend(text: str) -> str:
    """Return a name for a legend of matplotlib, which leaves out those that begin with ``_``."""
    name = for_figure(text)
    return f" {name}" if name.startswith("_") else name


def for_picture(text: str) -> str:
    """Return a text that Pillow draws in one line, cut where it would not be read anyway."""
    return shorten(for_terminal(text), LONGEST_IN_FIGURE)


def shorten(text: str, longest: int) -> str:
    """Return a text with what is too long cut."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def for_html(text: str) -> str:
    """Return a text for an element or a quoted attribute of a page."""
    import html  # its table of 2,000 entities, which a start does without

    return html.escape(for_terminal(text, layout=True), quote=True)


def for_markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, within a sentence or in a table's cell."""
    import html

    plain = (_MARKDOWN.get(character, character) for character in for_terminal(text))
    return "".join(html.escape(c, quote=False) if len(c) == 1 else c for c in plain)


def markdown_code(text: str) -> str:
    """Return a text as a span of code, fenced by more backticks than it holds in a row."""
    plain = for_terminal(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    padded = f" {plain} " if len(fence) > 1 or plain[:1] == " " else plain
    return f"{fence}{padded}{fence}"


def for_csv(value: object) -> object:
    """Return a cell that a spreadsheet does not take for a formula; numbers stay as they are.

    A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end gets an apostrophe in
    front, as OWASP advises, and so does one that begins with apostrophes and then these, so that
    ``from_csv`` has one answer.
    """
    if not isinstance(value, str):
        return value
    text = _surrogates_written_out(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_csv(cell: str) -> str:
    """Return the text that ``for_csv`` was given."""
    return cell[1:] if _ESCAPED_FORMULA.match(cell) else cell


def _surrogates_written_out(text: str) -> str:
    return re.sub("[\ud800-\udfff]", lambda found: _written_out(found[0]), text)


def _written_out(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
