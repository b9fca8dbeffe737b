"""Names that bite, in every kind of output: card, tables, figures, contact sheets."""

import csv
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.text import Text

from cliptune.evaluation.confusion import plot_confusion, write_class_scores
from cliptune.evaluation.metrics import compute_metrics
from cliptune.plots.contact_sheets import render_contact_sheet
from cliptune.report.charts import (
    Bar,
    Dot,
    Line,
    plot_bars,
    plot_cost,
    plot_dots,
    plot_lines,
    save_chart,
)
from cliptune.report.heat_map import plot_heat_map
from cliptune.results.model_card import render_model_card
from cliptune.runs import RunDir
from cliptune.system.escaping import for_terminal, from_csv

NAMES = (
    "<img src=x onerror=alert(1)>", "a | b", "=1+1", "-cmd", "$\\frac$", "$x$", "\x1b[31mred",
    "line\nend", "[/bold]", "_hidden", "w" * 3000,
)  # fmt: skip


@pytest.fixture(scope="module")
def metrics():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % len(NAMES)
    scores = rng.random((120, len(NAMES))) + np.eye(len(NAMES))[labels]
    return compute_metrics(labels, scores / scores.sum(1, keepdims=True), class_names=NAMES)


def test_no_cell_of_a_table_is_a_formula_and_all_can_be_read_back(metrics, tmp_path):
    run = RunDir.create(tmp_path / "run", {})
    write_class_scores(run, metrics)
    for name in ("confusion.csv", "per_class.csv"):
        with (run.path / name).open(newline="", encoding="utf-8") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        texts = [cell for cell in cells if not cell.lstrip("+-")[:1].isdigit()]
        assert not [cell for cell in texts if cell[:1] in "=+-@\t" and cell]
        assert set(NAMES) <= {from_csv(cell) for cell in cells}


def check_figure(figure, path):
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert max(map(len, texts)) <= 130
    save_chart(figure, path)
    shown = "".join(ET.parse(path).getroot().itertext())
    assert "\x1b" not in shown
    return shown


def test_figures_show_names_and_lay_out_neither_formulas_nor_endless_lines(metrics, tmp_path):
    dots = [Dot(name, 0.5, 0.4, 0.6, group=name) for name in NAMES]
    bars = [Bar(name, 1.0, name[:12], group=name) for name in NAMES]
    lines = [Line(name, [1, 2], [0.1, 0.2]) for name in NAMES]
    square = np.eye(len(NAMES))
    figures = {
        "confusion": plot_confusion(metrics.confusion, NAMES),
        "dots": plot_dots(dots, label=NAMES[4]),
        "bars": plot_bars(bars, label=NAMES[5]),
        "lines": plot_lines(lines, x_label=NAMES[4], y_label=NAMES[6]),
        "cost": plot_cost(dots, [1.0] * len(NAMES), label=NAMES[4]),
        "heat": plot_heat_map(
            square, rows=NAMES, columns=NAMES, row_label=NAMES[4], column_label=NAMES[6]
        ),
    }
    for name, figure in figures.items():
        shown = check_figure(figure, tmp_path / f"{name}.svg")
        assert "$\\frac$" in shown, name
        assert "\\x1b[31mred" in shown or name == "cost", name


@pytest.mark.parametrize("n", [2, 3, 40])
def test_a_confusion_matrix_grows_with_its_names(n):
    """Names of the widest letters leave room for the matrix, or drawing warns."""
    figure = plot_confusion(np.eye(n, dtype=np.int64), ["W" * 3000] * n)
    figure.draw_without_rendering()
    frame = figure.axes[0].get_window_extent()
    assert min(frame.width, frame.height) > 60


def test_a_contact_sheet_draws_any_caption(make_picture):
    captions = [[name, name] for name in NAMES]
    sheet = render_contact_sheet([make_picture(0)] * len(NAMES), captions)
    assert sheet.size[0] < 1200


def test_a_model_card_is_markdown_without_a_strangers_markup(metrics):
    """Rendered by Markdown's reference implementation, with its tables."""
    markdown = pytest.importorskip("markdown")
    hostile = "<b>`x`</b> | [a](javascript:b)"
    scores = metrics.to_dict()
    card = render_model_card(
        {
            "method": hostile, "model": hostile, "data": hostile + "`", "data_digest": "0" * 64,
            "class_names": list(NAMES), "test": scores, "zero_shot": scores, "val": {"n": 3},
            "notes": [hostile], "precision": "fp32", "templates": {"texts": [hostile + " {}"]},
            "trained_parameters": 3, "temperature": 1.0, "threshold": None, "seed": 0,
            "run": "runs/a b; rm",
        }
    )  # fmt: skip
    page = markdown.markdown(card, extensions=["tables", "fenced_code"])
    root = ET.fromstring(f"<page>{page}</page>")
    allowed = {"page", "h1", "h2", "p", "ul", "li", "code", "pre"}
    allowed |= {"table", "thead", "tbody", "tr", "th", "td"}
    assert {element.tag for element in root.iter()} <= allowed
    rows = [row for row in root.iter("tr") if len(row) not in (5, 7)]
    assert not rows, "a name may not make a cell"
    cells = ["".join(row[0].itertext()) for row in root.iter("tr")]
    assert {for_terminal(name) for name in NAMES[:-1]} <= set(cells)
    assert "--run 'runs/a b; rm'" in card
