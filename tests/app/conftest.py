"""A folder of ants and bees without labels, and pages of it that are served for real."""

import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import cliptune as ct

pytest.importorskip("fastapi", reason="needs the extra app")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra app")


@pytest.fixture(scope="session")
def insects(data_root, tmp_path_factory):
    """Eighty images in one folder; what each is, by its name."""
    folder = tmp_path_factory.mktemp("insects") / "insects"
    folder.mkdir()
    truth = {}
    for name in ("ants", "bees"):
        for image in sorted((data_root / "hymenoptera_data" / "train" / name).iterdir())[:40]:
            shutil.copy(image, folder)
            truth[image.name] = name.removesuffix("s")
    return folder, truth


@pytest.fixture(scope="session")
def torch_cache(tmp_path_factory):
    """Where the encoder computes: on torch, whose graphs need no conversion."""
    cache = tmp_path_factory.mktemp("cache")
    return ct.ComputeOptions(cache_dir=cache, engine="torch", precision="fp32")


@pytest.fixture
def serve_page(torch_cache, tmp_path):
    """Serve the page of a data set on a port of its own, with a journal of its own."""
    from cliptune.app.page_server import bind
    from cliptune.app.start import open_page

    @contextmanager
    def serve(data, **options):
        taken = bind(0)
        dataset = ct.DataOptions(journal=options.pop("journal", tmp_path / "journal.jsonl"))
        page = open_page(
            str(data), taken.getsockname()[1], dataset=dataset, compute=torch_cache, **options
        )
        config = uvicorn.Config(page.application, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: server.run(sockets=[taken]))
        thread.start()
        try:
            yield page
        finally:
            server.should_exit = True
            thread.join(20)
            taken.close()

    return serve


@pytest.fixture(scope="session")
def axe():
    """The script of axe-core, which npm brings: ``npm install --no-save axe-core``."""
    root = Path(__file__).parent.parent.parent
    default = root / "node_modules" / "axe-core" / "axe.min.js"
    script = Path(os.environ.get("CLIPTUNE_AXE", default))
    return script.read_text() if script.is_file() else None
