import json
import re
import sys
import time

import numpy as np
import pytest

from cliptune.errors import MissingExtraError
from cliptune.modality_gap.build import build_map
from cliptune.modality_gap.inputs import MapOptions
from cliptune.modality_gap.page import page_html
from cliptune.modality_gap.render import render_map
from cliptune.modality_gap.result import DrawnView, ModalityMap, load_map, save_map
from visits import Visit

RANGES = (
    "(({xaxis, yaxis}) => [...xaxis.range, ...yaxis.range])"
    "(document.getElementById('plot')._fullLayout)"
)
NAMES = ("ant", "</script><b>x", "\"quoted\" & 'so'", "d", "e", "f")


@pytest.fixture(scope="module")
def result(make_class_inputs):
    inputs = make_class_inputs(n=64, offsets=(1.0, 0.4), noise=(1.2, 0.6), names=NAMES)
    return build_map(inputs, MapOptions(shift=True))


@pytest.fixture(scope="module")
def rendered(result, tmp_path_factory):
    """A map that went through its files, as figures are made."""
    out = tmp_path_factory.mktemp("page")
    save_map(result, out)
    return render_map(load_map(out), out)


@pytest.fixture(scope="module")
def captioned(make_caption_inputs, tmp_path_factory):
    return render_map(build_map(make_caption_inputs(n=20)), tmp_path_factory.mktemp("captions"))


@pytest.fixture
def visit(browser, rendered):
    visit = Visit(browser, rendered["html"])
    yield visit
    visit.page.close()
    assert visit.errors == []
    assert visit.foreign_requests(rendered["html"]) == []


def test_hover_shows_the_picture_the_label_and_the_prediction(visit, result):
    visit.hover(1, 7)
    row = int(visit.page.get_attribute("#tip", "data-row"))
    words = visit.page.inner_text("#words")
    assert f"is: {result.labels[row]}" in words
    assert f"said: {result.views[0].predicted[row]}" in words
    assert result.image_ids[row] in words
    pixel = visit.page.evaluate(
        "[...document.getElementById('picture').getContext('2d').getImageData(64, 64, 1, 1).data]"
    )
    expected = [40 + 60 * (row % 4), 40 + 60 * (row // 4 % 4), 40 + 60 * (row // 16 % 4)]
    assert np.abs(np.asarray(pixel[:3]) - expected).max() < 25


def test_hover_over_a_text_shows_its_words(visit):
    visit.hover(2, 1)
    assert NAMES[1] in visit.page.inner_text("#words")
    assert visit.page.is_hidden("#picture")


def test_the_colour_switch_works(visit, result):
    assert isinstance(visit.colours(), str)
    visit.page.check("input[name=colour][value=class]")
    by_class = visit.colours()
    for group in range(6):
        of_group = {c for c, g in zip(by_class, result.image_groups, strict=True) if g == group}
        assert len(of_group) == 1
    assert len(set(by_class)) == 6
    visit.page.check("input[name=colour][value=outcome]")
    right = {c for c, k in zip(visit.colours(), result.views[0].correct, strict=True) if k == 1}
    wrong = {c for c, k in zip(visit.colours(), result.views[0].correct, strict=True) if k == 0}
    assert len(right) == len(wrong) == 1
    assert right != wrong


def test_classes_can_be_filtered(visit, result):
    visit.page.click("#none")
    assert visit.shown() == 0
    visit.page.fill("#search", "ant")
    assert visit.page.locator("#classes label:visible").count() == 1
    visit.page.click("#all")
    assert visit.shown() == (result.image_groups == 0).sum()
    visit.hover(1, 0)  # rows stay right when fewer are shown
    assert "is: ant" in visit.page.inner_text("#words")


def test_wrong_ones_can_be_singled_out(visit, result):
    visit.page.select_option("#outcome", "wrong")
    assert visit.shown() == (result.views[0].correct == 0).sum()


def test_views_stand_side_by_side_or_turn_into_one_another(visit, result):
    visit.page.check("#together")
    traces = visit.page.evaluate("document.getElementById('plot').data.map(t => t.xaxis ?? 'x')")
    assert traces == ["x"] * 3 + ["x2"] * 3
    visit.page.click("#play")
    moved = []
    for _ in range(40):
        moved.append(visit.page.evaluate("document.getElementById('plot').data[1].x[0]"))
        if visit.page.input_value("#time") == "1":
            break
        time.sleep(0.1)
    start, end = (float(view.image_places[0, 0]) for view in result.views)
    visit.page.wait_for_function("document.getElementById('time').value === '1'")
    visit.page.wait_for_function(
        "end => Math.abs(document.getElementById('plot').data[1].x[0] - end) < 1e-6", arg=end
    )
    low, high = min(start, end), max(start, end)
    assert any(low < x < high for x in moved)


def test_playing_begins_with_the_first_frame(visit, result):
    visit.page.evaluate(
        "() => { const real = requestAnimationFrame;"
        " window.requestAnimationFrame = (f) => real((now) => f(now - 1000)); }"
    )
    visit.page.click("#play")
    visit.page.wait_for_function("document.getElementById('time').value === '1'")
    assert visit.errors == []


def test_the_slider_stops_in_between(visit, result):
    visit.page.fill("#time", "0.25")
    found = visit.page.evaluate("document.getElementById('plot').data[1].x[3]")
    start, end = (float(view.image_places[3, 0]) for view in result.views)
    assert found == pytest.approx(start + 0.25 * (end - start), abs=1e-5)


def test_zoom_stays_when_the_colouring_changes(visit):
    height = (
        "(([low, high]) => high - low)(document.getElementById('plot')._fullLayout.yaxis.range)"
    )
    whole = visit.page.evaluate(height)
    box = visit.page.locator("#plot").bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(3):
        visit.page.mouse.wheel(0, -120)
        visit.page.wait_for_timeout(100)
    visit.page.wait_for_function(f"{height} < {0.9 * whole}")
    visit.page.wait_for_timeout(400)  # the library settles a zoom by wheel after a pause
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] / 2 + 90, box["y"] + 200, steps=4)
    visit.page.mouse.up()
    visit.page.wait_for_timeout(400)
    zoomed = visit.page.evaluate(RANGES)
    visit.page.check("input[name=colour][value=class]")
    assert visit.page.evaluate(RANGES) == pytest.approx(zoomed, abs=1e-6)
    visit.page.click(".modebar-btn[data-title='Show the whole map']")
    visit.page.wait_for_function(f"Math.abs({height} - {whole}) < 1e-6")


def test_light_and_dark(browser, rendered):
    ground = "getComputedStyle(document.body).backgroundColor"
    grounds = {}
    for scheme in ("light", "dark"):
        visit = Visit(browser, rendered["html"], color_scheme=scheme)
        grounds[scheme] = visit.page.evaluate(ground)
        visit.page.click("#theme")
        grounds[f"from {scheme}"] = visit.page.evaluate(ground)
        visit.page.close()
    assert grounds["light"] == grounds["from dark"] == "rgb(255, 255, 255)"
    assert grounds["dark"] == grounds["from light"] != grounds["light"]


def test_no_button_sends_the_figure_away(visit):
    titles = visit.page.eval_on_selector_all(
        ".modebar-btn", "buttons => buttons.map(b => b.getAttribute('data-title') || '')"
    )
    assert len(titles) == 6
    assert not any(re.search("cloud|share|edit|link", title, re.IGNORECASE) for title in titles)


def test_the_page_forbids_itself_the_network(visit):
    outcome = visit.page.evaluate(
        "fetch('https://example.org/').then(() => 'sent', () => 'refused')"
    )
    assert outcome == "refused"
    # The refusal is what the browser reports; nothing else may be.
    assert all("Content Security Policy" in error or "Refused" in error for error in visit.errors)
    visit.errors.clear()
    visit.requests[:] = [u for u in visit.requests if not u.startswith("https://example.org")]


def test_captions_can_be_searched(browser, captioned):
    visit = Visit(browser, captioned["html"])
    visit.page.fill("#search", "of image 7")
    assert visit.shown() == 1
    visit.hover(1, 0)
    assert "is: caption 21 of image 7" in visit.page.inner_text("#words")
    assert "nearest caption: " in visit.page.inner_text("#words")
    assert visit.errors == []
    visit.page.close()


def test_names_cannot_break_out_of_the_page(visit):
    assert visit.page.locator("#classes b").count() == 0
    assert NAMES[1] in visit.page.inner_text("#classes")


def test_numbers_can_be_read_without_a_script(result):
    html = page_html(result)
    table = re.search("<table>.*</table>", html, re.DOTALL).group()
    for title in ("Centroid distance", "Alignment", "Linear CKA", "Accuracy of the nearest"):
        assert title in table
    change = result.numbers["change"]["centroid_distance"]
    assert f"{change['value']:+.3f}"[:5] in table
    assert "change to after" in table
    assert "proves no cause" in html or "not by itself a better classifier" in html


def test_missing_plotly_names_the_extra_before_anything_is_drawn(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtraError, match=r"cliptune\[map\]"):
        render_map(result, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_payload_has_no_way_out_of_its_element(result):
    html = page_html(result)
    payload = re.search('<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert json.loads(payload.group(1))["texts"] == list(NAMES)


def test_twenty_thousand_points_fit_and_appear_in_time(browser, result, tmp_path):
    rng = np.random.default_rng(0)
    n, texts = 20_000, result.texts
    thumbnails = textured_thumbnails(rng.integers(0, 256, (1000, 4, 4, 3), dtype=np.uint8))
    groups = rng.integers(0, 6, n)
    views = tuple(
        DrawnView(
            name=view.name,
            image_places=rng.normal(size=(n, 2)).astype(np.float32),
            text_places=view.text_places,
            predicted=tuple(NAMES[g] for g in groups),
            correct=np.ones(n, np.int8),
        )
        for view in result.views
    )
    big = ModalityMap(
        numbers={**result.numbers, "n_drawn": n},
        image_ids=tuple(f"test/{NAMES[g]}/{row:05d}.jpg" for row, g in enumerate(groups)),
        labels=tuple(NAMES[g] for g in groups),
        texts=texts,
        image_groups=groups,
        text_groups=result.text_groups,
        views=views,
        thumbnails=thumbnails * 20,
    )
    path = tmp_path / "map.html"
    path.write_text(page_html(big), encoding="utf-8")
    assert path.stat().st_size < 25e6
    visit = Visit(browser, path)
    paints = visit.page.evaluate(
        "performance.getEntriesByType('paint').map(entry => entry.startTime)"
    )
    assert max(paints) < 5000
    visit.page.check("input[name=colour][value=class]")
    visit.hover(1, 12345)
    assert visit.page.is_visible("#picture")
    assert visit.errors == []
    visit.page.close()


def textured_thumbnails(noise):
    """Pictures as hard to compress as photographs: coarse noise, scaled up."""
    from PIL import Image

    from cliptune.modality_gap.thumbnails import make_thumbnails

    scaled = (Image.fromarray(tile).resize((64, 64), Image.Resampling.BICUBIC) for tile in noise)
    return make_thumbnails(scaled)
