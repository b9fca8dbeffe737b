"""``cliptune evaluate --task retrieval`` on real captions, against a brute-force computation."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from cliptune.cli import run_command_line
from cliptune.encoders import load_encoder
from cliptune.features import FeatureStore
from cliptune.images import ImageTable
from cliptune.runs import RunDir


@pytest.fixture(scope="module")
def flickr(data_root, tmp_path_factory):
    """The first 40 captioned test images, as a file of their own."""
    folder = tmp_path_factory.mktemp("flickr")
    table = pq.read_table(data_root / "flickr8k/test.parquet").slice(0, 40)
    pq.write_table(table, folder / "test.parquet")
    return folder / "test.parquet"


def test_recalls_are_those_of_brute_force(flickr, cache, tmp_path, capsys):
    arguments = ["evaluate", str(flickr), "--task", "retrieval", "--cache-dir", str(cache)]
    assert run_command_line([*arguments, "--json", "--out", str(tmp_path / "run")]) == 0
    result = json.loads(capsys.readouterr().out)
    table = ImageTable.open(flickr)
    encoder, store = load_encoder("lite"), FeatureStore(cache)
    captions = [caption for texts in table.captions for caption in texts]
    owners = [row for row, texts in enumerate(table.captions) for _ in texts]
    cosines = store.features(encoder, table).vectors @ store.text_features(encoder, captions).T
    for k in (1, 5, 10):
        found = [any(owners[t] == i for t in np.argsort(-cosines[i])[:k]) for i in range(40)]
        assert result["image_to_text"][f"recall_at_{k}"] == pytest.approx(np.mean(found))
        found = [owners[t] in np.argsort(-cosines[:, t])[:k] for t in range(len(captions))]
        assert result["text_to_image"][f"recall_at_{k}"] == pytest.approx(np.mean(found))
    assert result["image_to_text"]["n"] == 40
    assert result["text_to_image"]["n"] == len(captions)
    for direction in ("image_to_text", "text_to_image"):
        for name, interval in result[direction]["intervals"].items():
            assert interval["low"] <= result[direction][name] <= interval["high"]
    check_run(RunDir.open(tmp_path / "run"), result)


def check_run(run, result):
    """Each direction's queries must add up to its recalls."""
    for name in ("engine", "precision", "rows_checked"):
        assert run.manifest[name] == result[name]
    for direction in ("image_to_text", "text_to_image"):
        ranks = np.asarray(pq.read_table(run.path / f"{direction}.parquet")["rank"])
        for k in (1, 5, 10):
            assert (ranks <= k).mean() == pytest.approx(result[direction][f"recall_at_{k}"])
    rows = pq.read_table(run.path / "text_to_image.parquet").to_pylist()
    assert all((row["found"] == row["id"]) == (row["rank"] == 1) for row in rows)


def test_the_table_shows_both_directions(flickr, cache, tmp_path, capsys):
    arguments = ["evaluate", str(flickr), "--task", "retrieval", "--cache-dir", str(cache)]
    assert run_command_line([*arguments, "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "image to text" in out
    assert "text to image" in out
    assert "recall at 10" in out


def test_wrong_input_is_one_line_and_leaves_nothing(data_root, flickr, cache, tmp_path, capsys):
    out = str(tmp_path / "run")
    labelled = str(data_root / "hymenoptera_data")
    for data, options, expected in (
        (labelled, [], "0 of the 153 images"),
        (str(flickr), ["--template", "a photo of a {}."], "leave out the templates"),
        (str(flickr), ["--caption-column", "words"], "captions"),
    ):
        arguments = ["evaluate", data, "--task", "retrieval", "--cache-dir", str(cache)]
        assert run_command_line([*arguments, "--out", out, *options]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert expected in error
        assert not (tmp_path / "run").exists()


def test_captions_made_of_class_names_give_the_accuracy_of_the_nearest_name(
    data_root, cache, tmp_path, capsys
):
    """Ten images, one of them twice, under two wordings: an equal text is the image's own."""
    rows, images = [], []
    for name in ("ants", "bees"):
        for file in sorted((data_root / "hymenoptera_data/val" / name).iterdir())[:5]:
            images.append((file, f"a photo of {name}"))
    images.append(images[0])
    for number, (file, caption) in enumerate(images):
        shutil.copy(file, tmp_path / f"{number}.jpg")
        rows.append(json.dumps({"image": f"{number}.jpg", "caption": caption}))
    (tmp_path / "captions.jsonl").write_text("\n".join(rows))
    data = str(tmp_path / "captions.jsonl")
    arguments = ["evaluate", data, "--task", "retrieval", "--cache-dir", str(cache)]
    assert run_command_line([*arguments, "--json", "--out", str(tmp_path / "run")]) == 0
    result = json.loads(capsys.readouterr().out)
    encoder, store = load_encoder("lite"), FeatureStore(cache)
    texts = store.text_features(encoder, ["a photo of ants", "a photo of bees"])
    cosines = store.features(encoder, ImageTable.open(data)).vectors @ texts.T
    right = cosines.argmax(axis=1) == [*[0] * 5, *[1] * 5, 0]
    assert result["image_to_text"]["recall_at_1"] == pytest.approx(right.mean())
    assert result["image_to_text"]["recall_at_5"] == 1.0
    assert (result["n_distinct_images"], result["n_distinct_texts"]) == (10, 2)
