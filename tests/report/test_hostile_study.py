"""A study of somebody who wants more than to be read: the page shows figures, texts and links."""

import json
import re

import pytest
from report_pages import write_study

from cliptune.errors import RunError
from cliptune.report import render_report
from cliptune.report.svg import inline_svg

MARKUP = "<b onclick=alert(1)>x</b><meta http-equiv=refresh content='0;url=https://example.org'>"
SVG = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10"
     viewBox="0 0 10 10" onload="document.title='ran'">
<script>document.title='ran'</script>
<style>body {{ display: none }}</style>
<a xlink:href="javascript:document.title='ran'"><text x="1" y="5">in a link</text></a>
<foreignObject><body xmlns="http://www.w3.org/1999/xhtml">
<meta http-equiv="refresh" content="0;url=about:blank"/><iframe src="about:blank"/></body>
</foreignObject>
<image xlink:href="{outside}" width="5" height="5"/>
<image href="https://example.org/a.png" width="5" height="5"/>
<image href="data:image/svg+xml;base64,AAAA" width="5" height="5"/>
<image href="data:image/png;base64,AAAA" width="5" height="5"/>
<use href="{outside}#a"/>
<animate attributeName="href" to="javascript:document.title='ran'"/>
<rect x="1" y="1" width="3" height="3" style="fill: url(https://example.org/#a); position: fixed;
 stroke: #0072b2; fill-opacity: 0.5" onclick="document.title='ran'" id="r"/>
<text x="1" y="9" style="font: 4px 'DejaVu Sans'">&lt;b&gt; <tspan>shown</tspan> end</text>
</svg>"""


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    write_study(folder)
    return folder


def change(folder, alter):
    values = json.loads((folder / "study.json").read_text())
    alter(values)
    (folder / "study.json").write_text(json.dumps(values))


def figure_of(values, number=0):
    return values["sections"]["one"]["blocks"][number]["figure"]


def test_a_figure_is_made_anew(study, visit, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    text = SVG.format(outside=secret.as_uri())
    (study / "sections/one/dots.svg").write_text(text)
    page, complaints, requests = visit(page_file := render_report([study]))
    page.wait_for_timeout(300)
    assert page.url == page_file.resolve().as_uri()
    assert page.title() == "A study of <things>"
    assert requests == [page_file.resolve().as_uri()]
    assert not [c for c in complaints if "Content Security" in c]
    figure = page.locator("figure svg").first
    inside = "script, style, a, foreignObject, iframe, meta, animate, [onclick], [onload]"
    assert figure.locator(inside).count() == 0
    assert figure.locator("text").all_text_contents() == ["<b> shown end"]
    assert figure.locator("image").evaluate_all("e => e.map(i => i.getAttribute('href'))") == [
        None, None, None, "data:image/png;base64,AAAA"
    ]  # fmt: skip
    style = figure.locator("rect").get_attribute("style")
    assert style == "stroke: var(--blue, #0072b2); fill-opacity: 0.5"
    assert figure.locator("rect").get_attribute("id") != "r"
    page.locator("figure svg rect").first.click(force=True)
    assert page.title() == "A study of <things>"
    page.close()


def test_markup_in_every_text_is_text(study, visit):
    def alter(values):
        for key in ("title", "summary", "answer", "answer_title", "command"):
            values[key] = MARKUP
        values["tiles"] = [{"title": MARKUP, "value": MARKUP, "detail": MARKUP}]
        values["facts"] = [[MARKUP, MARKUP]]
        one = values["sections"]["one"]
        one |= {"title": MARKUP, "question": MARKUP, "conclusion": MARKUP, "notes": [MARKUP]}
        figure_of(values).update(alt=MARKUP, caption=MARKUP, links={MARKUP: "sections/one.json"})
        table = one["blocks"][3]["table"]
        table |= {"title": MARKUP, "note": MARKUP, "name": MARKUP}
        table["columns"][0] |= {"title": MARKUP, "name": MARKUP, "kind": "status"}
        table["rows"][0][0] = MARKUP
        values["sections"]["two"]["skipped"] = MARKUP

    change(study, alter)
    page, complaints, requests = visit(page_file := render_report([study]))
    page.wait_for_timeout(300)
    assert page.url == page_file.resolve().as_uri()
    assert complaints == []
    assert requests == [page_file.resolve().as_uri()]
    assert page.locator("[onclick]").count() == 0
    assert page.locator("meta[http-equiv]").count() == 1  # the policy of our own
    assert page.locator("h1").inner_text() == MARKUP
    page.close()


def test_links_lead_to_files_of_the_study_or_to_the_web(study, visit, tmp_path):
    links = {"web": "https://example.org/a?b=1", "file": "sections/one/a b#c.html"}
    change(study, lambda values: figure_of(values).update(links=links))
    elsewhere = tmp_path / "javascript:alert(1)"
    study.rename(elsewhere)
    page, *_ = visit(render_report([elsewhere], out=tmp_path / "page.html"))
    found = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    resolved = page.evaluate("[...document.querySelectorAll('a')].map(a => a.href)")
    assert "https://example.org/a?b=1" in found
    assert all(re.match(r"#|https://|javascript%3Aalert%281%29/", link) for link in found)
    within = elsewhere.resolve().as_uri()
    local = [link for link in resolved if "page.html#" not in link and "example.org" not in link]
    assert local
    assert all(link.lower().startswith(within.lower()) or "%3A" in link for link in local)
    page.close()


BAD_FILES = ["../secret.svg", "/etc/hostname", "sections/../../secret.svg", "", "..", "a\0.svg",
             "https://example.org/a.svg", "javascript:alert(1)", "link.svg"]  # fmt: skip


@pytest.mark.parametrize("file", BAD_FILES)
def test_a_figure_outside_the_study_is_refused(study, tmp_path, file):
    (tmp_path / "secret.svg").write_text(SVG.format(outside="x"))
    (study / "link.svg").symlink_to(tmp_path / "secret.svg")
    change(study, lambda values: figure_of(values).update(file=file))
    with pytest.raises(RunError) as caught:
        render_report([study])
    assert "\n" not in str(caught.value)
    assert not (study / "report.html").exists()


ELSEWHERE = ["../x.html", "/etc/hostname", "//h/x", "jav\tascript:x", "C:\\x"]
# With a colon, and yet names of files: quoted, they are no addresses.
FILES = ["javascript:alert(1)", "data:text/html,x", " javascript:x", "file:///etc/x", "HTTP:x"]


@pytest.mark.parametrize("link", [*ELSEWHERE, *FILES])
def test_a_link_elsewhere_is_refused_or_is_a_file_of_the_study(study, visit, link):
    change(study, lambda values: figure_of(values).update(links={"here": link}))
    if link not in FILES:
        with pytest.raises(RunError, match="not within it"):
            render_report([study])
        return
    page, *_ = visit(render_report([study]))
    within = study.resolve().as_uri()
    address = page.get_by_text("here", exact=True).evaluate("a => a.href")
    assert address.startswith(within)
    page.close()


ALTERED = {
    "a title of another type": lambda v: v.update(title={"a": 1}),
    "no title": lambda v: v.pop("title"),
    "tiles as text": lambda v: v.update(tiles="abc"),
    "a tile as text": lambda v: v.update(tiles=["abc"]),
    "a tile with more": lambda v: v.update(tiles=[{"title": "a", "value": "b", "more": "c"}]),
    "facts of three": lambda v: v.update(facts=[["a", "b", "c"]]),
    "a fact as number": lambda v: v.update(facts=[["a", 3]]),
    "sections as list": lambda v: v.update(sections=[1]),
    "a section as text": lambda v: v["sections"].update(one="abc"),
    "a name that climbs": lambda v: v["sections"]["one"].update(name="../x"),
    "a name with markup": lambda v: v["sections"]["one"].update(name="a b"),
    "notes as text": lambda v: v["sections"]["one"].update(notes=[1]),
    "seconds as text": lambda v: v["sections"]["one"].update(seconds="long"),
    "blocks as number": lambda v: v["sections"]["one"].update(blocks=3),
    "an unknown block": lambda v: v["sections"]["one"].update(blocks=[{"film": {}}]),
    "an unknown kind": lambda v: table_of(v)["columns"][0].update(kind="film"),
    "a kind as list": lambda v: table_of(v)["columns"][0].update(kind=["text"]),
    "a row too short": lambda v: table_of(v)["rows"][0].pop(),
    "a number as text": lambda v: table_of(v)["rows"][0].__setitem__(1, "high"),
    "an interval as text": lambda v: table_of(v)["rows"][0][1].update(low="x"),
    "an interval with one end": lambda v: table_of(v)["rows"][0][1].update(high=None),
    "a value missing": lambda v: table_of(v)["rows"][0][1].pop("value"),
    "a number that is endless": lambda v: table_of(v)["rows"][0].__setitem__(1, 1e999),
    "shown as text": lambda v: table_of(v).update(shown="all"),
    "links as list": lambda v: figure_of(v).update(links=["a"]),
    "a link as number": lambda v: figure_of(v).update(links={"a": 3}),
    "a file as number": lambda v: figure_of(v).update(file=3),
}


def table_of(values):
    return values["sections"]["one"]["blocks"][3]["table"]


@pytest.mark.parametrize("name", ALTERED)
def test_a_study_of_other_types_is_one_line(study, name):
    change(study, ALTERED[name])
    with pytest.raises(RunError, match="cannot read the study") as caught:
        render_report([study])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000, '{"title": NaN}'])
def test_a_study_that_is_no_json_is_one_line(study, text):
    (study / "study.json").write_text(text)
    with pytest.raises(RunError, match="cannot read") as caught:
        render_report([study])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<html><body>no</body></html>", "no SVG"),
        ("<svg><g></svg>", "no SVG"),
        ("", "no SVG"),
        ("<svg xmlns='http://www.w3.org/2000/svg'>" + "<g>" * 9000 + "</g>" * 9000 + "</svg>",
         "nested too deeply|no SVG"),
        ("<svg>&a;</svg>", "no SVG"),
    ],
)  # fmt: skip
def test_what_is_no_figure_is_one_line(tmp_path, content, reason):
    path = tmp_path / "a.svg"
    path.write_text(content)
    with pytest.raises(RunError, match=reason) as caught:
        inline_svg(path, prefix="p", alt="a")
    assert "\n" not in str(caught.value)
