"""OpenVINO and its quantiser, imported so that they report to nobody.

Left alone, the import and every conversion fork this process and send what was done here to the
maker's statistics. It does not know what the packages are used for.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["import_nncf", "import_openvino"]

_REPORTER = "openvino_telemetry"  # both packages do without it where it is not installed
_MISSING = object()


def import_openvino() -> Any:  # Any: its types come from compiled code
    """Return the module ``openvino``."""
    return _import("openvino")


def import_nncf() -> Any:  # Any: it is not typed
    """Return the module ``nncf``."""
    return _import("nncf")


def _import(name: str) -> Any:  # Any: as above
    """Import a package as on a machine without the reporter, which stays as others have it."""
    if name in sys.modules:
        return sys.modules[name]
    before = sys.modules.get(_REPORTER, _MISSING)
    sys.modules[_REPORTER] = None  # type: ignore[assignment]  # makes its import fail
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[_REPORTER]
        if before is not _MISSING:
            sys.modules[_REPORTER] = before  # type: ignore[assignment]  # as it was
