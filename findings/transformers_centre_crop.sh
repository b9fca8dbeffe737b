#!/usr/bin/env bash
# transformers 5.24: its centre crop lies a pixel beside torchvision's and open_clip's.
#
# Where the margin to be cut off is odd, half of it is no whole number. torchvision (and open_clip,
# timm and the original CLIP, which use it) rounds half to even; transformers' processors cut it
# down. So a margin of 3, 7, 11, ... begins the crop one pixel earlier: 1.5 becomes 1 here and 2
# there. A picture of 4:3 resized to 224 has a margin of 74 and is cut alike, one that comes out 299
# wide (a margin of 75) is not: embeddings from the two libraries are then not of the same pixels,
# with the same weights and the same nominal preprocessing.
#
# Seen, a ramp of 227 pixels cropped to 224: first value with transformers 1, with torchvision 2.
# Of the widths 225 to 336, a quarter differ: 28 of 112.
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.24.0 torch==2.15.0 torchvision pillow
cat > "$folder/crop.py" <<'PYTHON'
import sys

import numpy as np
import torch
import torchvision
import transformers
from torchvision.transforms.functional import center_crop
from transformers import CLIPImageProcessor

processor = CLIPImageProcessor(
    do_resize=False, do_rescale=False, do_normalize=False, do_convert_rgb=False
)


def first(width):
    """Return the first column that each keeps of a picture whose columns are numbered."""
    ramp = np.broadcast_to(np.arange(width, dtype=np.float32), (3, 224, width)).copy()
    theirs = processor(
        images=torch.from_numpy(ramp), return_tensors="pt", input_data_format="channels_first"
    )["pixel_values"][0]
    usual = center_crop(torch.from_numpy(ramp), [224, 224])
    return int(theirs[0, 0, 0]), int(usual[0, 0, 0])


print("transformers", transformers.__version__, "torchvision", torchvision.__version__)
one, other = first(227)
differ = sum(a != b for a, b in map(first, range(225, 337)))
print(f"227 to 224: transformers {one}, torchvision {other}; {differ} of 112 widths differ")
sys.exit(0 if (one, other, differ) == (1, 2, 28) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/crop.py"
