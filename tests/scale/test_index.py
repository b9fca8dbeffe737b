"""What an index finds is what comparing with every vector finds."""

import json

import numpy as np
import pytest

from cliptune.cli import run_command_line
from cliptune.encoders import load_encoder
from cliptune.errors import RunError
from cliptune.scale.index import build_index, iterate_vectors, nearest, search_index
from cliptune.scale.plan import read_plan


@pytest.fixture(scope="module")
def job(data_root, make_cache, tmp_path_factory):
    """An indexed job over the validation images of ants and bees."""
    pytest.importorskip("usearch", reason="needs usearch")
    cache, out = make_cache(), tmp_path_factory.mktemp("job") / "job"
    done = run_command_line(
        [
            *("embed", str(data_root / "hymenoptera_data"), "--split", "val", "--out", str(out)),
            *("--executor", "local", "--workers", "1"),
            *("--rows-per-shard", "64", "--cache-dir", str(cache), "--json"),
        ]
    )
    assert done == 0
    assert run_command_line(["index", str(out), "--json"]) == 0
    return out, cache


def search(job, query, capsys, *options):
    out, cache = job
    capsys.readouterr()
    code = run_command_line(
        ["search", str(out), str(query), "--cache-dir", str(cache), "--json", *options]
    )
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else None, captured.err


def test_a_text_finds_what_brute_force_finds(job, capsys):
    code, result, _ = search(job, "a bee on a flower", capsys, "--n", "5")
    assert (code, result["kind"]) == (0, "text")
    vectors = np.concatenate(list(iterate_vectors(job[0])))
    query = load_encoder("lite", device="cpu").encode_texts(["a bee on a flower"])[0]
    cosines = np.sort(vectors @ query)[::-1][:5]
    np.testing.assert_allclose([one["similarity"] for one in result["found"]], cosines, atol=1e-5)
    assert [one["class_name"] for one in result["found"]] == ["bee"] * 5


def test_texts_find_their_images_from_where_texts_lie():
    """Images in one narrow cone, texts in another: a graph over the first misses many."""
    usearch = pytest.importorskip("usearch.index", reason="needs usearch")
    rng = np.random.default_rng(0)
    centre = rng.normal(size=128)
    images, texts = (
        (factor * centre + rng.normal(size=(n, 128))).astype(np.float32)
        for factor, n in ((2.5, 3000), (-0.5, 40))
    )
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    index = usearch.Index(ndim=128, metric="cos", dtype="f32")
    index.add(np.arange(len(images)), images)
    wanted = [set(np.argsort(-(images @ text))[:10].tolist()) for text in texts]

    def recall(find):
        return np.mean(
            [len(set(find(text)) & own) / 10 for text, own in zip(texts, wanted, strict=True)]
        )

    assert recall(lambda text: index.search(text, 10).keys.tolist()) < 0.9
    assert recall(lambda text: nearest(index, text, 10)[0]) == 1
    assert recall(lambda text: nearest(index, text, 10, compare_up_to=0)[0]) > 0.95


def test_an_image_finds_itself(job, data_root, capsys):
    picture = sorted((data_root / "hymenoptera_data/val/ants").iterdir())[2]
    code, result, _ = search(job, picture, capsys)
    assert (code, result["kind"], len(result["found"])) == (0, "image", 10)
    assert result["found"][0]["path"] == str(picture)
    assert result["found"][0]["similarity"] > 0.999


def test_another_folder_or_no_index_is_a_line(job, tmp_path, capsys):
    assert run_command_line(["index", str(tmp_path)]) == 2
    assert "holds no embedding job" in capsys.readouterr().err
    code, _, said = search((tmp_path, tmp_path), "a bee", capsys)
    assert (code, "holds no embedding job" in said) == (2, True)


def test_an_altered_record_is_refused(job, tmp_path):
    import shutil

    again = tmp_path / "job"
    shutil.copytree(job[0], again)
    record = json.loads((again / "job.json").read_text())
    record["facts"]["model"] = "another"
    (again / "job.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="was altered"):
        read_plan(again)
    shutil.copy(job[0] / "job.json", again)
    whole = (again / "index.usearch").read_bytes()
    one_number = whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:]  # of one vector
    for altered in (b"x" * 100, one_number):
        (again / "index.usearch").write_bytes(altered)
        with pytest.raises(RunError, match="cut or altered"):
            search_index(again, np.ones(384, np.float32), 3)
    with pytest.raises(RunError, match="cut or altered"):
        search_index(again, np.ones(384, np.float32), 3)
    (again / "manifest.json").unlink()
    with pytest.raises(RunError, match="not finished"):
        build_index(again, lambda done, total: None)
