"""Tiny models of real architectures, with random weights that are the same in every run."""

import json
from functools import partial

import pytest

TINY_VISION = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 32}
TINY_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
TINY = {"embed_dim": 32, "vision_cfg": TINY_VISION, "text_cfg": TINY_TEXT}
TINY_RESNET = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
    "text_cfg": TINY_TEXT,
}


@pytest.fixture
def trusting_cache(tmp_path, monkeypatch):
    """A cache that trusts the times of files however young they are, and short trials."""
    from cliptune.encoders.engines import opening
    from cliptune.encoders.engines.trial import Trial
    from cliptune.system import file_state

    monkeypatch.setattr(file_state, "_SETTLED_NS", -1)
    monkeypatch.setattr(opening, "Trial", partial(Trial, seconds=0.01))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def tiny_config():
    return TINY


@pytest.fixture(scope="session")
def tiny_resnet_config():
    return TINY_RESNET


@pytest.fixture(scope="session")
def make_model():
    """Build a model from open_clip's description, in evaluation mode."""

    def make(config, seed=0):
        import torch

        from cliptune.encoders.open_clip_encoder import build_model

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build_model(config).eval()
            modules = list(model.modules())
            deep = any(isinstance(module, torch.nn.BatchNorm2d) for module in modules)
            for module in modules:  # as after training: else all pictures come out alike
                if deep and isinstance(module, torch.nn.Conv2d):
                    torch.nn.init.kaiming_normal_(module.weight)
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.weight.data.uniform_(0.5, 1.5)
                    module.running_mean.uniform_(-0.1, 0.1)
                    module.running_var.uniform_(0.5, 1.5)
            if hasattr(model, "text_decoder"):  # open_clip leaves it as the memory was
                model.text_decoder.text_projection.data.zero_()
            return model

    return make


@pytest.fixture
def make_folder(tmp_path, make_model):
    """Write a model as a folder with ``open_clip_config.json`` and return the folder."""

    def make(config, preprocess=None, *, weights="open_clip_model.safetensors", seed=0):
        from safetensors.torch import save_file

        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        described = {"model_cfg": config, "preprocess_cfg": preprocess or {}}
        (folder / "open_clip_config.json").write_text(json.dumps(described))
        save_file(make_model(config, seed).state_dict(), folder / weights)
        return folder

    return make


@pytest.fixture
def pixels():
    """Four pictures of 64 pixels as bytes, of different shapes and colours."""
    import numpy as np

    coarse = np.random.default_rng(0).integers(0, 256, (4, 3, 4, 4), dtype=np.uint8)
    return coarse.repeat(16, axis=2).repeat(16, axis=3)


@pytest.fixture(scope="session")
def words_folder(tmp_path_factory):
    """A Hugging Face tokenizer of nine words that ends each text in ``</s>``."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", "a", "photo", "of", "ant", "bee", "the"]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    folder = tmp_path_factory.mktemp("words")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_family(tmp_path_factory):
    """Make a family's small model once, saved by transformers; see ``family_models``."""
    from family_models import make

    made = {}

    def get(name):
        if name not in made:
            made[name] = make(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="session")
def small_open_clip(tmp_path_factory):
    """Make a family's small model once, saved by open_clip; see ``open_clip_models``."""
    from open_clip_models import make_open_clip

    made = {}

    def get(name):
        if name not in made:
            made[name] = make_open_clip(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get
