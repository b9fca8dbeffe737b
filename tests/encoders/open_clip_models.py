"""Small random models of open_clip's families, saved as open_clip saves them.

Image towers are timm's own classes in the arrangement of each family, at a small width where the
smallest published one is large. Texts, marks and preprocessing are those of the family's example.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from family_models import BLOCK, bert_tokenizer, gemma_tokenizer, settle, spread, unigram_tokenizer

VISION = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 32}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
PLAIN = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}


@dataclass(frozen=True)
class SmallOpenClip:
    """A family's folder, and the same as open_clip alone can read it."""

    name: str
    folder: Path
    original: Path


@cache
def register_small_towers():
    """Add small image towers to timm's list, published ones with fewer and narrower layers."""
    from timm.models import register_model

    known = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}
    for name, (kind, arguments) in _small_towers().items():

        def build(kind=kind, arguments=arguments, **kwargs):
            kept = {k: v for k, v in kwargs.items() if k not in known and v is not None}
            model = kind(**{**arguments, **kept})
            model.default_cfg = {}
            return model

        build.__name__ = name
        build.__module__ = __name__
        register_model(build)


def _small_towers():
    from timm.layers import LayerNorm
    from timm.models.eva import Eva
    from timm.models.fastvit import FastVit, RepConditionalPosEnc
    from timm.models.vision_transformer import VisionTransformer
    from timm.models.vitamin import GeGluMlp, VitCfg, VitConvCfg, _create_vitamin

    size = {"embed_dim": 64, "depth": 2, "num_heads": 2}
    vit = {**size, "patch_size": 16, "img_size": 64}
    eva = {
        "qkv_fused": False, "mlp_ratio": 4 * 2 / 3, "swiglu_mlp": True, "scale_mlp": True,
        "scale_attn_inner": True, "use_rot_pos_emb": True, "ref_feat_shape": (16, 16),
    }  # fmt: skip
    pe = {
        "mlp_ratio": 4.0, "attn_type": "rope", "use_pre_transformer_norm": True,
        "use_rot_pos_emb": True, "ref_feat_shape": (24, 24), "rope_grid_offset": 1.0,
        "rope_grid_indexing": "xy", "attn_pool_num_heads": 2, "attn_pool_mlp_ratio": 4.0,
        "norm_layer": partial(LayerNorm, eps=1e-5), "img_size": 96,
    }  # fmt: skip
    fastvit = {
        "layers": (1, 2, 1, 1), "embed_dims": (16, 32, 64, 128), "mlp_ratios": (3,) * 4,
        "se_downsamples": (False, False, True, True), "lkc_use_act": True,
        "pos_embs": (None, None, None, partial(RepConditionalPosEnc, spatial_shape=(7, 7))),
        "token_mixers": ("repmixer", "repmixer", "repmixer", "attention"),
    }  # fmt: skip
    convolutions = VitConvCfg(norm_layer="layernorm2d", norm_eps=1e-6)
    stem = VitCfg(
        embed_dim=(16, 32, 64), depths=(1, 1, 1), stem_width=16, conv_cfg=convolutions,
        head_type="1d",
    )  # fmt: skip
    vitamin = {
        **size, "mlp_layer": GeGluMlp, "mlp_ratio": 2.0, "class_token": False,
        "global_pool": "avg", "embed_cfg": stem, "img_size": 64, "variant": "vitamin_small_224",
    }  # fmt: skip
    return {
        "small_vit": (VisionTransformer, vit),
        "small_vit_siglip": (VisionTransformer, {**vit, "class_token": False}),
        "small_eva02_clip": (Eva, {**vit, **eva}),
        "small_pe_core": (Eva, {**vit, **pe}),
        "small_fastvit_mci": (FastVit, fastvit),
        "small_vitamin": (_create_vitamin, vitamin),
    }


def _timm(name, size=64, **own):
    return {"timm_model_name": name, "timm_model_pretrained": False, "image_size": size, **own}


def _siglip(tokenizer, **text):
    words = {
        "context_length": 64, "vocab_size": len(tokenizer), "hf_tokenizer_name": "some/words",
        "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 64, "heads": 2, "layers": 2,
        "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6}, **text,
    }  # fmt: skip
    vision = _timm("small_vit_siglip", timm_pool="map", timm_proj="none")
    return {
        "embed_dim": 64, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision,
        "text_cfg": words,
    }  # fmt: skip


def _of_timm(tower, **text):
    return {"embed_dim": 32, "vision_cfg": tower, "text_cfg": {**TEXT, **text}, "custom_text": True}


def _coca():
    vision = {**VISION, "attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True}
    text = {**TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True}
    decoder = {
        "context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2,
        "attn_pooler_heads": 2,
    }  # fmt: skip
    return {
        "embed_dim": 32, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder,
        "custom_text": True,
    }  # fmt: skip


def _worldwide(tokenizer):
    text = {**TEXT, "vocab_size": len(tokenizer), "hf_tokenizer_name": "facebook/xlm-v-base"}
    return {**PLAIN, "text_cfg": {**text, "pool_type": "eos", "eos_id": 2}}


def _of_hugging_face(vision, **text):
    named = {"hf_model_name": "some/tower", "hf_tokenizer_name": "some/tower"}
    return {"embed_dim": 32, "vision_cfg": vision, "text_cfg": {**named, **text}}


def _m2m_100(vocabulary):
    return {
        "model_type": "m2m_100", "vocab_size": vocabulary, "d_model": 32, "encoder_layers": 2,
        "encoder_ffn_dim": 64, "encoder_attention_heads": 2, "decoder_layers": 1,
        "decoder_ffn_dim": 64, "decoder_attention_heads": 2, "activation_function": "relu",
        "max_position_embeddings": 128, "scale_embedding": True, "pad_token_id": 1,
        "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip


def _bert(vocabulary):
    return {**BLOCK, "model_type": "bert", "vocab_size": vocabulary, "pad_token_id": 0}


def _describe(name):
    """Return a family's description, its tokenizer and the text tower's own configuration."""
    timm = {
        "eva": _timm("small_eva02_clip", timm_pool="token", timm_proj=None),
        "pe_core": _timm("small_pe_core", 96, timm_pool="map", timm_proj=None),
        "convnext": _timm("test_convnext", timm_pool="", timm_proj="linear"),
        "vitamin": _timm("small_vitamin", timm_pool="", timm_proj="linear"),
    }
    fastvit = _timm("small_fastvit_mci", 128, timm_pool="avg", timm_proj=None)
    if name in timm:
        return _of_timm(timm[name], **({"context_length": 32} if name == "pe_core" else {})), None
    if name == "mobileclip2":
        return _of_timm(fastvit, no_causal_mask=True), None
    if name == "siglip-open_clip":
        words = unigram_tokenizer(None)
        return _siglip(words), words
    if name == "siglip2-open_clip":
        words = gemma_tokenizer(None)
        return _siglip(words, act_kwargs={"approximate": "tanh"}), words
    if name == "metaclip_2-open_clip":
        words = unigram_tokenizer(None)
        return _worldwide(words), words
    if name == "nllb":
        words = unigram_tokenizer(None)
        return _of_hugging_face(VISION, hf_proj_type="linear", hf_pooler_type="cls_pooler"), words
    if name == "biomedclip":
        text = {"hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler",
                "context_length": 256}  # fmt: skip
        vision = _timm("small_vit", timm_pool="", timm_proj="linear")
        return _of_hugging_face(vision, **text), bert_tokenizer(None)
    return {"coca": _coca(), "dfn": {**PLAIN, "quick_gelu": True}}.get(name, PLAIN), None


OPEN_CLIP_FAMILIES = {  # and what of it is built
    "bioclip": "ViT",
    "biomedclip": "timm's ViT, BERT",
    "clip": "ViT",
    "coca": "ViT with attention pooling, text decoder",
    "convnext": "timm's ConvNeXt",
    "dfn": "ViT with QuickGELU",
    "eva": "timm's EVA-02, SwiGLU and rotary positions",
    "metaclip_2-open_clip": "ViT, unigram vocabulary",
    "mobileclip2": "timm's FastViT with branches",
    "nllb": "ViT, M2M-100",
    "pe_core": "timm's EVA with attention pooling, context 32",
    "siglip-open_clip": "timm's ViT with attention pooling, unigram vocabulary",
    "siglip2-open_clip": "the same, vocabulary of byte pairs",
    "vitamin": "timm's ViTamin, convolutions and GeGLU",
}
_TOWERS = {"nllb": _m2m_100, "biomedclip": _bert}
_BIOMED = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}


def _true_m2m_100(vocabulary):
    sizes = {"d_model": 1024, "encoder_layers": 12, "encoder_ffn_dim": 4096}
    heads = {"encoder_attention_heads": 16, "max_position_embeddings": 1024}
    return {**_m2m_100(256_206), **sizes, **heads}


def _true_bert(vocabulary):
    return {"model_type": "bert", "vocab_size": 30_522, "pad_token_id": 0}


_TRUE_TOWERS = {"nllb": _true_m2m_100, "biomedclip": _true_bert}
# Where the example is larger than memory allows, or no architecture of open_clip's list.
_TRUE_SIZES = {
    "bioclip": "ViT-B-16", "metaclip_2-open_clip": "ViT-L-14-worldwide", "vitamin": "ViTamin-S",
}  # fmt: skip


def true_size_of(name):
    """Return the architecture that a family has at its true size."""
    from cliptune.encoders.families import families

    if name == "biomedclip":
        return "timm's vit_base_patch16_224 and BERT"
    return _TRUE_SIZES.get(name) or families()[name].examples[0].split("/")[0]


def _at_true_size(name, small):
    """Return open_clip's own description, with the small one's tokenizer."""
    from open_clip import get_model_config

    if name == "biomedclip":
        vision = _timm("vit_base_patch16_224", 224, timm_pool="", timm_proj="linear")
        return {**small, "embed_dim": 512, "vision_cfg": vision}
    config = get_model_config(true_size_of(name))
    kept = ("hf_tokenizer_name", "hf_model_name", "eos_id")
    config["text_cfg"] |= {key: small["text_cfg"][key] for key in kept if key in small["text_cfg"]}
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    return config


def preprocess_of(name):
    """Return the preprocessing that a family's example is published with."""
    from cliptune.encoders.families import families
    from cliptune.encoders.names import parse_name

    example = families()[name].examples[0]
    return _BIOMED if example.startswith("hf-hub:") else parse_name(example).preprocess


def make_open_clip(
    name: str, place: Path, *, seed: int = 0, true_size: bool = False
) -> SmallOpenClip:
    """Save a random model of a family, small or not, by open_clip's own functions."""
    import open_clip
    from open_clip.push_to_hf_hub import save_config_for_hf, save_for_hf
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict
    from open_clip.transformer import LayerScale
    from safetensors.torch import save_file

    register_small_towers()
    config, words = _describe(name)
    towers = _TOWERS
    if true_size:
        config, towers = _at_true_size(name, config), _TRUE_TOWERS
    folder, original = place / "ours", place / "theirs"
    for made in (folder, original):
        made.mkdir(parents=True)
    theirs = json.loads(json.dumps(config))
    if name in _TOWERS:
        (folder / "config.json").write_text(json.dumps(towers[name](len(words))))
        theirs["text_cfg"] |= {"hf_model_name": str(folder), "hf_model_pretrained": False}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _build(theirs).eval()
        spread(model)
        for part in model.modules():  # as after training: else they hide what they scale
            if type(part).__name__.startswith("LayerScale") or isinstance(part, LayerScale):
                part.gamma.data.uniform_(0.5, 1.0)
        settle(model, partial(_see_noise, model))
    fields = {**preprocess_of(name)}
    fields["size"] = model.visual.image_size
    cfg = merge_preprocess_dict(PreprocessCfg(), fields)
    open_clip.factory.set_model_preprocess_cfg(model, cfg)
    if words is not None:
        words.save_pretrained(original)
        tokenizer = open_clip.tokenizer.HFTokenizer(str(original))
        save_for_hf(model, tokenizer, config, folder, safe_serialization=True)
    else:
        save_file(model.state_dict(), folder / "open_clip_model.safetensors")
        save_config_for_hf(model, folder / "open_clip_config.json", config)
    described = json.loads((folder / "open_clip_config.json").read_text())
    (original / "open_clip_config.json").write_text(json.dumps({**described, "model_cfg": theirs}))
    (original / "open_clip_model.safetensors").symlink_to(folder / "open_clip_model.safetensors")
    return SmallOpenClip(name, folder, original)


def _see_noise(model):
    model.encode_image(torch.rand(4, 3, *model.visual.image_size))


def _build(config):
    import open_clip

    options = json.loads(json.dumps(config))
    custom = options.pop("custom_text", False) or "hf_model_name" in options["text_cfg"]
    kind = open_clip.CoCa if "multimodal_cfg" in options else open_clip.CustomTextCLIP
    model = (kind if custom else open_clip.CLIP)(**options)
    if hasattr(model, "text_decoder"):  # open_clip leaves it as the memory was
        model.text_decoder.text_projection.data.zero_()
    return model


def open_clip_rows(model: SmallOpenClip, images, texts):
    """Return open_clip's own unit rows of pictures and texts, and its logits."""
    import open_clip

    found, _, transform = open_clip.create_model_and_transforms(f"local-dir:{model.original}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{model.original}")
    found.eval()
    with torch.no_grad():
        pixels = torch.stack([transform(image) for image in images])
        rows = (
            found.encode_image(pixels, normalize=True),
            found.encode_text(tokenizer(texts), normalize=True),
        )
        logits = found.logit_scale.exp() * rows[0] @ rows[1].T
        if found.logit_bias is not None:
            logits = logits + found.logit_bias
    return rows[0].numpy(), rows[1].numpy(), logits.numpy()
