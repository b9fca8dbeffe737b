"""Runs as graphs: what they answer without this package, and what is refused."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cliptune as ct
from cliptune.cli import run_command_line

onnx = pytest.importorskip("onnx", reason="needs cliptune[export]")
runtime = pytest.importorskip("onnxruntime", reason="needs cliptune[export]")


@pytest.fixture(scope="module")
def exported(fitted, compute, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "onnx"
    return ct.export(fitted.run, out=out, compute=compute)


def test_the_certificate_holds_the_graphs_against_the_run(exported, fitted):
    certificate = json.loads(Path(exported.out, "parity.json").read_text())
    assert ct.load_result(exported.out) == exported
    assert certificate["passed"]
    assert certificate["agreement"] == 1
    assert {one["file"] for one in certificate["graphs"]} == {"image.onnx", "pixels.onnx"}
    for one in certificate["graphs"]:
        assert one["n"] == 16
        assert one["agreement"]["low"] < 1
        assert one["largest_difference"] < (0.02 if one["input"] == "image" else 1e-4)
        assert one["smallest_cosine"] > 0.999
        assert one["abstention_agreement"] == 1
        if one["input"] == "pixels":
            assert one["resize"] is None
            continue
        assert one["resize"]["n_sizes"] > 3
        assert one["resize"]["within_one"] == 1
        assert one["resize"]["equal"] > 0.999
        assert one["resize"]["largest_difference"] <= 1
    assert "Certificate of parity" in Path(exported.out, "parity.html").read_text()


def test_the_image_graph_is_as_documented(exported, fitted, small_data, compute):
    session = runtime.InferenceSession(f"{exported.out}/image.onnx")
    (given,) = session.get_inputs()
    assert (given.type, given.shape[3]) == ("tensor(uint8)", 3)
    assert all(isinstance(side, str) for side in given.shape[:3])
    names = [output.name for output in session.get_outputs()]
    assert names == ["probabilities", "embedding", "abstained"]
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["class_names"]) == ["ant", "bee"] == list(exported.class_names)

    images = [np.asarray(Image.open(f)) for f in sorted(small_data.glob("val/*/*.jpg"))[:3]]
    alone = [session.run(names, {given.name: image[None]}) for image in images]
    said = ct.load_classifier(fitted.run, compute=compute).predict(images)
    found = np.concatenate([values[0] for values in alone])
    np.testing.assert_allclose(found, said.probabilities, atol=0.02)
    twice = session.run(names, {given.name: np.stack([images[0], images[0]])})
    np.testing.assert_allclose(twice[0], np.repeat(alone[0][0], 2, axis=0), atol=1e-5)


def test_the_consumer_needs_neither_torch_nor_cliptune(exported, small_data):
    image = sorted(small_data.glob("val/bees/*.jpg"))[0]
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert not {'torch', 'cliptune', 'openvino'} & set(sys.modules)"
    )
    words = [sys.executable, "-I", "-c", code, f"{exported.out}/predict.py", str(image)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file, label, probability = done.stdout.split("\t")[:3]
    assert (file, label) == (str(image), "bee")
    assert 0.5 < float(probability) <= 1


def test_openvino_answers_the_same(fitted, compute, tmp_path):
    pytest.importorskip("openvino", reason="needs cliptune[export]")
    result = ct.export(
        fitted.run, out=tmp_path / "ir", format="openvino", input="image", compute=compute
    )
    (parity,) = result.graphs
    assert parity.runtime.startswith("OpenVINO")
    assert (parity.resize.n, parity.resize.largest_difference) == (16, 1)
    assert parity.agreement.value == 1
    assert parity.largest_difference < 0.02


def test_a_run_with_its_own_encoder_leaves_without_another(small_data, compute, tmp_path):
    fit = ct.fit(
        small_data, method="prototype", features="embedding", embed_encoder=True,
        out=tmp_path / "run", compute=compute,
    )  # fmt: skip
    result = ct.export(fit.run, out=tmp_path / "out", input="pixels", images=6, compute=compute)
    (parity,) = result.graphs
    assert parity.agreement.value == 1
    assert parity.largest_difference < 1e-3


def test_transformers_loads_a_folder_of_the_hub(fitted, compute, small_data, tmp_path):
    out = tmp_path / "hub"
    result = ct.export(fitted.run, out=out, format="hub", compute=compute)
    (parity,) = result.graphs
    assert parity.runtime.startswith("transformers")
    assert parity.n == 16
    assert parity.agreement.value == 1
    assert parity.largest_difference < 1e-3
    config = json.loads((out / "config.json").read_text())
    assert config["id2label"] == {"0": "ant", "1": "bee"}
    card = (out / "README.md").read_text()
    code = card.split("```python\n")[-1].split("```")[0]
    assert 'pipeline("image-classification", model="."' in code
    assert result.pushed is None
    copied = tmp_path / "copied"
    save = (
        "import sys; from transformers import AutoImageProcessor as A; "
        "A.from_pretrained(sys.argv[1], trust_remote_code=True).save_pretrained(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", save, out, copied], check=True)
    before, after = (
        json.loads((place / "preprocessor_config.json").read_text()) for place in (out, copied)
    )
    assert before.items() <= after.items()
    assert (copied / "image_processing_cliptune.py").exists()


def test_a_push_names_a_repository_and_goes_nowhere_else(fitted, compute, tmp_path, monkeypatch):
    with pytest.raises(ct.InputError, match="no OWNER/NAME"):
        ct.export(fitted.run, out=tmp_path / "a", format="hub", push="mine", compute=compute)
    with pytest.raises(ct.InputError, match="--push uploads a folder of --format hub"):
        ct.export(fitted.run, out=tmp_path / "a", push="me/mine", compute=compute)

    from huggingface_hub.errors import OfflineModeIsEnabled

    from cliptune.exports.pushing import push_folder

    class Offline:
        def create_repo(self, *_, **__):
            raise OfflineModeIsEnabled("no network")

    monkeypatch.setattr("huggingface_hub.HfApi", Offline)
    with pytest.raises(ct.UnavailableError, match=r"cannot push to 'me/mine' .no network"):
        push_folder(tmp_path, "me/mine")


def test_what_cannot_be_exported_is_said_in_a_line(fitted, compute, tmp_path, capsys):
    shared = ["--cache-dir", str(compute.cache_dir)]

    def refused(*words):
        assert run_command_line(["export", *map(str, words), *shared]) == 2
        (line,) = [one for one in capsys.readouterr().err.splitlines() if "cliptune:" in one]
        return line

    run, out = str(fitted.run), tmp_path / "out"
    assert "there is no run directory" in refused(tmp_path / "none", "--out", out)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").touch()
    assert "holds other files ('mine.txt')" in refused(run, "--out", other)
    assert "--limit" in refused(run, "--out", out, "--limit", "2")
    assert "name some with --data" in refused(run, "--out", out, "--data", tmp_path / "none")
    assert not out.exists()


def test_a_run_whose_encoder_is_gone(fitted, compute, small_data, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(fitted.run, run)
    facts = json.loads((run / "classifier.json").read_text())
    facts["encoder"]["name"] = str(tmp_path / "moved-away.pt")
    (run / "classifier.json").write_text(json.dumps(facts))
    manifest = json.loads((run / "manifest.json").read_text())
    digest = hashlib.sha256((run / "classifier.json").read_bytes()).hexdigest()
    manifest["files"]["classifier.json"] = digest
    (run / "manifest.json").write_text(json.dumps(manifest))
    words = ["export", run, "--out", tmp_path / "out", "--cache-dir", compute.cache_dir]
    assert run_command_line([*map(str, words)]) == 2
    assert "moved-away.pt" in capsys.readouterr().err


def test_an_export_replaces_an_earlier_one_whole(exported, fitted, compute, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(exported.out, out)
    result = ct.export(fitted.run, out=out, input="pixels", images=4, compute=compute)
    assert sorted(result.files) == sorted(file.name for file in out.iterdir())
    assert not (out / "image.onnx").exists()
    assert result.graphs[0].n == 4
