"""What heads say of themselves, read in their files, is what their classes have."""

import subprocess
import sys
from dataclasses import asdict, fields

import pytest

from cliptune.heads import HEADS, registry


def test_what_is_read_in_a_file_is_what_its_class_has():
    for name, facts in HEADS.facts.items():
        said = asdict(facts)
        assert said == {fact: getattr(HEADS[name], fact) for fact in said}, name


def test_heads_of_more_than_the_embedding_take_features():
    for name, facts in HEADS.facts.items():
        takes = "features" in {field.name for field in fields(HEADS[name])}
        assert takes == (facts.learns_from == "trunk"), name
        assert (HEADS[name]().needs == "tokens") == (facts.learns_from == "tokens"), name


def test_ranks_differ():
    ranks = [facts.rank for facts in HEADS.facts.values()]
    assert len(set(ranks)) == len(ranks)


def test_what_is_no_plain_value_is_refused(tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text("class OddHead(BaseHead):\n    rank: ClassVar[int] = f(3)\n")
    monkeypatch.setattr(registry, "files", lambda package: tmp_path)
    with pytest.raises(TypeError, match="rank of OddHead must be a plain value"):
        registry._said("odd", "OddHead")


def test_methods_are_listed_without_numpy():
    code = (
        "import sys; from cliptune.selection.methods import COMPARED, METHODS, TRAINED; "
        "assert not {'torch', 'numpy'} & set(sys.modules); print(*METHODS, '|', *COMPARED)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "zero-shot prototype discriminant linear blend linear-sgd dual-linear knn cache attention "
        "| zero-shot prototype discriminant linear blend knn cache"
    )
