import json

import pytest

from cliptune.errors import RunError, UnavailableError
from cliptune.runs import FORMAT_VERSION, RunDir
from cliptune.system.atomic import atomic_path


def finished_run(path):
    run = RunDir.create(path, {"model": "lite", "seed": 0})
    run.write_json("metrics.json", {"accuracy": 0.5})
    run.finish({"seed": 0})
    return run


def test_a_finished_run_reads_back(tmp_path):
    finished_run(tmp_path / "run")
    run = RunDir.open(tmp_path / "run")
    assert run.read_json("metrics.json") == {"accuracy": 0.5}
    assert run.manifest["seed"] == 0
    assert set(run.manifest["files"]) == {"config.json", "metrics.json"}


def test_an_unfinished_run_is_plainly_unfinished(tmp_path):
    RunDir.create(tmp_path / "run", {"seed": 0})
    with pytest.raises(RunError, match="unfinished"):
        RunDir.open(tmp_path / "run")


def test_an_unfinished_run_is_taken_up_only_with_the_same_options(tmp_path):
    RunDir.create(tmp_path / "run", {"seed": 0, "shots": (1, 2)})
    RunDir.create(tmp_path / "run", {"seed": 0, "shots": (1, 2)})
    with pytest.raises(RunError, match=r"seed \(0 there, 1 here\)"):
        RunDir.create(tmp_path / "run", {"seed": 1, "shots": (1, 2)})


def test_a_finished_run_is_not_overwritten(tmp_path):
    finished_run(tmp_path / "run")
    with pytest.raises(RunError, match="finished run"):
        RunDir.create(tmp_path / "run", {"model": "lite", "seed": 0})


def test_foreign_files_are_not_mixed_in(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="other files"):
        RunDir.create(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "metrics.json").write_text("{}"), "altered"),
        (lambda p: (p / "metrics.json").unlink(), "lacks its file"),
        (lambda p: (p / "manifest.json").write_text('{"format_ver'), "cannot read"),
    ],
)
def test_damage_is_found(tmp_path, damage, message):
    finished_run(tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(RunError, match=message):
        RunDir.open(tmp_path / "run")


def test_a_run_of_a_later_version_is_refused(tmp_path):
    finished_run(tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.json"
    content = json.loads(manifest.read_text()) | {"format_version": FORMAT_VERSION + 1}
    manifest.write_text(json.dumps(content))
    with pytest.raises(RunError, match="upgrade cliptune"):
        RunDir.open(tmp_path / "run")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot write") as caught:
        RunDir.create(tmp_path / "file" / "run", {})
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(UnavailableError, match="No space left"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_not_a_number_never_reaches_a_file(tmp_path):
    run = RunDir.create(tmp_path / "run", {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json("metrics.json", {"accuracy": float("nan")})


def test_what_a_killed_process_had_begun_to_write_is_no_part_of_the_run(tmp_path):
    """It was taken up, finished, and listed a half-written picture among its files."""
    run = RunDir.create(tmp_path / "run", {"a": 1})
    for name in (".tmp-half.png", "figures/.tmp-half.svg"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_bytes(b"half")
    again = RunDir.create(tmp_path / "run", {"a": 1})
    assert not list(run.path.rglob(".tmp-*"))
    (run.path / ".tmp-later.png").write_bytes(b"half")
    again.finish({})
    assert set(again.manifest["files"]) == {"config.json"}
    assert not list(run.path.rglob(".tmp-*"))


def test_a_place_where_nothing_but_a_beginning_was_written_is_free(tmp_path):
    """A process that was killed within its first file left its temporary one."""
    (tmp_path / ".tmp-first.json").write_text("{")
    RunDir.create(tmp_path, {"a": 1}).finish({})
    assert set(RunDir.open(tmp_path).manifest["files"]) == {"config.json"}
