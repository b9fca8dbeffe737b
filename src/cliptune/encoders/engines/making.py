"""A tower's graph: from the store, or made from torch and put there.

It knows which converter makes which kind, and nothing about choosing among kinds.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.engines.runtimes import EXTRAS
from cliptune.encoders.engines.storage import GraphStore
from cliptune.errors import CliptuneError, ConversionError, MissingExtraError, UnavailableError

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["find_or_make"]

_LOG = logging.getLogger(__name__)


def find_or_make(
    store: GraphStore,
    kind: str,
    tower: str,
    *,
    reference: Callable[[], TorchEncoder],
    calibration: Callable[[], NDArray[np.uint8]],
) -> Path:
    """Return a graph's file; make it where it is missing, damaged or of another version.

    Args:
        store: Where graphs are kept.
        kind: ``openvino``, ``openvino-int8`` or ``onnx``.
        tower: ``image``, ``text``, ``tokens`` or ``trunk``.
        reference: Loads the model in torch.
        calibration: Gives the images that an 8-bit graph is calibrated on.

    Raises:
        ConversionError: The tower cannot be converted.
        MissingExtraError: What converts it is not installed.
        UnavailableError: The cache cannot be written to.
    """
    before = store.record(kind, tower)
    found = store.find(kind, tower)
    if found is not None:
        return found
    with store.turn():
        if store.record(kind, tower) != before:  # another process has made it meanwhile
            found = store.find(kind, tower)
        if found is None:
            _LOG.info("making the %s graph of the %s tower", kind, tower)
            _make(store, kind, tower, reference, calibration)
            found = store.find(kind, tower)
    assert found is not None, "it was just written"
    return found


def _make(
    store: GraphStore,
    kind: str,
    tower: str,
    reference: Callable[[], TorchEncoder],
    calibration: Callable[[], NDArray[np.uint8]],
) -> None:
    encoder = reference()
    from cliptune.encoders.engines import conversion

    try:
        if kind == "openvino-int8":
            source = find_or_make(
                store, "openvino", tower, reference=reference, calibration=calibration
            )
            pixels = calibration()
            with store.making(kind, tower, {"calibrated_on": len(pixels)}) as folder:
                conversion.quantize(source, pixels, folder)
            return
        convert = {"openvino": conversion.convert_to_openvino, "onnx": conversion.convert_to_onnx}
        with store.making(kind, tower, {}) as folder:
            convert[kind](encoder, tower, folder)
    except CliptuneError:
        raise
    except ImportError as error:
        raise MissingExtraError(EXTRAS[kind], f"converting for {kind}") from error
    except conversion.FAILURES as error:
        if _lacks_room(store, encoder):  # the converters say no more than that writing failed
            raise UnavailableError(
                f"no room for the {kind} graph of the {tower} tower in {str(store.path)!r}; make "
                "room, name another --cache-dir or use --engine torch"
            ) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConversionError(
            f"{encoder.name}: the {tower} tower cannot be converted for {kind} ({reason}); "
            f"use --engine torch"
        ) from error


def _lacks_room(store: GraphStore, encoder: TorchEncoder) -> bool:
    """Say whether the disk has less room than a model's weights in float32 take."""
    needed = 4 * sum(weights.numel() for weights in encoder.model.parameters())
    try:
        return shutil.disk_usage(store.path).free < needed
    except OSError:
        return False
