#!/usr/bin/env bash
# Pillow 13.0.0: a TIFF whose grey has white at 0 is turned the right way round in 8 bits, not in 16.
#
# PhotometricInterpretation 0 (WhiteIsZero) says that 0 is white: scanners and X-ray software write
# it. Pillow inverts such a picture of 8 bits, so that 255 means white as everywhere else, and gives
# one of 16 bits as it stands: the same scene comes out as its own negative, depending on the depth.
#
# Seen, of the values 0, a quarter of the range, and its end, written by tifffile 2026.3.3:
#   8 bits:  [255, 192, 0]        16 bits: [0, 16383, 65535]
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/read.py" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import PIL
import tifffile
from PIL import Image

print("Pillow", PIL.__version__, "tifffile", tifffile.__version__)
path = Path(sys.argv[1]) / "grey.tif"
found = {}
for bits, kind in ((8, np.uint8), (16, np.uint16)):
    top = 2**bits - 1
    values = np.array([[0, top // 4, top]], kind)
    tifffile.imwrite(path, values, photometric="miniswhite")
    with Image.open(path) as image:
        found[bits] = np.asarray(image)[0].tolist()
    print(f"{bits} bits: {values[0].tolist()} with white at 0 -> {found[bits]}")
sys.exit(0 if found == {8: [255, 192, 0], 16: [0, 16383, 65535]} else 1)
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pillow==13.0.0" "tifffile==2026.3.3" "numpy==2.4.6"
"$folder/venv/bin/python" "$folder/read.py" "$folder"
