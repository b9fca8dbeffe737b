"""Small random models of transformers' families, saved by transformers itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

WORDS = [
    "a", "photo", "of", "this", "is", "an", "the", "ant", "bee", "insect", "flower", "cat", "dog",
    "bird", "blue", "red", "two", "on", "leaf", ".", ",", "!", "'", "n", "t", "e", "s",
]  # fmt: skip
# In the language of the models and not, with blanks, capitals and marks.
TEXTS = [
    "This is a photo of an ant.",
    "a photo of a bee",
    "  Two   blue BIRDS!",
    "it's a cat, isn't it?",
    "\u8702 and na\u00efve \U0001f41d",
]
BLOCK = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
VIT = {**BLOCK, "image_size": 64, "patch_size": 16}
OPENAI = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}


@dataclass(frozen=True)
class Small:
    """A family's model, processor and folder."""

    name: str
    folder: Path
    padding: dict[str, object]


def bert_tokenizer(folder):
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    words += list("abcdefghijklmnopqrstuvwxyz")
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=512)


def unigram_tokenizer(folder):
    from transformers import XLMRobertaTokenizer

    pieces = ["\u2581" + word for word in WORDS] + list("abcdefghijklmnopqrstuvwxyz\u2581.,!'")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [(piece, 0.0) for piece in special] + [(p, -2.0) for p in dict.fromkeys(pieces)]
    return XLMRobertaTokenizer(vocab=vocabulary, model_max_length=77)


def gemma_tokenizer(folder):
    from transformers import Siglip2Tokenizer

    return Siglip2Tokenizer(**byte_pairs(special=("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")))


def tips_tokenizer(folder):
    from transformers import Tipsv2Tokenizer

    return Tipsv2Tokenizer(**byte_pairs(special=("<pad>", "<unk>")))


def byte_pairs(special):
    """Train byte pairs with byte fallback on a few sentences."""
    from tokenizers import Tokenizer, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=pieces, show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS), "this is a photo of an ant."] * 5, trainer)
    import json

    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(pair) for pair in model["merges"]]}


def make(
    name: str,
    folder: Path,
    *,
    seed: int = 0,
    scale: float = 10.0,
    bias: float = -2.0,
    context: int | None = None,
    true_size: bool = False,
) -> Small:
    """Save a random model of a family with its processor: small, or at transformers' own size."""
    import transformers

    build = _BUILDERS[name]
    tokenizer, config, image_processor, padding = build(folder)
    if true_size:
        config, image_processor = _at_true_size(name, config, image_processor)
    if context is not None:
        config.text_config.max_position_embeddings = context
        padding["max_length"] = context
    if name == "siglip-of-siglip2":
        name = "siglip"
    kinds = {
        "siglip": "SiglipModel", "siglip2": "Siglip2Model", "metaclip_2": "MetaClip2Model",
        "align": "AlignModel", "altclip": "AltCLIPModel", "chinese_clip": "ChineseCLIPModel",
        "tipsv2": "Tipsv2Model",
    }  # fmt: skip
    processors = {
        "siglip": "SiglipProcessor", "siglip2": "Siglip2Processor", "metaclip_2": "CLIPProcessor",
        "align": "AlignProcessor", "altclip": "AltCLIPProcessor",
        "chinese_clip": "ChineseCLIPProcessor", "tipsv2": "Tipsv2Processor",
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, kinds[name])(config).eval()
        spread(model)
        if true_size:
            settle(model, partial(_see_pictures, model, image_processor))
        with torch.no_grad():
            if hasattr(model, "logit_scale"):
                model.logit_scale.fill_(torch.tensor(scale).log())
            if hasattr(model, "logit_bias"):
                model.logit_bias.fill_(bias)
            if hasattr(model, "temperature"):
                model.temperature.fill_(1 / scale)
    model.save_pretrained(folder)
    processor = getattr(transformers, processors[name])
    processor(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(folder)
    return Small(name, folder, padding)


def _at_true_size(name, config, image_processor):
    """Return transformers' own configuration with the ids of the small tokenizer's marks."""
    marks = ("bos_token_id", "eos_token_id", "pad_token_id")
    ids = {key: getattr(config.text_config, key, None) for key in marks}
    whole = type(config)(
        text_config={key: value for key, value in ids.items() if value is not None}
    )
    side = {"tipsv2": 448, "align": 289}.get(name, 224)
    square = {"height": side, "width": side}
    sizes = {"size": square, "crop_size": square}
    if name == "siglip2":
        sizes = {"patch_size": 16, "max_num_patches": 256}
    elif name == "align":
        sizes["size"] = {"height": 346, "width": 346}
    elif "shortest_edge" in image_processor.size:
        sizes["size"] = {"shortest_edge": side}
    return whole, type(image_processor)(**{**image_processor.to_dict(), **sizes})


def _see_pictures(model, image_processor):
    from cliptune.encoders.engines.agreement import photo_like

    pictures = list(photo_like(8, (300, 300)).transpose(0, 2, 3, 1))
    model.get_image_features(**image_processor(pictures, return_tensors="pt"))


def settle(model, see):
    """Give batch norms the statistics of what is seen; else values grow block by block."""
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    if norms:
        with torch.no_grad():
            see()
    model.eval()


def spread(model):
    """Draw weights so large that pictures and texts come out apart."""
    for part in model.modules():
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Embedding):
            fan = part.weight[0].numel() if not isinstance(part, torch.nn.Embedding) else 1
            torch.nn.init.normal_(part.weight, std=1.5 * fan**-0.5)
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.data.uniform_(0.5, 1.5)


def _siglip(folder):
    from transformers import SiglipConfig, SiglipImageProcessor

    tokenizer = gemma_tokenizer(folder)
    text = {**BLOCK, "vocab_size": len(tokenizer), "bos_token_id": 2, "eos_token_id": 1}
    config = SiglipConfig(text_config={**text, "pad_token_id": 0}, vision_config=VIT)
    processor = SiglipImageProcessor(size={"height": 64, "width": 64}, resample=2)
    return tokenizer, config, processor, {"padding": "max_length", "max_length": 64}


def _siglip2(folder):
    from transformers import Siglip2Config, Siglip2ImageProcessor

    tokenizer = gemma_tokenizer(folder)
    text = {**BLOCK, "vocab_size": len(tokenizer), "bos_token_id": 2, "eos_token_id": 1}
    vision = {**BLOCK, "num_patches": 16, "patch_size": 16}
    config = Siglip2Config(text_config={**text, "pad_token_id": 0}, vision_config=vision)
    processor = Siglip2ImageProcessor(patch_size=16, max_num_patches=20)
    return tokenizer, config, processor, {"padding": "max_length", "max_length": 64}


def _metaclip_2(folder):
    from transformers import CLIPImageProcessor, MetaClip2Config

    tokenizer = unigram_tokenizer(folder)
    text = {**BLOCK, "vocab_size": len(tokenizer), "projection_dim": 24}
    ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    config = MetaClip2Config(
        text_config={**text, **ids},
        vision_config={**VIT, "projection_dim": 24, "hidden_act": "gelu"},
        projection_dim=24,
    )
    return tokenizer, config, CLIPImageProcessor(**OPENAI), {"padding": True}


def _altclip(folder):
    from transformers import AltCLIPConfig, CLIPImageProcessor

    tokenizer = unigram_tokenizer(folder)
    text = {**BLOCK, "vocab_size": len(tokenizer), "project_dim": 24}
    positions = {"max_position_embeddings": 90}
    config = AltCLIPConfig(
        text_config={**text, **positions},
        vision_config={**VIT, "projection_dim": 24},
        projection_dim=24,
    )
    return tokenizer, config, CLIPImageProcessor(**OPENAI), {"padding": True}


def _chinese_clip(folder):
    from transformers import ChineseCLIPConfig, ChineseCLIPImageProcessor

    tokenizer = bert_tokenizer(folder)
    config = ChineseCLIPConfig(
        text_config={**BLOCK, "vocab_size": len(tokenizer)},
        vision_config={**VIT, "projection_dim": 24},
        projection_dim=24,
    )
    return tokenizer, config, ChineseCLIPImageProcessor(**OPENAI), {"padding": True}


def _align(folder):
    from transformers import AlignConfig, EfficientNetImageProcessor

    tokenizer = bert_tokenizer(folder)
    vision = {
        "width_coefficient": 0.5, "depth_coefficient": 0.4, "hidden_dim": 24, "image_size": 64,
        "kernel_sizes": [3, 5], "in_channels": [32, 16], "out_channels": [16, 24],
        "strides": [1, 2], "num_block_repeats": [1, 2], "expand_ratios": [1, 6],
    }  # fmt: skip
    config = AlignConfig(
        text_config={**BLOCK, "vocab_size": len(tokenizer)}, vision_config=vision, projection_dim=16
    )
    processor = EfficientNetImageProcessor(
        size={"height": 76, "width": 76}, crop_size={"height": 64, "width": 64},
        do_center_crop=True, rescale_offset=True, rescale_factor=1 / 127.5, do_normalize=False,
        include_top=False, resample=2,
    )  # fmt: skip
    return tokenizer, config, processor, {"padding": "max_length", "max_length": 64}


def _tipsv2(folder):
    from transformers import Tipsv2Config, Tipsv2ImageProcessor

    tokenizer = tips_tokenizer(folder)
    text = {**BLOCK, "vocab_size": len(tokenizer)}
    vision = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56,
    }  # fmt: skip
    config = Tipsv2Config(text_config=text, vision_config=vision)
    processor = Tipsv2ImageProcessor(size={"height": 56, "width": 56})
    return tokenizer, config, processor, {"padding": "max_length", "max_length": 64}


_BUILDERS = {
    "siglip": _siglip, "siglip2": _siglip2, "metaclip_2": _metaclip_2, "altclip": _altclip,
    "chinese_clip": _chinese_clip, "align": _align, "tipsv2": _tipsv2,
}  # fmt: skip
FAMILIES = tuple(_BUILDERS)
