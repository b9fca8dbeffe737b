"""Jobs whose JPEGs the computing device decodes; here a processor stands for it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from cliptune.cli import run_command_line
from cliptune.features import device_check, device_decoding, device_speed
from cliptune.scale import executors
from cliptune.scale.tasks import run_task
from cliptune.workflows import embed_pixels, embed_shards

N_IMAGES, PER_SHARD = 40, 20


@pytest.fixture
def embed(capsys, tmp_path_factory, tiny_model, small_data, monkeypatch):
    """Run a job in this process; return its exit code, its JSON or nothing, and what it said."""
    monkeypatch.setattr(executors, "run_local", lambda tasks, n, n_gpus: map(run_task, tasks))
    monkeypatch.setattr(device_check, "_trusted", set())

    cache = tmp_path_factory.mktemp("cache")

    def run(out, *options):
        code = run_command_line(
            [
                *("embed", str(small_data), "--out", str(out), "--cache-dir", str(cache), "--json"),
                *("--executor", "local", "--workers", "1", "--model", str(tiny_model)),
                *("--rows-per-shard", str(PER_SHARD), "--engine", "torch", *options),
            ]
        )
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return run


@pytest.fixture
def on_cuda(monkeypatch):
    monkeypatch.setattr(embed_pixels, "is_on_cuda", lambda encoder: True)


def vectors_of(folder):
    parts = sorted((folder / "parts").glob("*.parquet"))
    return np.concatenate([pq.read_table(part)["vector"].to_pylist() for part in parts])


def pixels_of(folder):
    return json.loads((folder / "job.json").read_text())["facts"].get("pixels")


def test_a_job_has_the_rows_of_the_quick_way_and_keeps_to_its_own(
    embed, tmp_path, on_cuda, monkeypatch
):
    quick, device = tmp_path / "quick", tmp_path / "device"
    assert embed(quick, "--pixels", "quick")[0] == 0
    code, result, _ = embed(device, "--pixels", "device")
    assert (code, result["rows"], result["failed"]) == (0, N_IMAGES, 0)
    assert pixels_of(device) == "device"
    wanted, found = vectors_of(quick), vectors_of(device)
    assert 0.9995 < (wanted * found).sum(1).min() <= 1 + 1e-6
    assert np.abs(wanted - found).max() > 0
    part = next((device / "parts").iterdir())
    part.unlink()
    assert embed(device)[1]["images_computed"] == PER_SHARD
    np.testing.assert_array_equal(vectors_of(device), found)
    code, _, said = embed(device, "--pixels", "quick")
    assert (code, "it differs in pixels" in said) == (2, True)
    monkeypatch.undo()
    code, _, said = embed(device)
    assert code == 2
    assert f"the job in '{device}' has --pixels device, but" in said
    assert "computes by torch on cpu" in said


def test_without_cuda_it_is_refused_in_a_line(embed, tmp_path):
    code, _, said = embed(tmp_path / "job", "--pixels", "device")
    assert code == 2
    line = said.strip().splitlines()[-1]
    assert "--pixels device came, but" in line
    assert "expected torch on a CUDA device" in line
    assert "use --pixels quick" in line
    assert not (tmp_path / "job" / "job.json").exists()


def test_what_the_kernel_has_no_part_in_is_refused_in_a_line(embed, tmp_path, on_cuda):
    code, _, said = embed(tmp_path / "job", "--pixels", "device", "--crops", "6")
    assert (code, "takes pictures that are padded, or in patches or crops" in said) == (2, True)


def test_a_shard_with_other_embeddings_fails_and_leaves_no_part(
    embed, tmp_path, on_cuda, monkeypatch
):
    real = device_decoding.decode_jpegs
    monkeypatch.setattr(
        device_decoding,
        "decode_jpegs",
        lambda data, device: [one.roll(1, 0) for one in real(data, device)],
    )
    code, result, said = embed(tmp_path / "job", "--pixels", "device")
    assert (code, result["failed"], result["rows"]) == (1, 2, 0)
    assert "have a cosine of only 0." in said
    assert not list((tmp_path / "job").glob("parts/part-*"))


@pytest.mark.parametrize(
    ("precision", "gain", "chosen"),
    [
        ("bf16", 0.0, "device"),
        ("bf16", 1e9, None),
        ("fp32", 0.0, None),
    ],
)
def test_many_images_are_decoded_by_the_device_where_that_pays(
    embed, tmp_path, on_cuda, monkeypatch, precision, gain, chosen
):
    monkeypatch.setattr(embed_shards, "_QUICK_FROM", N_IMAGES)
    monkeypatch.setattr(device_speed, "_GAIN", gain)
    monkeypatch.setattr(device_speed, "_BATCH", 8)
    assert embed(tmp_path / "job", "--precision", precision)[0] == 0
    assert pixels_of(tmp_path / "job") == chosen
