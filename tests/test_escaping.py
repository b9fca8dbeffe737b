"""One function for each output, on every kind of name that bites."""

import csv
import io
import json
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cliptune.system.escaping import (
    for_csv,
    for_figure,
    for_html,
    for_markdown,
    for_terminal,
    from_csv,
    json_for_terminal,
    markdown_code,
    shorten,
)

NAMES = [
    "<img src=x onerror=alert(1)>", "a | b", "`code`", "[link](javascript:x)", "# title", "- item",
    "=1+1", "+1+1", "@sum", "-x", "\t=1", "$\\frac$", "a $x$ b", "\x1b[31mred\x9b1m", "line\nend",
    "\u202eturned", "[bold]", "[/]", "***", "__x__", "&amp;", "a\\|b", "1. first", "\ud800",
]  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_reaches_the_terminal_but_letters(name):
    for text in (for_terminal(name), json_for_terminal({name: [name]})):
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
        text.encode("utf-8")


def test_ordinary_names_stay_as_they_are():
    for name in ("ant", "Größe 3", "日本語", "🐝", "a-b_c (d)", "50 %"):
        assert for_terminal(name) == for_csv(name) == for_figure(name) == name
    assert for_terminal("a\n\tb\x1b", layout=True) == "a\n\tb\\x1b"


@given(texts)
def test_json_on_the_terminal_is_the_same_json(text):
    assert json.loads(json_for_terminal({"a": text})) == {"a": text}


@pytest.mark.parametrize("cell", ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "\na", "'=a", "''@b"])
def test_a_formula_gets_an_apostrophe(cell):
    assert for_csv(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["-0.5", "+3", "1e-5", "-1.", ".5", "a=1", "'a", "it's", ""])
def test_numbers_and_other_texts_get_none(cell):
    assert for_csv(cell) == cell


@given(texts)
def test_a_cell_can_be_read_back(text):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow([for_csv(text), "end"])
    buffer.seek(0)
    assert from_csv(next(csv.reader(buffer))[0]) == text


def test_cells_that_are_no_text_stay():
    assert [for_csv(v) for v in (None, 3, -0.5)] == [None, 3, -0.5]


@pytest.mark.parametrize("name", [*NAMES, "w" * 3000])
def test_a_figure_shows_the_name_and_makes_no_formula_of_it(name):
    from matplotlib.cbook import is_math_text
    from matplotlib.text import Text

    text = for_figure(name)
    assert len(text) <= 120
    shown, is_math = Text(0, 0, text)._preprocess_math(text)
    assert not is_math
    assert not is_math_text(text)
    assert shown == shorten(for_terminal(name), 60)
    ET.fromstring(f"<t>{for_html(shown)}</t>")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_the_name(name):
    text = for_html(name)
    assert not set('<>"') & set(text)
    assert ET.fromstring(f'<t a="{text}">{text}</t>').text is not None


def test_markdown_shows_the_name():
    """Markdown's reference implementation for tables and sentences gives the text back."""
    markdown = pytest.importorskip("markdown")
    for name in NAMES:
        table = f"| a |\n|---|\n| {for_markdown(name)} |"
        page = markdown.markdown(f"x {for_markdown(name)} y\n\n{table}", extensions=["tables"])
        root = ET.fromstring(f"<t>{page}</t>")
        shown = ["".join(e.itertext()) for e in root.iter() if e.tag in ("p", "td")]
        assert {e.tag for e in root.iter()} == {
            "t",
            "p",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        }
        assert shown == [f"x {for_terminal(name)} y", for_terminal(name)], name


@pytest.mark.parametrize("name", NAMES)
def test_a_span_of_code_ends_where_it_should(name):
    span = markdown_code(name)
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert span.endswith(fence)
    assert fence not in span[len(fence) : -len(fence)]


def test_brackets_are_no_markup_of_the_terminals_library():
    console = Console(file=io.StringIO(), width=80)
    console.print(for_terminal("[/nonsense] [bold]x"), markup=False)
    assert "[/nonsense] [bold]x" in console.file.getvalue()
