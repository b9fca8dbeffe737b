"""Fixtures that several modules share: real data, small pictures, graphs of the default model."""

import gc
import io
import json
import os
import re
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from threadpoolctl import threadpool_limits

from cliptune.encoders.engines.intel import import_openvino

CHROMIUM = Path("/usr/bin/chromium")
VISION = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 32}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
CAPTIONED = {"dog": "dogs?", "water": "water|ocean|lake|pool", "man": "m[ae]n", "girl": "girls?"}
TINY = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}

# Workers side by side share the cores among them: numpy's library, which is loaded already, and
# what reads the environment when it is imported later, in this process and in its children.
if "PYTEST_XDIST_WORKER" in os.environ:
    threadpool_limits(1)
    for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

# UMAP is compiled anew by each process that uses it. Its code is the same without the compiler's
# optimisation, which takes three quarters of the time and gains nothing on a few points.
os.environ.setdefault("NUMBA_OPT", "0")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for no garbage while modules load: they make millions of objects, which stay.

    OpenVINO comes first and as the library imports it: where a test imports it otherwise, each
    conversion forks the process to report to its maker, which takes ten times the conversion.
    """
    gc.disable()
    try:
        with suppress(ImportError):
            import_openvino()
        found = yield
        gc.freeze()  # nor later among what they made
        return found
    finally:
        gc.enable()


@pytest.fixture(autouse=True, scope="session")
def short_trials():
    """Time an engine for a fifth of a second when it is opened first, where users' starts take two.

    By the rule and on the images of any trial; only how long the rates are averaged is shorter.
    """
    from cliptune.encoders.engines import opening
    from cliptune.encoders.engines.trial import Trial

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "Trial", partial(Trial, seconds=0.2))
        yield


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
def engine_graphs(short_trials, tmp_path_factory):
    """The engines' folder of a cache in which ``lite`` was started once.

    Converting its towers takes longer than most tests; all workers share one conversion.
    """
    from cliptune.encoders.engines import open_on_engine

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    cache, done = base / "started", base / "started" / "done"
    with FileLock(base / "started.lock"):
        if not done.exists():
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


@pytest.fixture(scope="session")
def captioned(data_root, tmp_path_factory):
    """Photographs labelled by the words that two of their captions share."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("data")
    for split, n in (("train", 200), ("test", 80)):
        table = pq.read_table(data_root / f"flickr8k/{split}.parquet").slice(0, n)
        labels = [
            [
                word
                for word, pattern in CAPTIONED.items()
                if sum(bool(re.search(rf"\b({pattern})\b", c.lower())) for c in captions) >= 2
            ]
            for captions in table["captions"].to_pylist()
        ]
        columns = {"image": table["image"], "labels": pa.array(labels, pa.list_(pa.string()))}
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    return folder


@pytest.fixture(scope="session")
def label_cache(make_cache):
    """The cache of the runs of several labels."""
    return make_cache()


@pytest.fixture(scope="session")
def fitted_labels(captioned, label_cache, tmp_path_factory):
    """A run of ``fit`` that answers several labels an image; it is only read."""
    import cliptune

    out = tmp_path_factory.mktemp("fitted") / "labels"
    compute = cliptune.ComputeOptions(cache_dir=label_cache)
    cliptune.fit(captioned, out=out, compute=compute)
    return out


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A folder with a small model of open_clip's, its weights drawn at random."""
    import torch
    from safetensors.torch import save_file

    from cliptune.encoders.open_clip_encoder import build_model

    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = build_model(TINY).state_dict()
    described = {"model_cfg": TINY, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


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
