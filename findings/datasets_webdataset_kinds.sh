#!/usr/bin/env bash
# datasets 5.2.0: pictures of a tar whose ending first comes after the fifth sample are left out, silently.
#
# load_dataset("webdataset") takes the columns of a tar from its first five samples. A member whose ending is
# not among them has no column, so the sample comes out with its label and without its picture: None where a
# column of another ending stands, and no column of its own. A folder of photographs that holds JPEG and PNG
# files, packed in order, loses all PNG files this way; the number of rows is right and nothing is said.
# The same tar with a .png among the first five samples is refused (ValueError: "don't share the same prefix
# or the same types"), so whether a mixture is refused or half lost hangs on its order. Of two tars, one of
# each kind, the second loses all. The package webdataset itself reads them ("jpg;png").
#
# Seen, 8 samples of .jpg and 4 of .png, each with .cls: 12 rows, columns jpg, cls, __key__, __url__;
# 8 pictures; in two tars: the same. With a .png as the second sample: ValueError.
# Ends with 0 while all three are so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
cat > "$folder/kinds.py" <<'PYTHON'
import io
import sys
import tarfile
from importlib.metadata import version

import datasets
from PIL import Image

datasets.disable_progress_bars()


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def picture(kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 60)).save(file, kind)
    return file.getvalue()


def pack(path, endings):
    with tarfile.open(path, "w") as tar:
        for number, ending in enumerate(endings):
            add(tar, f"{number:04d}.{ending}", picture({"jpg": "JPEG", "png": "PNG"}[ending]))
            add(tar, f"{number:04d}.cls", str(number % 2).encode())


def read(*paths):
    given = {"data_files": list(paths), "split": "train", "cache_dir": "cache"}
    try:
        rows = datasets.load_dataset("webdataset", **given)
    except ValueError as error:
        print(f"{' and '.join(paths)}: ValueError: {error}")
        return "refused"
    pictures = sum(any(row.get(kind) is not None for kind in ("jpg", "png")) for row in rows)
    print(f"{' and '.join(paths)}: {len(rows)} rows, columns {', '.join(rows.column_names)}; {pictures} pictures")
    return len(rows), pictures


print(f"datasets {version('datasets')}, pillow {version('pillow')}")
pack("sorted.tar", ["jpg"] * 8 + ["png"] * 4)
pack("mixed.tar", ["jpg", "png"] + ["jpg"] * 7 + ["png"] * 3)
pack("first.tar", ["jpg"] * 8)
pack("second.tar", ["png"] * 4)
found = read("sorted.tar"), read("first.tar", "second.tar"), read("mixed.tar")
sys.exit(0 if found == ((12, 8), (12, 8), "refused") else 1)
PYTHON
cd "$folder"
HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" kinds.py
