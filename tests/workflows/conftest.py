"""A small data set, a run of it, and one cache for all verbs."""

import shutil

import pytest

import cliptune as ct


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
    return ct.ComputeOptions(cache_dir=make_cache(), engine="torch", precision="fp32")


@pytest.fixture(scope="session")
def fitted(small_data, compute, tmp_path_factory):
    """What ``fit`` gives of one head; it is only read."""
    out = tmp_path_factory.mktemp("fitted") / "run"
    return ct.fit(small_data, method="linear", abstain_precision=0.9, out=out, compute=compute)
