"""From vectors to a plane: PCA, UMAP or t-SNE of images and texts together.

It knows nothing about labels or pictures. All points of one view, images and texts alike, go
through one projection, so that an offset between the modalities stays visible.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError, MissingExtraError

__all__ = ["METHODS", "Cloud", "Fit", "Method", "Plane", "project"]

Method = Literal["pca", "umap", "tsne"]
Fit = Literal["first", "all"]
METHODS: tuple[Method, ...] = ("pca", "umap", "tsne")
_MAX_FIT_PAIRS = 20_000


@dataclass(frozen=True)
class Cloud:
    """The points of one view.

    Attributes:
        images: float32 (N, D).
        texts: float32 (M, D).
        pairs: Rows of images and rows of texts of all matched pairs, each int (P,).
    """

    images: NDArray[np.float32]
    texts: NDArray[np.float32]
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Plane:
    """Where the points of one view lie.

    Attributes:
        images: float32 (N, 2).
        texts: float32 (M, 2).
        explained: Share of the view's variance along each axis; only PCA has one.
    """

    images: NDArray[np.float32]
    texts: NDArray[np.float32]
    explained: tuple[float, float] | None


def project(
    clouds: Sequence[Cloud], *, method: Method = "pca", fit: Fit = "first", seed: int = 0
) -> tuple[list[Plane], tuple[str, ...]]:
    """Project every view into the plane.

    Args:
        clouds: One or more views of the same images and texts.
        method: ``pca``, ``umap`` or ``tsne``.
        fit: Fit on the ``first`` view and apply to the others, or on ``all`` together. Views
            of different dimension cannot share a projection: each then has its own, turned
            (never scaled) onto the first by orthogonal Procrustes analysis.
        seed: Seed of whatever is random.

    Returns:
        One plane a view, and remarks that belong beside the figure.

    Raises:
        InputError: t-SNE is to be fitted on the first of several views only.
        MissingExtraError: ``umap`` without umap-learn.
    """
    if method == "tsne" and fit == "first" and len(clouds) > 1:
        raise InputError(
            "t-SNE cannot place points it was not fitted on; use --fit all, or --method pca"
        )
    reduce = {"pca": _project_pca, "umap": _project_umap, "tsne": _project_tsne}[method]
    if len({cloud.images.shape[1] for cloud in clouds}) == 1:
        return reduce(clouds, fit, seed), ()
    planes = [reduce([cloud], "first", seed)[0] for cloud in clouds]
    turned = [planes[0], *(_turn_onto(plane, planes[0]) for plane in planes[1:])]
    dims = ", ".join(str(cloud.images.shape[1]) for cloud in clouds)
    return turned, (
        f"The views have {dims} dimensions, so each has its own projection, turned onto the "
        "first: compare shapes, not positions.",
    )


def _project_pca(clouds: Sequence[Cloud], fit: Fit, seed: int) -> list[Plane]:
    """scikit-learn's PCA of one row an image and one row its text, for every matched pair.

    A hundred class texts among thousands of images would have no say in the axes; as in
    arXiv:2203.02053 every image brings its text, so both modalities weigh the same. At most
    20,000 pairs are used, drawn with the seed.
    """
    from sklearn.decomposition import PCA

    tables = [_paired_rows(cloud, seed) for cloud in clouds]
    pca = PCA(n_components=2, svd_solver="covariance_eigh")
    pca.fit(np.concatenate(tables) if fit == "all" else tables[0])
    axes = _fix_signs(pca.components_)

    def place(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        placed: NDArray[np.float32] = ((vectors - pca.mean_) @ axes.T).astype(np.float32)
        return placed

    return [
        Plane(place(cloud.images), place(cloud.texts), _explained(table, axes))
        for cloud, table in zip(clouds, tables, strict=True)
    ]


def _paired_rows(cloud: Cloud, seed: int) -> NDArray[np.float64]:
    images, texts = cloud.pairs
    if len(images) > _MAX_FIT_PAIRS:
        kept = np.random.default_rng([seed, 4]).choice(len(images), _MAX_FIT_PAIRS, replace=False)
        images, texts = images[kept], texts[kept]
    return np.concatenate([cloud.images[images], cloud.texts[texts]]).astype(np.float64)


def _fix_signs(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make each axis' entry of largest magnitude positive, whatever the solver returned."""
    largest = np.abs(axes).argmax(axis=1)
    signed: NDArray[np.float64] = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return signed


def _explained(table: NDArray[np.float64], axes: NDArray[np.float64]) -> tuple[float, float]:
    total = table.var(axis=0).sum()
    along = (table @ axes.T).var(axis=0) / max(total, np.finfo(np.float64).tiny)
    return float(along[0]), float(along[1])


def _project_umap(clouds: Sequence[Cloud], fit: Fit, seed: int) -> list[Plane]:
    """UMAP (arXiv:1802.03426) by cosine; every text is one point, for copies have no distance."""
    try:
        with warnings.catch_warnings():
            # It warns that a relative of UMAP, which is not used here, lacks its own library.
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP
    except ImportError as error:
        raise MissingExtraError("map", "--method umap") from error

    points = [np.concatenate([cloud.images, cloud.texts]) for cloud in clouds]
    fitted = np.concatenate(points) if fit == "all" else points[0]
    # A seed makes UMAP run on one thread; saying so ourselves spares its warning.
    reducer = UMAP(
        n_neighbors=min(15, len(fitted) - 1),
        metric="cosine",
        init="random" if len(fitted) < 16 else "spectral",
        random_state=seed,
        n_jobs=1,
    )
    placed = reducer.fit_transform(fitted)
    if fit == "all":
        return _split(placed, clouds)
    rest = [reducer.transform(rows) for rows in points[1:]]
    return _split(np.concatenate([placed, *rest]), clouds)


def _project_tsne(clouds: Sequence[Cloud], _fit: Fit, seed: int) -> list[Plane]:
    """t-SNE (van der Maaten and Hinton, JMLR 9, 2008) by cosine, of all views at once."""
    from sklearn.manifold import TSNE

    points = np.concatenate([np.concatenate([cloud.images, cloud.texts]) for cloud in clouds])
    perplexity = min(30.0, (len(points) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, metric="cosine", random_state=seed)
    return _split(tsne.fit_transform(points), clouds)


def _split(placed: NDArray[np.floating[Any]], clouds: Sequence[Cloud]) -> list[Plane]:  # Any: width
    planes, start = [], 0
    for cloud in clouds:
        middle, end = start + len(cloud.images), start + len(cloud.images) + len(cloud.texts)
        rows = placed.astype(np.float32)
        planes.append(Plane(rows[start:middle], rows[middle:end], None))
        start = end
    return planes


def _turn_onto(plane: Plane, reference: Plane) -> Plane:
    """Rotate or mirror a plane so that its points lie as near to the reference's as they can."""
    from scipy.linalg import orthogonal_procrustes

    own, other = (np.concatenate([p.images, p.texts]) for p in (plane, reference))
    turn, _ = orthogonal_procrustes(own - own.mean(axis=0), other - other.mean(axis=0))

    def turned(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        placed: NDArray[np.float32] = (
            (rows - own.mean(axis=0)) @ turn + other.mean(axis=0)
        ).astype(np.float32)
        return placed

    return Plane(turned(plane.images), turned(plane.texts), None)
