"""``cliptune check`` on real images: what is sound passes, what is broken is named."""

import csv
import json
import shutil

import numpy as np
import pytest

from cliptune.checks import CHECK_NAMES
from cliptune.cli import run_command_line
from cliptune.runs import RunDir


def by_name(result):
    assert [check["name"] for check in result["checks"]] == list(CHECK_NAMES)
    for check in result["checks"]:
        assert set(check) == {"name", "status", "value", "expected", "meaning", "advice"}
    return {check["name"]: check for check in result["checks"]}


def test_the_data_are_sound_and_a_head_has_no_training_to_check(
    answer, small_data, cache, tmp_path
):
    out = tmp_path / "checked"
    asked = ["check", str(small_data), "--method", "linear", "--json", "--cache-dir", str(cache)]
    result, messages = answer([*asked, "--out", str(out)])
    checks = by_name(result)
    assert "val (40 images) is the locked test" in messages
    for name in ("readable", "class_counts", "label_signal", "shuffled_labels", "zero_shot"):
        assert checks[name]["status"] == "passed", checks[name]
    assert checks["class_counts"]["value"] == {"ant": 32, "bee": 32}
    assert checks["overfit_one_batch"]["status"] == "skipped"
    assert RunDir.open(out).read_json("checks.json") == result
    assert (out / "what-the-model-sees.jpg").stat().st_size > 10_000


def test_training_is_tried_out_and_its_first_loss_is_that_of_guessing(
    answer, small_data, cache, tiny_model
):
    asked = ["check", str(small_data), "--model", str(tiny_model), "--json"]
    checks = by_name(answer([*asked, "--cache-dir", str(cache), "--lr", "1e-3"])[0])
    first = checks["initial_loss"]
    assert first["status"] == "passed"
    assert first["value"] == pytest.approx(np.log(8), rel=0.05)  # eight images a batch
    assert checks["gradient_flow"]["value"]["unreached"] == []
    assert "image.block1" in checks["gradient_flow"]["value"]["trains"]
    assert "failed" not in {check["status"] for check in checks.values()}


def test_a_corrupted_image_is_listed_and_fails(small_data, cache, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    broken = sorted((data / "train" / "bees").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:200])
    asked = ["check", str(data), "--method", "linear", "--json", "--cache-dir", str(cache)]
    assert run_command_line(asked) == 2
    captured = capsys.readouterr()
    readable = by_name(json.loads(captured.out))["readable"]
    assert readable["status"] == "failed"
    assert [entry["id"] for entry in readable["value"]["listed"]] == [
        broken.relative_to(data).as_posix()
    ]
    assert captured.err.splitlines()[-1].startswith(
        "cliptune: 1 of 14 checks failed (readable): 1 "
    )


def test_labels_shuffled_in_a_manifest_warn(answer, small_data, cache, tmp_path):
    shutil.copytree(small_data, tmp_path / "images")
    images = sorted((tmp_path / "images").rglob("*.jpg"))
    labels = np.random.default_rng(0).permutation([image.parent.name for image in images])
    manifest = tmp_path / "shuffled.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows(
            [image.relative_to(tmp_path), label]
            for image, label in zip(images, labels, strict=True)
        )
    asked = ["check", str(manifest), "--method", "linear", "--json", "--cache-dir", str(cache)]
    checks = by_name(answer(asked)[0])
    assert checks["label_signal"]["status"] == "warned"
    assert "shuffled" in checks["label_signal"]["advice"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--method", "fulll"], "unknown method 'fulll'; nearest: full"),
        (["--train", "imagee"], "unknown group 'imagee'"),
        (["--lr", "1e-3", "--templates", "single", "--templates", "openai"], "one template set"),
    ],
)
def test_a_wrong_option_is_one_line(options, expected, small_data, cache, tiny_model, capsys):
    asked = ["check", str(small_data), "--model", str(tiny_model), "--cache-dir", str(cache)]
    assert run_command_line([*asked, *options]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
