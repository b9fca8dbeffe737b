"""The page in a real browser: quiet, self-contained, and readable at every width and scheme."""

import re

import pytest
from report_pages import NAMES, write_study

from cliptune.errors import InputError, RunError
from cliptune.report import render_report
from cliptune.report.render import _environment


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    return render_report([folder])


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_quiet_and_fits_its_screen(page_file, visit, width, scheme):
    page, complaints, requests = visit(page_file, width, scheme)
    assert complaints == []
    assert requests == [page_file.resolve().as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    ink, ground = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in colours)
    assert (ink < 60 and ground > 240) if scheme == "light" else (ink > 200 and ground < 60)
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('figure:not(.wide) svg text')]"
        ".map(t => parseFloat(getComputedStyle(t).fontSize)"
        " * t.ownerSVGElement.getScreenCTM().a))"
    )
    assert smallest >= 9, "text in charts has to be readable on a phone"
    page.close()


def test_words_in_charts_follow_the_scheme(page_file, visit):
    def fill(scheme):
        page, *_ = visit(page_file, scheme=scheme)
        value = page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
        page.close()
        return value

    assert fill("light") != fill("dark")


def test_names_are_text_and_never_markup(page_file, visit):
    page, *_ = visit(page_file)
    assert page.title() == "A study of <things>"
    assert page.locator("td b").count() == 0
    assert NAMES[1] in page.locator("table").first.inner_text()
    assert page.evaluate("document.querySelectorAll('[id]').length") == page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    ), "figures must not take each other's parts"
    page.close()


def test_rows_beyond_the_first_open_on_demand_and_the_skipped_say_why(page_file, visit):
    page, *_ = visit(page_file)
    assert page.locator("details td:visible").count() == 0
    page.locator("summary").click()
    assert page.locator("details td:visible").count() == 2
    assert "too few images" in page.locator("#r0-two").inner_text()
    page.close()


def test_intervals_stand_beside_their_numbers(page_file):
    text = page_file.read_text()
    assert "71.2 %" in text
    assert "[65.0 to 75.0]" in text


def test_two_studies_on_one_page_keep_their_links(tmp_path, visit):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        write_study(folder)
    page, complaints, _ = visit(render_report(folders, tmp_path / "pages" / "both.html"))
    assert complaints == []
    assert page.locator("main").count() == 2
    links = page.evaluate("[...document.querySelectorAll('figcaption a')].map(a => a.href)")
    assert all(link.startswith("file:") for link in links)
    for folder in folders:
        assert (folder / "sections/one/dots.svg").resolve().as_uri() in links
    page.close()


def test_rendering_twice_gives_the_same_page(tmp_path):
    write_study(tmp_path)
    first = render_report([tmp_path]).read_bytes()
    assert render_report([tmp_path]).read_bytes() == first


def test_wrong_input_is_named(tmp_path):
    with pytest.raises(InputError, match="no run"):
        render_report([])
    with pytest.raises(RunError, match="no run directory"):
        render_report([tmp_path / "nowhere"])
    write_study(tmp_path)
    (tmp_path / "sections/one/dots.svg").unlink()
    with pytest.raises(RunError, match=r"dots\.svg"):
        render_report([tmp_path])
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(RunError, match=r"study\.json"):
        render_report([tmp_path])


def test_no_page_holds_a_control_character():
    template = _environment().from_string("{{ name }} {{ count }}")
    assert template.render(name="\x1b[31mred\x00", count=3) == r"\x1b[31mred\x00 3"
