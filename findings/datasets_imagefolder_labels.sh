#!/usr/bin/env bash
# datasets 5.2.0: an image folder loses its labels, or most of its images, by how it is laid out.
#
# 1. A split whose images are all of one class: the data set has no label column at all, although
#    the class folder is there. A test of one class, or a first look at one class, comes unlabelled.
# 2. Class folders with folders inside (ant/north, ant/south, bee/north): the labels are the
#    innermost folders, so that north holds ants and bees.
# 3. One file called test.jpg in a class folder: its name is taken for a split, and all the other
#    images are gone.
#
# Seen, of four pictures each:
#   one class:   columns ['image'], 4 rows
#   nested:      labels ['north', 'south'], 4 rows
#   test.jpg:    splits ['test'], 1 row of 4
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


def make(name, *paths):
    for number, path in enumerate(paths):
        place = root / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (40 * number, 80, 120)).save(place)
    return datasets.load_dataset("imagefolder", data_dir=str(root / name))


print("datasets", datasets.__version__)
one = make("one", *(f"train/ant/{n}.jpg" for n in range(4)))["train"]
print(f"one class:   columns {one.column_names}, {len(one)} rows")
nested = make("nested", "ant/north/1.jpg", "ant/south/2.jpg", "bee/north/3.jpg", "bee/south/4.jpg")
names = nested["train"].features["label"].names
print(f"nested:      labels {names}, {len(nested['train'])} rows")
hidden = make("hidden", "ant/1.jpg", "ant/2.jpg", "bee/3.jpg", "bee/test.jpg")
rows = sum(map(len, hidden.values()))
print(f"test.jpg:    splits {list(hidden)}, {rows} row of 4")
same = one.column_names == ["image"] and names == ["north", "south"]
sys.exit(0 if same and list(hidden) == ["test"] and rows == 1 else 1)
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "datasets==5.2.0" "pillow==13.0.0"
"$folder/venv/bin/python" "$folder/read.py" "$folder"
