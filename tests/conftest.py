"""Fixtures that several modules share: real data, small pictures, graphs of the default model."""

import io
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

CHROMIUM = Path("/usr/bin/chromium")

# Workers side by side share the cores among them; read by torch and numpy when they are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session")
def data_root():
    """The folder of real data sets."""
    default = Path(__file__).parent.parent.parent / "shared" / "data"
    root = Path(os.environ.get("CLIPTUNE_TEST_DATA", default)).resolve()
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; name its folder in CLIPTUNE_TEST_DATA")
    return root


@pytest.fixture(scope="session")
def make_picture():
    """Make the same picture for the same seed: smooth colours and a little noise."""

    def make(seed=0, size=(48, 32)):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
        noise = rng.integers(-8, 9, smooth.shape)
        return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))

    return make


@pytest.fixture(scope="session")
def encode_picture():
    """Encode a picture in a format of Pillow's."""

    def encode(image, kind="PNG", **options):
        buffer = io.BytesIO()
        image.save(buffer, format=kind, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def make_tree(tmp_path, make_picture, encode_picture):
    """Write small pictures at relative paths below a new folder and return the folder."""

    def make(*paths, root="data"):
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for number, path in enumerate(paths):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            kind = "PNG" if target.suffix.lower() == ".png" else "JPEG"
            target.write_bytes(encode_picture(make_picture(number), kind))
        return folder

    return make


@pytest.fixture
def two_threads():
    """Let torch work with two threads, as it does on two cores with nobody else on them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def engine_graphs(tmp_path_factory):
    """The engines' folder of a cache in which ``lite`` was started once, on a short trial.

    Converting its towers takes longer than most tests; all workers share one conversion.
    """
    from cliptune.encoders.engines import open_on_engine, opening
    from cliptune.encoders.engines.trial import Trial

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    cache, done = base / "started", base / "started" / "done"
    with FileLock(base / "started.lock"), pytest.MonkeyPatch.context() as patch:
        if not done.exists():
            patch.setattr(opening, "Trial", partial(Trial, seconds=0.2))
            open_on_engine("lite", cache_dir=cache)
            done.touch()
    return cache / "engines"


@pytest.fixture(scope="session")
def make_cache(tmp_path_factory, engine_graphs):
    """Make a cache that knows no data yet, but how to run ``lite`` here."""

    def make():
        cache = tmp_path_factory.mktemp("cache")
        (cache / "engines").symlink_to(engine_graphs, target_is_directory=True)
        return cache

    return make


@pytest.fixture(scope="session")
def small_data(data_root, tmp_path_factory):
    """Twelve training and eight test images of each class, split as Hymenoptera is."""
    folder = tmp_path_factory.mktemp("small")
    for split, n in (("train", 12), ("val", 8)):
        for name in ("ants", "bees"):
            (folder / split / name).mkdir(parents=True)
            for image in sorted((data_root / "hymenoptera_data" / split / name).iterdir())[:n]:
                shutil.copy(image, folder / split / name)
    return folder


@pytest.fixture(scope="session")
def compute(make_cache):
    """Where the verbs compute: on torch in fp32, so that rows are the same everywhere."""
    import cliptune

    return cliptune.ComputeOptions(cache_dir=make_cache(), engine="torch", precision="fp32")


@pytest.fixture(scope="session")
def fitted(small_data, compute, tmp_path_factory):
    """What ``fit`` gives of one head; it is only read."""
    import cliptune

    out = tmp_path_factory.mktemp("fitted") / "run"
    return cliptune.fit(
        small_data, method="linear", abstain_precision=0.9, out=out, compute=compute
    )


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; while it is open the thread has a running event loop."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def visit(browser):
    """Open a page and return it with what it complained about and asked for."""

    def open_page(path, width=1440, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.resolve().as_uri())
        return page, complaints, [url for url in requests if not url.startswith("data:")]

    return open_page
