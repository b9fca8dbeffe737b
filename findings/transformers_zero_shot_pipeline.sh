#!/usr/bin/env bash
# transformers 5.24.0: the zero-shot pipeline pads SigLIP's texts to 64 whatever the model's context, and
# drops the argument that would change it.
#
# pipeline("zero-shot-image-classification") calls the tokenizer with padding="max_length",
# max_length=64 for every model whose type holds "siglip". A SigLIP model of another context, such as
# the 16 tokens of the published so400m-patch14-224, is refused by its own text tower: "Sequence length
# must be less than max_position_embeddings (got `sequence length`: 64 ...". The call takes
# tokenizer_kwargs, and preprocess() honours them; but the step between does not hand them on, so they
# change nothing, here or for texts of CLIP that are longer than its 77 tokens, and nothing is said.
#
# Seen, random weights:
#   context 64: {'very old brown cat': 0.508305, 'very old brown cat and small dog': 0.495797}
#   context 64, max_length 7: {'very old brown cat': 0.508305, 'very old brown cat and small dog': 0.495797}
#   context 16: Sequence length must be less than max_position_embeddings (got `sequence length`: 64 ...
#   context 16, max_length 16: the same
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.24.0 torch==2.15.0 torchvision==0.29.2 pillow==13.0.0
cat > "$folder/pipe.py" <<'PYTHON'
import sys
from importlib.metadata import version

import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    logging,
    pipeline,
)

logging.set_verbosity_error()
words = ["<pad>", "</s>", "<unk>", *"this is a photo of cat dog small brown and very old".split()]
vocabulary = {word: number for number, word in enumerate(words)}
core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()


def make(context):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes["num_attention_heads"] = 2
    text = {**sizes, "vocab_size": len(words), "max_position_embeddings": context}
    text |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "projection_size": 32}
    config = SiglipConfig(
        text_config=text, vision_config={**sizes, "image_size": 32, "patch_size": 16}
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=context,
    )
    return pipeline(
        "zero-shot-image-classification", model=SiglipModel(config).eval(), tokenizer=tokenizer,
        image_processor=SiglipImageProcessor(size={"height": 32, "width": 32}),
    )


picture = Image.linear_gradient("L").convert("RGB")
labels = ["very old brown cat and small dog", "very old brown cat"]
print(f"transformers {version('transformers')}, torch {version('torch')}")


def ask(classify, **given):
    found = classify(picture, candidate_labels=labels, **given)
    return {one["label"]: round(one["score"], 6) for one in found}


cut = {"tokenizer_kwargs": {"max_length": 7, "truncation": True}}
plain, shorter = ask(make(64)), ask(make(64), tokenizer_kwargs={"max_length": 7})
print(f"context 64: {plain}")
print(f"context 64, max_length 7: {shorter}")
said = []
for given in ({}, {"tokenizer_kwargs": {"max_length": 16}}):
    try:
        ask(make(16), **given)
    except ValueError as error:
        said.append(str(error).splitlines()[0])
print(f"context 16: {said[:1]}", f"context 16, max_length 16: {said[1:]}", sep="\n")
sys.exit(0 if plain == shorter and all("64" in line for line in said) and len(said) == 2 else 1)
PYTHON
"$folder/venv/bin/python" "$folder/pipe.py"
