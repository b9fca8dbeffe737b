"""A served run of several labels an image."""

import base64

import pyarrow.parquet as pq
import pytest

import cliptune as ct
from cliptune.cli import run_command_line


@pytest.fixture(scope="module")
def photograph(data_root):
    rows = pq.read_table(data_root / "flickr8k/test.parquet").to_pylist()
    return next(r for r in rows if all("dog" in c for c in r["captions"]))["image"]["bytes"]


@pytest.fixture(scope="module")
def export(fitted_labels, label_cache, tmp_path_factory):
    pytest.importorskip("onnx", reason="needs cliptune[export]")
    out = tmp_path_factory.mktemp("served") / "export"
    compute = ct.ComputeOptions(cache_dir=label_cache)
    ct.export(fitted_labels, out=out, input="pixels", images=4, compute=compute)
    return out


@pytest.fixture(scope="module")
def server(open_local, fitted_labels, export):
    with open_local({"run": fitted_labels, "export": export}) as local:
        yield local


@pytest.mark.parametrize("name", ["run", "export"])
def test_labels_that_reach_their_thresholds_are_marked(
    server, name, photograph, fitted_labels, label_cache, tmp_path
):
    file = tmp_path / "dog.jpg"
    file.write_bytes(photograph)
    compute = ct.ComputeOptions(cache_dir=label_cache)
    wanted = ct.predict([file], run=fitted_labels, top=4, compute=compute).predictions[0]
    said = server.predict(("dog.jpg", photograph), run=name)
    assert said.status == 200, said.body
    (one,) = said.json["predictions"]
    assert one["present"] == sorted(wanted.present)
    assert "dog" in one["present"]
    assert one["abstained"] is False
    for found, label in zip(one["labels"], wanted.labels, strict=True):
        assert found["label"] == label.label
        assert found["probability"] == pytest.approx(label.probability, abs=0.02)
        assert found["present"] == (label.label in wanted.present)
    every = server.predict(("dog.jpg", photograph), run=name, threshold=0, top=1)
    (one,) = every.json["predictions"]
    assert one["present"] == ["dog", "girl", "man", "water"]
    assert len(one["labels"]) == 1
    runs = {run["name"]: run for run in server.get("/v1/runs").json["runs"]}
    assert len(runs[name]["thresholds"]) == 4
    assert runs[name]["threshold"] is None


def test_a_choice_is_among_labels_one_of_which_is_true(server, photograph):
    asset = {
        "type": "image",
        "format": "jpeg",
        "data_base64": base64.b64encode(photograph).decode(),
    }
    question = {"type": "choice", "criteria": {"dog": None, "girl": None}}
    questions, assets = {"q": question}, {"img": asset}
    asked = {"model": "run", "state": "img", "questions": questions, "assets": assets}
    said = server.post_json("/v1/systemone", asked)
    assert said.status == 200, said.body
    answer = said.json["answers"]["q"]
    labels = server.predict(("x", photograph), run="run").json["predictions"][0]["labels"]
    odds = {one["label"]: one["probability"] / (1 - one["probability"]) for one in labels}
    wanted = odds["dog"] / (odds["dog"] + odds["girl"])
    assert answer["choice"] == "dog"
    assert answer["probabilities"]["dog"] == pytest.approx(wanted, abs=1e-4)


def test_drift_of_several_labels_is_refused_in_a_line(fitted_labels, label_cache, capsys):
    words = ["serve", fitted_labels, "--drift", "--port", 0, "--cache-dir", label_cache]
    assert run_command_line([*map(str, words)]) == 2
    assert "--drift counts one class an image" in capsys.readouterr().err.splitlines()[-1]
