"""Tables of tiny images for the tests of features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cliptune.images import ImageTable
from cliptune.system import file_state

MakeTable = Callable[..., ImageTable]


@pytest.fixture
def make_table(tmp_path: Path) -> MakeTable:
    """Write ``n`` images of two classes into a folder and open it."""

    def make(n: int, *, folder: str = "images", seed: int = 0) -> ImageTable:
        pixels = np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), np.uint8)
        for i in range(n):
            path = tmp_path / folder / ("ant", "bee")[i % 2] / f"{i:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[i]).save(path, compress_level=0)
        return ImageTable.open(tmp_path / folder)

    return make


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let digests be recorded of files that were written a moment ago."""
    monkeypatch.setattr(file_state, "_SETTLED_NS", -(10**18))


@pytest.fixture(scope="module")
def insects(data_root):
    """Twenty of Hymenoptera's photographs, of both classes and splits."""
    table = ImageTable.open(data_root / "hymenoptera_data")
    return table.select(np.arange(0, len(table), 20))
