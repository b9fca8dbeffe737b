"""One thread for NumPy's and SciPy's products, where many small ones run side by side or in turn.

Libraries are looked for again only when modules were loaded since: with hundreds of them in the
process that takes longer than a small fit.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["one_blas_thread"]

_found: tuple[int, Any] = (0, None)  # modules then; Any: threadpoolctl ships no types


def one_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread while the block lasts."""
    global _found  # as the libraries are the process's own
    from threadpoolctl import ThreadpoolController

    modules, controller = _found
    if modules != len(sys.modules):
        controller = ThreadpoolController()
        _found = len(sys.modules), controller
    held: AbstractContextManager[Any] = controller.limit(limits=1, user_api="blas")
    return held
