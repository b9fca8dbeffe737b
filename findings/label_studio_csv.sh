#!/usr/bin/env bash
# label-studio-sdk 2.1.2: Converter.convert_to_csv cannot be called as its signature says.
#
# Its separator and header look optional (they are keyword arguments that are taken out of **kwargs),
# but without both it ends in KeyError: 'sep', although convert_to_json and convert_to_json_min work
# with the same three arguments. With sep="," and header=True the file is written.
#
# Seen: convert_to_json_min: written; convert_to_csv: KeyError 'sep'; with sep and header: written.
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check label-studio-sdk==2.1.2
cat > "$folder/convert.py" <<'PYTHON'
import json
import sys
from importlib.metadata import version
from pathlib import Path

from label_studio_sdk.converter import Converter

folder = Path(sys.argv[1])
config = (
    '<View><Image name="image" value="$image"/><Choices name="kind" toName="image">'
    '<Choice value="ant"/><Choice value="bee"/></Choices></View>'
)
result = {"from_name": "kind", "to_name": "image", "type": "choices", "value": {"choices": ["ant"]}}
task = {
    "id": 1,
    "data": {"image": "1.jpg"},
    "annotations": [{"id": 1, "completed_by": 1, "result": [result]}],
}
(folder / "tasks.json").write_text(json.dumps([task]))
converter = Converter(config, str(folder), download_resources=False)


def call(name, **options):
    try:
        getattr(converter, name)(str(folder / "tasks.json"), str(folder / name), **options)
    except KeyError as error:
        return f"KeyError {error}"
    return "written"


print("label-studio-sdk", version("label-studio-sdk"))
found = [
    call("convert_to_json_min"), call("convert_to_csv"), call("convert_to_csv", sep=",", header=True)
]
print(f"convert_to_json_min: {found[0]}; convert_to_csv: {found[1]}; with sep and header: {found[2]}")
sys.exit(0 if found == ["written", "KeyError 'sep'", "written"] else 1)
PYTHON
"$folder/venv/bin/python" "$folder/convert.py" "$folder"
