#!/usr/bin/env bash
# transformers 5.24: a SigLIP 2 processor looks past the number of patches that it was saved with.
#
# A NaFlex model is cut to so many patches (max_num_patches) of such a size (patch_size), and its
# image processor keeps both in preprocessor_config.json. Siglip2Processor, which wraps that image
# processor with a tokenizer and is what AutoProcessor gives, calls it with 256 and 16 whatever was
# saved. So one folder gives two sets of pixels, and hence two sets of embeddings: one by the image
# processor (which the zero-shot pipeline uses), another by the processor. No word is said.
#
# Safe: give max_num_patches (and patch_size) at every call, or call processor.image_processor.
#
# Seen, for a picture of 320 x 160 and a processor saved with 64 patches:
#   image processor: (1, 64, 768), processor: (1, 256, 768), told so: (1, 64, 768)
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.24.0 torch==2.15.0 torchvision pillow
cat > "$folder/look.py" <<'PYTHON'
import sys
from pathlib import Path

import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Siglip2ImageProcessor, Siglip2Processor

folder = Path(sys.argv[1]) / "saved"
words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "bee": 2}, unk_token="<unk>"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")
Siglip2Processor(Siglip2ImageProcessor(max_num_patches=64), tokenizer).save_pretrained(folder)
processor = Siglip2Processor.from_pretrained(folder)
picture = Image.new("RGB", (320, 160), (200, 120, 40))


def shape(call, **options):
    return tuple(call(images=picture, return_tensors="pt", **options)["pixel_values"].shape)


own, wrapped = shape(processor.image_processor), shape(processor)
told = shape(processor, max_num_patches=64)
print("transformers", transformers.__version__, "saved with", processor.image_processor.max_num_patches)
print(f"image processor: {own}, processor: {wrapped}, told so: {told}")
sys.exit(0 if (own, wrapped, told) == ((1, 64, 768), (1, 256, 768), (1, 64, 768)) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder"
