"""What computed the rows stands in the answer, and a wrong row ends a command in one line."""

import numpy as np
import pytest

from cliptune.cli import run_command_line
from cliptune.encoders.torch_encoder import TorchEncoder


def test_embed_and_predict_name_engine_precision_and_rows_checked(
    small_data, tiny_model, tmp_path, answer
):
    common = ["--model", str(tiny_model), "--engine", "torch", "--json"]
    common += ["--cache-dir", str(tmp_path / "cache")]
    found, _ = answer(["embed", str(small_data), "--out", str(tmp_path / "out"), *common])
    assert (found["engine"], found["precision"]) == ("torch", "fp32")
    assert found["rows_checked"]["n"] == 8  # of 120 images
    assert 0 <= found["rows_checked"]["largest_difference"] < 1e-4
    images = [str(path) for path in sorted((small_data / "val" / "ants").iterdir())[:2]]
    said, _ = answer(["predict", *images, "--labels", "ant,bee", *common])
    assert (said["engine"], said["precision"]) == ("torch", "fp32")
    assert said["rows_checked"]["n"] > 0  # texts; the images were in the cache
    again, _ = answer(["predict", *images, "--labels", "ant,bee", *common])
    assert again["rows_checked"] == {"n": 0, "largest_difference": None}


@pytest.mark.parametrize("command", ["embed", "evaluate"])
def test_a_wrong_row_is_one_line_and_no_wrong_input(
    command, small_data, tiny_model, tmp_path, capsys, monkeypatch
):
    right = TorchEncoder.encode_images
    monkeypatch.setattr(
        TorchEncoder, "encode_images", lambda self, x: np.roll(right(self, x), 1, axis=0)
    )
    arguments = [command, str(small_data), "--model", str(tiny_model), "--engine", "torch"]
    arguments += ["--cache-dir", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    assert run_command_line(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = [row for row in said.err.splitlines() if "another row" in row]
    assert line.startswith("cliptune: torch (fp32) gave another row for ")
    assert "Traceback" not in said.err
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_stored_vectors_are_computed_again_by_what_made_them(
    small_data, tiny_model, tmp_path, answer
):
    cache = ["--cache-dir", str(tmp_path / "cache"), "--json"]
    common = ["--model", str(tiny_model), "--engine", "torch", *cache]
    answer(["embed", str(small_data), "--out", str(tmp_path / "out"), *common])
    image = str(next((small_data / "val" / "ants").iterdir()))
    answer(["predict", image, "--labels", "ant,bee", *common])
    found, _ = answer(["cache", "verify", "--recompute", "20", *cache])
    assert found["damaged"] == found["not_recomputed"] == []
    assert 18 <= found["rows_checked"]["n"] <= 22  # images, and one text at least
    assert found["rows_checked"]["largest_difference"] < 1e-4
    plain, _ = answer(["cache", "verify", *cache])
    assert "rows_checked" not in plain
