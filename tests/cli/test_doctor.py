"""``cliptune doctor``, and a prediction that starts from graphs alone."""

import json
import subprocess
import sys

import pytest

from cliptune.cli import doctor
from cliptune.encoders import Preprocess
from cliptune.encoders.engines import doctor as diagnosis
from cliptune.encoders.engines import runtimes
from cliptune.features import reading_speed
from cliptune.features.reading_speed import measure_reading
from cliptune.images import ImageTable
from cliptune.workflows.options import ComputeOptions

COLUMNS = {
    "name", "precision", "images_per_second", "texts_per_second", "min_cosine",
    "top1_agreement", "available", "note",
}  # fmt: skip


@pytest.fixture(scope="module")
def examined(make_cache, data_root):
    """One look of doctor at lite on real images; its cache and its JSON."""
    folder = make_cache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnosis, "_SECONDS", 0.05)
        patch.setattr(
            runtimes, "_PACKAGES", {**runtimes._PACKAGES, "onnx": "no_such_runtime_package"}
        )
        from contextlib import redirect_stdout
        from io import StringIO

        from cliptune.cli import run_command_line

        output = StringIO()
        data = str(data_root / "hymenoptera_data" / "val")
        with redirect_stdout(output):
            code = run_command_line(["doctor", data, "--json", "--cache-dir", str(folder)])
        assert code == 0
    return folder, json.loads(output.getvalue())


def test_doctor_measures_every_engine_and_says_what_it_chose(examined):
    _, found = examined
    assert {"engines", "choice", "reason", "machine"} <= found.keys()
    rows = {f"{row['name']} {row['precision']}": row for row in found["engines"]}
    assert all(row.keys() == COLUMNS for row in found["engines"])
    assert rows["torch fp32"]["min_cosine"] == pytest.approx(1)
    exact = rows["openvino fp32"]
    assert exact["available"]
    assert exact["min_cosine"] > 0.9999
    assert exact["top1_agreement"] == 1
    assert exact["images_per_second"] > 0 < exact["texts_per_second"]
    missing = rows["onnx fp32"]
    assert (missing["available"], missing["images_per_second"]) == (False, None)
    assert "cliptune[onnx]" in missing["note"]
    assert found["choice"] in rows
    if found["choice"] == "openvino fp32":
        assert "convolutional towers lose accuracy" in found["reason"]


def test_doctor_says_what_reading_a_picture_costs(examined):
    _, found = examined
    reading = found["reading"]
    assert reading["n_images"] == 24
    assert min(reading["quick"], reading["exact"]) > 0
    assert reading["decoder"] in ("simplejpeg", "Pillow")
    assert reading["on_device"] is None  # there is no GPU here


def test_nothing_readable_has_no_reading_speed(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    assert measure_reading(Preprocess(), ImageTable.open(tmp_path)) is None


def test_a_transform_without_a_quick_way_is_measured_exactly(data_root):
    table = ImageTable.open(data_root / "hymenoptera_data" / "val")
    found = measure_reading(Preprocess(resize_mode="longest"), table)
    assert (found.quick, found.exact > 0) == (None, True)


def test_a_device_that_decodes_is_measured_too(data_root, capsys, monkeypatch):
    monkeypatch.setattr(reading_speed, "_compare_ways", lambda *_: (100.0, None))
    monkeypatch.setattr(reading_speed, "_PICTURES", 4)
    table = ImageTable.open(data_root / "hymenoptera_data" / "val")
    found = measure_reading(Preprocess(), table, "cpu")
    assert found.to_dict()["on_device"] > 0
    doctor._show_reading(found)
    said = " ".join(capsys.readouterr().out.split())
    assert f"with JPEGs decoded on the device it is {found.on_device:.0f}" in said


def test_where_a_device_decodes(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    ways = {("auto", "auto"): "cuda", ("torch", "cuda:0"): "cuda:0", ("torch", "cpu"): None}
    for (engine, device), wanted in {**ways, ("openvino", "auto"): None}.items():
        assert doctor._decoding_device(ComputeOptions(engine=engine, device=device)) == wanted


def test_predict_starts_from_graphs_without_torch(examined, data_root):
    folder, _ = examined
    image = next((data_root / "hymenoptera_data" / "val" / "bees").iterdir())
    code = (
        "import sys; from cliptune.cli import run_command_line; "
        f"code = run_command_line(['predict', {str(image)!r}, '--labels', 'ant,bee', '--json', "
        f"'--engine', 'openvino', '--cache-dir', {str(folder)!r}]); "
        "heavy = {'torch', 'torchvision', 'open_clip', 'timm', 'transformers'}; "
        "sys.stderr.write('loaded: ' + ' '.join(sorted(heavy & set(sys.modules)))); "
        "sys.exit(code)"
    )
    outputs = []
    for _ in range(2):  # the first measures, for another request than doctor's
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        outputs.append(done)
    assert outputs[1].stderr.endswith("loaded: ")
    first, second = (json.loads(done.stdout)["predictions"][0]["labels"] for done in outputs)
    assert [row["label"] for row in first] == [row["label"] for row in second]
