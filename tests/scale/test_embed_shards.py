"""Shards by real processes: every row once, the same bits whatever was killed, plain refusals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from cliptune.cli import run_command_line
from cliptune.images import ImageTable
from cliptune.scale import executors
from cliptune.scale.shard import EncoderRecipe, ShardTask
from cliptune.scale.tasks import ShardOutcome, run_task
from cliptune.workflows import embed_shards

N_IMAGES, PER_SHARD = 24, 8


@pytest.fixture(scope="module")
def cache(make_cache):
    return make_cache()


@pytest.fixture(scope="module")
def insects(data_root, tmp_path_factory):
    """A few real ants and bees in class folders."""
    folder = tmp_path_factory.mktemp("data") / "insects"
    for name in ("ants", "bees"):
        (folder / name).mkdir(parents=True)
        for image in sorted((data_root / "hymenoptera_data/train" / name).iterdir())[:12]:
            shutil.copy(image, folder / name)
    return folder


def words(data, out, cache, *options, executor="local", workers=1):
    return [
        *("embed", str(data), "--out", str(out), "--cache-dir", str(cache), "--json"),
        *("--executor", executor, "--workers", str(workers)),
        *("--rows-per-shard", str(PER_SHARD), *options),
    ]


@pytest.fixture
def embed(capsys, cache):
    """Run a job; return its exit code, its JSON or nothing, and what it said."""

    def run(data, out, *options, **how):
        code = run_command_line(words(data, out, cache, *options, **how))
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return run


@pytest.fixture(scope="module")
def finished(insects, cache, tmp_path_factory):
    """A job that was done without being disturbed."""
    out = tmp_path_factory.mktemp("finished") / "job"
    assert run_command_line(words(insects, out, cache)) == 0
    return out


def rows_of(folder):
    parts = sorted((folder / "parts").glob("*.parquet"))
    tables = [pq.read_table(part).to_pydict() for part in parts]
    return {key: [one for table in tables for one in table[key]] for key in tables[0]}


def bytes_of(folder):
    return {part.name: part.read_bytes() for part in (folder / "parts").iterdir()}


def test_every_image_is_there_once_with_the_vector_that_embed_gives(
    finished, insects, cache, tmp_path, capsys
):
    plain = ["embed", str(insects), "--out", str(tmp_path), "--cache-dir", str(cache)]
    assert run_command_line([*plain, "--json"]) == 0
    expected = pq.read_table(tmp_path / "features.parquet").to_pydict()
    found = rows_of(finished)
    assert found["id"] == expected["id"] == list(ImageTable.open(insects).ids)
    for key in ("path", "label", "class_name", "split"):
        assert found[key] == expected[key]
    np.testing.assert_allclose(found["vector"], expected["vector"], atol=1e-5)
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["rows"] == N_IMAGES
    assert [part["rows"] for part in manifest["parts"]] == [8, 8, 8]
    capsys.readouterr()


def test_vectors_are_written_as_they_are(finished, insects, cache, tmp_path, capsys):
    plain = ["embed", str(insects), "--out", str(tmp_path), "--cache-dir", str(cache)]
    assert run_command_line(plain) == 0
    for file in (*(finished / "parts").iterdir(), tmp_path / "features.parquet"):
        group = pq.ParquetFile(file).metadata.row_group(0)
        columns = {group.column(n).path_in_schema: group.column(n) for n in range(6)}
        vectors = columns["vector.list.element"]
        assert not vectors.has_dictionary_page
        assert vectors.total_compressed_size < 4 * 384 * group.num_rows
        assert columns["class_name"].has_dictionary_page


def test_what_is_asked_of_pictures_reaches_whoever_computes_a_part(
    insects, tiny_model, cache, embed, tmp_path
):
    asked = ("--model", str(tiny_model), "--crops", "12", "--engine", "torch")
    code, result, _ = embed(insects, tmp_path / "job", *asked, workers=2)
    assert (code, result["model"]) == (0, f"{tiny_model}?crops=12")
    plain = ["embed", str(insects), "--out", str(tmp_path), "--cache-dir", str(cache), *asked]
    assert run_command_line(plain) == 0
    expected = pq.read_table(tmp_path / "features.parquet").to_pydict()
    found = rows_of(tmp_path / "job")
    np.testing.assert_allclose(found["vector"], expected["vector"], atol=1e-5)


def test_another_encoder_under_the_same_name_computes_nothing(tiny_model, make_tree, tmp_path):
    recipe = EncoderRecipe(str(tiny_model), "0" * 64, "torch", "fp32", "cpu", tmp_path)
    table = ImageTable.open(make_tree("a/1.png", "b/2.png"))
    task = ShardTask(0, table, tmp_path / "part.parquet", recipe, "job", "float32", "fail", 1)
    outcome = task.run()
    assert "is another encoder here" in outcome.error
    assert not task.path.exists()


def test_a_finished_job_computes_nothing_again(finished, insects, embed):
    before = bytes_of(finished)
    code, result, _ = embed(insects, finished)
    assert (code, result["rows"], result["shards"]) == (0, N_IMAGES, 3)
    assert (result["failed"], result["images_computed"], result["images_per_second"]) == (
        0,
        0,
        None,
    )
    assert bytes_of(finished) == before


def test_parts_of_another_job_are_refused(finished, insects, embed):
    code, _, said = embed(insects, finished, "--dtype", "float16")
    assert code == 2
    assert "holds the parts of another job" in said
    assert "differs in dtype" in said


def test_a_lost_or_broken_part_is_made_again_with_the_same_bits(finished, insects, embed, tmp_path):
    again = tmp_path / "job"
    shutil.copytree(finished, again)
    (again / "parts/part-000000.parquet").unlink()
    (again / "parts/part-000002.parquet").write_bytes(b"PAR1 torn")
    code, result, _ = embed(insects, again)
    assert (code, result["images_computed"]) == (0, 16)
    assert bytes_of(again) == bytes_of(finished)


def test_shares_of_a_job_are_done_by_processes_of_their_own(finished, insects, embed, tmp_path):
    out = tmp_path / "job"
    code, first, _ = embed(insects, out, "--shard", "1/2")
    assert (code, first["rows"], first["missing"]) == (0, 8, 2)
    assert not (out / "manifest.json").exists()
    code, second, _ = embed(insects, out, "--shard", "0/2")
    assert (code, second["rows"], second["missing"]) == (0, N_IMAGES, 0)
    assert bytes_of(out) == bytes_of(finished)
    assert (out / "manifest.json").read_bytes() == (finished / "manifest.json").read_bytes()


def test_half_precision_is_that_of_the_vectors(finished, insects, embed, tmp_path):
    assert embed(insects, tmp_path / "job", "--dtype", "float16")[0] == 0
    half, whole = rows_of(tmp_path / "job")["vector"], rows_of(finished)["vector"]
    np.testing.assert_array_equal(np.asarray(half, np.float16), np.asarray(whole, np.float16))


def test_a_bad_image_fails_its_shard_only_and_retry_mends_it(insects, embed, tmp_path):
    data, out = tmp_path / "data", tmp_path / "job"
    shutil.copytree(insects, data)
    victim = sorted((data / "bees").iterdir())[-1]
    good = victim.read_bytes()
    victim.write_bytes(good[:100])
    code, result, said = embed(data, out)
    assert (code, result["rows"], result["failed"]) == (1, 16, 1)
    assert result["failures"][0]["shard"] == 2
    assert victim.name in result["failures"][0]["reason"]
    assert "1 of 3 shards failed" in said
    assert "Traceback" not in said
    code, result, _ = embed(data, out)
    assert (code, result["failed"], result["images_computed"]) == (1, 1, 0)
    victim.write_bytes(good)
    code, result, _ = embed(data, out, "--retry")
    assert (code, result["rows"], result["failed"]) == (0, N_IMAGES, 0)


def test_bad_images_can_be_left_out(insects, embed, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(insects, data)
    victim = sorted((data / "ants").iterdir())[3]
    victim.write_bytes(b"no picture")
    code, result, _ = embed(data, tmp_path / "job", "--on-bad-image", "skip")
    assert (code, result["rows"], result["failed"]) == (0, N_IMAGES - 1, 0)
    assert [one["image"] for one in result["unreadable"]] == [f"ants/{victim.name}"]
    assert embed(data, tmp_path / "job", "--on-bad-image", "skip")[1]["images_computed"] == 0


def test_an_image_that_was_written_to_after_its_part_is_named(insects, embed, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(insects, data)
    assert embed(data, tmp_path / "job")[1]["changed"] == []
    victim = sorted((data / "ants").iterdir())[0]
    os.utime(victim, (time.time() + 5, time.time() + 5))
    code, result, _ = embed(data, tmp_path / "job")
    assert (code, result["changed"]) == (0, [str(victim)])


@pytest.mark.parametrize("what", ["driver", "worker"])
def test_a_kill_changes_no_bit(finished, insects, cache, embed, tmp_path, what):
    out = tmp_path / "job"
    command = [sys.executable, "-m", "cliptune", *words(insects, out, cache)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list(out.glob("parts/part-*")) and time.monotonic() < until:
        time.sleep(0.02)
    if what == "driver":
        process.kill()
    else:
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    if what == "worker":
        assert process.returncode == 0
        assert json.loads(output)["failed"] == 0
    else:
        wait_for_end_of_workers(out)
        assert embed(insects, out)[0] == 0
    assert bytes_of(out) == bytes_of(finished)


def children(parent):
    """Return the processes that compute shards for a driver."""
    import psutil

    return [p.pid for p in psutil.Process(parent).children() if "spawn_main" in str(p.cmdline())]


def wait_for_end_of_workers(out):
    """An orphan ends within a second or two; what it was writing is cleared away."""
    time.sleep(2.5)


def test_a_job_keeps_the_pixels_that_it_began_with(insects, embed, tmp_path, monkeypatch):
    quick, exact = tmp_path / "quick", tmp_path / "exact"
    assert embed(insects, quick, "--pixels", "quick")[0] == 0
    assert embed(insects, exact)[0] == 0  # few images
    facts = [json.loads((job / "job.json").read_text())["facts"] for job in (quick, exact)]
    assert [one.get("pixels") for one in facts] == ["quick", None]
    found, wanted = (np.array(rows_of(job)["vector"]) for job in (quick, exact))
    assert 1e-7 < np.abs(found - wanted).max() < 0.01
    before = bytes_of(quick)
    next((quick / "parts").iterdir()).unlink()
    assert embed(insects, quick)[1]["images_computed"] == PER_SHARD
    assert bytes_of(quick) == before
    code, _, said = embed(insects, quick, "--pixels", "exact")
    assert (code, "it differs in pixels" in said) == (2, True)
    monkeypatch.setattr(embed_shards, "_QUICK_FROM", N_IMAGES)
    assert embed(insects, tmp_path / "many")[0] == 0
    assert bytes_of(tmp_path / "many") == before


class Gone:
    """An executor whose machine is lost behind the first shard."""

    def __init__(self, lost):
        self.lost = lost

    def __call__(self, tasks):
        for place, task in enumerate(tasks):
            why = "its machine died"
            yield (
                run_task(task)
                if not place
                else ShardOutcome(task.number, 0, 0.0, error=why, lost=self.lost)
            )


@pytest.mark.parametrize("lost", [True, False])
def test_what_is_lost_with_a_machine_is_computed_by_the_next_call(
    insects, cache, finished, embed, tmp_path, monkeypatch, lost
):
    out = tmp_path / "job"
    with monkeypatch.context() as patch:
        patch.setattr(executors, "run_local", lambda tasks, n, n_gpus: Gone(lost)(tasks))
        code, result, said = embed(insects, out)
    assert (code, result["failed"], "its machine died" in said) == (1, 2, True)
    code, result, _ = embed(insects, out)
    if lost:
        assert (code, result["images_computed"]) == (0, 2 * PER_SHARD)
        assert bytes_of(out) == bytes_of(finished)
    else:
        assert (code, result["failed"], result["images_computed"]) == (1, 2, 0)


def test_ray_tells_what_was_lost_from_what_failed():
    ray = pytest.importorskip("ray", reason="needs ray")
    from cliptune.scale import on_ray

    def outcome_of(error):
        def get(_):
            raise error

        asked = SimpleNamespace(get=get, exceptions=ray.exceptions)
        return on_ray._outcome(asked, None, SimpleNamespace(number=3))

    gone = outcome_of(ray.exceptions.LocalRayletDiedError())
    assert (gone.lost, "the next call computes it again" in gone.error) == (True, True)
    assert outcome_of(ray.exceptions.WorkerCrashedError()).lost
    wrong = outcome_of(ray.exceptions.RayTaskError("run", "it broke", ValueError("it broke")))
    assert (wrong.lost, "it broke" in wrong.error) == (False, True)


def test_two_drivers_on_one_folder(finished, insects, embed):
    from filelock import FileLock

    with FileLock(finished / ".driver.lock"):
        code, _, said = embed(insects, finished)
    assert code == 2
    assert "another process works on this job" in said


@pytest.mark.parametrize(
    ("how", "options", "says"),
    [
        ({"workers": 5000}, (), "--workers 5000 came, but this process may use"),
        ({}, ("--shard", "3/2"), "--shard '3/2' came; expected i/n"),
        ({}, ("--address", "127.0.0.1:1"), "--address came with --executor local"),
        ({"executor": "ray"}, ("--address", "127.0.0.1:1"), "nothing answers at --address"),
        ({"executor": "ray"}, ("--address", "here"), "expected HOST:PORT, or auto"),
    ],
)
def test_wrong_options_end_in_a_line_and_leave_no_part(
    insects, embed, tmp_path, how, options, says
):
    if how.get("executor") == "ray":
        pytest.importorskip("ray", reason="needs ray")
    began = time.monotonic()
    code, _, said = embed(insects, tmp_path / "job", *options, **how)
    assert code == 2
    assert says in said.splitlines()[-1]
    assert not list(tmp_path.rglob("*.parquet"))
    assert time.monotonic() - began < 60


def test_options_of_jobs_need_an_executor(insects, tmp_path, capsys):
    code = run_command_line(["embed", str(insects), "--out", str(tmp_path), "--workers", "2"])
    assert code == 2
    assert "--workers came without --executor" in capsys.readouterr().err


def test_other_files_are_not_written_over(insects, embed, tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    code, _, said = embed(insects, tmp_path)
    assert code == 2
    assert "holds 'thesis.txt' and no job of this kind" in said
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == [
        "thesis.txt"
    ]


def test_ray_gives_the_same_bits(finished, insects, embed, tmp_path):
    pytest.importorskip("ray", reason="needs ray")
    code, result, _ = embed(insects, tmp_path / "job", executor="ray", workers=2)
    assert (code, result["executor"], result["rows"]) == (0, "ray", N_IMAGES)
    assert bytes_of(tmp_path / "job") == bytes_of(finished)
