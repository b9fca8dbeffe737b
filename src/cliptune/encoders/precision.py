"""Where a model computes and in which number format, with the reason for the choice.

It does not know any model; it asks torch what this machine has.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from cliptune.errors import DeviceError, UnknownNameError

__all__ = ["DEVICES", "PRECISIONS", "PrecisionChoice", "choose_device", "choose_precision"]

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrecisionChoice:
    """A number format and why it was taken.

    Attributes:
        precision: ``fp32``, ``bf16`` or ``fp16``.
        reason: One clause, for a log line or a run's record.
    """

    precision: str
    reason: str


def choose_device(requested: str = "auto") -> str:
    """Turn what was asked for into a device that is here.

    Args:
        requested: ``auto`` (the first GPU, else Apple's, else the processor), ``cpu``,
            ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        DeviceError: There is no such device on this machine.
        UnknownNameError: The name is not one of a device.
    """
    import torch

    if requested == "auto":
        here = "cuda" if torch.cuda.is_available() else _mps_or_cpu()
        _log.info("device %s: chosen automatically", here)
        return here
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", requested):
        raise UnknownNameError("device", requested, [*DEVICES, "cuda:0", "cuda:1"])
    if requested.startswith("cuda"):
        _require_cuda(requested)
    elif requested == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device 'mps': no Apple GPU is available to torch here; use cpu or auto")
    return requested


def choose_precision(
    requested: str = "auto", device: str = "cpu", *, convolutional: bool = False
) -> PrecisionChoice:
    """Choose the number format of the towers; the final normalisation is fp32 in any case.

    ``auto`` takes fp32 on a processor, where only some have fast bf16, and for convolutional
    towers, which lose more by rounding than transformers do; else bf16 on a GPU that has it,
    and fp16 on one that has not.

    Args:
        requested: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        device: As ``choose_device`` returns it.
        convolutional: The image tower is mainly convolutions.

    Raises:
        DeviceError: ``fp16`` without a GPU.
        UnknownNameError: The name is not one of a precision.
    """
    if requested not in PRECISIONS:
        raise UnknownNameError("precision", requested, PRECISIONS)
    if requested == "fp16" and device == "cpu":
        raise DeviceError("precision 'fp16' needs a GPU, the device is cpu; use fp32 or bf16")
    if requested == "auto":
        choice = _automatic(device, convolutional)
    else:
        choice = PrecisionChoice(requested, "as asked for")
    _log.info("precision %s on %s: %s", choice.precision, device, choice.reason)
    return choice


def _mps_or_cpu() -> str:
    import torch

    return "mps" if torch.backends.mps.is_available() else "cpu"


def _require_cuda(requested: str) -> None:
    import torch

    if not torch.cuda.is_available():
        raise DeviceError(f"device {requested!r}: torch finds no CUDA GPU here; use cpu or auto")
    index = int(requested.partition(":")[2] or 0)
    if index >= (count := torch.cuda.device_count()):
        raise DeviceError(
            f"device {requested!r}: this machine has {count} CUDA GPU(s), "
            f"cuda:0 to cuda:{count - 1}; use one of them"
        )


def _automatic(device: str, convolutional: bool) -> PrecisionChoice:
    if not device.startswith("cuda"):
        return PrecisionChoice("fp32", f"the exact choice on {device}")
    if convolutional:
        return PrecisionChoice("fp32", "convolutional towers lose accuracy in 16 bits")
    if _has_bf16(device):
        return PrecisionChoice("bf16", "this GPU computes in it natively")
    return PrecisionChoice("fp16", "this GPU has no native bf16")


def _has_bf16(device: str) -> bool:
    import torch

    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
