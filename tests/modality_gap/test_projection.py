import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA

from cliptune.errors import InputError, MissingExtraError
from cliptune.modality_gap.projection import Cloud, project


def cloud(n=90, n_texts=6, dim=15, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, dim)).astype(np.float32) * np.linspace(3, 0.1, dim)
    texts = rng.normal(size=(n_texts, dim)).astype(np.float32) + 2
    return Cloud(images.astype(np.float32), texts, (np.arange(n), np.arange(n) ** 2 % n_texts))


def paired_rows(c):
    return np.concatenate([c.images[c.pairs[0]], c.texts[c.pairs[1]]]).astype(float)


def same_up_to_sign(ours, theirs):
    for axis in range(2):
        sign = np.sign((ours[:, axis] * theirs[:, axis]).sum())
        assert ours[:, axis] == pytest.approx(sign * theirs[:, axis], abs=1e-4)


@pytest.mark.parametrize("solver", ["full", "arpack"])
def test_agrees_with_scikit_learn_on_the_same_matrix(solver):
    c = cloud()
    (plane,), remarks = project([c])
    pca = PCA(2, svd_solver=solver, random_state=0).fit(paired_rows(c))
    same_up_to_sign(plane.images, pca.transform(c.images.astype(float)))
    same_up_to_sign(plane.texts, pca.transform(c.texts.astype(float)))
    assert plane.explained == pytest.approx(pca.explained_variance_ratio_, rel=1e-6)
    assert remarks == ()


def test_signs_do_not_depend_on_the_data_being_mirrored():
    c = cloud()
    axes = np.linalg.eigh(np.cov(paired_rows(c).T))[1][:, ::-1][:, :2].T
    fixed = axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, None]
    (plane,), _ = project([c])
    expected = (c.images - paired_rows(c).mean(axis=0)) @ fixed.T
    assert plane.images == pytest.approx(expected, abs=1e-4)


def test_every_image_brings_its_text():
    # One text of a class of 80 images moves the axes as 80 texts would.
    rng = np.random.default_rng(0)
    images = rng.normal(size=(80, 4)).astype(np.float32)
    texts = np.asarray([[0, 0, 0, 30.0]], np.float32)
    (plane,), _ = project([Cloud(images, texts, (np.arange(80), np.zeros(80, int)))])
    between = 15.0**2
    assert plane.explained[0] == pytest.approx(between / (between + 4 / 2), abs=0.01)


def test_the_first_view_fixes_the_axes_of_all():
    first, second = cloud(seed=0), cloud(seed=1)
    planes, _ = project([first, second], fit="first")
    (alone,), _ = project([first])
    pca = PCA(2, svd_solver="full").fit(paired_rows(first))
    assert planes[0].images == pytest.approx(alone.images)
    same_up_to_sign(planes[1].images, pca.transform(second.images.astype(float)))
    assert planes[1].explained != pytest.approx(planes[0].explained, rel=0.01)


def test_all_views_can_share_the_fit():
    clouds = [cloud(seed=0), cloud(seed=1)]
    planes, _ = project(clouds, fit="all")
    pca = PCA(2, svd_solver="full").fit(np.concatenate([paired_rows(c) for c in clouds]))
    same_up_to_sign(planes[0].images, pca.transform(clouds[0].images.astype(float)))


def test_views_of_other_dimensions_are_turned_onto_the_first():
    c = cloud()
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(15, 15)))[0]
    wide = np.hstack([rotation, np.zeros((15, 5))])  # the same shape in 20 dimensions
    other = Cloud(
        (c.images @ wide).astype(np.float32), (c.texts @ wide).astype(np.float32), c.pairs
    )
    planes, remarks = project([c, other])
    assert planes[1].images == pytest.approx(planes[0].images, abs=1e-3)
    assert "15, 20 dimensions" in remarks[0]


def test_tsne_places_two_views_together_and_reproducibly():
    c = cloud(n=20)
    first, second = (project([c, c], method="tsne", fit="all", seed=3)[0] for _ in range(2))
    assert (first[1].images == second[1].images).all()
    assert first[0].texts.shape == (6, 2)
    assert first[0].explained is None


def test_tsne_cannot_place_a_second_view():
    with pytest.raises(InputError, match="--fit all"):
        project([cloud(), cloud(seed=1)], method="tsne")


def test_umap_keeps_clusters_apart():
    pytest.importorskip("umap", reason="umap-learn is an optional extra")
    rng = np.random.default_rng(0)
    sides = np.repeat([-1.0, 1.0], 20)[:, None]
    images = (sides * np.ones(8) + 0.1 * rng.normal(size=(40, 8))).astype(np.float32)
    texts = np.stack([-np.ones(8), np.ones(8)]).astype(np.float32)
    c = Cloud(images, texts, (np.arange(40), np.arange(40) // 20))
    planes, _ = project([c, c], method="umap")
    left, right = planes[0].images[:20], planes[0].images[20:]
    assert np.linalg.norm(left.mean(0) - right.mean(0)) > 3 * left.std(axis=0).max()
    assert planes[1].images.shape == (40, 2)


def test_missing_umap_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"cliptune\[map\]"):
        project([cloud()], method="umap")
