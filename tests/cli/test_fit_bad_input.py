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


def one_image(ants):
    for image in ants[1:]:
        image.unlink()


def copies_of_one(ants):
    for image in ants[1:]:
        shutil.copy(ants[0], image)


@pytest.mark.parametrize("change", [one_image, copies_of_one])
def test_a_class_that_cannot_be_divided_is_never_held_out(
    change, small_data, cache, tmp_path, capsys
):
    """A single image, or copies of one, which stay on one side: what is done is said."""
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    change(sorted((data / "train" / "ants").iterdir()))
    arguments = ["fit", str(data), "--method", "prototype", "--cache-dir", str(cache)]
    assert run_command_line([*arguments, "--out", str(tmp_path / "run"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "never held out, because their class would be gone without them: ant" in captured.err
    assert json.loads(captured.out)["cross_validation"]["n"] == 40


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
