"""Every Python example of the documentation runs, and uses public names alone."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = {
    "ct.serve(": "it serves until it is interrupted",
    "trust_remote_code=True": "in the tests of export, in a process of its own",
    "ct.export(": "likewise, with what comes out",
    'ct.fit("DIR")': "in the tests of fitting on parts, where there is a finished job",
}
VERB_PAGES = (
    *("api", "app", "checks", "data", "encoders", "engines", "evaluation", "export", "features"),
    *("finetuning", "fitting", "heads", "labels", "map", "models", "scale", "serve", "study"),
    "sweeps",
)


def blocks_of(page):
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_import_public_names_alone(page):
    for block in blocks_of(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("cliptune"), block
            if isinstance(node, ast.Import):
                assert all("." not in n.name or "cliptune" not in n.name for n in node.names), block


def test_each_page_about_a_verb_has_an_example():
    assert [name for name in VERB_PAGES if not blocks_of(ROOT / "docs" / f"{name}.md")] == []


@pytest.fixture(scope="module")
def place(small_data, make_cache, tmp_path_factory):
    """A folder as the pages speak of it: ``photos/``, ``bee.jpg``, a table of several labels."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(small_data, folder / "photos")
    images = sorted((folder / "photos").rglob("*.jpg"))
    shutil.copy(images[-1], folder / "bee.jpg")
    shutil.copy(images[0], folder / "1.jpg")
    rows = [
        {
            "image": str(image.relative_to(folder)),
            "labels": [image.parent.name[:-1], *["animal"] * (number % 3 > 0)],
        }
        for number, image in enumerate(images)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "photos.jsonl").write_text(lines, encoding="utf-8")
    return folder, make_cache()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks_of(page)], ids=lambda page: page.stem
)
def test_examples_run(page, place, tmp_path, monkeypatch):
    folder, cache = place
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPTUNE_CACHE", str(cache))
    names = {}
    for block in blocks_of(page):
        if any(sign in block for sign in ELSEWHERE):
            continue
        exec(compile(block, page.name, "exec"), names)
