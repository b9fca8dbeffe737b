#!/usr/bin/env bash
# Pillow 13.0.0: tall pictures are resized to other bytes than by Pillow 12.
#
# A resize is two passes, and levels are rounded to bytes between them, so that the order of the passes shows.
# Up to 12 the horizontal pass came first. 13 begins with the vertical one where the height loses more than
# twice what the width loses, which is quicker: pictures that are tall, or that are squashed to a square, come
# out with about a quarter of their levels moved, by 1 or 2 and at sharp places more. Wide ones and
# most of 4:3 are as before. Embeddings that were kept by one version are not those of the other, and a
# graph that holds "Pillow's resize" must know which.
#
# Seen, 12.3.0 against 13.0.0, noisy waves to a shorter side of 224, share of levels that moved and by how much
# at most:
#   500 x 375 bicubic 0.0 % (0), 375 x 500 0.0 % (0), 240 x 500 28.8 % (6), 300 x 900 25.9 % (4);
#   240 x 500 bilinear 25.8 % (1); 333 x 500 to 224 x 224 bicubic 22.2 % (2), 500 x 333 0.0 % (0)
# Ends with 0 while the tall ones differ in more than a tenth of their levels and the wide ones in none, and
# otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for pillow in 12.3.0 13.0.0; do
  python3 -m venv "$folder/$pillow"
  "$folder/$pillow/bin/python" -m pip install --quiet --disable-pip-version-check \
    pillow==$pillow numpy==2.4.6
done
cat > "$folder/resize.py" <<'PYTHON'
import sys

import numpy as np
from PIL import Image


def draw(width, height):
    y, x = np.mgrid[:height, :width]
    waves = 127 + 100 * np.sin(x / 17) * np.cos(y / 23)
    noise = np.random.default_rng(0).normal(0, 20, (height, width, 3))
    return Image.fromarray(np.clip(waves[..., None] + noise, 0, 255).astype(np.uint8))


found = {}
for width, height in [(500, 375), (375, 500), (240, 500), (300, 900), (333, 500), (500, 333)]:
    scale = 224 / min(width, height)
    size, name = (round(width * scale), round(height * scale)), f"{width} x {height}"
    for kind in ("bicubic", "bilinear"):
        way = Image.Resampling[kind.upper()]
        found[f"{name} {kind}"] = np.asarray(draw(width, height).resize(size, way))
    found[f"{name} to 224 x 224"] = np.asarray(
        draw(width, height).resize((224, 224), Image.Resampling.BICUBIC)
    )
np.savez(sys.argv[1], **found)
PYTHON
cat > "$folder/compare.py" <<'PYTHON'
import sys

import numpy as np

older, newer = map(np.load, sys.argv[1:])
TALL = ("240 x 500 bicubic", "240 x 500 bilinear", "300 x 900 bicubic", "333 x 500 to 224 x 224")
SAME = ("500 x 375 bicubic", "375 x 500 bicubic", "500 x 333 to 224 x 224")
held = []
for name in (*TALL, *SAME):
    apart = np.abs(older[name].astype(int) - newer[name])
    print(f"{name}: {np.mean(apart > 0):.1%} of levels differ, by {apart.max()} at most")
    held.append(np.mean(apart > 0) > 0.1 if name in TALL else apart.max() == 0)
sys.exit(0 if all(held) else 1)
PYTHON
for pillow in 12.3.0 13.0.0; do
  "$folder/$pillow/bin/python" "$folder/resize.py" "$folder/$pillow.npz"
done
echo "Pillow 12.3.0 against 13.0.0"
"$folder/13.0.0/bin/python" "$folder/compare.py" "$folder/12.3.0.npz" "$folder/13.0.0.npz"
