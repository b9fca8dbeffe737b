"""label-next and relabel on real images without labels: the answers of another tool come back."""

import csv
import json
import shutil

import pytest

import cliptune as ct
from cliptune.cli import run_command_line


@pytest.fixture(scope="module")
def flat(data_root, tmp_path_factory):
    """Sixty ants and bees in one folder, without labels; and what each is."""
    folder = tmp_path_factory.mktemp("flat") / "insects"
    folder.mkdir()
    truth = {}
    for name in ("ants", "bees"):
        images = sorted((data_root / "hymenoptera_data" / "train" / name).iterdir())[:30]
        for image in images:
            shutil.copy(image, folder)
            truth[image.name] = name.removesuffix("s")
    return folder, truth


@pytest.fixture(scope="module")
def compute(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return ct.ComputeOptions(cache_dir=cache, engine="torch", precision="fp32")


@pytest.fixture(scope="module")
def answered(flat, compute, tmp_path_factory):
    """The journal after one round with another tool, and what was asked."""
    folder, truth = flat
    place = tmp_path_factory.mktemp("round")
    journal, answers = place / "journal.jsonl", place / "answers.csv"
    asked = ct.label_next(folder, n=24, journal=journal, compute=compute)
    with answers.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        writer.writerows([one.id, truth[one.id]] for one in asked.images)
    taken = ct.relabel(folder, answers, journal=journal, compute=compute)
    return journal, asked, taken


def test_a_folder_without_labels_begins_with_typical_images(answered):
    _, asked, _ = answered
    assert len(asked.images) == 24
    assert {one.why for one in asked.images} == {"centroid"}
    assert asked.n_open == 48  # a fifth is kept for the test
    assert asked.gain is None
    assert "too few" in asked.advice


def test_answers_of_another_tool_are_taken_and_the_next_round_knows_them(answered, flat, compute):
    journal, asked, taken = answered
    assert (taken.n_read, taken.n_taken, taken.n_same, taken.unknown) == (24, 24, 0, ())
    assert set(taken.class_names) == {"ant", "bee"}
    again = ct.label_next(flat[0], n=10, journal=journal, compute=compute)
    assert again.n_labelled == 24
    assert [one.why for one in again.images] == ["centroid"] + 9 * ["doubt"]
    assert not {one.id for one in again.images} & {one.id for one in asked.images}
    worth = sum(one.expected_gain for one in again.images)
    assert worth == pytest.approx(again.gain.value)
    assert "another 10 labels are worth" in again.advice
    assert again == type(again).from_json(again.to_json())


def test_a_journal_is_a_data_set(answered, flat):
    journal, asked, _ = answered
    table = ct.open_images(journal)
    truth = flat[1]
    said = {s.id: table.class_names[c] for s, c in zip(table.sources, table.labels, strict=True)
            if c >= 0}  # fmt: skip
    assert said == {one.id: truth[one.id] for one in asked.images}
    assert set(table.splits) == {"train", "test"}
    named = ct.open_images(flat[0], dataset=ct.DataOptions(journal=journal))
    assert named.digest() == table.digest()


def test_a_journal_is_exported_as_other_tools_read_it(answered, flat, tmp_path, capsys):
    for form in ("csv", "imagefolder", "labelstudio"):
        assert run_command_line(["data", str(answered[0]), str(tmp_path / form), "--to", form]) == 0
    tasks = tmp_path / "labelstudio" / "tasks.json"
    compute = ct.ComputeOptions(cache_dir=tmp_path)
    taken = ct.relabel(flat[0], tasks, journal=tmp_path / "other.jsonl", compute=compute)
    assert taken.n_taken == 24
    capsys.readouterr()


def test_the_command_prints_what_a_script_needs(data_root, flat, answered, compute, capsys):
    arguments = ["--cache-dir", str(compute.cache_dir), "--json"]
    torch = ["--engine", "torch", "--precision", "fp32"]
    journal = ["--journal", str(answered[0])]
    assert (
        run_command_line(["label-next", str(flat[0]), "--n", "3", *journal, *torch, *arguments])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert len(found["images"]) == 3
    assert {"id", "path", "why", "expected_gain"} <= set(found["images"][0])
    other = str(data_root / "hymenoptera_data" / "val")
    assert run_command_line(["relabel", other, str(flat[0]), *journal, *arguments]) == 2
    assert "cannot read" in capsys.readouterr().err
    assert run_command_line(["data", other, *journal]) == 2
    assert "is a journal of other data" in capsys.readouterr().err
