#!/usr/bin/env bash
# Pillow 13.0.0: a picture whose EXIF block writes the resolution as text cannot be turned upright.
#
# ImageOps.exif_transpose takes out the orientation and writes the rest of the EXIF block again. If
# XResolution (282) is of type ASCII, as some scanners and editors write it, where the standard asks
# for a fraction, the block is read without a word, and writing it raises a TypeError: the whole
# picture is lost to a tag that has nothing to do with its orientation. So it is with BYTE.
#
# Seen, a JPEG with Orientation 6 and XResolution "72" of type ASCII:
#   opened: (4, 2); exif_transpose: TypeError: bad operand type for abs(): 'str'
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/turn.py" <<'PYTHON'
import io
import struct
import sys

import PIL
from PIL import Image, ImageOps


def exif_block(kind, value):
    """Return an EXIF block of two entries: Orientation 6, and XResolution of a kind."""
    padded = value.ljust(4, b"\0")
    entries = struct.pack("<HHIHH", 274, 3, 1, 6, 0)
    entries += struct.pack("<HHI4s", 282, kind, len(value), padded)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)


def turn(kind, value):
    stream = io.BytesIO()
    Image.new("RGB", (4, 2), (200, 30, 30)).save(stream, "JPEG", exif=exif_block(kind, value))
    with Image.open(stream) as image:
        image.load()
        try:
            return f"opened: {image.size}; exif_transpose: {ImageOps.exif_transpose(image).size}"
        except TypeError as error:
            return f"opened: {image.size}; exif_transpose: TypeError: {error}"


print("Pillow", PIL.__version__)
text, one_byte = turn(2, b"72\0"), turn(1, b"H")
print("ASCII:", text)
print("BYTE: ", one_byte)
sys.exit(0 if "TypeError" in text and "TypeError" in one_byte else 1)
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pillow==13.0.0"
"$folder/venv/bin/python" "$folder/turn.py"
