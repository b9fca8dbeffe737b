#!/usr/bin/env bash
# fastparquet 2026.9.0: half-precision vectors come as bytes, without a word.
#
# Parquet has a logical type for half precision: two bytes of fixed length, marked Float16. pyarrow
# writes it for float16, and embeddings are often kept so, at half the size. fastparquet knows the two
# bytes and not the mark: a column of float16 is a column of bytes objects, a list of them a list of
# bytes. Nothing is raised, and pandas with engine="fastparquet" hands it on; np.asarray of such a vector is
# an array of texts ("S2"), whose view as float16 has the numbers after all.
#
# pyarrow, DuckDB and polars read the same file rightly. Safe: read with them, or write float32.
#
# Seen for the vector 0.5, -2, 1, 0.25:
#   pyarrow: 0.5 -2.0 1.0 0.25
#   fastparquet: b'\x008' b'\x00\xc0' b'\x00<' b'\x004', as an array |S2, its view 0.5 -2.0 1.0 0.25
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  fastparquet==2026.9.0 pyarrow==26.0.1 pandas==3.1.1
cat > "$folder/read.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

warnings.simplefilter("ignore")
path = sys.argv[1] + "/vectors.parquet"
vector = np.array([0.5, -2.0, 1.0, 0.25], np.float16)
column = pa.array([vector], pa.list_(pa.float16()))
pq.write_table(pa.table({"vector": column}), path)
print(" ".join(f"{name} {version(name)}" for name in ("fastparquet", "pyarrow", "pandas")))
right = pd.read_parquet(path, engine="pyarrow")["vector"][0]
found = pd.read_parquet(path, engine="fastparquet")["vector"][0]
print("pyarrow:", *(float(number) for number in right))
texts = np.asarray(found)
view = texts.view(np.float16)
print("fastparquet:", *found, end="")
print(f", as an array {texts.dtype}, its view", *view)
same = list(right) == list(view) == list(vector)
sys.exit(0 if same and all(isinstance(item, bytes) for item in found) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$folder"
