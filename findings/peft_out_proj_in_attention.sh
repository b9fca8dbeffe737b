#!/usr/bin/env bash
# peft 0.21.2 with open_clip 3.3.0: LoRA on "out_proj" is counted as trainable and never computes.
#
# open_clip's ViTs and text towers attend by torch's MultiheadAttention. That module does not call its
# output projection: it hands the projection's weight to a function. peft puts an update beside a layer
# by wrapping what is called, so an update on "out_proj", found by its name like any linear layer, stands
# beside a call that never comes. peft says nothing: the update is counted as trainable, moves no
# embedding whatever its values, gets no gradient, and stays as it was for the whole training. The same
# names on transformers' CLIPModel, whose attention does call the layer, train as one would expect, so a
# list of modules that was right there ("out_proj", "c_fc", "c_proj") loses a third of its updates here.
# Merging does count the update: where it was not zero, the merged model is not the one that was
# measured.
#
# Safe: name the whole attention ("attn"), for which peft has a layer of its own, or look after the first
# step whether each trainable parameter has a gradient.
#
# Seen, for updates that do not start at zero, as the largest change of an embedding by the update, the
# parameters with a gradient, and the largest change by merging it:
#   open_clip, out_proj: update 0.00, 0 of 4 have a gradient, merging 0.92
#   open_clip, attn: update 2.45, 8 of 8 have a gradient, merging 0.00
#   transformers, out_proj: update 0.58, 4 of 4 have a gradient, merging 0.00
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  torch==2.15.0 torchvision==0.29.2 open_clip_torch==3.3.0 peft==0.21.2 transformers==5.24.0
cat > "$folder/adapt.py" <<'PYTHON'
import copy
import sys
import warnings

import open_clip
import peft
import torch
import transformers

warnings.simplefilter("ignore")
torch.manual_seed(0)
vision = open_clip.CLIPVisionCfg(layers=2, width=64, head_width=32, patch_size=16, image_size=32)
text = open_clip.CLIPTextCfg(context_length=16, vocab_size=100, width=64, heads=2, layers=2)
theirs = transformers.CLIPVisionConfig(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
    image_size=32, patch_size=16,
)
models = {
    "open_clip": (open_clip.CLIP(32, vision, text).eval().visual, lambda m, x: m(x)),
    "transformers": (
        transformers.CLIPVisionModel(theirs).eval(), lambda m, x: m(pixel_values=x).pooler_output,
    ),
}
pixels = torch.randn(2, 3, 32, 32)


def adapt(library, name):
    """Put a random update on the modules of a name; see what it does."""
    torch.manual_seed(1)
    model, embed = models[library]
    config = peft.LoraConfig(r=4, target_modules=[name], init_lora_weights=False)
    adapted = peft.get_peft_model(copy.deepcopy(model), config)
    before, with_update = embed(model, pixels), embed(adapted.base_model.model, pixels)
    if with_update.requires_grad:
        with_update.square().sum().backward()
    updates = [p for p in adapted.parameters() if p.requires_grad]
    moving = sum(p.grad is not None for p in updates)
    merged = embed(adapted.merge_and_unload(), pixels)
    change = float((with_update - before).detach().abs().max())
    merging = float((merged - with_update).detach().abs().max())
    print(
        f"{library}, {name}: update {change:.2f}, {moving} of {len(updates)} have a gradient, "
        f"merging {merging:.2f}"
    )
    return change > 1e-3, moving, len(updates), merging > 1e-3


for library in (torch, open_clip, peft, transformers):
    print(library.__name__, library.__version__)
seen = [adapt("open_clip", "out_proj"), adapt("open_clip", "attn"), adapt("transformers", "out_proj")]
wanted = [(False, 0, 4, True), (True, 8, 8, False), (True, 4, 4, False)]
sys.exit(0 if seen == wanted else 1)
PYTHON
"$folder/venv/bin/python" "$folder/adapt.py"
