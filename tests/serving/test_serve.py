"""A served run: answers, limits, and what others may not do."""

import base64
import io
import json
import shutil
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

import cliptune as ct
from cliptune.cli import run_command_line


@pytest.fixture(scope="module")
def token_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text("a-long-enough-token\n")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def folder(fitted, tmp_path_factory):
    """A copy of a run, which tests replace."""
    copy = tmp_path_factory.mktemp("served") / "insects"
    shutil.copytree(fitted.run, copy)
    return copy


@pytest.fixture(scope="module")
def server(open_local, folder, fitted):
    limits = {"max_items": 6, "max_bytes": 2_000_000, "max_pixels": 1_000_000}
    runs = {"insects": folder, "other": fitted.run}
    with open_local(runs, reload_seconds=0.2, **limits) as local:
        yield local


def picture(side=64, colour="red", kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, format=kind)
    return buffer.getvalue()


def test_it_answers_as_the_run_does(server, fitted, compute, bee, ant):
    said = server.predict(("bee.jpg", bee), ("ant.jpg", ant), run="insects", top=2, embeddings=1)
    assert said.status == 200, said.body
    answer = said.json
    assert (answer["run"], answer["model"], answer["method"]) == ("insects", "lite", "linear")
    assert len(answer["digest"]) == 64
    assert answer["seconds"] > 0
    classifier = ct.load_classifier(fitted.run, compute=compute)
    arrays = [np.asarray(Image.open(io.BytesIO(data))) for data in (bee, ant)]
    wanted = classifier.predict(arrays)
    for row, one in enumerate(answer["predictions"]):
        found = {entry["label"]: entry["probability"] for entry in one["labels"]}
        assert one["labels"][0]["probability"] >= one["labels"][1]["probability"]
        assert one["name"] == ("bee.jpg", "ant.jpg")[row]
        assert one["abstained"] == bool(wanted.abstained[row])
        assert len(one["embedding"]) == 384
        for c, name in enumerate(("ant", "bee")):
            assert found[name] == pytest.approx(wanted.probabilities[row, c], abs=0.02)


def test_a_file_a_form_and_json_give_one_answer(server, bee):
    form = server.predict(("bee.jpg", bee), run="insects").json
    raw = server.ask("POST", "/v1/predict?run=insects", bee, {"Content-Type": "image/jpeg"}).json
    image = {"data_base64": base64.b64encode(bee).decode(), "name": "bee.jpg"}
    asked = server.post_json("/v1/predict", {"images": [image], "run": "insects"}).json
    assert form["predictions"][0]["labels"] == raw["predictions"][0]["labels"]
    assert form["predictions"] == asked["predictions"]
    sure = server.predict(("bee.jpg", bee), run="insects", threshold=1).json
    assert sure["predictions"][0]["abstained"]


def test_one_bad_item_leaves_the_others(server, bee):
    truncated = bee[: len(bee) // 2]
    files = [("a", bee), ("b", b"no image"), ("c", truncated), ("d", picture(1001)), ("e", bee)]
    said = server.predict(*files, run="insects")
    assert said.status == 200
    predictions = said.json["predictions"]
    codes = [one.get("error", {}).get("code") for one in predictions]
    assert codes == [None, "not_an_image", "not_an_image", "too_many_pixels", None]
    assert predictions[0]["labels"][0]["label"] == predictions[4]["labels"][0]["label"]


BAD = {
    "no image": ({"files": [b"text"]}, 422),
    "empty": ({"files": [b""]}, 422),
    "bomb": ({"files": [picture(1001)]}, 413),
    "too many": ({"files": [picture()] * 7}, 413),
    "too large": ({"files": [b"0" * 2_000_001]}, 413),
    "unknown run": ({"files": [picture()], "run": "none"}, 404),
    "no run of several": ({"files": [picture()], "run": None}, 404),
    "wrong number": ({"files": [picture()], "top": "many"}, 422),
    "unknown option": ({"files": [picture()], "what": "1"}, 422),
    "no file": ({"files": []}, 422),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_form_gets_its_status_and_a_sentence(server, name):
    given, status = BAD[name]
    fields = {"run": "insects", **given}
    files = [(str(n), data) for n, data in enumerate(fields.pop("files"))]
    said = server.predict(*files, **{k: v for k, v in fields.items() if v is not None})
    assert (said.status, bool(said.json["detail"])) == (status, True)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"images": []}', "application/json", 422),
        (b'{"images": [{"data_base64": "???"}], "run": "insects"}', "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b"text", "text/plain", 415),
        (b"--x", "multipart/form-data; boundary=y", 400),
        (b"--x", "multipart/form-data", 400),
        (b"", "image/jpeg", 422),
    ],
)
def test_a_bad_body_gets_its_status(server, body, kind, status):
    said = server.ask("POST", "/v1/predict?run=insects", body, {"Content-Type": kind})
    assert said.status == status, said.body
    assert said.json["detail"]


def test_status_runs_metrics_and_openapi(server, bee):
    assert server.get("/health").json["status"] == "ok"
    ready = server.get("/ready")
    assert ready.status == 200
    assert ready.json["runs"]["insects"]["problem"] is None
    (first, second) = server.get("/v1/runs").json["runs"]
    assert (first["name"], second["name"]) == ("insects", "other")
    assert first["class_names"] == ["ant", "bee"]
    assert first["digest"] == second["digest"]
    server.predict(("bee.jpg", bee), run="insects")
    counted = server.get("/metrics").body.decode()
    assert 'cliptune_images_total{outcome="answered",run="insects"}' in counted
    assert "cliptune_batch_size_bucket" in counted
    document = server.get("/openapi.json").json
    assert {"/v1/predict", "/v1/systemone", "/v1/runs", "/ready"} <= set(document["paths"])


def test_many_at_once_share_batches(server, bee, ant):
    found = []

    def ask(data):
        found.append((data, server.predict(("x", data), run="insects")))

    threads = [threading.Thread(target=ask, args=((bee, ant)[n % 2],)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {said.status for _, said in found} == {200}
    labels = {(data, said.json["predictions"][0]["labels"][0]["label"]) for data, said in found}
    assert len(labels) == 2


def test_a_replaced_run_is_taken_up_and_a_broken_one_is_not(
    server, folder, fitted, bee, tmp_path, caplog
):
    def state():
        return server.get("/ready").json["runs"]["insects"]

    def wait(check):
        until = time.monotonic() + 30
        while not check(state()):
            assert time.monotonic() < until, state()
            time.sleep(0.1)
            assert server.predict(("bee", bee), run="insects").status == 200

    before = state()
    broken = tmp_path / "broken"
    shutil.copytree(fitted.run, broken)
    (broken / "head.safetensors").write_bytes(b"broken")
    kept = tmp_path / "kept"
    folder.rename(kept)
    broken.rename(folder)
    wait(lambda now: now["problem"])
    assert "was altered or cut" in state()["problem"]
    assert state()["digest"] == before["digest"]
    assert "insects goes on as it was" in caplog.text

    folder.rename(tmp_path / "away")
    shutil.copytree(fitted.run, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"].pop("per_class.csv")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    wait(lambda now: now["problem"] is None and now["digest"] != before["digest"])
    assert server.get("/ready").status == 200


def test_a_full_line_says_when_to_come_again(open_local, fitted, bee):
    with open_local({"insects": fitted.run}, max_queue=2) as small:
        assert small.predict(("a", bee), ("b", bee)).status == 200
        full = small.predict(("a", bee), ("b", bee), ("c", bee))
        assert full.status == 429
        assert int(full.headers["retry-after"]) >= 1


def test_a_token_is_asked_for(open_local, fitted, bee, token_file):
    with open_local({"insects": fitted.run}, token_file=str(token_file)) as guarded:
        assert guarded.get("/health").status == 200
        assert guarded.get("/ready").status == 200
        refused = guarded.predict(("bee", bee))
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        wrong = guarded.get("/v1/runs", Authorization="Bearer a-long-enough-tokem")
        assert wrong.status == 401
        right = {"Authorization": "Bearer a-long-enough-token"}
        assert guarded.predict(("bee", bee), headers=right).status == 200


def test_what_cannot_be_served_is_said_in_a_line(fitted, token_file, tmp_path, capsys, compute):
    def refused(*words):
        shared = ["--cache-dir", str(compute.cache_dir)]
        assert run_command_line(["serve", *map(str, words), *shared]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "no run came" in refused()
    assert "neither a finished run nor an export" in refused(tmp_path)
    assert "two runs are called" in refused(fitted.run, fitted.run)
    token_file.chmod(0o644)
    assert "others can read the token" in refused(fitted.run, "--token-file", token_file)
    token_file.chmod(0o600)
    assert "cannot read the token" in refused(fitted.run, "--token-file", tmp_path / "none")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cannot listen on port {port}" in refused(fitted.run, "--port", port)
