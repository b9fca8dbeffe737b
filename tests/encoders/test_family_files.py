"""Folders and repositories of transformers' models: what is read, and what is refused and how."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import transformers
from family_models import FAMILIES
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from cliptune.cli import run_command_line
from cliptune.encoders import load_encoder
from cliptune.encoders.hub import offline
from cliptune.encoders.open_clip_encoder import build_model
from cliptune.errors import CheckpointError, UnavailableError

COMMITS = {"main": "0" * 40, "v1": "1" * 40}
TEXTS = ["a photo of a bee.", "an ant"]


@pytest.fixture
def folder(small_family, tmp_path):
    """A copy of the small SigLIP's folder, to be altered."""
    target = tmp_path / "siglip"
    shutil.copytree(small_family("siglip").folder, target)
    return target


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def rows(name):
    encoder = load_encoder(str(name), device="cpu", precision="fp32")
    return encoder.encode_texts(TEXTS)


def refuse(name):
    """Return the one line of a refusal."""
    with pytest.raises(UnavailableError) as caught:
        load_encoder(name, device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_with_two_formats_names_both(folder, small_family, make_model, tiny_config):
    described = {"model_cfg": tiny_config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    save_file(make_model(tiny_config).state_dict(), folder / "open_clip_model.safetensors")
    with pytest.raises(CheckpointError, match=r"in two formats, open_clip's .* and transformers'"):
        load_encoder(str(folder), device="cpu")
    expected = rows(small_family("siglip").folder)
    np.testing.assert_array_equal(rows(folder / "config.json"), expected)
    assert rows(folder / "open_clip_config.json").shape == (2, tiny_config["embed_dim"])


def test_an_unknown_model_type_lists_what_is_known_the_nearest_first(folder):
    change(folder / "config.json", model_type="siglip3")
    with pytest.raises(CheckpointError, match=r"'siglip3'; known, the nearest first: siglip2?, s"):
        load_encoder(str(folder), device="cpu")


def test_weights_of_another_size(folder):
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["intermediate_size"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"9 of another shape or kind \(vision_model.enc"):
        load_encoder(str(folder), device="cpu")
    config["vision_config"] |= {"intermediate_size": 64, "num_hidden_layers": 3}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"16 missing \(vision_model.encoder.layers.2"):
        load_encoder(str(folder), device="cpu")


def test_pictures_of_another_size_than_the_tower_takes(folder):
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["image_processor"]["size"] = {"height": 96, "width": 96}
    path.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="of 96 pixels for an image tower that takes 64"):
        load_encoder(str(folder), device="cpu")


def test_python_of_its_own_is_never_run(folder):
    change(folder / "config.json", auto_map={"AutoModel": "own.Model"})
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(CheckpointError, match=r"Python of its own .*auto_map.* which is never run"):
        load_encoder(str(folder), device="cpu")
    change(folder / "config.json", auto_map=None, model_type="jina_clip")
    with pytest.raises(CheckpointError, match="Jina-CLIP needs Python of its own"):
        load_encoder(str(folder), device="cpu")


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod.", "model."])
def test_wrapped_checkpoints_load(folder, small_family, wrapper, prefix):
    tensors = load_file(folder / "model.safetensors")
    wrapped = {prefix + name: tensor for name, tensor in tensors.items()}
    (folder / "model.safetensors").unlink()
    torch.save({wrapper: wrapped, "epoch": 3} if wrapper else wrapped, folder / "last.pt")
    np.testing.assert_array_equal(rows(folder), rows(small_family("siglip").folder))


def test_another_wrapper_is_named(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"ema_weights": {"a": torch.zeros(1)}, "epoch": 3}, folder / "last.pt")
    with pytest.raises(CheckpointError, match=r"nor 'state_dict'.*keys: 'ema_weights', 'epoch'"):
        load_encoder(str(folder), device="cpu")


def test_sharded_and_half_precision_weights_load(folder, small_family):
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="30KB")
    assert (folder / "model.safetensors.index.json").is_file()
    np.testing.assert_array_equal(rows(folder), rows(small_family("siglip").folder))
    part = sorted(folder.glob("model-*.safetensors"))[1]
    part.rename(folder / "elsewhere")
    with pytest.raises(CheckpointError, match=f"names {part.name}, which is not beside it"):
        load_encoder(str(folder), device="cpu")
    for path in [*folder.glob("model-*"), folder / "model.safetensors.index.json"]:
        path.unlink()
    model.half().save_pretrained(folder)
    encoder = load_encoder(str(folder), device="cpu", precision="fp32")
    assert {p.dtype for p in encoder.model.parameters()} == {torch.float32}
    np.testing.assert_allclose(rows(folder), rows(small_family("siglip").folder), atol=5e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_in_parts_and_in_half_precision(small_family, name, tmp_path):
    """In float16, several parts, with the tensors that transformers ties or leaves out."""
    whole = small_family(name).folder
    folder = tmp_path / name
    shutil.copytree(whole, folder)
    (folder / "model.safetensors").unlink()
    model = transformers.AutoModel.from_pretrained(whole, dtype=torch.float16)
    model.save_pretrained(folder, max_shard_size="60KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    assert any(t.dtype == torch.float16 for t in load_file(parts[0]).values())
    rounded = transformers.AutoModel.from_pretrained(whole, dtype=torch.float16).float()
    exact = tmp_path / "exact"
    shutil.copytree(whole, exact)
    rounded.save_pretrained(exact)
    np.testing.assert_allclose(rows(folder), rows(exact), atol=1e-6)
    np.testing.assert_allclose(rows(folder), rows(whole), atol=2e-2)


@pytest.fixture
def hub(small_family, tmp_path, monkeypatch):
    """A hub on this machine with one open and one gated repository; returns what was asked."""
    files = {path.name: path.read_bytes() for path in small_family("siglip").folder.iterdir()}
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.wfile.write(self.answer())

        def answer(self):
            asked.append(self.path)
            repo, _, rest = self.path.lstrip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            commit = COMMITS.get(revision, revision if revision in COMMITS.values() else None)
            status, wrong, content = 404, "RepoNotFound", b""
            if self.path == "/":
                status = 200
            elif repo == "some/gated":
                status, wrong = 403, "GatedRepo"
            elif repo == "some/model" and commit is None:
                wrong = "RevisionNotFound"
            elif repo == "some/model":
                status, content = (200, files[name]) if name in files else (404, b"")
                wrong = "EntryNotFound"
            self.send_response(status)
            if status != 200:
                self.send_header("X-Error-Code", wrong)
            else:
                self.send_header("ETag", f'"{hash(content):x}"')
                self.send_header("X-Repo-Commit", commit or "")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return content

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield asked
    server.shutdown()
    server.server_close()


def test_a_revision_is_fetched_and_then_needs_no_network(hub, small_family, capsys):
    name = "hf-hub:some/model@v1"
    with offline(), pytest.raises(UnavailableError, match="--offline was given"):
        load_encoder(name, device="cpu")
    assert run_command_line(["models", "get", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] > 10_000
    assert all("/snapshots/" + COMMITS["v1"] in one["path"] for one in told["files"])
    n_asked = len(hub)
    with offline():
        np.testing.assert_array_equal(rows(name), rows(small_family("siglip").folder))
    assert len(hub) == n_asked


def test_a_revision_that_does_not_exist(hub):
    assert "some/model has no revision 'v9'" in refuse("hf-hub:some/model@v9")


def test_a_gated_repository_without_a_token(hub):
    said = refuse("hf-hub:some/gated")
    assert "some/gated is gated: accept its terms" in said
    assert "HF_TOKEN" in said


def test_a_repository_that_is_not_there(hub):
    assert "the hub has no repository no/body" in refuse("hf-hub:no/body")


def test_a_bert_tower_is_described_beside_its_weights(tmp_path, tiny_config, words_folder):
    """As BiomedCLIP's, whose tower's configuration stands in another repository."""
    bert = {
        "model_type": "bert", "vocab_size": 9, "hidden_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 16,
    }  # fmt: skip
    text = {
        "hf_model_name": "some/bert", "hf_tokenizer_name": "some/bert", "context_length": 8,
        "hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler",
        "hf_model_pretrained": False,
    }  # fmt: skip
    folder = tmp_path / "biomed"
    shutil.copytree(words_folder, folder)
    (folder / "config.json").write_text(json.dumps(bert))
    config = {**tiny_config, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    weights = build_model(config, text_model=folder).state_dict()
    save_file(weights, folder / "open_clip_model.safetensors")
    with offline():
        assert rows(folder).shape == (2, tiny_config["embed_dim"])
