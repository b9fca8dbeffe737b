"""Commands run in this process share one loaded encoder per name, device and precision."""

import functools
import io
import json
import shutil
from contextlib import redirect_stdout

import pytest

import cliptune.encoders
from cliptune.cli import run_command_line


@functools.cache
def _load_once(name, device, precision):
    return _load(name, device=device, precision=precision)


_load = cliptune.encoders.load_encoder


@pytest.fixture(autouse=True)
def shared_encoders(monkeypatch):
    """Loading takes seconds and is tested elsewhere, and here by the real processes."""

    @functools.wraps(_load)
    def load(name, *, device="auto", precision="auto"):
        return _load_once(name, device, precision)

    monkeypatch.setattr(cliptune.encoders, "load_encoder", load)


@pytest.fixture
def answer(capsys):
    """Run a command that should succeed; return its JSON object and its messages."""

    def run(arguments):
        code = run_command_line(arguments)
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return json.loads(captured.out), captured.err

    return run


@pytest.fixture(scope="session")
def cache(make_cache):
    """One cache of embeddings for all commands, so that each image is embedded once."""
    return make_cache()


@pytest.fixture(scope="session")
def fitted_linear(small_data, cache, tmp_path_factory):
    """A run of ``fit`` that is only read, and its JSON."""
    out = tmp_path_factory.mktemp("fitted") / "run"
    arguments = ["fit", str(small_data), "--method", "linear", "--abstain-precision", "0.9"]
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = run_command_line(
            [*arguments, "--json", "--cache-dir", str(cache), "--out", str(out)]
        )
    assert code == 0
    return out, json.loads(printed.getvalue())


@pytest.fixture(scope="session")
def small_data(data_root, tmp_path_factory):
    """Forty training and twenty test images of each class, split as Hymenoptera is."""
    folder = tmp_path_factory.mktemp("hymenoptera")
    for split, n in (("train", 40), ("val", 20)):
        for name in ("ants", "bees"):
            (folder / split / name).mkdir(parents=True)
            for image in sorted((data_root / "hymenoptera_data" / split / name).iterdir())[:n]:
                shutil.copy(image, folder / split / name)
    return folder
