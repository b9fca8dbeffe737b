"""evaluate, predict and data by shards: the answers of one process, whatever is killed."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import cliptune as ct
from cliptune.cli import run_command_line
from cliptune.errors import InputError
from cliptune.images.writers import write_table
from cliptune.scale import executors
from cliptune.scale.tasks import ShardOutcome, run_task

N_IMAGES, PER_SHARD = 24, 8
CHANGES = {"seconds", "images_per_second", "images_embedded", "rows_checked", "run", "_version"}
LOCAL = ("--executor", "local", "--workers", "2", "--rows-per-shard", str(PER_SHARD))
RAY = ("--executor", "ray", "--workers", "2", "--rows-per-shard", str(PER_SHARD))


@pytest.fixture(scope="module")
def insects(data_root, tmp_path_factory):
    """A few real ants and bees in class folders."""
    folder = tmp_path_factory.mktemp("data") / "insects"
    for name in ("ants", "bees"):
        (folder / name).mkdir(parents=True)
        for image in sorted((data_root / "hymenoptera_data/train" / name).iterdir())[:12]:
            shutil.copy(image, folder / name)
    return folder


@pytest.fixture(scope="module")
def run_with_weights(small_data, make_cache, tmp_path_factory):
    """A classifier on features before the projection, in a run that holds its encoder."""
    out = tmp_path_factory.mktemp("fitted") / "run"
    arguments = ["fit", str(small_data), "--method", "linear", "--features", "both"]
    arguments += ["--embed-encoder", "--engine", "torch", "--cache-dir", str(make_cache())]
    assert run_command_line([*arguments, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def plain(insects, make_cache, tmp_path_factory):
    """The scores of one process, and the cache that they came from."""
    cache = make_cache()
    out = tmp_path_factory.mktemp("plain") / "run"
    compute = ct.ComputeOptions(cache_dir=cache)
    return ct.evaluate(insects, out=out, compute=compute).to_dict(), cache


@pytest.fixture
def ask(capsys):
    """Run a command; return its exit code, its JSON or nothing, and what it said."""

    def run(*arguments):
        code = run_command_line([*map(str, arguments), "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return run


def evaluate_words(data, cache, out, *options):
    return ["evaluate", str(data), "--cache-dir", str(cache), "--out", str(out), *options]


def require_equal(found, expected, tolerance=0.0):
    """Compare two JSON values, but for what changes from call to call."""
    if isinstance(expected, dict):
        assert found.keys() - CHANGES == expected.keys() - CHANGES
        for key in expected.keys() - CHANGES:
            require_equal(found[key], expected[key], tolerance)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            require_equal(one, other, tolerance)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=tolerance, rel=tolerance)
    else:
        assert found == expected


def vectors_of(cache):
    """Return every vector that a cache holds, by kind and by what it was made from."""
    from cliptune.features.shards import open_shard

    found = {}
    for path in sorted(cache.glob("features/*/*.safetensors")):
        shard = open_shard(path)
        if not path.parent.name.startswith("texts"):
            kind = path.parent.name
            found |= {
                (kind, bytes(c)): v.copy() for c, v in zip(shard.contents, shard.map(), strict=True)
            }
    return found


def jobs_of(cache):
    return [path for path in (cache / "jobs").rglob("*") if path.is_file()]


def test_scores_are_those_of_one_process(insects, plain, make_cache, ask, tmp_path):
    cache = make_cache()
    code, found, _ = ask(*evaluate_words(insects, cache, tmp_path / "run", *LOCAL))
    assert (code, found["images_embedded"]) == (0, N_IMAGES)
    assert found["rows_checked"]["n"] >= N_IMAGES  # each shard of eight checks its own
    require_equal(found, json.loads(json.dumps(plain[0])), tolerance=1e-6)
    one, other = vectors_of(cache), vectors_of(plain[1])
    assert one.keys() == other.keys()
    assert len(one) == N_IMAGES
    for key, vector in one.items():
        np.testing.assert_allclose(vector, other[key], atol=1e-5)
    assert jobs_of(cache) == []
    code, again, _ = ask(*evaluate_words(insects, cache, tmp_path / "again", *LOCAL))
    assert (code, again["images_embedded"]) == (0, 0)
    require_equal(again, found)


@pytest.mark.parametrize(
    ("happens", "said", "n_again"),
    [
        ("machine lost", "its machine died", 2 * PER_SHARD),
        ("part unseen", "not to be seen here", 2 * PER_SHARD),
        ("task fails", "its image is broken", 0),
    ],
)
def test_what_is_lost_is_computed_by_the_next_call_and_what_failed_is_not(
    insects, make_cache, ask, tmp_path, monkeypatch, happens, said, n_again
):
    def run_first_only(tasks, n_workers, n_gpus):
        for place, task in enumerate(tasks):
            if place and happens != "part unseen":
                lost = happens == "machine lost"
                yield ShardOutcome(task.number, 0, 0.0, error=said, lost=lost)
                continue
            outcome = run_task(task)
            for file in outcome.files if place else ():
                (task.folder / file).unlink()
            yield outcome

    cache = make_cache()
    with monkeypatch.context() as patch:
        patch.setattr(executors, "run_local", run_first_only)
        code, _, told = ask(*evaluate_words(insects, cache, tmp_path / "run", *LOCAL))
        assert (code, said in told) == (1, True)
    code, found, told = ask(*evaluate_words(insects, cache, tmp_path / "run", *LOCAL))
    if n_again:
        assert (code, found["images_embedded"]) == (0, n_again)
    else:
        assert (code, said in told) == (1, True)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_run_with_its_own_encoder_predicts_the_same(
    engine, insects, run_with_weights, make_cache, ask, tmp_path
):
    asked = ("predict", insects, "--run", run_with_weights, "--top", "2", "--cache-dir")
    code, expected, _ = ask(*asked, make_cache(), "--engine", "torch")
    assert code == 0
    expected["engine"] = engine
    cache = make_cache()
    code, found, _ = ask(*asked, cache, *LOCAL, "--engine", engine)
    assert code == 0
    require_equal(found, expected, tolerance=1e-5 if engine == "torch" else 1e-3)
    kinds = {kind.partition("-")[0] for kind, _ in vectors_of(cache)}
    assert kinds == {"pooled", "trunk"}
    out = tmp_path / "answers.csv"
    words = [*map(str, asked), str(cache), "--out", str(out), "--engine", engine]
    assert run_command_line([*words, *LOCAL]) == 0
    lines = out.read_text().splitlines()
    assert lines[0] == "image,rank,label,probability"
    assert len(lines) == 1 + 2 * N_IMAGES
    assert run_command_line(words) == 2  # the file is there


def test_workers_open_the_weights_of_a_run(run_with_weights, tmp_path, monkeypatch):
    from cliptune.classifiers.run_encoder import load_run_encoder
    from cliptune.runs import RunDir
    from cliptune.scale.shard import open_recipe
    from cliptune.workflows.shard_workers import recipe_of

    run = RunDir.open(run_with_weights)
    encoder = load_run_encoder(run, device="cpu", precision="fp32")
    recipe = recipe_of(encoder, tmp_path, run)

    def not_here(name, **options):
        raise AssertionError("the named model was loaded")

    monkeypatch.setattr("cliptune.encoders.load_encoder", not_here)
    open_recipe.cache_clear()
    assert open_recipe(recipe).fingerprint == encoder.fingerprint
    open_recipe.cache_clear()


def test_a_killed_driver_goes_on_with_equal_bits(insects, make_cache, ask, tmp_path):
    whole, cut = make_cache(), make_cache()
    how = ("--executor", "local", "--workers", "1", "--rows-per-shard", "4")
    code, expected, _ = ask(*evaluate_words(insects, whole, tmp_path / "whole", *how))
    assert code == 0
    words = evaluate_words(insects, cut, tmp_path / "cut", *how)
    process = subprocess.Popen(
        [sys.executable, "-m", "cliptune", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while not list(cut.glob("features/pooled-*/*.safetensors")) and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(2.5)  # an orphan ends within a second or two
    assert not list((tmp_path / "cut").glob("[!.]*"))  # no answer
    code, found, _ = ask(*words)
    assert code == 0
    assert 0 < found["images_embedded"] < N_IMAGES
    require_equal(found, expected)
    one, other = vectors_of(cut), vectors_of(whole)
    assert one.keys() == other.keys()
    for key, vector in one.items():
        np.testing.assert_array_equal(vector, other[key])
    assert jobs_of(cut) == []


def test_a_bad_image_is_named_and_fails_its_shard_alone(insects, make_cache, ask, tmp_path):
    data, cache = tmp_path / "data", make_cache()
    shutil.copytree(insects, data)
    victim = sorted((data / "bees").iterdir())[-1]
    good = victim.read_bytes()
    victim.write_bytes(good[:100])
    words = evaluate_words(data, cache, tmp_path / "run", *LOCAL)
    for _ in range(2):  # what failed is not tried again without --retry
        code, result, said = ask(*words)
        assert (code, result) == (1, None)
        assert "1 of" in said
        assert "shards failed" in said.splitlines()[-1]
        assert victim.name in said.splitlines()[-1]
        assert "Traceback" not in said
        assert not (tmp_path / "run").exists()
        assert len(vectors_of(cache)) == N_IMAGES - PER_SHARD
    words_of_skip = evaluate_words(data, cache, tmp_path / "skip", *LOCAL, "--retry")
    code, result, _ = ask(*words_of_skip, "--on-bad-image", "skip")
    assert (code, result["n"]) == (0, N_IMAGES - 1)
    assert [one["image"] for one in result["unreadable"]] == [f"bees/{victim.name}"]
    victim.write_bytes(good)
    code, result, _ = ask(*words, "--retry")
    assert (code, result["n"], result["images_embedded"]) == (0, N_IMAGES, 1)


def test_two_drivers_on_the_same_images(insects, make_cache, ask, tmp_path):
    from filelock import FileLock

    from cliptune.scale.feature_job import FeatureJob

    cache, held = make_cache(), []
    place = FeatureJob.folder.fget

    def hold(job):
        folder = place(job)
        if not held:
            folder.mkdir(parents=True)
            held.append(FileLock(folder / ".driver.lock"))
            held[0].acquire()
        return folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureJob, "folder", property(hold))
        code, _, said = ask(*evaluate_words(insects, cache, tmp_path / "run", *LOCAL))
    held[0].release()
    assert code == 2
    assert "another process embeds these images by shards" in said


def tars_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


def test_tars_have_the_bytes_of_one_process(insects, ask, tmp_path, monkeypatch):
    words = ("data", insects, "--to", "webdataset", "--executor", "local", "--workers", "2")
    assert ask(*words, "--out", tmp_path / "one")[0] == 0
    write_table(ct.open_images(insects), "webdataset", tmp_path / "plain")
    assert tars_of(tmp_path / "one") == tars_of(tmp_path / "plain")
    monkeypatch.setattr("cliptune.images.writers.webdataset.IMAGES_A_TAR", PER_SHARD)
    write_table(ct.open_images(insects), "webdataset", tmp_path / "plain-3")
    out = tmp_path / "three"
    small = (*words, "--rows-per-shard", PER_SHARD, "--out", out)
    assert ask(*small)[0] == 0
    expected = tars_of(tmp_path / "plain-3")
    assert tars_of(out) == expected
    assert len(expected) == 3
    manifest = json.loads((out / "manifest.json").read_text())
    assert [part["rows"] for part in manifest["parts"]] == [8, 8, 8]
    assert {part["file"] for part in manifest["parts"]} == set(expected)
    assert len(ct.open_images(out)) == N_IMAGES
    # As a kill leaves it: a tar that is missing, one without a record, no manifest.
    kept = out / "data-000001.tar"
    before = kept.stat().st_mtime_ns
    (out / "data-000000.tar").unlink()
    (out / ".said/data-000002.tar.json").unlink()
    (out / "manifest.json").unlink()
    assert ask(*small)[0] == 0
    assert tars_of(out) == expected
    assert kept.stat().st_mtime_ns == before
    assert json.loads((out / "manifest.json").read_text()) == manifest
    code, _, said = ask(*small[:-3], 5, *small[-2:])
    assert code == 2
    assert "differs in rows_per_shard" in said


def test_a_killed_writer_of_tars_goes_on(insects, ask, tmp_path):
    out = tmp_path / "tars"
    words = ["data", str(insects), "--to", "webdataset", "--out", str(out)]
    words += ["--executor", "local", "--workers", "1", "--rows-per-shard", "1"]
    command = [sys.executable, "-m", "cliptune", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(out.glob("*.tar")) and time.monotonic() < until:
        time.sleep(0.002)
    process.kill()
    process.wait()
    time.sleep(2.5)
    assert not (out / "manifest.json").exists()
    assert ask(*words)[0] == 0
    assert len(tars_of(out)) == N_IMAGES
    assert len(json.loads((out / "manifest.json").read_text())["parts"]) == N_IMAGES
    assert not list(out.glob(".tmp-*"))
    assert len(ct.open_images(out)) == N_IMAGES


@pytest.fixture(scope="module")
def deaf():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


VERBS = {
    "embed": ("embed", "nowhere", "--out", "new"),
    "evaluate": ("evaluate", "nowhere"),
    "predict": ("predict", "nowhere", "--labels", "a,b"),
    "data": ("data", "nowhere", "--to", "webdataset", "--out", "new"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--workers", "2"), "--workers came without --executor"),
        (("--executor", "local", "--workers", "5000"), "--workers 5000 came, but this process may"),
        (("--executor", "local", "--address", "auto"), "--address came with --executor local"),
        (("--executor", "ray", "--address", "127.0.0.1:1"), "nothing answers at --address"),
        (("--executor", "ray", "--address", "DEAF"), "nothing answers at --address"),
    ],
)
def test_what_cannot_be_is_refused_before_data_are_read(verb, options, says, deaf, ask):
    if "ray" in options:
        pytest.importorskip("ray", reason="needs ray")
    began = time.monotonic()
    code, _, said = ask(*VERBS[verb], *(deaf if word == "DEAF" else word for word in options))
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert time.monotonic() - began < 10


def test_what_greets_otherwise_is_no_cluster():
    from cliptune.scale.on_ray import require_ray

    pytest.importorskip("ray", reason="needs ray")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet():
            door, _ = server.accept()
            with door:
                door.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                door.recv(100)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(OSError, match="what listens there is no Ray cluster"):
            require_ray(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize("form", ["csv", "coco"])
def test_other_formats_are_not_written_by_shards(insects, ask, tmp_path, form):
    words = ("data", insects, "--out", tmp_path / "new", "--executor", "local", "--to", form)
    code, _, said = ask(*words)
    assert code == 2
    assert f"came with --to {form}; only --to webdataset is written by shards" in said
    assert not (tmp_path / "new").exists()


def test_python_takes_the_same_options(insects, compute, tmp_path):
    with pytest.raises(InputError, match="shards have no option 'worker'; expected executor"):
        ct.evaluate(insects, shards={"executor": "local", "worker": 2})
    with pytest.raises(InputError, match="shards came without an executor"):
        ct.predict(insects, labels=["ant", "bee"], shards={"workers": 2})
    encoder = ct.load_encoder("lite", device="cpu", precision="fp32")
    with pytest.raises(InputError, match="came loaded, but workers of an executor open it by its"):
        ct.evaluate(
            insects, model=encoder, shards={"executor": "local"}, out=tmp_path / "run",
            compute=compute,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"parts": {"dtype": "float16"}}, "parts came without an executor"),
        ({"shards": {"executor": "local"}}, "without a folder for their files"),
        ({"shards": {"executor": "local"}, "parts": {"type": 1}}, "no option 'type'; expected dty"),
    ],
)
def test_embed_in_python_refuses_what_does_not_go_together(insects, compute, asked, said):
    with pytest.raises(InputError, match=said):
        ct.embed(insects, compute=compute, **asked)


def test_embed_in_python_takes_no_loaded_model_for_shards(insects, compute, tmp_path):
    encoder = ct.load_encoder("lite", device="cpu", precision="fp32")
    asked = {"model": encoder, "out": tmp_path / "job", "shards": {"executor": "local"}}
    with pytest.raises(InputError, match="came loaded, but workers of an executor open it by its"):
        ct.embed(insects, compute=compute, **asked)
    assert not (tmp_path / "job").exists()


def test_ray_gives_the_same(insects, plain, make_cache, ask, tmp_path):
    pytest.importorskip("ray", reason="needs ray")
    code, found, _ = ask(*evaluate_words(insects, make_cache(), tmp_path / "run", *RAY))
    assert (code, found["images_embedded"]) == (0, N_IMAGES)
    require_equal(found, json.loads(json.dumps(plain[0])), tolerance=1e-6)
    words = ("data", insects, "--to", "webdataset", "--out")
    assert ask(*words, tmp_path / "ray", *RAY)[0] == 0
    assert ask(*words, tmp_path / "local", *LOCAL)[0] == 0
    assert tars_of(tmp_path / "ray") == tars_of(tmp_path / "local")
    assert len(tars_of(tmp_path / "ray")) == 3
