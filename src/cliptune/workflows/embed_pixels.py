"""How the pictures of an embedding job become pixels: as asked, as it began, or by its size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.errors import InputError

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.images import ImageTable
    from cliptune.scale.shard import Pixels

__all__ = ["choose_pixels", "is_on_cuda"]


def is_on_cuda(encoder: DualEncoder) -> bool:
    """Say whether an encoder computes with torch on a CUDA device, which decodes JPEGs too."""
    engine = str(getattr(encoder, "engine", "torch"))
    return engine == "torch" and str(getattr(encoder, "device", "cpu")).startswith("cuda")


def choose_pixels(
    asked: Pixels | None,
    encoder: DualEncoder,
    out: Path,
    *,
    many: bool,
    table: ImageTable | None = None,
    threads: int = 1,
) -> Pixels:
    """Choose between ``exact``, ``quick`` and ``device``.

    Args:
        asked: By the user.
        encoder: What embeds.
        out: The job's folder, which may say how it began.
        many: Whether there are so many images that another way than ``exact`` may be chosen.
        table: The images, where they are known: whether the device decodes them faster is
            measured on a sample.
        threads: That a worker reads with.

    Raises:
        InputError: The device cannot decode for this encoder.
        RunError: The record of the job in the folder is broken.
    """
    from cliptune.scale.plan import holds_job

    if asked is not None:
        if asked == "device":
            _require_device(encoder, "--pixels device came", "use --pixels quick")
        return asked
    if holds_job(out):
        return _as_begun(encoder, out)
    return _by_size(encoder, table, threads) if many else "exact"


def _as_begun(encoder: DualEncoder, out: Path) -> Pixels:
    from cliptune.scale.plan import read_plan

    found = read_plan(out).facts.get("pixels")
    if found == "device":
        _require_device(
            encoder, f"the job in {str(out)!r} has --pixels device", "name a new folder"
        )
        return "device"
    return "quick" if found == "quick" else "exact"


def _by_size(encoder: DualEncoder, table: ImageTable | None, threads: int) -> Pixels:
    """Choose for many images; fp32 is not rounded more than pixels are, and keeps its own."""
    from cliptune.features.keys import reduces_input

    may_decode = is_on_cuda(encoder) and encoder.precision != "fp32"
    if table is not None and may_decode and encoder.preprocess.is_quick:
        from cliptune.features.device_speed import device_pays

        if device_pays(encoder, table, threads):
            return "device"
    return "quick" if reduces_input(encoder) else "exact"


def _require_device(encoder: DualEncoder, came: str, otherwise: str) -> None:
    """Make sure that the device of an encoder decodes what it takes.

    Raises:
        InputError: It does not.
    """
    if not is_on_cuda(encoder):
        where = f"{getattr(encoder, 'engine', 'torch')} on {getattr(encoder, 'device', 'cpu')}"
        raise InputError(
            f"{came}, but {encoder.name} computes by {where}; expected torch on a CUDA device, "
            f"which decodes JPEGs: add --engine torch --device cuda, or {otherwise}"
        )
    if not encoder.preprocess.is_quick:
        raise InputError(
            f"{came}, but {encoder.name} takes pictures that are padded, or in patches or crops "
            f"({encoder.preprocess.resize_mode}); expected whole ones that are scaled and cut out "
            f"of: {otherwise}"
        )
