#!/usr/bin/env bash
# transformers 5.24: a transparent picture is one picture to the pipeline and another to the processor.
#
# Transparent pixels have a colour that nobody sees. CLIPImageProcessor, given such a picture, lays it
# on white. Pipelines read files, and pictures that they are given, by load_image, which drops the
# transparency instead: the colours behind it come out. So a pipeline and its own model and processor
# give one file different probabilities, and two files that look the same on every background
# (stickers, logos and cut-outs, whose editors leave red, black or garbage there) get different
# answers from the pipeline, and equal ones from the processor. No word is said. ViTImageProcessor
# does neither: it raises on four channels.
#
# Safe: lay pictures on white (Image.alpha_composite) before a pipeline sees them.
#
# Seen, for a green square on transparent red and on transparent white, a model with random weights:
#   pixels of the two files are equal by the processor, and 3.83 apart by load_image;
#   probability of the first class by the pipeline 0.08 (red) and 0.99 (white), by processor and
#   model 0.99 for both
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.24.0 torch==2.15.0 torchvision pillow==13.0.0
cat > "$folder/look.py" <<'PYTHON'
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import CLIPConfig, CLIPForImageClassification, CLIPImageProcessor, pipeline
from transformers.image_utils import load_image

folder = sys.argv[1]


def write(name, hidden):
    levels = np.zeros((64, 64, 4), np.uint8)
    levels[..., :3] = hidden
    levels[16:48, 16:48] = (0, 128, 0, 255)
    Image.fromarray(levels).save(f"{folder}/{name}.png")
    return f"{folder}/{name}.png"


red, white = write("red", (255, 0, 0)), write("white", (255, 255, 255))
backgrounds = [Image.new("RGBA", (64, 64), colour) for colour in ("white", "black", "blue")]
alike = all(
    Image.alpha_composite(below, Image.open(red)) == Image.alpha_composite(below, Image.open(white))
    for below in backgrounds
)
processor = CLIPImageProcessor()
pixels = {
    way: [processor(read(file), return_tensors="pt")["pixel_values"] for file in (red, white)]
    for way, read in (("processor", Image.open), ("load_image", load_image))
}
apart = {way: float((a - b).abs().max()) for way, (a, b) in pixels.items()}

torch.manual_seed(0)
small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
config = CLIPConfig(
    vision_config={**small, "patch_size": 32, "initializer_range": 0.5}, text_config=small, num_labels=2
)
model = CLIPForImageClassification(config).eval()
torch.nn.init.normal_(model.classifier.weight)
classify = pipeline("image-classification", model=model, image_processor=processor)


def of_pipeline(file):
    return {one["label"]: one["score"] for one in classify(file)}["LABEL_0"]


def of_processor(given):
    with torch.no_grad():
        return float(model(given).logits.softmax(dim=-1)[0, 0])


by_pipeline = [of_pipeline(file) for file in (red, white)]
by_processor = [of_processor(given) for given in pixels["processor"]]
print("transformers", transformers.__version__, "the files look alike:", alike)
print("pixels of the two files apart by", {way: round(value, 2) for way, value in apart.items()})
print("probability of the first class, red and white: pipeline", by_pipeline)
print("processor and model", by_processor)
holds = (
    alike
    and apart["processor"] == 0
    and apart["load_image"] > 3
    and by_processor[0] == by_processor[1]
    and abs(by_pipeline[0] - by_pipeline[1]) > 0.01
    and abs(by_pipeline[0] - by_processor[0]) > 0.01
)
sys.exit(0 if holds else 1)
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder"
