"""Tars that nobody lists first: each is read by its worker, and its part is what it would be."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from cliptune.cli import run_command_line
from cliptune.images import spool
from cliptune.scale import executors, streamed_parts
from cliptune.scale.reading import JobRows
from cliptune.scale.tasks import run_task
from cliptune.workflows.embed_shards import PartOptions, embed_shards
from cliptune.workflows.options import ComputeOptions, ShardOptions
from cliptune.workflows.progress import StageProgress
from hub_server import running_hub
from object_store import running_store

PER_TAR, N_TARS, BUCKET = 8, 3, "streams"
NAMES = [f"train-{number:06d}.tar" for number in range(N_TARS)]


@pytest.fixture(scope="module")
def cache(make_cache):
    return make_cache()


@pytest.fixture(scope="module")
def photographs(data_root):
    """Real ants and bees by turns, as (bytes, class)."""
    folders = [data_root / "hymenoptera_data/train" / name for name in ("ants", "bees")]
    files = [sorted(folder.iterdir())[: PER_TAR * N_TARS // 2] for folder in folders]
    return [
        (file.read_bytes(), file.parent.name[:-1])
        for pair in zip(*files, strict=True)
        for file in pair
    ]


def write_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def samples(photographs, said):
    """Name images, each with what is said of it: (suffix, text) of its number and class."""
    for number, (data, name) in enumerate(photographs):
        suffix, text = said(number, name)
        yield from ((f"{number:04d}.jpg", data), (f"{number:04d}.{suffix}", text.encode()))


def facts(number, name):
    return "json", json.dumps({"label": ["ant", "bee"].index(name), "class_name": name})


@pytest.fixture(scope="module")
def tars(photographs, tmp_path_factory):
    """Three tars of eight images; it is only read."""
    folder = tmp_path_factory.mktemp("data") / "tars"
    for number, name in enumerate(NAMES):
        own = photographs[number * PER_TAR :][:PER_TAR]
        write_tar(folder / name, samples(own, facts))
    return folder


@pytest.fixture
def own_tars(tars, tmp_path):
    """The same, to be written to."""
    return shutil.copytree(tars, tmp_path / "tars")


def words(data, out, cache, *options, executor="local", workers=1):
    return [
        *("embed", str(data), "--out", str(out), "--cache-dir", str(cache), "--json"),
        *("--executor", executor, "--workers", str(workers), *options),
    ]


@pytest.fixture
def command(capsys, cache):
    """Run a job; return its exit code, its JSON or nothing, and what it said."""

    def run(data, out, *options, **how):
        capsys.readouterr()
        code = run_command_line(words(data, out, cache, *options, **how))
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return run


@pytest.fixture
def stream(command, monkeypatch):
    """Run a streamed job whose shards are computed here: starting a process takes longest."""

    def execute(tasks, n_workers, n_gpus):
        yield from map(run_task, tasks)

    monkeypatch.setattr(executors, "run_local", execute)
    return lambda data, out, *options: command(data, out, "--stream", *options)


@pytest.fixture(scope="module")
def streamed(tars, cache, tmp_path_factory):
    """A job that was done by a process of its own, undisturbed."""
    out = tmp_path_factory.mktemp("streamed") / "job"
    assert run_command_line(words(tars, out, cache, "--stream")) == 0
    return out


def parts_of(folder):
    return sorted((folder / "parts").glob("*.parquet"))


def rows_of(folder):
    tables = [pq.read_table(part).to_pydict() for part in parts_of(folder)]
    return {key: [one for table in tables for one in table[key]] for key in tables[0]}


def bytes_of(folder):
    return {part.name: part.read_bytes() for part in parts_of(folder)}


def labels_of(job):
    batches = job.batches(["label", "id"])
    return [label for batch in batches for label in batch.columns.column("label").to_pylist()]


def test_parts_are_those_of_a_job_that_listed_all(streamed, tars, command, tmp_path):
    code, _, _ = command(tars, tmp_path / "job", "--rows-per-shard", str(PER_TAR))
    assert code == 0
    found, wanted = rows_of(streamed), rows_of(tmp_path / "job")
    assert found == wanted  # the vectors too, bit for bit
    assert [*found] == ["id", "path", "label", "class_name", "split", "vector"]
    assert found["id"][0] == "train-000000.tar/0000.jpg"
    assert (found["class_name"][:2], found["label"][:2]) == (["ant", "bee"], [0, 1])
    assert {*found["split"]} == {"train"}
    manifest = json.loads((streamed / "manifest.json").read_text())
    assert [part["rows"] for part in manifest["parts"]] == [PER_TAR] * N_TARS
    assert manifest["facts"]["units"] == NAMES


def test_a_finished_job_is_done_and_a_lost_part_is_made_again(streamed, tars, stream, tmp_path):
    out = shutil.copytree(streamed, tmp_path / "job")
    code, result, _ = stream(tars, out)
    assert (code, result["rows"], result["images_computed"]) == (0, PER_TAR * N_TARS, 0)
    parts_of(out)[1].unlink()
    parts_of(out)[1].write_bytes(b"PAR1 torn")
    code, result, _ = stream(tars, out)
    assert (code, result["images_computed"], result["shards"]) == (0, 2 * PER_TAR, N_TARS)
    found, wanted = rows_of(out), rows_of(streamed)
    assert found["id"] == wanted["id"]
    np.testing.assert_allclose(found["vector"], wanted["vector"], atol=1e-5)


def test_a_killed_driver_is_taken_up_with_the_same_bits(streamed, tars, cache, command, tmp_path):
    out = tmp_path / "job"
    line = [sys.executable, "-m", "cliptune", *words(tars, out, cache, "--stream")]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not list(out.glob("parts/part-*")) and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)
    assert not (out / "manifest.json").exists() or len(parts_of(out)) == N_TARS
    time.sleep(2.5)  # workers end with the process that started them
    assert command(tars, out, "--stream")[0] == 0
    assert bytes_of(out) == bytes_of(streamed)


def test_ray_gives_the_same_bits(streamed, tars, command, tmp_path):
    pytest.importorskip("ray", reason="needs ray")
    code, result, _ = command(tars, tmp_path / "job", "--stream", executor="ray")
    assert (code, result["executor"], result["rows"]) == (0, "ray", PER_TAR * N_TARS)
    assert bytes_of(tmp_path / "job") == bytes_of(streamed)


def test_shares_of_a_job_are_done_apart(streamed, tars, stream, tmp_path):
    out = tmp_path / "job"
    code, first, _ = stream(tars, out, "--shard", "1/2")
    assert (code, first["rows"], first["missing"]) == (0, PER_TAR, 2)
    code, second, _ = stream(tars, out, "--shard", "0/2")
    assert (code, second["rows"], second["missing"]) == (0, PER_TAR * N_TARS, 0)
    assert (out / "manifest.json").exists()


def test_vectors_are_written_group_by_group(streamed, tars, stream, tmp_path, monkeypatch):
    monkeypatch.setattr(streamed_parts, "_ROWS", 3)
    monkeypatch.setattr("cliptune.scale.shard._BATCH", 3)
    assert stream(tars, tmp_path / "job")[0] == 0
    assert pq.ParquetFile(parts_of(tmp_path / "job")[0]).num_row_groups == 3
    found, wanted = rows_of(tmp_path / "job"), rows_of(streamed)
    np.testing.assert_allclose(found.pop("vector"), wanted.pop("vector"), atol=1e-5)
    assert found == wanted
    job = JobRows.open(tmp_path / "job")
    assert labels_of(job) == wanted["label"]
    assert job.class_names() == ("ant", "bee")


def test_a_damaged_tar_fails_alone_and_is_computed_once_it_is_mended(own_tars, stream, tmp_path):
    victim, out = own_tars / NAMES[1], tmp_path / "job"
    good = victim.read_bytes()
    victim.write_bytes(good[: len(good) // 2])
    code, result, said = stream(own_tars, out)
    assert (code, result["rows"], result["failed"]) == (1, 2 * PER_TAR, 1)
    assert result["failures"][0]["shard"] == 1
    assert str(victim) in result["failures"][0]["reason"]
    assert ("1 of 3 shards failed" in said, "Traceback" in said) == (True, False)
    assert len(parts_of(out)) == 2
    code, result, _ = stream(own_tars, out)
    assert (code, result["failed"], result["images_computed"]) == (1, 1, 0)
    victim.write_bytes(good)
    code, result, _ = stream(own_tars, out, "--retry")
    assert (code, result["rows"], result["images_computed"]) == (0, PER_TAR * N_TARS, PER_TAR)


def test_a_bad_image_fails_its_tar_or_is_left_out(own_tars, photographs, stream, tmp_path):
    members = list(samples(photographs[:4], facts))
    members[2] = (members[2][0], b"no picture")
    write_tar(own_tars / NAMES[1], members)
    code, result, _ = stream(own_tars, tmp_path / "job")
    assert (code, result["failed"]) == (1, 1)
    assert f"{NAMES[1]}/0001.jpg" in result["failures"][0]["reason"]
    code, result, _ = stream(own_tars, tmp_path / "other", "--on-bad-image", "skip")
    assert (code, result["rows"]) == (0, 2 * PER_TAR + 3)
    assert [one["image"] for one in result["unreadable"]] == [f"{NAMES[1]}/0001.jpg"]
    assert stream(own_tars, tmp_path / "other", "--on-bad-image", "skip")[1]["rows"] == 19


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda tar: tar.write_bytes(tar.read_bytes() + b"\0"), "is another than the one that"),
        (lambda tar: os.utime(tar, (1, 1)), "is another than the one that"),
        (lambda tar: tar.unlink(), f"'{NAMES[1]}' is not there any more"),
        (lambda tar: shutil.copy(tar, tar.with_name("val.tar")), "'val.tar' is new"),
    ],
)
def test_tars_that_are_others_than_those_of_the_job(act, says, tars, stream, tmp_path):
    data = shutil.copytree(tars, tmp_path / "tars")
    assert stream(data, tmp_path / "job")[0] == 0
    before = bytes_of(tmp_path / "job")
    act(data / NAMES[1])
    code, _, said = stream(data, tmp_path / "job")
    assert (code, says in said.splitlines()[-1]) == (2, True)
    assert bytes_of(tmp_path / "job") == before


def test_a_tar_that_is_written_to_or_goes_meanwhile(own_tars, command, tmp_path, monkeypatch):
    def execute(tasks, n_workers, n_gpus):
        for number, task in enumerate(tasks):
            if number == 1:
                (own_tars / NAMES[0]).touch()
                (own_tars / NAMES[1]).touch()
                (own_tars / NAMES[2]).unlink()
            yield run_task(task)

    monkeypatch.setattr(executors, "run_local", execute)
    code, result, _ = command(own_tars, tmp_path / "job", "--stream")
    assert (code, result["failed"]) == (1, 2)
    assert result["changed"] == [str(own_tars / NAMES[0])]
    reasons = [one["reason"] for one in result["failures"]]
    assert "was written to since the command began" in reasons[0]
    assert "is not there any more" in reasons[1]


@pytest.mark.parametrize(
    ("data", "options", "says"),
    [
        ("images", (), "has no .tar shards to stream; expected a folder of .tar shards"),
        ("absent", (), "there is no file or folder"),
        ("textile", (), "there is no file or folder"),
        ("tars/train-{000000..000007}.tar", (), "stands for 8 shards, but"),
        ("tars/test-*.tar", (), "has no .tar shards to stream"),
        ("packed", (), "is compressed; expected plain .tar shards"),
        ("tars", ("--rows-per-shard", "4"), "where a tar is a shard"),
        ("tars", ("--split", "train"), "--split came with --stream"),
        ("tars", ("--where", "a=b"), "--where came with --stream"),
        ("tars", ("--journal", "j.jsonl"), "--journal came with --stream"),
        ("tars", ("--precision", "int8"), "--precision int8 came with --stream"),
    ],
)
def test_what_cannot_be_streamed_is_one_line(
    data, options, says, tars, stream, tmp_path, make_tree, monkeypatch
):
    make_tree("ant/1.jpg", "bee/2.jpg", root="images")
    (tmp_path / "tars").symlink_to(tars)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/a.tar.gz").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    code, result, said = stream(data, "job", *options)
    assert (code, result) == (2, None)
    assert says in said.splitlines()[-1]
    assert not list(tmp_path.rglob("*.parquet"))
    assert not (tmp_path / "job" / "job.json").exists()


def test_streaming_needs_an_executor(tars, tmp_path, capsys):
    assert run_command_line(["embed", str(tars), "--out", str(tmp_path), "--stream"]) == 2
    assert "--stream came without --executor" in capsys.readouterr().err


def test_patterns_name_tars(tars, stream, tmp_path):
    for number, pattern in enumerate(("train-{000000..000001}.tar", "train-00000[01].tar")):
        code, result, _ = stream(f"{tars}/{pattern}", tmp_path / f"job{number}")
        assert (code, result["shards"], result["rows"]) == (0, 2, 2 * PER_TAR)


def test_progress_counts_shards_and_says_how_many_images(tars, cache, tmp_path):
    told = []
    embed_shards(
        tars,
        tmp_path / "job",
        ShardOptions(executor="local", workers=1),
        parts=PartOptions(stream=True),
        compute=ComputeOptions(cache_dir=cache),
        progress=told.append,
    )
    stages = [one for one in told if isinstance(one, StageProgress)]
    assert [(one.done, one.total, one.unit) for one in stages if "embedding with" in one.stage] == [
        (number, N_TARS, "shards") for number in range(N_TARS + 1)
    ]
    assert [one.beside.partition(",")[0] for one in stages][-4:] == [
        f"{PER_TAR * number} images" for number in range(N_TARS + 1)
    ]
    assert stages[-1].beside.endswith(" images/s")


def labelled(folder, photographs, says):
    """Write a tar for each way to say labels."""
    for number, said in enumerate(says):
        write_tar(folder / f"{number}.tar", samples(photographs[: 2 * len(says)], said))
    return folder


def test_numbers_are_those_that_the_data_give(photographs, stream, tmp_path):
    """Each tar has classes of its own; no unit can tell how many there are in all."""
    says = [
        lambda n, name: ("cls", str(4 + 3 * (n % 2))),
        lambda n, name: ("cls", str(2 * (n % 2))),
    ]
    data = labelled(tmp_path / "numbers", photographs, says)
    assert stream(data, tmp_path / "job")[0] == 0
    found = rows_of(tmp_path / "job")
    assert found["label"] == [4, 7, 4, 7, 0, 2, 0, 2]
    assert found["class_name"] == [str(label) for label in found["label"]]
    assert JobRows.open(tmp_path / "job").class_names() == ("0", "2", "4", "7")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"kind {letter}" for letter in "abcdefgh"))
    assert stream(data, tmp_path / "named", "--class-names", str(names))[0] == 0
    found = rows_of(tmp_path / "named")
    assert (found["label"][:2], found["class_name"][:2]) == ([4, 7], ["kind e", "kind h"])
    names.write_text("a\nb\n")
    code, result, _ = stream(data, tmp_path / "few", "--class-names", str(names))
    assert (code, result["failed"]) == (1, 2)
    assert "is not among the 2 class names given" in result["failures"][0]["reason"]


def test_words_have_no_number_until_all_are_known(photographs, stream, tmp_path):
    says = [
        lambda n, name: ("txt" if n > 2 else "cls", ["wasp", "bee"][n % 2]),
        lambda n, name: ("cls", ["ant", "bee"][n % 2]),
    ]
    data = labelled(tmp_path / "words", photographs, says)
    assert stream(data, tmp_path / "job")[0] == 0
    found = rows_of(tmp_path / "job")
    assert found["label"] == [None] * 8
    assert found["class_name"] == ["wasp", "bee", "wasp", None, "ant", "bee", "ant", "bee"]
    job = JobRows.open(tmp_path / "job")
    assert job.class_names() == ("ant", "bee", "wasp")
    assert labels_of(job) == [2, 1, 2, None, 0, 1, 0, 1]


def test_units_that_number_classes_differently_close_no_job(photographs, stream, tmp_path):
    def swapped(number, name):
        return "json", json.dumps({"label": ["bee", "ant"].index(name), "class_name": name})

    data = labelled(tmp_path / "tars", photographs, [facts, swapped])
    code, _, said = stream(data, tmp_path / "job")
    assert code == 2
    assert "the class 'ant' has the number 0 in '0.tar' and 1 in '1.tar'" in said.splitlines()[-1]
    assert not (tmp_path / "job/manifest.json").exists()


def test_members_of_a_sample_may_lie_apart(photographs, stream, command, tmp_path):
    images = [(f"a/{n}.{n % 2}.jpg", data) for n, (data, _) in enumerate(photographs[:4])]
    views = [(f"b/7.{n}.jpg", data) for n, (data, _) in enumerate(photographs[4:6])]
    cells = [(f"a/{n}.cls", name.encode()) for n, (_, name) in enumerate(photographs[:4])]
    members = [*images, *views, *reversed(cells), ("b/7.cls", b"bee"), ("read.me", b"x")]
    data = write_tar(tmp_path / "tars/test.tar", members).parent
    assert stream(data, tmp_path / "job")[0] == 0
    assert command(data, tmp_path / "other", "--rows-per-shard", "6")[0] == 0
    found, wanted = rows_of(tmp_path / "job"), rows_of(tmp_path / "other")
    assert found["class_name"] == [*("ant", "bee", "ant", "bee"), "bee", "bee"]
    for key in ("id", "path", "class_name", "split", "vector"):
        assert found[key] == wanted[key]


def test_a_tar_of_class_folders_is_read_as_elsewhere(photographs, stream, tmp_path):
    members = [(f"{name}s/{n}.jpg", data) for n, (data, name) in enumerate(photographs[:4])]
    tar = write_tar(tmp_path / "insects.tar", members)
    assert stream(tar, tmp_path / "job")[0] == 0
    assert {*rows_of(tmp_path / "job")["class_name"]} == {"ants", "bees"}


def test_other_commands_read_a_streamed_job(streamed, cache, tmp_path, capsys):
    out, own = shutil.copytree(streamed, tmp_path / "job"), ("--cache-dir", str(cache), "--json")
    fit = ["fit", str(out), "--method", "prototype", "--out", str(tmp_path / "run"), *own]
    capsys.readouterr()
    assert run_command_line(fit) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["class_names"] == ["ant", "bee"]
    assert result["parts"]["rows"] == PER_TAR * N_TARS
    assert len(result["data_digest"]) == 64
    pytest.importorskip("usearch", reason="needs usearch")
    assert run_command_line(["index", str(out), "--json"]) == 0
    capsys.readouterr()
    assert run_command_line(["search", str(out), "an ant", "--n", "3", *own]) == 0
    found = json.loads(capsys.readouterr().out)["found"]
    assert found[0]["class_name"] == "ant"


def test_folders_of_killed_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(spool.tempfile, "gettempdir", lambda: str(tmp_path))
    script = (
        "import os, sys, tempfile\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "from cliptune.images.spool import spool_folder\n"
        "with spool_folder() as folder:\n"
        "    (folder / 'x').write_text('x')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(list(tmp_path.rglob("x"))) == 1
    with spool.spool_folder() as first, spool.spool_folder() as second:
        assert not list(tmp_path.rglob("x"))
        assert first.is_dir()
        assert second != first
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() and path.parent != tmp_path]


@pytest.fixture(scope="module")
def store(tars):
    """A bucket with the three tars, and other objects beside them."""
    with running_store(BUCKET) as client:
        for name in NAMES:
            client.put_object(Bucket=BUCKET, Key=f"ours/{name}", Body=(tars / name).read_bytes())
        client.put_object(Bucket=BUCKET, Key="ours/a/b/deep.tar", Body=b"x")
        client.put_object(Bucket=BUCKET, Key="ours/readme.md", Body=b"x")
        yield client


@pytest.fixture
def spools(tmp_path, monkeypatch):
    """Where tars lie while they are read."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "spools"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "spools").mkdir()
    return tmp_path / "spools"


def without_places(rows):
    return {key: values for key, values in rows.items() if key != "path"}


@pytest.mark.filterwarnings("ignore")
def test_tars_of_a_bucket_are_fetched_by_workers_alone(
    streamed, store, cache, command, tmp_path, spools, monkeypatch
):
    address = f"s3://{BUCKET}/ours"
    monkeypatch.setattr("cliptune.images.units.fetch_object", None)  # of the driver
    assert command(address, tmp_path / "job", "--stream")[0] == 0
    found, wanted = rows_of(tmp_path / "job"), rows_of(streamed)
    assert without_places(found) == without_places(wanted)
    assert found["path"][0] == f"{address}/{NAMES[0]}/0000.jpg"
    assert not (cache / "remote").exists()
    assert not [path for path in spools.rglob("*") if path.is_file()]
    assert command(address, tmp_path / "job", "--stream")[1]["images_computed"] == 0


@pytest.mark.filterwarnings("ignore")
def test_patterns_name_tars_of_a_bucket(store, stream, tmp_path):
    base = f"s3://{BUCKET}/ours"
    patterns = ("train-{000000..000001}.tar", "train-00000[01].tar", "*-00000[01].tar")
    for number, pattern in enumerate(patterns):
        code, result, _ = stream(f"{base}/{pattern}", tmp_path / f"job{number}")
        assert (code, result["shards"], result["rows"]) == (0, 2, 2 * PER_TAR)
    code, result, _ = stream(f"{base}/{NAMES[2]}", tmp_path / "one")
    assert (code, result["rows"]) == (0, PER_TAR)
    assert rows_of(tmp_path / "one")["id"][0] == f"{NAMES[2]}/0000.jpg"
    code, _, said = stream(f"{base}/train-{{000000..000004}}.tar", tmp_path / "two")
    assert (code, "'train-000003.tar' is not there" in said) == (2, True)
    code, _, said = stream(f"s3://{BUCKET}/none", tmp_path / "two")
    assert (code, "there is nothing at" in said) == (2, True)
    assert not (tmp_path / "two").exists()


@pytest.mark.filterwarnings("ignore")
def test_objects_that_change_are_said(tars, store, command, tmp_path, monkeypatch):
    def put(name, data, key="changing"):
        store.put_object(Bucket=BUCKET, Key=f"{key}/{name}", Body=data)

    good = {name: (tars / name).read_bytes() for name in NAMES}
    for name, data in good.items():
        put(name, data if name != NAMES[2] else data[:5000])

    def execute(tasks, n_workers, n_gpus):
        for number, task in enumerate(tasks):
            if number == 1:
                put(NAMES[1], good[NAMES[0]])
            yield run_task(task)

    address = f"s3://{BUCKET}/changing"
    monkeypatch.setattr(executors, "run_local", execute)
    code, result, _ = command(address, tmp_path / "job", "--stream")
    assert (code, result["rows"], result["failed"]) == (1, PER_TAR, 2)
    reasons = [one["reason"] for one in result["failures"]]
    assert f"{address}/{NAMES[1]}' was written to since the command began" in reasons[0]
    assert f"'{address}/{NAMES[2]}" in reasons[1]
    put(NAMES[2], good[NAMES[2]])
    monkeypatch.setattr(executors, "run_local", lambda tasks, n, n_gpus: map(run_task, tasks))
    code, result, _ = command(address, tmp_path / "job", "--stream", "--retry")
    assert (code, result["rows"], result["failed"]) == (0, PER_TAR * N_TARS, 0)
    store.delete_object(Bucket=BUCKET, Key=f"changing/{NAMES[1]}")
    code, _, said = command(address, tmp_path / "job", "--stream")
    assert (code, f"'{NAMES[1]}' is not there any more" in said) == (2, True)


@pytest.fixture(scope="module")
def pictures(photographs, store):
    """Twenty pictures in class folders of the same bucket, in two splits; its address."""
    folders = ("train", "val")
    for number, (data, name) in enumerate(photographs[:20]):
        key = f"pictures/{folders[number // 12]}/{name}/{number:02d}.jpg"
        store.put_object(Bucket=BUCKET, Key=key, Body=data)
    store.put_object(Bucket=BUCKET, Key="pictures/notes.csv", Body=b"a,b\n")
    return f"s3://{BUCKET}/pictures"


@pytest.mark.filterwarnings("ignore")
def test_pictures_of_a_bucket_are_fetched_by_workers_alone(
    pictures, command, tmp_path, spools, monkeypatch
):
    monkeypatch.setenv("CLIPTUNE_CACHE", str(tmp_path / "usual"))
    assert command(pictures, tmp_path / "job", "--stream")[0] == 0
    assert not (tmp_path / "usual/remote").exists()
    assert not [path for path in spools.rglob("*") if path.is_file()]
    code, result, _ = command(pictures, tmp_path / "job", "--stream")
    assert (code, result["rows"], result["images_computed"]) == (0, 20, 0)
    assert command(pictures, tmp_path / "copied")[0] == 0
    found, wanted = rows_of(tmp_path / "job"), rows_of(tmp_path / "copied")
    assert without_places(found) == without_places(wanted)  # the vectors too, bit for bit
    assert found["path"][0] == f"{pictures}/train/ant/00.jpg"
    assert {*zip(found["class_name"], found["label"], strict=True)} == {("ant", 0), ("bee", 1)}
    assert [found["split"].count(name) for name in ("train", "val")] == [12, 8]


@pytest.mark.filterwarnings("ignore")
def test_pictures_that_follow_each_other_are_a_unit(
    pictures, photographs, store, command, tmp_path, monkeypatch
):
    several = sum(len(data) for data, _ in photographs[:20]) // 3
    monkeypatch.setattr("cliptune.images.picture_units._UNIT_BYTES", several)

    def copy(number, key, data=None):
        body = photographs[number][0] if data is None else data
        store.put_object(Bucket=BUCKET, Key=f"moving/{key}/{number:02d}.jpg", Body=body)

    for number, (_, name) in enumerate(photographs[:20]):
        copy(number, f"{name}s")

    def execute(tasks, n_workers, n_gpus):
        for number, task in enumerate(tasks):
            if number == 1:
                copy(18, "ants", b"another")
                copy(0, "bees", b"new")  # it belongs to no unit of this job
            yield run_task(task)

    monkeypatch.setattr(executors, "run_local", execute)
    address = f"s3://{BUCKET}/moving"
    code, result, _ = command(address, tmp_path / "job", "--stream")
    assert (code, result["failed"]) == (1, 1)
    assert 3 <= result["shards"] <= 5
    assert f"bytes of '{address}/ants/18.jpg' came" in result["failures"][0]["reason"]
    store.delete_object(Bucket=BUCKET, Key="moving/bees/00.jpg")
    copy(18, "ants")
    monkeypatch.setattr(executors, "run_local", lambda tasks, n, n_gpus: map(run_task, tasks))
    code, result, _ = command(address, tmp_path / "job", "--stream", "--retry")
    assert (code, result["rows"], result["failed"]) == (0, 20, 0)
    assert rows_of(tmp_path / "job")["id"] == sorted(
        f"{name}s/{number:02d}.jpg" for number, (_, name) in enumerate(photographs[:20])
    )
    before = bytes_of(tmp_path / "job")
    copy(1, "bees", b"other bytes")
    code, _, said = command(address, tmp_path / "job", "--stream")
    assert (code, " more' is " in said.splitlines()[-1]) == (2, True)
    assert bytes_of(tmp_path / "job") == before


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("prefix", "keys", "options", "ends", "says"),
    [
        ("table", ("1.jpg", "labels.csv"), (), 2, "'labels.csv', which may hold the labels"),
        ("text", ("readme.md",), (), 2, "has no .tar shards to stream"),
        ("both", ("a/1.jpg", "b/2.jpg"), ("--label-column", "kind"), 1, "only images, no columns"),
    ],
)
def test_what_workers_cannot_read_of_a_store_is_one_line(
    prefix, keys, options, ends, says, store, stream, tmp_path
):
    for key in keys:
        store.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"x")
    code, _, said = stream(f"s3://{BUCKET}/{prefix}", tmp_path / "job", *options)
    assert (code, says in said) == (ends, True)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.filterwarnings("ignore")
def test_a_picture_that_is_written_to_meanwhile_leaves_no_part(
    photographs, store, command, tmp_path, monkeypatch
):
    """It has as many bytes as before and the same pixels: only its version tells."""
    data = photographs[0][0]
    store.put_object(Bucket=BUCKET, Key="late/ant/1.jpg", Body=data)
    other = data[:15] + bytes([data[15] ^ 1]) + data[16:]  # how many dots an inch

    def execute(tasks, n_workers, n_gpus):
        store.put_object(Bucket=BUCKET, Key="late/ant/1.jpg", Body=other)
        yield from map(run_task, tasks)

    monkeypatch.setattr(executors, "run_local", execute)
    address = f"s3://{BUCKET}/late"
    code, result, _ = command(address, tmp_path / "job", "--stream")
    assert (code, result["failed"]) == (1, 1)
    assert "ant/1.jpg' was written to since the command" in result["failures"][0]["reason"]
    assert parts_of(tmp_path / "job") == []
    code, result, _ = command(address, tmp_path / "job", "--stream", "--retry")
    assert (code, result["rows"], result["failed"]) == (0, 1, 0)


def parquet_of(photographs):
    """Write images and their classes as ``datasets`` writes them."""
    import datasets

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["bee", "ant"])}
    )
    rows = {
        "image": [{"bytes": data, "path": None} for data, _ in photographs],
        "label": [["bee", "ant"].index(name) for _, name in photographs],
    }
    table = datasets.Dataset.from_dict(rows, features=features).with_format("arrow")[:]
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


COMMANDS = """
import json, sys
from cliptune.cli import run_command_line
from cliptune.scale import executors
from cliptune.scale.tasks import run_task

executors.run_local = lambda tasks, n, n_gpus: map(run_task, tasks)
codes = [run_command_line(words) for words in json.loads(sys.argv[1])]
print(json.dumps({"codes": codes}))
"""


@pytest.fixture(scope="module")
def of_hub(cache, tmp_path_factory):
    """Run commands one after the other in a process that knows a hub; see ``running_hub``.

    Returns their exit codes, their results, and what was said.
    """
    home = tmp_path_factory.mktemp("hf")

    def run(hub, *commands):
        lines = [words(data, out, cache, *options) for data, out, *options in commands]
        environment = {
            **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
        }
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, json.dumps(lines)],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        *results, codes = map(json.loads, done.stdout.splitlines())
        return codes["codes"], results, done.stderr

    return run


@pytest.fixture(scope="module")
def jobs_of_hub(photographs, tars, of_hub, tmp_path_factory):
    """Jobs over data sets of a hub: files of rows, a folder of images, tars; and what was said."""
    out = tmp_path_factory.mktemp("hub")
    rows = {
        f"data/{split}-{number:05d}-of-00002.parquet": parquet_of(own)
        for split, number, own in (
            *(("train", 0, photographs[:6]), ("train", 1, photographs[6:12])),
            *(("test", 0, photographs[12:16]), ("test", 1, photographs[16:18])),
        )
    }
    repositories = {
        "our/rows": {"README.md": b"insects", **rows},
        "our/folder": {f"{name}/{n}.jpg": d for n, (d, name) in enumerate(photographs[:4])},
        "our/tars": {name: (tars / name).read_bytes() for name in NAMES[:2]},
    }
    with running_hub(repositories) as hub:
        codes, results, said = of_hub(
            hub,
            ("hf:our/rows", out / "rows", "--stream"),
            ("hf:our/rows", out / "test", "--stream", "--split", "test"),
            ("hf:our/rows", out / "none", "--stream", "--split", "val"),
            ("hf:no/where", out / "none", "--stream"),
            ("hf:our/rows", out / "whole", "--rows-per-shard", "6"),
            ("hf:our/folder", out / "folder", "--stream"),
            ("hf:our/tars", out / "tars", "--stream"),
        )
    assert (codes, [one["rows"] for one in results]) == ([0, 0, 2, 2, 0, 0, 0], [18, 6, 18, 4, 16])
    assert not (out / "none").exists()
    assert "Traceback" not in said
    return out, said


def test_files_of_the_hub_are_read_as_they_come(jobs_of_hub):
    jobs, said = jobs_of_hub
    assert "has no split 'val'; it has train, test" in said
    assert "cannot load 'hf:no/where'" in said
    found, wanted = rows_of(jobs / "rows"), rows_of(jobs / "whole")
    ids = [found["id"][number] for number in (0, 6, 17)]
    assert ids == ["train/00000#0", "train/00001#0", "test/00001#1"]
    assert found["path"][6] == "hf://datasets/our/rows/data/train-00001-of-00002.parquet#0"
    for key in ("label", "class_name", "split"):
        assert found[key] == wanted[key]
    assert found["vector"][:12] == wanted["vector"][:12]  # in equal batches
    np.testing.assert_allclose(found["vector"], wanted["vector"], atol=1e-5)
    assert rows_of(jobs / "test")["vector"] == found["vector"][12:]
    assert JobRows.open(jobs / "rows").class_names() == ("bee", "ant")


def test_a_folder_of_images_of_the_hub(jobs_of_hub):
    found = rows_of(jobs_of_hub[0] / "folder")
    assert found["class_name"] == ["ant", "ant", "bee", "bee"]
    assert found["path"][0] == "hf://datasets/our/folder/ant/0.jpg"
    assert len(parts_of(jobs_of_hub[0] / "folder")) == 1


def test_tars_of_the_hub_are_read_as_tars_elsewhere(jobs_of_hub, streamed):
    found, wanted = rows_of(jobs_of_hub[0] / "tars"), rows_of(streamed)
    for key in ("id", "label", "class_name", "split"):
        assert found[key] == wanted[key][: 2 * PER_TAR]
    assert found["path"][0] == f"hf://datasets/our/tars/{NAMES[0]}/0000.jpg"


def test_a_damaged_file_of_the_hub_fails_alone(photographs, of_hub, tmp_path):
    good = [parquet_of(photographs[:3]), parquet_of(photographs[3:6])]
    files = {f"train-{n}.parquet": data for n, data in enumerate(good)}
    files["train-1.parquet"] = good[1][:2000] + b"\xff" * 4000 + good[1][6000:]
    job = ("hf:someone/insects", tmp_path / "job", "--stream")
    with running_hub({"someone/insects": files}) as hub:
        codes, (result,), _ = of_hub(hub, job)
        assert (codes, result["rows"], result["failed"]) == ([1], 3, 1)
        files |= {"train-1.parquet": good[1], "README.md": b"mended"}
        codes, results, _ = of_hub(hub, (*job, "--retry"), job)
    assert (codes, [one["images_computed"] for one in results]) == ([0, 0], [3, 0])
