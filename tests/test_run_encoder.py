"""An encoder whose weights changed, kept in a run: the real ``lite``, and the command line."""

import json

import numpy as np
import pytest

import cliptune.encoders.lite
import cliptune.encoders.lite_wheels
from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.classifiers.run_encoder import load_run_encoder, save_run_encoder
from cliptune.cli import run_command_line
from cliptune.encoders import load_encoder
from cliptune.errors import CheckpointError, InputError, MissingExtraError, RunError
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.runs import RunDir
from fakes import TinyEncoder

NAMES = ("ant", "bee")


@pytest.fixture(scope="module")
def changed():
    """``lite`` with every fourth tensor of its image tower moved a little."""
    import torch

    encoder = load_encoder("lite", device="cpu", precision="fp32")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in list(encoder.model.visual.parameters())[::4]:
            parameter.mul_(1 + 0.02 * torch.randn(parameter.shape, generator=generator))
    return encoder.rewrapped(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def run_path(changed, tmp_path_factory):
    run = RunDir.create(tmp_path_factory.mktemp("runs") / "run", {})
    write(run, save_run_encoder(run, changed), changed)
    return run.path


def write(run, record, encoder):
    rows = encoder.encode_texts([f"a photo of a {name}." for name in NAMES])
    head = ZeroShotHead().fit(text_rows=rows, logit_scale=encoder.logit_scale)
    CalibratedHead(
        head=head, class_names=NAMES, templates=("a photo of a {}.",), encoder=record
    ).save(run)
    run.finish({})


def pixels(encoder):
    shape = (2, 3, *encoder.preprocess.size)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_the_weights_come_back_and_embed_the_same(changed, run_path):
    record = CalibratedHead.load(str(run_path)).encoder
    assert record.weights_in_run
    assert record.fingerprint == changed.fingerprint
    loaded = load_run_encoder(str(run_path), device="cpu", precision="fp32")
    assert loaded.fingerprint == changed.fingerprint
    images = pixels(changed)
    assert (loaded.encode_images(images) == changed.encode_images(images)).all()
    base = load_encoder("lite", device="cpu", precision="fp32")
    assert base.fingerprint != loaded.fingerprint
    assert np.abs(base.encode_images(images) - loaded.encode_images(images)).max() > 1e-3


def test_a_lower_precision_is_the_same_encoder_rounded(changed, run_path):
    loaded = load_run_encoder(str(run_path), device="cpu", precision="bf16")
    assert (loaded.precision, loaded.fingerprint) == ("bf16", changed.fingerprint)
    images = pixels(changed)
    cosines = (loaded.encode_images(images) * changed.encode_images(images)).sum(axis=1)
    assert cosines.min() > 0.98


def test_predict_uses_the_weights_of_the_run(changed, run_path, data_root, tmp_path, capsys):
    image = data_root / "hymenoptera_data/val/bees/10870992_eebeeb3a12.jpg"
    arguments = ["predict", str(image), "--run", str(run_path), "--json"]
    assert run_command_line([*arguments, "--cache-dir", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    probabilities = {
        entry["label"]: entry["probability"] for entry in answer["predictions"][0]["labels"]
    }
    from PIL import Image

    view = changed.preprocess(Image.open(image).convert("RGB"))
    expected = CalibratedHead.load(str(run_path)).predict_proba(changed.encode_images(view[None]))[
        0
    ]
    assert [probabilities[name] for name in NAMES] == pytest.approx(expected, abs=1e-5)


def test_a_run_without_weights_of_its_own_loads_the_named_model(tmp_path):
    encoder = load_encoder("lite", device="cpu", precision="fp32")
    run = RunDir.create(tmp_path / "run", {})
    write(run, EncoderRecord.of(encoder), encoder)
    assert load_run_encoder(run, device="cpu").fingerprint == encoder.fingerprint


def test_a_cut_file_and_weights_of_another_model_are_refused(tmp_path, changed):
    from safetensors.torch import load_file, save_file

    run = RunDir.create(tmp_path / "run", {})
    record = save_run_encoder(run, changed)
    tensors = load_file(run.path / "encoder.safetensors")
    tensors.pop("logit_scale")
    save_file(tensors, run.path / "encoder.safetensors")
    write(run, record, changed)
    with pytest.raises(CheckpointError, match=r"not fit the model: 1 missing \(logit_scale"):
        load_run_encoder(run)
    file = run.path / "encoder.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(RunError, match="altered or cut"):
        load_run_encoder(str(run.path))


def test_other_weights_than_recorded_are_refused(tmp_path, changed):
    base = load_encoder("lite", device="cpu", precision="fp32")
    run = RunDir.create(tmp_path / "run", {})
    save_run_encoder(run, changed)
    write(run, EncoderRecord(**{**vars(EncoderRecord.of(base)), "weights_in_run": True}), base)
    with pytest.raises(RunError, match="fingerprint"):
        load_run_encoder(run, device="cpu")


def test_only_weights_in_fp32_are_kept(tmp_path):
    run = RunDir.create(tmp_path / "run", {})
    with pytest.raises(InputError, match="torch model"):
        save_run_encoder(run, TinyEncoder())
    assert not (run.path / "encoder.safetensors").exists()


def test_lite_needs_neither_its_wheels_nor_its_maps(changed, run_path, monkeypatch):
    """As on a machine that has the run and the package, but not the extra."""

    def nothing_is_installed(package, name):
        raise MissingExtraError("lite", "the model 'lite'")

    monkeypatch.setattr(cliptune.encoders.lite_wheels, "read_wheel_file", nothing_is_installed)
    monkeypatch.setattr(cliptune.encoders.lite, "MAPS_PATH", run_path / "no such file")
    with pytest.raises(MissingExtraError):
        load_encoder("lite", device="cpu")
    loaded = load_run_encoder(str(run_path), device="cpu", precision="fp32")
    assert loaded.fingerprint == changed.fingerprint
    assert (loaded.encode_texts(["a bee"]) == changed.encode_texts(["a bee"])).all()


def test_a_run_can_be_embedded_again(run_path, tmp_path, changed):
    """What was rebuilt can be written and rebuilt once more."""
    loaded = load_run_encoder(str(run_path), device="cpu", precision="fp32")
    run = RunDir.create(tmp_path / "run", {})
    write(run, save_run_encoder(run, loaded), loaded)
    assert load_run_encoder(run, device="cpu").fingerprint == changed.fingerprint
    (run.path / "encoder.json").write_text("{}")
    with pytest.raises(CheckpointError, match="description of encoder 'lite' lacks 'kind'"):
        load_run_encoder(run)
