"""An exported graph in a real browser: the same classes as from the run."""

import functools
import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

import cliptune as ct

pytest.importorskip("onnx", reason="needs cliptune[export]")
RUNTIME = "onnxruntime-web@1.30.0"
CLASSIFY = """async (names) => {
  const found = [];
  for (const name of names) {
    const blob = await (await fetch("images/" + name)).blob();
    found.push((await window.classify(blob)).probabilities);
  }
  return found;
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def shipped(fitted, compute, tmp_path_factory):
    """An export with the runtime beside it, as its page says."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("shipped") / "export"
    ct.export(fitted.run, out=folder, input="image", images=2, compute=compute)
    words = [npm, "install", RUNTIME, "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run([*words, "--prefix", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm cannot install {RUNTIME}: {done.stderr[-200:]}")
    return folder


@pytest.fixture
def address(shipped):
    handler = functools.partial(Quiet, directory=shipped)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_fifty_images_get_the_class_of_the_run(
    shipped, address, data_root, fitted, compute, browser
):
    files = sorted(Path(data_root, "hymenoptera_data/val").glob("*/*.jpg"))[::3][:50]
    assert len(files) == 50
    (shipped / "images").mkdir()
    for number, file in enumerate(files):
        shutil.copy(file, shipped / "images" / f"{number}.jpg")
    page = browser.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/predict.html")
    page.wait_for_function("window.classify !== undefined", timeout=120_000)
    page.set_default_timeout(300_000)
    found = np.array(page.evaluate(CLASSIFY, [f"{n}.jpg" for n in range(50)]))
    page.set_input_files("#files", files[0])
    page.wait_for_function("document.querySelectorAll('#answers tr').length == 1")
    page.close()
    assert complaints == []
    said = ct.load_classifier(fitted.run, compute=compute).predict(files)
    assert found.argmax(axis=1).tolist() == said.probabilities.argmax(axis=1).tolist()
    # A browser decodes JPEGs by itself and turns colours by the profile of a photograph.
    apart = np.abs(found - said.probabilities).max(axis=1)
    assert np.median(apart) < 0.005
    assert apart.max() < 0.15
