"""Models of a stranger that ask for Python of their own: no way of naming one runs it."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
from safetensors.torch import save_file

from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.classifiers.run_encoder import load_run_encoder, save_run_encoder
from cliptune.encoders import load_encoder
from cliptune.encoders.engines.storage import GraphStore
from cliptune.encoders.model_config import rebuild_encoder
from cliptune.encoders.open_clip_encoder import build_model, to_preprocess
from cliptune.encoders.permitted import permit_config
from cliptune.encoders.plain_files import TEXT_MODELS, plain_text_model
from cliptune.encoders.published import architectures, model_config
from cliptune.encoders.tokenizers import build_tokenizer
from cliptune.errors import CheckpointError
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.runs import RunDir

SCRIPT = """
from pathlib import Path
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

Path({marker!r}).touch()

class Own(PreTrainedTokenizerFast):
    pass

class OwnConfig(BertConfig):
    model_type = "own"

class OwnModel(BertModel):
    config_class = OwnConfig
"""


@pytest.fixture(autouse=True)
def somebody_says_yes(monkeypatch, tmp_path):
    """Whoever asks on standard input is told yes; modules that were fetched stay out of here."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "the-code-ran"


@pytest.fixture
def add_code(marker, words_folder):
    """Put a tokenizer with Python beside it into a folder."""

    def add(folder, *, auto_map=True):
        folder.mkdir(parents=True, exist_ok=True)
        for path in words_folder.iterdir():
            shutil.copy(path, folder)
        (folder / "own.py").write_text(SCRIPT.format(marker=str(marker)))
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        if auto_map:
            settings |= {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [None, "own.Own"]}}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return folder

    return add


def words_config(config, **text):
    own = {"vocab_size": 9, "context_length": 8, "hf_tokenizer_name": "nowhere/words"}
    return {**config, "text_cfg": {**config["text_cfg"], **own, "pool_type": "last", **text}}


TRUSTING = {"trust_remote_code": True}


@pytest.mark.parametrize("options", [{}, TRUSTING], ids=["asks", "demands"])
def test_a_folder(options, tiny_config, make_folder, add_code, marker):
    folder = add_code(make_folder(words_config(tiny_config)))
    described = json.loads((folder / "open_clip_config.json").read_text())
    described["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = options
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match=r"auto_map|'trust_remote_code', refused"):
        load_encoder(str(folder), device="cpu", precision="fp32")
    assert not marker.exists()


@pytest.mark.parametrize("options", [{}, TRUSTING], ids=["asks", "demands"])
def test_a_run(options, tiny_config, make_folder, words_folder, add_code, marker, tmp_path):
    folder = make_folder(words_config(tiny_config))
    for path in words_folder.iterdir():
        shutil.copy(path, folder)
    run = RunDir.create(tmp_path / "run", {})
    encoder = load_encoder(str(folder), device="cpu", precision="fp32")
    record = save_run_encoder(run, encoder)
    write_classifier(run, record)
    add_code(run.path / "encoder" / "tokenizer")
    blueprint = run.read_json("encoder.json")
    blueprint["config"]["text_cfg"]["tokenizer_kwargs"] = options
    run.write_json("encoder.json", blueprint)
    run.finish({})
    with pytest.raises(CheckpointError, match=r"auto_map|'trust_remote_code', refused"):
        load_run_encoder(str(run.path), device="cpu")
    assert not marker.exists()


def write_classifier(run: RunDir, record: EncoderRecord) -> None:
    rows = np.eye(2, record.dim, dtype=np.float32)
    head = ZeroShotHead().fit(text_rows=rows, logit_scale=10.0)
    CalibratedHead(head, ("ant", "bee"), ("a photo of a {}.",), record).save(run)


@pytest.fixture
def cached_hub(tmp_path, monkeypatch):
    """A cache of the hub with one repository each for the asked name."""
    from huggingface_hub import constants, file_download

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(file_download.constants, "HF_HUB_CACHE", str(cache), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def place(repo):
        root = cache / ("models--" + repo.replace("/", "--"))
        (root / "refs").mkdir(parents=True)
        (root / "refs" / "main").write_text("0" * 40)
        snapshot = root / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        return snapshot

    return place


def test_a_repository_in_the_cache_of_the_hub(
    tiny_config, make_folder, add_code, cached_hub, marker
):
    folder = make_folder(words_config(tiny_config, hf_tokenizer_name="someone/words"))
    shutil.copytree(folder, snapshot := cached_hub("someone/model"), dirs_exist_ok=True)
    add_code(cached_hub("someone/words"))
    with pytest.raises(CheckpointError, match="auto_map"):
        load_encoder("hf-hub:someone/model", device="cpu", precision="fp32")
    add_code(snapshot)
    with pytest.raises(CheckpointError, match="auto_map"):
        load_encoder("hf-hub:someone/model", device="cpu", precision="fp32")
    assert not marker.exists()


def test_an_architecture_at_a_file(
    tiny_config, make_folder, add_code, cached_hub, marker, monkeypatch
):
    """The architecture's own tokenizer comes from the cache of the hub."""
    config = words_config(tiny_config, hf_tokenizer_name="someone/words")
    folder = make_folder(config)
    add_code(cached_hub("someone/words"))
    monkeypatch.setattr("cliptune.encoders.model_files.model_config", lambda _: config)
    name = f"ViT-B-16-SigLIP@{folder / 'open_clip_model.safetensors'}"
    with pytest.raises(CheckpointError, match="auto_map"):
        load_encoder(name, device="cpu", precision="fp32")
    assert not marker.exists()


def test_an_engines_stored_tokenizer_is_data_of_the_tokenizers_library(tmp_path, marker):
    store = GraphStore(tmp_path, "f" * 64)
    store.path.mkdir(parents=True)
    file = store.path / "tokenizer.json"
    for broken in (
        "[]", "{}", '{"cleaning": 3, "definition": "{}"}', '{"cleaning": "lower", "definition": 1}',
        json.dumps({"cleaning": "lower", "definition": '{"model": {"type": "own.Own"}}'}),
        "[" * 100_000,
    ):  # fmt: skip
        file.write_text(broken)
        assert store.read_tokenizer() is None
    assert not marker.exists()


def test_python_beside_a_plain_tokenizer_is_left_alone(words_folder, add_code, tmp_path, marker):
    folder = add_code(tmp_path / "plain", auto_map=False)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}})
    )
    ours = build_tokenizer({"context_length": 6}, folder)
    assert ours(["a bee"])[0].tolist() == [3, 7, 1, 0, 0, 0]
    assert ours.identity == build_tokenizer({"context_length": 6}, words_folder).identity
    assert not marker.exists()


def test_settings_that_name_files_elsewhere_are_not_followed(words_folder, tmp_path):
    folder = tmp_path / "words"
    shutil.copytree(words_folder, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"vocab_file": "/etc/hostname", "tokenizer_file": str(tmp_path / "none.json")}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    ours = build_tokenizer({"context_length": 6}, folder)
    assert ours(["a bee"])[0].tolist() == [3, 7, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"use_fast": False}, "'use_fast', refused"),
        ({"cache_dir": "/tmp"}, "'cache_dir', refused"),
        ({"clean": "exec"}, "clean cannot be 'exec'"),
        ({"strip_sep_token": 1}, "strip_sep_token cannot be 1"),
        (["clean"], "expected an object"),
    ],
)
def test_options_of_a_tokenizer_are_listed(options, reason, words_folder):
    with pytest.raises(CheckpointError, match=reason):
        build_tokenizer({"tokenizer_kwargs": options}, words_folder)


BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
BERT |= {"intermediate_size": 32, "max_position_embeddings": 16, "pad_token_id": 0}


def text_folder(tmp_path, marker, **settings):
    folder = tmp_path / "text"
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(SCRIPT.format(marker=str(marker)))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **BERT, **settings}))
    return folder


def bert_config(tiny_config):
    return words_config(tiny_config, hf_model_name="someone/bert", hf_pooler_type="mean_pooler")


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}},
        {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}},
        {"model_type": "own"},
        {"vocab_size": "many"},
        {"vocab_size": {"a": []}},
    ],
)
def test_a_text_towers_description(settings, tiny_config, tmp_path, marker):
    folder = text_folder(tmp_path, marker, **settings)
    with pytest.raises(CheckpointError):
        build_model(bert_config(tiny_config), text_model=folder)
    assert not marker.exists()


def test_of_a_text_tower_only_its_numbers_are_read(tiny_config, tmp_path, marker):
    """How attention is computed may name code on the hub; it is not passed on."""
    folder = text_folder(
        tmp_path, marker, attn_implementation="someone/kernel", _attn_implementation="someone/x"
    )
    model = build_model(bert_config(tiny_config), text_model=folder)
    assert model.text.config.hidden_size == 32
    assert model.text.transformer.config._attn_implementation in ("eager", "sdpa")
    with plain_text_model(folder) as plain:
        assert json.loads((plain / "config.json").read_text()) == {"model_type": "bert", **BERT}
    assert not plain.exists()


def test_a_run_that_names_a_text_tower_it_does_not_hold_fetches_none(tiny_config, tmp_path):
    facts = {"kind": "open_clip", "config": bert_config(tiny_config), "preprocess": {}}
    weights = tmp_path / "w.safetensors"
    save_file(build_model(tiny_config).state_dict(), weights)
    with pytest.raises(CheckpointError, match="is not beside the weights"):
        rebuild_encoder(
            "x", facts, weights=weights, folder=tmp_path, device="cpu", precision="fp32"
        )


@pytest.mark.parametrize(
    "change",
    [
        {"vision_cfg": {"timm_model_name": "hf-hub:someone/model"}},
        {"vision_cfg": {"timm_model_name": "local-dir:/tmp"}},
        {"vision_cfg": {"timm_model_name": 3}},
        {"text_cfg": {"hf_tokenizer_name": "../../words"}},
        {"text_cfg": {"hf_tokenizer_name": "/etc"}},
        {"text_cfg": {"hf_tokenizer_name": ["a"]}},
        {"text_cfg": {"hf_model_name": "~/x"}},
        {"text_cfg": {"hf_model_config": {"auto_map": {}}}},
        {"text_cfg": {"layers": 10**9}},
        {"text_cfg": {"width": 0}},
        {"text_cfg": {"width": "64"}},
        {"text_cfg": {"act_kwargs": {"a": {"b": 1}}}},
        {"text_cfg": 7},
        {"embed_dim": float("nan")},
        {"embed_dim": None, "cast_dtype": "float16"},
        {"hook": "os.system"},
    ],
)
def test_what_a_description_may_not_ask_for(change, tiny_config):
    merged = {
        key: {**tiny_config.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in change.items()
    }
    with pytest.raises(CheckpointError, match="the file"):
        permit_config({**tiny_config, **merged}, "the file")


@pytest.mark.parametrize("config", [None, [], {}, {"vision_cfg": {}, "text_cfg": {}}])
def test_a_description_that_is_none(config):
    with pytest.raises(CheckpointError, match="the file"):
        permit_config(config, "the file")


def test_all_that_open_clip_describes_itself_is_permitted():
    for name in architectures():
        config = model_config(name)
        assert permit_config(config, name) == config


def test_the_fields_of_every_text_tower_are_listed():
    """What transformers adds to these descriptions has to be looked at, and listed."""
    import dataclasses

    from transformers import AutoConfig, PretrainedConfig

    common = {field.name for field in dataclasses.fields(PretrainedConfig)}
    for kind, listed in TEXT_MODELS.items():
        fields = {field.name for field in dataclasses.fields(AutoConfig.for_model(kind))}
        assert fields - common <= set(listed), kind


@pytest.mark.parametrize(
    "fields",
    [
        {"std": [0.5, 0, 0.5]}, {"std": 0}, {"mean": "bright"}, {"mean": [0.5]},
        {"fill_color": 256}, {"mean": [0.5, float("nan"), 0.5]}, {"size": {"a": {"b": 1}}}, [1],
    ],
)  # fmt: skip
def test_preprocessing_that_gives_no_pixels(fields):
    with pytest.raises(CheckpointError, match=r"preprocess_cfg|fill_color"):
        to_preprocess(fields, 64)
