"""A small report with everything in it, and a browser that listens."""

import json

from cliptune.report import Column, Figure, Section, Table
from cliptune.report.charts import Bar, Dot, Line, plot_bars, plot_dots, plot_lines, save_chart

NAMES = ("ant", "<b>bee</b>", "a name that is much longer than any chart has room for")


def write_study(folder):
    """Write the files of a study that nobody computed, to look at the page alone."""
    place = folder / "sections" / "one"
    place.mkdir(parents=True)
    dots = [Dot(name, 0.7 + k / 10, 0.65 + k / 10, 0.75 + k / 10) for k, name in enumerate(NAMES)]
    save_chart(plot_dots(dots, label="accuracy"), place / "dots.svg")
    save_chart(plot_bars([Bar(n, k + 1, str(k)) for k, n in enumerate(NAMES)]), place / "bars.svg")
    line = Line("up", [0, 1, 2], [1, 2, 4], [0.5, 1.5, 3], [1.5, 2.5, 5])
    save_chart(plot_lines([line], x_label="epoch", y_label="score"), place / "lines.svg")
    columns = (Column("name", "name"), Column("score", "score", "percent"))
    cell = {"value": 0.7123, "low": 0.65, "high": 0.75}
    table = Table("scores", "Scores", columns, tuple((n, cell) for n in NAMES), marked=1, shown=2)
    figures = [Figure(f"sections/one/{n}.svg", f"chart of {n}") for n in ("dots", "bars", "lines")]
    section = Section("one", "One & only", "Why?", "Because.", {"score": 0.7123},
                      (*figures, table), ("mind this",), 1.5)  # fmt: skip
    skipped = Section("two", "Another", "How?", "", skipped="too few images")
    values = {
        "title": "A study of <things>", "summary": "3 images", "answer": "Ship it.",
        "answer_title": "What to ship",
        "command": "cliptune fit 'a b'", "tiles": [{"title": "t", "value": "1", "detail": "d"}],
        "sections": {s.name: s.to_dict() for s in (section, skipped)}, "facts": [["seed", "0"]],
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(values))
    return section
