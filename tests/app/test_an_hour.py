"""A person's hour with the page in a minute, in a real browser and by keyboard alone."""

import json
import re

import pytest
from PIL import Image

from cliptune.annotations import Answer

WIDTHS_AND_SCHEMES = [(1440, "light"), (390, "dark")]
PATIENCE = 60_000  # milliseconds, for machines that have much else to do


@pytest.fixture
def person(browser, insects, axe):
    """Somebody at a page, who sees what it complains about and what it asks of whom."""
    contexts = []

    def sit_down(page, width, scheme):
        context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE)
        return Person(tab, page, insects[1], axe)

    yield sit_down
    for context in contexts:
        context.close()


class Person:
    def __init__(self, tab, page, truth, axe):
        self.tab, self.truth, self.axe, self.page = tab, truth, axe, page
        self.complaints, self.foreign = [], []
        home = page.url.partition("/?")[0]
        tab.on("console", lambda message: self.complaints.append(message.text))
        tab.on("response", self.note_refusal)
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on(
            "request",
            lambda request: None if request.url.startswith(home) else self.foreign.append(request),
        )
        tab.goto(page.url)
        tab.wait_for_selector("html[data-ready]")

    def note_refusal(self, response):
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.request.post_data} {response.url}")

    def see(self, selector, pattern):
        """Wait until a text is there."""
        self.tab.locator(selector, has_text=re.compile(pattern)).first.wait_for()

    def press(self, *keys):
        for key in keys:
            self.tab.keyboard.press(key)

    def activate(self, selector):
        """Press a button as the keyboard does."""
        self.tab.focus(selector)
        self.press("Enter")

    def counts(self):
        return self.tab.inner_text("#counts")

    def here(self):
        tile = self.tab.locator(".tile.here[data-content]:not([data-content=''])")
        tile.wait_for()
        return tile.get_attribute("title").split("\n")[0]

    def label(self, n):
        """Give so many images what they are, by the keys 1 and 2."""
        self.tab.focus("#grid")
        for _ in range(n):
            name = self.here()
            self.press("1" if self.truth[name] == "ant" else "2")

    def wait_for_count(self, text):
        self.see("#counts", text)

    def propose(self):
        self.activate("#next")
        self.tab.wait_for_selector("#next:enabled")
        self.see("#chip", "to label next")

    def refit(self, name):
        self.activate("#refit")
        self.wait_for_count(f"showing {name}")

    def go_to(self, part):
        """Walk along the tabs with the arrow keys."""
        self.tab.focus('[role="tab"][aria-selected="true"]')
        for _ in range(5):
            if self.tab.locator(f"#{part}").is_visible():
                return
            self.press("ArrowRight")
        assert self.tab.locator(f"#{part}").is_visible()

    def look_for_faults(self):
        """No serious fault by axe-core, nothing wider than the page."""
        assert self.tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        if self.axe is None:
            return
        self.tab.evaluate(self.axe)
        found = self.tab.evaluate("axe.run()")["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], json.dumps(serious)[:2000]


@pytest.mark.parametrize(("width", "scheme"), WIDTHS_AND_SCHEMES)
def test_a_persons_hour(person, serve_page, insects, width, scheme, tmp_path):
    folder, _ = insects
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with serve_page(folder) as page:
        someone = person(page, width, scheme)
        begin_without_labels(someone)
        label_and_refit(someone)
        prove(someone)
        ship(someone, tmp_path)
        assert someone.complaints == []
        assert someone.foreign == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    if someone.axe is None:
        pytest.skip("all but axe-core, which 'npm install --no-save axe-core' brings")


def test_keys_label_nothing_while_images_are_chosen(person, serve_page, insects):
    with serve_page(insects[0]) as page:
        someone = person(page, 1440, "light")
        begin_without_labels(someone)
        someone.propose()
        someone.label(2)
        someone.wait_for_count("2 labelled")
        held = []
        someone.tab.route("**/next", lambda route: held.append(route))
        someone.activate("#next")
        someone.tab.wait_for_selector("#grid[inert]")
        someone.press("End", "1", "2")
        assert "2 labelled" in someone.counts()
        held[0].continue_()
        someone.tab.wait_for_selector("#next:enabled")
        someone.label(1)
        someone.wait_for_count("3 labelled")
        assert someone.complaints == []


def begin_without_labels(someone):
    tab = someone.tab
    tab.wait_for_selector("#naming[open]")
    someone.look_for_faults()
    tab.fill("#names", "ant, bee")
    someone.press("Tab", "Enter")
    tab.wait_for_selector("#classes button >> nth=1")
    someone.see("#canvas", "(ant|bee) [0-9.]+ %")
    assert "0 labelled" in someone.counts()
    someone.look_for_faults()


def label_and_refit(someone):
    tab = someone.tab
    someone.propose()
    someone.label(16)
    someone.wait_for_count("16 labelled")
    someone.press("Control+z", "Control+z")
    someone.wait_for_count("14 labelled")
    someone.press("Control+y", "Control+y")
    someone.wait_for_count("16 labelled")
    someone.refit("fit-001")
    assert re.search(r"discriminant on 16 labels", tab.inner_text("#message"))
    someone.propose()
    someone.label(12)
    someone.wait_for_count("28 labelled")
    someone.refit("fit-002")
    if not tab.locator("#part").is_visible():
        someone.activate("#fold summary")
    tab.select_option("#part", "test")
    someone.see("#chip", "^16 images")
    someone.label(12)
    someone.wait_for_count("12 of 16 test images labelled")
    tab.focus("#grid")
    someone.press("Home")
    someone.here()
    someone.press("Enter")
    tab.wait_for_selector("#detail[open]")
    assert "History" in tab.inner_text("#detail")
    someone.look_for_faults()
    someone.press("Escape")


def prove(someone):
    tab = someone.tab
    someone.go_to("plane")
    tab.wait_for_selector('#points[aria-label*="80 images"]')
    tab.focus("#points")
    someone.press("+", "+")
    assert re.fullmatch(r"\d+ images inside", tab.inner_text("#lasso-text"))
    someone.look_for_faults()
    someone.go_to("confusions")
    tab.wait_for_selector("#matrix table")
    someone.look_for_faults()
    someone.go_to("runs")
    tab.wait_for_selector("#entries tr >> nth=1")
    assert "locked" in tab.inner_text("#entries")
    someone.activate("#compare button")
    someone.see("#verdict", "than fit-001")
    assert "left out in turn" in tab.inner_text("#verdict")
    for n, run in enumerate(("fit-001", "fit-002"), start=1):
        someone.activate(f"#entries tr:has-text('{run}') button:has-text('Open the test')")
        tab.wait_for_selector("#opening[open]")
        someone.press("Tab", "Enter")
        times = "once" if n == 1 else f"{n} times"
        someone.see("#verdict", f"the test was opened {times}")
    someone.activate("#compare button")
    someone.see("#verdict", "points on 12 test images")
    someone.look_for_faults()


def ship(someone, tmp_path):
    tab = someone.tab
    someone.go_to("ship")
    tab.focus("#form")
    someone.activate("#export button")
    someone.see("#exported", "80 images as csv")
    someone.look_for_faults()
    with Image.open(next((tmp_path / "export-csv-001" / "images").iterdir())) as picture:
        picture.verify()
    rows = (tmp_path / "export-csv-001" / "labels.csv").read_text().splitlines()
    assert sum(",ant," in row or ",bee," in row for row in rows) == 40


def test_names_with_markup_are_text_and_old_browsers_are_told(browser, serve_page, insects):
    name = "<img src=x onerror=document.title='owned'>"
    with serve_page(insects[0]) as page:
        bench = page.desk.bench
        bench.add_classes([name, "bee"], who="a", tab="b")
        bench.label(bench.project.contents[:3], Answer.of("label", name), who="a", tab="b")
        tab = browser.new_page()
        tab.goto(page.url)
        tab.wait_for_selector("html[data-ready]")
        tab.locator(".tile .said", has_text="<img src=x").first.wait_for()
        for part in ("plane", "runs", "confusions", "ship"):
            tab.click(f"#tab-{part}")
        assert tab.locator("img[src=x]").count() == 0
        assert "owned" not in tab.title()
        tab.close()
        old = browser.new_page()
        old.add_init_script("delete window.structuredClone")
        old.goto(page.url)
        old.locator("#too-old", has_text="too old").wait_for()
        old.close()
