"""``cliptune predict`` on real images."""

import csv
import io
import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from cliptune.cli import run_command_line


@pytest.fixture(scope="module")
def bee(data_root):
    return data_root / "hymenoptera_data/val/bees/10870992_eebeeb3a12.jpg"


@pytest.fixture(scope="module")
def ant(data_root):
    return data_root / "hymenoptera_data/val/ants/10308379_1b6c72e180.jpg"


def answer(arguments, capsys):
    code = run_command_line(arguments)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def test_a_real_process_tells_a_bee_from_an_ant(bee, tmp_path):
    command = [sys.executable, "-m", "cliptune", "predict", str(bee), "--labels", "ant,bee"]
    done = subprocess.run(
        [*command, "--json", "--cache-dir", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    labels = json.loads(done.stdout)["predictions"][0]["labels"]
    assert [label["label"] for label in labels] == ["bee", "ant"]
    assert sum(label["probability"] for label in labels) == pytest.approx(1)


def test_top_limits_the_labels_and_keeps_the_order(bee, cache, capsys):
    arguments = ["predict", str(bee), "--labels", "ant,bee,car,dog,house,ship", "--json"]
    result = answer([*arguments, "--cache-dir", str(cache)], capsys)
    scores = [label["probability"] for label in result["predictions"][0]["labels"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    result = answer([*arguments, "--top", "1", "--cache-dir", str(cache)], capsys)
    assert [x["label"] for x in result["predictions"][0]["labels"]] == ["bee"]


def test_files_folders_and_standard_input_come_in_order(
    bee, ant, cache, tmp_path, capsys, monkeypatch
):
    folder = tmp_path / "some images"
    folder.mkdir()
    shutil.copy(ant, folder / "ä nt.jpg")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ant}\n\n"))
    arguments = ["predict", str(bee), str(folder), "-", "--labels", "ant,bee", "--json"]
    result = answer([*arguments, "--cache-dir", str(cache)], capsys)
    top = [p["labels"][0]["label"] for p in result["predictions"]]
    assert top == ["bee", "ant", "ant"]
    assert result["predictions"][1]["image"].endswith("ä nt.jpg")


def test_comma_separated_values_parse(bee, cache, capsys):
    arguments = ["predict", str(bee), "--labels", "ant,bee", "--csv"]
    assert run_command_line([*arguments, "--cache-dir", str(cache)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["label"] for row in rows] == ["bee", "ant"]


def test_the_table_names_model_and_label(bee, cache, capsys):
    arguments = ["predict", str(bee), "--labels", "ant,bee", "--cache-dir", str(cache)]
    assert run_command_line(arguments) == 0
    out = capsys.readouterr().out
    assert "lite (fp32)" in out
    assert "bee" in out


def test_labels_can_come_from_a_file(bee, cache, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    arguments = ["predict", str(bee), "--labels", str(tmp_path / "labels.txt"), "--json"]
    result = answer([*arguments, "--cache-dir", str(cache)], capsys)
    assert result["predictions"][0]["labels"][0]["label"] == "bee"


@pytest.mark.parametrize(
    "text", ['["ant", "bee"]', '{"0": "ant", "1": "bee"}', '{"ant": 0, "bee": 1}']
)
def test_labels_can_be_json(text, bee, cache, tmp_path, capsys):
    (tmp_path / "labels.json").write_text(text)
    command = ["predict", str(bee), "--json", "--labels"]
    for labels in (text, str(tmp_path / "labels.json")):
        result = answer([*command, labels, "--cache-dir", str(cache)], capsys)
        assert {x["label"] for x in result["predictions"][0]["labels"]} == {"ant", "bee"}
        assert result["predictions"][0]["labels"][0]["label"] == "bee"


def test_own_templates_are_used(bee, cache, capsys):
    own = "a macro picture of one {}"
    arguments = ["predict", str(bee), "--labels", "ant,bee", "--template", own, "--json"]
    result = answer([*arguments, "--cache-dir", str(cache)], capsys)
    assert result["templates"] == [own]


def test_an_unreadable_image_stops_the_run_or_is_listed(bee, cache, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(bee.read_bytes()[:2000])
    arguments = ["predict", str(bee), str(tmp_path / "broken.jpg"), "--labels", "ant,bee"]
    arguments += ["--json", "--cache-dir", str(cache)]
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "broken.jpg" in captured.err.splitlines()[-1]
    result = answer([*arguments, "--on-bad-image", "skip"], capsys)
    assert len(result["predictions"]) == 1
    assert result["unreadable"][0]["image"].endswith("broken.jpg")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--labels", "ant"], "at least two"),
        (["--labels", "ant,bee,ant"], "'ant' twice"),
        (["--labels", "ant,,bee"], "empty label"),
        (["--labels", "ant,bee,Ant"], "'ant', 'Ant' are equal texts to lite"),
        (["--labels", ""], "an empty value came after --labels"),
        (["--labels", "ant,bee", "--top", "0"], "--top 0"),
        (["--labels", "ant,bee", "--template", "a photo"], "exactly one '{}'"),
        (["--labels", "ant,bee", "--templates", "sinlge"], "nearest: single"),
        (["--labels", "ant,bee", "--templates", "single", "--templates", "openai"], "evaluate"),
        (["--labels", "ant,bee", "--model", "light"], "lite"),
        (["--labels", "ant,bee", "--model", "ViT-B-32/opnai"], "openai"),
        (["--labels", "ant,bee", "--device", "cuda"], "cuda"),
        (["--labels", "ant,bee", "--precision", "fp16"], "fp16"),
    ],
)
def test_a_wrong_option_is_one_line(options, expected, tmp_path, capsys):
    import torch

    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    image = tmp_path / "grey.png"
    Image.new("RGB", (40, 40), "grey").save(image)
    arguments = ["predict", str(image), *options, "--cache-dir", str(tmp_path / "cache")]
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert expected in captured.err


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: p / "absent.jpg", "absent.jpg"),
        (lambda p: p, "no images"),
        (lambda p: (p / "a.jpg").touch() or p / "a.jpg", "a.jpg"),
    ],
)
def test_a_wrong_path_is_one_line(make, expected, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    arguments = ["predict", str(make(folder)), "--labels", "ant,bee"]
    assert run_command_line([*arguments, "--cache-dir", str(tmp_path / "cache")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert expected in captured.err


def test_no_image_at_all_is_one_line(capsys):
    assert run_command_line(["predict", "--labels", "ant,bee"]) == 2
    assert "no image came" in capsys.readouterr().err
