import hashlib
import logging
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cliptune.encoders import load_encoder
from cliptune.encoders.checkpoints import OPENAI_DIGESTS, load_weights, read_checkpoint
from cliptune.encoders.inference import infer_config
from cliptune.errors import CheckpointError

TENSORS = {"a": torch.ones(2, 3), "b": torch.arange(4)}


class Harm:
    """A pickle that makes a file when it is read by a trusting reader."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (os.system, (f"touch {self.target}",))


@pytest.fixture(scope="module")
def tiny_tensors(make_model, tiny_config):
    return make_model(tiny_config | {"quick_gelu": True}).state_dict()


@pytest.fixture(scope="module")
def tiny_archive(make_model, tiny_config, tmp_path_factory):
    """A TorchScript archive in the layout of OpenAI's, with half-precision weights."""
    model = make_model(tiny_config | {"quick_gelu": True})
    holder = torch.nn.Module()
    for name, tensor in model.half().state_dict().items():
        _attach(holder, name, tensor)
    for name, value in (("input_resolution", 64), ("context_length", 77), ("vocab_size", 49408)):
        holder.register_buffer(name, torch.tensor(value))
    path = tmp_path_factory.mktemp("archive") / "ViT-tiny.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; OpenAI's files are in it
        torch.jit.save(torch.jit.script(holder), path)
    model.float()
    return path


def _attach(holder, name, tensor):
    """Put a tensor at a dotted name, with plain modules on the way."""
    *way, last = name.split(".")
    for step in way:
        if not hasattr(holder, step):
            holder.add_module(step, torch.nn.Module())
        holder = getattr(holder, step)
    holder.register_buffer(last, tensor)


def same(found, expected):
    assert found.keys() == expected.keys()
    return all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_plain_tensors_from_torch_files(tmp_path, suffix, zipped):
    path = tmp_path / f"weights{suffix}"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    assert same(found.tensors, TENSORS)
    assert found.origin == "plain"


def test_reads_safetensors(tmp_path):
    save_file(TENSORS, tmp_path / "w.safetensors")
    assert same(read_checkpoint(tmp_path / "w.safetensors").tensors, TENSORS)


def test_reads_a_checkpoint_of_open_clips_training(tmp_path):
    parallel = {f"module.{name}": tensor for name, tensor in TENSORS.items()}
    content = {
        "epoch": 3, "name": "run", "state_dict": parallel,
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]},
    }  # fmt: skip
    torch.save(content, tmp_path / "epoch_3.pt")
    found = read_checkpoint(tmp_path / "epoch_3.pt")
    assert same(found.tensors, TENSORS)
    assert found.origin == "training"


def test_knows_openais_layout_by_its_settings(tmp_path):
    settings = {"input_resolution": torch.tensor(224), "context_length": torch.tensor(77)}
    torch.save(TENSORS | settings | {"vocab_size": torch.tensor(49408)}, tmp_path / "o.pt")
    found = read_checkpoint(tmp_path / "o.pt")
    assert found.origin == "openai"
    assert same(found.tensors, TENSORS)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path, zipped):
    target = tmp_path / "harmed"
    path = tmp_path / "bad.pt"
    content = TENSORS | {"c": Harm(target)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"^\S+bad\.pt asks to run \w+\.system, refused; .*$"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"asks to run"):
        load_encoder(str(path))
    assert not target.exists()
    torch.load(path, weights_only=False)  # the harm is real
    assert target.exists()


def test_a_torchscript_archive_of_unknown_origin_is_refused(tiny_archive):
    with pytest.raises(CheckpointError, match=r"^.*none of OpenAI's released files by its SHA-256"):
        read_checkpoint(tiny_archive)


def test_openais_archive_is_read_by_its_digest(tiny_archive, tiny_tensors, monkeypatch, caplog):
    digest = hashlib.sha256(tiny_archive.read_bytes()).hexdigest()
    monkeypatch.setitem(OPENAI_DIGESTS, digest, "ViT-tiny")
    found = read_checkpoint(tiny_archive)
    assert found.origin == "openai"
    assert same(found.tensors, {name: t.half() for name, t in tiny_tensors.items()})
    encoder = load_encoder(str(tiny_archive), device="cpu")
    assert encoder.model.visual.conv1.weight.dtype == torch.float32
    assert type(encoder.model.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"


def test_digests_are_those_of_the_original_package():
    import importlib.util

    folder = importlib.util.find_spec("clip").submodule_search_locations[0]
    source = (Path(folder) / "clip.py").read_text()
    found = re.findall(r'"([^"]+)": "https://openaipublic\S+/(\w{64})/', source)
    assert {digest: name for name, digest in found} == OPENAI_DIGESTS


def broken_files(folder):
    torch.save({"a": torch.ones(5000)}, folder / "whole.pt")
    half = (folder / "whole.pt").read_bytes()[:9000]
    torch.save([torch.ones(2)], folder / "list.pt")
    torch.save({"epoch": 3, "state_dict": {"a": "text"}}, folder / "text.pt")
    torch.save({}, folder / "nothing.pt")
    contents = {"half.pt": half, "junk.pt": b"junk", "empty.pt": b"", "junk.safetensors": b"junk"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [*contents, "list.pt", "text.pt", "nothing.pt"]


@pytest.mark.parametrize("index", range(7))
def test_a_broken_file_is_one_plain_line(tmp_path, index):
    path = tmp_path / broken_files(tmp_path)[index]
    with pytest.raises(CheckpointError, match=rf"^{re.escape(str(path))} [^\n]+$"):
        read_checkpoint(path)


def test_names_the_first_missing_and_left_over_tensors():
    model = torch.nn.Linear(3, 2)
    tensors = {"weight": torch.ones(2, 3), "w1": torch.ones(1), "w2": torch.ones(1)}
    expected = r"w.pt does not fit the model: 1 missing \(bias\); 2 not in the model \(w1, w2\); n"
    with pytest.raises(CheckpointError, match=expected):
        load_weights(model, tensors, Path("w.pt"))


def test_names_tensors_of_another_shape_kind_or_not_finite():
    model = torch.nn.Linear(3, 2)
    before = model.weight.clone()
    shape = {"weight": torch.ones(2, 4), "bias": torch.ones(2)}
    with pytest.raises(CheckpointError, match=r"weight \[2, 4\], the model has \[2, 3\]"):
        load_weights(model, shape, Path("w.pt"))
    with pytest.raises(CheckpointError, match=r"1 of another shape or kind \(weight"):
        load_weights(model, shape | {"weight": torch.ones(2, 3, dtype=torch.int8)}, Path("w.pt"))
    bad = {"weight": torch.full((2, 3), torch.nan), "bias": torch.ones(2)}
    with pytest.raises(CheckpointError, match=r"1 with NaN or infinity \(weight\)"):
        load_weights(model, bad, Path("w.pt"))
    assert torch.equal(model.weight, before)


def test_large_finite_weights_are_not_taken_for_infinite():
    model = torch.nn.Linear(3, 2)
    load_weights(model, {"weight": torch.full((2, 3), 3e38), "bias": torch.ones(2)}, Path("w.pt"))
    assert torch.isfinite(model.weight).all()


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_shapes_tell_the_architecture(kind, make_model, tiny_config, tiny_resnet_config, tmp_path):
    config = tiny_config if kind == "vit" else tiny_resnet_config
    model = make_model(config | {"quick_gelu": True})
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    inferred = infer_config(read_checkpoint(tmp_path / "w.safetensors"), tmp_path)
    assert inferred["quick_gelu"] is True
    assert inferred["embed_dim"] == config["embed_dim"]
    for part in ("vision_cfg", "text_cfg"):
        assert inferred[part] == config[part]


def test_a_known_architecture_brings_its_heads(tmp_path):
    """ViT-H-14 has heads of 80 channels, which no shape tells."""
    from cliptune.encoders.checkpoints import Checkpoint

    shapes = {
        "positional_embedding": (77, 1024),
        "text_projection": (1024, 1024),
        "token_embedding.weight": (49408, 1024),
        "ln_final.weight": (1024,),
        "visual.conv1.weight": (1280, 3, 14, 14),
        "visual.positional_embedding": (257, 1280),
        "visual.proj": (1280, 1024),
    }
    shapes |= {f"visual.transformer.resblocks.{i}.ln_1.bias": (1280,) for i in range(32)}
    shapes |= {f"transformer.resblocks.{i}.ln_1.bias": (1024,) for i in range(24)}
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    assert infer_config(Checkpoint(tensors, "plain"), tmp_path)["vision_cfg"]["head_width"] == 80


@pytest.mark.parametrize(
    ("wrap", "activation"),
    [(lambda t: t, "QuickGELU"), (lambda t: {"epoch": 1, "state_dict": t}, "GELU")],
)
def test_the_activation_is_guessed_with_a_warning(tiny_tensors, tmp_path, caplog, wrap, activation):
    torch.save(wrap(tiny_tensors), tmp_path / "w.pt")
    with caplog.at_level(logging.WARNING, logger="cliptune"):
        encoder = load_encoder(str(tmp_path / "w.pt"), device="cpu")
    assert f"taking {activation};" in caplog.text
    assert type(encoder.model.visual.transformer.resblocks[0].mlp.gelu).__name__ == activation


def test_the_warning_names_how_to_say_the_activation(tmp_path, caplog):
    from cliptune.encoders.checkpoints import Checkpoint
    from cliptune.encoders.open_clip_encoder import build_model
    from cliptune.encoders.published import model_config

    with torch.device("meta"):
        tensors = build_model(model_config("ViT-B-32")).state_dict()
    path = tmp_path / "w.pt"
    with caplog.at_level(logging.WARNING, logger="cliptune"):
        infer_config(Checkpoint(tensors, "plain"), path)
        assert f"name ViT-B-32@{path} for GELU or ViT-B-32-quickgelu@{path}" in caplog.text
        caplog.clear()
        infer_config(Checkpoint(tensors, "openai"), path)
        assert not caplog.text


def test_tensors_of_no_plain_clip_are_refused(tmp_path):
    save_file(TENSORS, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="cannot be told from the tensors; name it as ARCH"):
        load_encoder(str(tmp_path / "w.safetensors"), device="cpu")


def test_the_wrong_architecture_is_refused(tiny_tensors, tmp_path):
    save_file(tiny_tensors, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"does not fit the model: \d+ missing \("):
        load_encoder(f"ViT-S-32@{tmp_path / 'w.safetensors'}", device="cpu")


def test_every_way_to_the_same_weights_gives_the_same_encoder(
    tiny_tensors, tiny_config, make_folder, tmp_path, pixels
):
    torch.save(tiny_tensors, tmp_path / "plain.pt")
    parallel = {f"module.{name}": tensor for name, tensor in tiny_tensors.items()}
    save_file(parallel, tmp_path / "parallel.safetensors")
    folder = make_folder(tiny_config | {"quick_gelu": True})
    names = [folder, tmp_path / "plain.pt", tmp_path / "parallel.safetensors"]
    encoders = [load_encoder(str(name), device="cpu") for name in names]
    assert len({encoder.fingerprint for encoder in encoders}) == 1
    rows = [encoder.encode_images(pixels) for encoder in encoders]
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])
