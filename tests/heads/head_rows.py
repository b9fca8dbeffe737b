"""Small clustered rows for the tests of heads, drawn from a seed."""

from dataclasses import dataclass

import numpy as np

SCALE = 20.0


@dataclass(frozen=True)
class Clusters:
    X: np.ndarray
    y: np.ndarray
    X_val: np.ndarray
    y_val: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    text_rows: np.ndarray

    @property
    def validation(self):
        return self.X_val, self.y_val


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def make_clusters(
    n_classes=4, n_per_class=30, dim=16, *, noise=0.6, text_noise=1.0, seed=0
) -> Clusters:
    """Classes around random centres on a common mean, and texts that point near the centres."""
    rng = np.random.default_rng(seed)
    mean = 0.5 * rng.normal(size=dim)
    centres = rng.normal(size=(n_classes, dim))

    def draw(count):
        y = np.repeat(np.arange(n_classes), count)
        X = mean + centres[y] + noise * rng.normal(size=(len(y), dim))
        order = rng.permutation(len(y))
        return unit(X)[order], y[order]

    X, y = draw(n_per_class)
    X_val, y_val = draw(20)
    X_test, y_test = draw(50)
    texts = unit(centres + text_noise * rng.normal(size=centres.shape))
    return Clusters(X, y, X_val, y_val, X_test, y_test, texts)


def as_trunk(rows, n_features=24, seed=2):
    """Unit rows first, then positive features that they do not determine, at unit length."""
    rng = np.random.default_rng(seed)
    mixed = 2 * rows @ rng.normal(size=(rows.shape[1], n_features))
    noise = 0.3 * rng.normal(size=mixed.shape)
    return np.concatenate([rows, unit(np.maximum(mixed + noise, 0))], axis=1).astype(np.float32)


def as_tokens(rows, n_tokens=3, seed=1):
    """Pooled rows first, then tokens scattered around them with norms other than 1."""
    rng = np.random.default_rng(seed)
    tokens = 3 * (rows[:, None] + 0.3 * rng.normal(size=(len(rows), n_tokens, rows.shape[1])))
    return np.concatenate([rows[:, None], tokens], axis=1).astype(np.float32)
