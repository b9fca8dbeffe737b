"""Wrong data and damaged runs: one line, exit code 2, nothing half-written."""

import json
import shutil

import pytest

from cliptune.cli import run_command_line


def complain(arguments, capsys):
    """Run a command that should be refused; return its last line of messages."""
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


@pytest.fixture
def fit_arguments(cache, tmp_path):
    out = tmp_path / "refused"
    return ["--method", "prototype", "--cache-dir", str(cache), "--out", str(out)], out


def test_a_class_with_one_image_leaves_nothing_to_validate(
    small_data, tmp_path, fit_arguments, capsys
):
    arguments, out = fit_arguments
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    for image in sorted((data / "train" / "ants").iterdir())[1:]:
        image.unlink()
    line = complain(["fit", str(data), *arguments], capsys)
    assert "the class 'ant' has 1 training image; expected at least 2" in line
    assert not out.exists()


def test_a_class_of_one_picture_would_leave_validation_empty(
    small_data, tmp_path, fit_arguments, capsys
):
    """Near-duplicates stay on one side, so a class of copies cannot be divided."""
    arguments, out = fit_arguments
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    first, *rest = sorted((data / "train" / "ants").iterdir())
    for image in rest:
        shutil.copy(first, image)
    line = complain(["fit", str(data), *arguments], capsys)
    assert "'ant' would have no validation image" in line
    assert not out.exists()


@pytest.fixture(scope="module")
def fitted(small_data, cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["fit", str(small_data), "--method", "prototype", "--cache-dir", str(cache)]
    assert run_command_line([*arguments, "--out", str(out)]) == 0
    return out


def truncate(run):
    file = run / "head.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


def tamper(run):
    facts = json.loads((run / "classifier.json").read_text())
    facts["class_names"] = facts["class_names"][::-1]
    (run / "classifier.json").write_text(json.dumps(facts))


def move_to_the_future(run):
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda run: (run / "head.safetensors").unlink(), "lacks its file 'head.safetensors'"),
        (truncate, "head.safetensors' was altered or cut"),
        (tamper, "classifier.json' was altered or cut"),
        (move_to_the_future, "format version 99"),
        (lambda run: (run / "manifest.json").unlink(), "has no manifest.json"),
    ],
)
def test_a_damaged_run_is_refused_by_all_who_read_it(
    damage, expected, fitted, small_data, cache, tmp_path, capsys
):
    run = tmp_path / "damaged"
    shutil.copytree(fitted, run)
    damage(run)
    image = next((small_data / "val" / "bees").iterdir())
    out = tmp_path / "scores"
    for command in (["predict", str(image)], ["evaluate", str(small_data), "--out", str(out)]):
        line = complain([*command, "--run", str(run), "--cache-dir", str(cache)], capsys)
        assert expected in line
    assert not out.exists()
