import functools
import json
import shutil

import pytest

import cliptune.encoders
from cliptune.cli import run_command_line

_load = cliptune.encoders.load_encoder
_load_once = functools.cache(_load)


@pytest.fixture(autouse=True, scope="session")
def shared_encoders():
    """Loading takes seconds; encoders in fp32 are left alone, for their weights may be trained."""

    @functools.wraps(_load)
    def load(name="lite", *, device="auto", precision="auto"):
        chosen = _load if precision == "fp32" else _load_once
        return chosen(name, device=device, precision=precision)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cliptune.encoders, "load_encoder", load)
        yield


@pytest.fixture(autouse=True, scope="session")
def short_trials_of_speed():
    """Time a study's encoders on a third of the images and texts that users' starts take."""
    from cliptune.studies import speed

    with pytest.MonkeyPatch.context() as patch:
        for name, count in (("_IMAGES", 32), ("_WARM_UP", 8), ("_TEXTS", 16), ("_TRAINED", 8)):
            patch.setattr(speed, name, count)
        yield


@pytest.fixture(scope="session")
def cache(make_cache):
    return make_cache()


@pytest.fixture
def run(cache, capsys):
    """Run a command and return its exit code, its JSON (or nothing), and what it said."""

    def run_command(*words, cache=cache):
        code = run_command_line([*map(str, words), "--cache-dir", str(cache), "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return run_command


@pytest.fixture(scope="session")
def small_insects(data_root, tmp_path_factory):
    """Real ants and bees, 24 to learn from and 12 to test on of each."""
    folder = tmp_path_factory.mktemp("data") / "insects"
    for split, n in (("train", 24), ("val", 12)):
        for name in ("ants", "bees"):
            images = sorted((data_root / "hymenoptera_data" / split / name).iterdir())[:n]
            (folder / split / name).mkdir(parents=True)
            for image in images:
                shutil.copy(image, folder / split / name)
    return folder
