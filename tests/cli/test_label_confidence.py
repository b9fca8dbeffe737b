"""``--label-confidence`` from the table to the classifier, and where it has no meaning."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from cliptune.cli import run_command_line


@pytest.fixture(scope="module")
def doubted(small_data, tmp_path_factory):
    """Ants and bees with a table of votes; a quarter of the labels is wrong and doubted."""
    folder = tmp_path_factory.mktemp("doubted") / "data"
    (folder / "img").mkdir(parents=True)
    lines = ["image,label,split,votes"]
    for path in sorted(small_data.rglob("*.jpg")):
        split, name = path.parts[-3:-1]
        wrong = split == "train" and int(path.stem.split("_")[0]) % 4 == 0
        label = name if not wrong else {"ants": "bees", "bees": "ants"}[name]
        votes = {label: 2, name: 1} if wrong else {name: 3}
        shutil.copy(path, folder / f"img/{name}-{path.name}")
        cell = json.dumps(votes).replace('"', '""')
        lines.append(f'img/{name}-{path.name},{label},{split},"{cell}"')
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def fit(data, cache, out, *options):
    words = ["fit", str(data), "--out", str(out), "--cache-dir", str(cache), *options]
    assert run_command_line(words) == 0
    return json.loads((out / "metrics.json").read_text())


def test_what_is_learned_is_surer_of_what_is_sure(doubted, cache, tmp_path):
    options = ("--method", "linear", "--features", "embedding")
    plain = fit(doubted, cache, tmp_path / "plain", *options)
    sure = fit(doubted, cache, tmp_path / "sure", *options, "--label-confidence", "votes")
    heads = [load_file(tmp_path / name / "head.safetensors") for name in ("plain", "sure")]
    assert not np.allclose(heads[0]["weight"], heads[1]["weight"], rtol=1e-3)
    assert any("images have labels that are not certain: linear" in n for n in sure["notes"])
    assert not any("certain" in note for note in plain["notes"])
    assert sure["test"]["accuracy"] >= plain["test"]["accuracy"] - 0.05


def test_all_methods_are_compared_and_those_that_learn_from_it_are_named(doubted, cache, tmp_path):
    found = fit(doubted, cache, tmp_path / "run", "--label-confidence", "votes")
    (note,) = [note for note in found["notes"] if "not certain" in note]
    assert "prototype, discriminant, linear, blend learn from how sure they are" in note
    assert set(found["methods"]) >= {"zero-shot", "knn", "cache", "blend"}


def test_it_is_said_how_a_table_is_read(doubted, capsys):
    assert run_command_line(["data", str(doubted), "--label-confidence", "votes"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "120 labels come with how sure they are" in said


@pytest.mark.parametrize(
    "words",
    [("evaluate",), ("check",), ("map",), ("embed", "--out", "rows"), ("sweep",), ("finetune",)],
)
def test_who_does_not_learn_from_it_refuses_it(doubted, capsys, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, *more = words
    asked = [command, str(doubted), "--label-confidence", "votes", *more]
    assert run_command_line(asked) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--label-confidence votes came, which only 'fit' and 'study' learn from" in said
    assert not list(tmp_path.iterdir())


def test_a_study_ships_what_fit_learns(doubted, cache, tmp_path):
    words = ["study", str(doubted), "--only", "zero-shot,heads,ship", "--budget", "10m"]
    words += ["--label-confidence", "votes", "--out", str(tmp_path / "study")]
    assert run_command_line([*words, "--cache-dir", str(cache)]) == 0
    result = json.loads((tmp_path / "study/study.json").read_text())
    shipped = result["sections"]["ship"]["numbers"]["recommended"]
    assert "--label-confidence votes" in shipped["command"]
    again = shipped["command"].split()[1:]
    assert (
        run_command_line([*again, "--out", str(tmp_path / "fit"), "--cache-dir", str(cache)]) == 0
    )
    mine = load_file(tmp_path / "study" / shipped["run"] / "head.safetensors")
    theirs = load_file(tmp_path / "fit/head.safetensors")
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_several_labels_an_image_are_taken_as_they_are(captioned, capsys, tmp_path):
    for command in ("fit", "study"):
        words = [
            command,
            str(captioned),
            "--label-confidence",
            "votes",
            "--out",
            str(tmp_path / "x"),
        ]
        assert run_command_line(words) == 2
        assert "--label-confidence votes came" in capsys.readouterr().err
