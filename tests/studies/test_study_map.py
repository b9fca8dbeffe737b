"""The map of a study: what it is made of."""

import shutil
from types import SimpleNamespace

import numpy as np

from cliptune.features import FeatureStore
from cliptune.images import ImageTable
from cliptune.studies.sections.map import map_inputs


def test_a_picture_that_comes_twice_is_one_picture(data_root, tmp_path):
    for name in ("ants", "bees"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for image in sorted((data_root / "hymenoptera_data/val" / name).iterdir())[:2]:
            shutil.copy(image, tmp_path / "data" / name)
    shutil.copy(image, tmp_path / "data/ants/zz-copy.jpg")
    table = ImageTable.open(tmp_path / "data")
    views = (SimpleNamespace(store=FeatureStore(tmp_path / "cache")),)
    subject = SimpleNamespace(table=table, views=views, data="data")
    items = map_inputs(subject, np.arange(5), ()).image_items
    (copy,) = [row for row, name in enumerate(table.ids) if "zz-copy" in name]
    (first,) = [row for row, name in enumerate(table.ids) if name.endswith(f"bees/{image.name}")]
    assert items[copy] == items[first]
    assert len(np.unique(items)) == 4
