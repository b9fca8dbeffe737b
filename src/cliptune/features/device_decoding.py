"""JPEGs decoded, resized and cropped on the device that computes, by torchvision.

A processor is such a device too, with the same results but for the decoder's rounding. It knows
neither tables nor models.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import Preprocess

if TYPE_CHECKING:
    import torch

__all__ = ["DeviceDecoder", "decode_jpegs"]

_MOST_LEVELS = 1 << 26  # pixels of pictures that are decoded at once: 200 MB

Jpeg = tuple[bytes, tuple[int, int]]
"""The bytes of a JPEG, and its height and width."""


class DeviceDecoder:
    """From JPEGs to a model's pixels on one device; one thread at a time.

    Args:
        preprocess: One whose ``quick_fit`` fits all of the pictures.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
    """

    def __init__(self, preprocess: Preprocess, device: str) -> None:
        import torch

        self._preprocess = preprocess
        self._device = torch.device(device)
        self._stream: torch.cuda.Stream | None = None
        if self._device.type == "cuda":
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch
            self._device = self._stream.device  # with its number

    def pixels(self, jpegs: Sequence[Jpeg]) -> NDArray[np.uint8]:
        """Decode n JPEGs, as many at once as there is room for.

        Returns:
            uint8, shape (n, 3, H, W), in the memory of the host.

        Raises:
            RuntimeError: The decoder refuses one, or gives none of the shape that its header says;
                nothing is known of the others.
        """
        groups = [self._together(group) for group in _groups(jpegs)]
        return np.concatenate(groups)

    def _together(self, jpegs: Sequence[Jpeg]) -> NDArray[np.uint8]:
        """Decode JPEGs in one call.

        A stream of its own is waited for before memory is used again, which the decoder's own
        stream would otherwise write to while the last picture is still being resized.
        """
        import torch

        with self._own_stream(), torch.inference_mode():
            decoded = decode_jpegs([data for data, _ in jpegs], self._device)
            for (_, size), levels in zip(jpegs, decoded, strict=True):
                if levels.shape != (3, *size):
                    raise RuntimeError(f"{tuple(levels.shape)} came for a picture of {size}")
            stacked = torch.stack([self._resize(levels) for levels in decoded])
            found: NDArray[np.uint8] = stacked.cpu().numpy()
        return found

    def _own_stream(self) -> AbstractContextManager[object]:
        import torch

        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _resize(self, levels: torch.Tensor) -> torch.Tensor:
        """Resize and crop a picture (3, h, w) of bytes, in floats: GPUs resize no bytes.

        It is scaled across and then down, and rounded to bytes after both, as the kernel for bytes
        does; without the former, values near black and white are up to 10 apart.
        """
        import torch

        fit = self._preprocess.quick_fit(levels.shape[1:])
        assert fit is not None, "the caller has looked"
        (whole, across), (top, left) = fit
        height, width = self._preprocess.size
        wide = self._scale(levels[None].float(), (levels.shape[1], across))
        crop = wide[..., left : left + width]
        tall = self._scale(crop, (whole, width))
        return tall[0, :, top : top + height].to(torch.uint8)

    def _scale(self, values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        from torch.nn.functional import interpolate

        scaled = interpolate(
            values, size=size, mode=self._preprocess.interpolation, antialias=True,
            align_corners=False,
        )  # fmt: skip
        return scaled.round_().clamp_(0, 255)


def decode_jpegs(data: Sequence[bytes], device: torch.device) -> list[torch.Tensor]:
    """Decode JPEGs with one call of torchvision's decoder: nvJPEG on a CUDA device.

    Returns:
        RGB, uint8, shape (3, H, W) each, on the device.

    Raises:
        RuntimeError: One of them is refused.
    """
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    # What follows it, torchcodec, is one more package; until it is needed nobody has to be told.
    warnings.filterwarnings("ignore", "The image decoding", DeprecationWarning, r"torchvision\.")
    inputs = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in data]
    found: list[torch.Tensor] = decode_jpeg(inputs, mode=ImageReadMode.RGB, device=device)
    return found


def _groups(jpegs: Sequence[Jpeg]) -> list[list[Jpeg]]:
    groups: list[list[Jpeg]] = []
    room = 0
    for jpeg in jpegs:
        n = jpeg[1][0] * jpeg[1][1]
        if n > room:
            groups.append([])
            room = _MOST_LEVELS
        groups[-1].append(jpeg)
        room -= n
    return groups
