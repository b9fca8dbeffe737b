#!/usr/bin/env bash
# transformers 5.24: one empty text makes every probability of TIPSv2 not a number.
#
# TIPSv2's tokenizer adds no mark to a text, so that an empty one (a caption that was left out, a class
# without a name) is padding alone and its mask nothing but 0. The text tower averages over the tokens
# of the mask, none here, and divides by their number. The row is nan, and so is its column of
# logits_per_image; a softmax over the texts then is nan for every image and every text, the others
# included. CLIP and SigLIP, whose texts have at least an end mark, answer. No word is said.
#
# Safe: leave empty texts out before they are embedded, or take any row with an empty mask as unknown.
#
# Seen, for the texts "", "an ant" and two random pictures:
#   tokens 0 and 7; row of "" nan; softmax over both texts nan for both pictures; without it 1 and 1
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.24.0 torch==2.15.0 torchvision pillow
cat > "$folder/look.py" <<'PYTHON'
import sys

import torch
import transformers
from transformers import Tipsv2Config, Tipsv2Model, Tipsv2Tokenizer

letters = ["<pad>", "<unk>", "\u2581", *"aefhinotz"]
tokenizer = Tipsv2Tokenizer(vocab={letter: i for i, letter in enumerate(letters)}, merges=[])
small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
torch.manual_seed(0)
model = Tipsv2Model(
    Tipsv2Config(
        text_config={**small, "intermediate_size": 64, "vocab_size": len(letters)},
        vision_config={**small, "image_size": 56},
    )
).eval()


def answers(texts):
    given = tokenizer(texts, padding="max_length", max_length=64, return_tensors="pt")
    with torch.no_grad():
        out = model(**given, pixel_values=torch.rand(2, 3, 56, 56))
    return given["attention_mask"].sum(dim=1), out.text_embeds, out.logits_per_image.softmax(dim=-1)


tokens, rows, shares = answers(["", "an ant"])
_, _, without = answers(["an ant"])
print("transformers", transformers.__version__, "tokens of each text", tokens.tolist())
print("rows that are nan", rows.isnan().any(dim=1).tolist())
print("shares", shares.tolist(), "without the empty text", without.flatten().tolist())
holds = (
    tokens[0] == 0
    and rows.isnan().any(dim=1).tolist() == [True, False]
    and bool(shares.isnan().all())
    and bool(without.isfinite().all())
)
sys.exit(0 if holds else 1)
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
