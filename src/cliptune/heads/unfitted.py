"""The error of a head that is asked before it was fitted.

It is a module of its own because scikit-learn, which knows it too, takes long to import.
"""

from __future__ import annotations

from sklearn.exceptions import NotFittedError

from cliptune.errors import InputError

__all__ = ["UnfittedHeadError"]


class UnfittedHeadError(InputError, NotFittedError):  # type: ignore[misc]  # it has no types
    """A head was asked before ``fit`` has run."""
