#!/usr/bin/env bash
# datasets 5.2.0: a stream that was filtered goes on decoding pictures after decode(False).
#
# `decode(False)`, or `cast_column` to an image that is not decoded, gives the bytes of each picture, as
# they lie in the file: so one keeps a JPEG as it is, or digests it. Behind `filter` both change what
# `features` says and not what comes: the rows hold decoded pictures, whose bytes are gone. Before
# `filter` both work; and a data set that is not streamed gives bytes in either order.
#
# Seen, as what the first row holds and whether the features say that it is decoded:
#   stream, decode(False):           dict, False
#   stream, filter, decode(False):   JpegImageFile, False
#   stream, filter, cast_column:     JpegImageFile, False
#   stream, decode(False), filter:   dict, False
#   no stream, filter, cast_column:  dict, False
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/read.py" <<'PYTHON'
import os
import sys
from pathlib import Path

root = Path(sys.argv[1])
os.environ.update(HF_HOME=str(root / "cache"), HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")

import datasets  # noqa: E402  the places above come first
from PIL import Image  # noqa: E402

datasets.disable_progress_bars()
for number in range(4):
    place = root / "pictures" / ("ant", "bee")[number % 2] / f"{number}.jpg"
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (40 * number, 80, 120)).save(place)

raw = datasets.Image(decode=False)


def opened(streaming):
    return datasets.load_dataset(
        "imagefolder", data_dir=str(root / "pictures"), split="train", streaming=streaming
    )


def held(rows):
    return type(next(iter(rows))["image"]).__name__, rows.features["image"].decode


def all_of(row):
    return True


print("datasets", datasets.__version__)
found = {
    "stream, decode(False)": held(opened(True).decode(False)),
    "stream, filter, decode(False)": held(opened(True).filter(all_of).decode(False)),
    "stream, filter, cast_column": held(opened(True).filter(all_of).cast_column("image", raw)),
    "stream, decode(False), filter": held(opened(True).decode(False).filter(all_of)),
    "no stream, filter, cast_column": held(opened(False).filter(all_of).cast_column("image", raw)),
}
for order, (kind, decoded) in found.items():
    print(f"{order + ':':32} {kind}, {decoded}")
as_file, as_picture = ("dict", False), ("JpegImageFile", False)
same = list(found.values()) == [as_file, as_picture, as_picture, as_file, as_file]
sys.exit(0 if same else 1)
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "datasets==5.2.0" "pillow==13.0.0"
"$folder/venv/bin/python" "$folder/read.py" "$folder"
