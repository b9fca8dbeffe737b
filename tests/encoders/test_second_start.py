"""A second start opens graphs and a stored tokenizer, whoever's library built the model."""

import shutil
import subprocess
import sys

import pytest

from cliptune.cli import run_command_line
from cliptune.system import file_state

CODE = """
import sys
from cliptune.cli import run_command_line
code = run_command_line(sys.argv[1:])
heavy = {"torch", "torchvision", "open_clip", "timm", "transformers"}
sys.stderr.write("loaded: " + " ".join(sorted(heavy & set(sys.modules))))
sys.exit(code)
"""


@pytest.mark.parametrize("name", ["siglip", "mobileclip2", "nllb"])
def test_a_new_picture_and_a_new_label_need_no_model_library(
    small_family, small_open_clip, data_root, tmp_path, monkeypatch, name
):
    """One family of transformers, one of timm's towers, one with a Hugging Face text tower."""
    monkeypatch.setattr(file_state, "_SETTLED_NS", 0)  # the files were made just now
    made = small_family(name) if name == "siglip" else small_open_clip(name)
    pictures = sorted((data_root / "hymenoptera_data" / "val" / "ants").glob("*.jpg"))[:2]
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    rest = ["--model", str(folder), "--engine", "openvino", "--cache-dir", str(tmp_path / "cache")]
    assert run_command_line(["predict", str(pictures[0]), "--labels", "ant,bee", *rest]) == 0
    again = ["predict", str(pictures[1]), "--labels", "ant,bird", *rest]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *again], capture_output=True, text=True, check=True
    )
    assert done.stderr.endswith("loaded: ")
    assert "bird" in done.stdout
