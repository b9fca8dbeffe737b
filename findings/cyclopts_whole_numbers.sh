#!/usr/bin/env bash
# cyclopts 5.5.2: an option typed int takes 1.5 as 2, and one typed float takes nan.
#
# A parameter annotated `int` rounds a decimal number without a word, and reads 1_0 as 10 and 0x10
# as 16; a parameter annotated `float` takes nan. A command with `--seeds 1.5` runs with 2.
#
# Seen:
#   1.5 -> 2, 1_0 -> 10, 0x10 -> 16, nan -> nan
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/app.py" <<'PYTHON'
import math
import sys

import cyclopts

app = cyclopts.App(result_action="return_value")
found = {}


@app.default
def main(*, seeds: int = 0, rate: float = 0.0):
    found.update(seeds=seeds, rate=rate)


def read(*words):
    app(list(words))
    return dict(found)


print("cyclopts", cyclopts.__version__)
numbers = {text: read("--seeds", text)["seeds"] for text in ("1.5", "1_0", "0x10")}
rate = read("--rate", "nan")["rate"]
print(", ".join(f"{text} -> {number}" for text, number in {**numbers, "nan": rate}.items()))
sys.exit(0 if numbers == {"1.5": 2, "1_0": 10, "0x10": 16} and math.isnan(rate) else 1)
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "cyclopts==5.5.2"
"$folder/venv/bin/python" "$folder/app.py"
