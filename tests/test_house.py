"""The house in numbers, and what must be touched to build on it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "cliptune"


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house", ROOT / "scripts" / "house.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figures(house):
    return house.measure(SOURCE)


def test_a_new_section_and_a_new_head_touch_no_list(figures):
    assert figures.section_lists == ()
    assert figures.head_lists == ()


def test_functions_are_short_and_no_import_goes_round(figures):
    assert figures.median_function <= 9
    assert figures.longest_function <= 60, figures.longest
    assert figures.circles == ()


def test_there_are_between_fifty_and_seventy_public_names(figures):
    assert 50 <= figures.public <= 70


def test_every_module_is_in_a_layer(figures):
    assert figures.unlayered == ()


def test_figures_are_those_of_a_small_package(house, tmp_path):
    """Two modules in a circle, a function of three lines and one of five."""
    package = tmp_path / "src" / "small"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('_HOMES = {"a": "one", "b": "two"}\n')
    (package / "one.py").write_text("from small import two\n\ndef f():\n    a = 1\n    return a\n")
    (package / "two.py").write_text(
        'import small.one\n\ndef g():\n    """Say.\n\n    More.\n    """\n'
        "    a = 1\n    b = 2\n    c = 3\n    return a + b + c\n"
    )
    found = house.measure(package)
    assert (found.files, found.lines, found.public) == (3, 17, 3)
    assert (found.median_function, found.longest_function) == (4, 5)
    assert found.circles == (("small.one", "small.two"),)


NEW_HEAD = '''
    """A head that a stranger added: the nearest class mean."""

    from __future__ import annotations

    from collections.abc import Mapping
    from dataclasses import dataclass, field
    from typing import ClassVar

    import numpy as np

    from cliptune.heads.base import BaseHead


    @dataclass(eq=False)
    class StrangerHead(BaseHead):
        """Dot products with class means."""

        name: ClassVar[str] = "stranger"
        compared: ClassVar[bool] = True
        saved_axes: ClassVar[Mapping[str, int]] = {"means": 2}

        means_: np.ndarray = field(init=False, repr=False)

        def _learn(self, data):
            means = [data.X[data.y == c].mean(axis=0) for c in range(data.n_classes)]
            return self._restore({"means": np.stack(means).astype(np.float32)})

        def _row_length(self):
            return self.means_.shape[1]

        def _logits(self, rows):
            return np.float32(20) * (np.asarray(rows, dtype=np.float32) @ self.means_.T)

        def _arrays(self):
            return {"means": self.means_}

        def _restore(self, arrays):
            self.means_ = arrays["means"]
            self.classes_ = np.arange(len(self.means_))
            self.n_parameters_, self.history_ = self.means_.size, ()
            return self
'''


NEW_SECTION = '''
    """A section that a stranger added: how many images there are."""

    from cliptune.studies.section_context import SectionResult
    from cliptune.studies.section_specs import SectionSpec

    SECTION = SectionSpec(
        name="stranger",
        place=15,
        title="A stranger",
        question="How many images are there?",
        function="count_images",
        needs="nothing",
        rank=90,
        seconds=0.1,
    )


    def count_images(subject, context):
        n = len(subject.table)
        return SectionResult(f"There are {n} of them.", {"n": n})
'''


@pytest.fixture
def copied(data_root, tmp_path):
    """The package and some images, where files may be added; and how to run code there."""
    copy = tmp_path / "src" / "cliptune"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for split, n in (("train", 8), ("val", 4)):
        for name in ("ants", "bees"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for image in sorted((data_root / "hymenoptera_data" / split / name).iterdir())[:n]:
                shutil.copy(image, folder)

    def run(script, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(copy / "__init__.py")

    return copy, run


def test_a_new_head_is_one_file(copied, make_cache):
    copy, run = copied
    (copy / "heads" / "stranger.py").write_text(textwrap.dedent(NEW_HEAD))
    run(
        """
        import sys, cliptune as ct
        compute = ct.ComputeOptions(cache_dir=sys.argv[1], engine="torch", precision="fp32")
        result = ct.fit("data", method="stranger", out="run", compute=compute)
        classifier = ct.load_classifier(result.run, compute=compute)
        assert type(classifier.calibrated.head) is ct.heads.Stranger
        assert result.test.accuracy.value > 0.7, result.test.accuracy
        compared = ct.fit("data", out="compared", compute=compute).methods
        assert list(compared)[-1] == "stranger" and "linear" in compared, list(compared)
        assert compared["stranger"].cross_validation.accuracy > 0.7
        print(ct.__file__)
        """,
        make_cache(),
    )


def test_a_new_section_is_one_file(copied, make_cache):
    copy, run = copied
    (copy / "studies" / "sections" / "stranger.py").write_text(textwrap.dedent(NEW_SECTION))
    run(
        """
        import sys, cliptune as ct
        compute = ct.ComputeOptions(cache_dir=sys.argv[1], engine="torch", precision="fp32")
        result = ct.study("data", only="zero-shot,stranger", out="study", compute=compute)
        assert list(result.sections) == ["stranger", "zero-shot"], result.sections
        assert result.sections["stranger"].conclusion == "There are 24 of them."
        assert "How many images are there?" in open(result.report).read()
        print(ct.__file__)
        """,
        make_cache(),
    )
