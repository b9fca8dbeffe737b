"""Figures say nothing on the terminal."""

from cliptune.plots.figures import font_families, new_figure


def test_a_font_that_is_missing_is_told_to_nobody(caplog):
    figure = new_figure(2, 1)
    figure.text(0.5, 0.5, "a", family=["a font that nobody has", *font_families()])
    figure.draw_without_rendering()
    assert caplog.records == []
