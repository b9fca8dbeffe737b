"""Which engines and number formats come into question for an encoder on a machine, best first.

It decides from names and facts; nothing is measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

from cliptune.encoders.engines.machine import Machine
from cliptune.encoders.engines.runtimes import is_installed
from cliptune.errors import InputError

__all__ = ["FORMATS", "Backend", "possible_ways", "require_format"]

# What each engine computes in.
FORMATS = {
    "torch": ("fp32", "bf16", "fp16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnx": ("fp32",),
}


@dataclass(frozen=True)
class Backend:
    """An engine in a number format.

    Attributes:
        engine: ``torch``, ``openvino`` or ``onnx``.
        precision: Of the image tower.
        reason: Why this format, as a clause.
    """

    engine: str
    precision: str
    reason: str

    def graph_kind(self, tower: str) -> str:
        """Return the format on disk of a tower's graph; only the image tower is quantised."""
        quantised = self.precision == "int8" and tower == "image"
        return "openvino-int8" if quantised else self.engine

    def tower_precision(self, tower: str, machine: Machine) -> str:
        """Return what a tower computes in between its 8-bit parts, if it has such."""
        if self.precision != "int8":
            return self.precision
        return "bf16" if machine.bf16 else "fp32"

    def __str__(self) -> str:
        """Name it in two words."""
        return f"{self.engine} {self.precision}"


def possible_ways(
    engine: str, precision: str, *, convolutional: bool, machine: Machine
) -> list[Backend]:
    """List what comes into question, best first; torch, the last resort, is not listed.

    Args:
        engine: ``auto``, ``openvino`` or ``onnx``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``int8``.
        convolutional: The image tower is mainly convolutions.
        machine: This one.

    Raises:
        InputError: The engine does not compute in the format.
    """
    require_format(engine, precision)
    engines = ("openvino", "onnx") if engine == "auto" else (engine,)
    formats = _formats(precision, convolutional, machine)
    return [
        Backend(name, fmt, reason)
        for name in engines
        if is_installed(name)
        for fmt, reason in formats
        if fmt in FORMATS[name]
    ]


def require_format(engine: str, precision: str) -> None:
    """Make sure that an engine computes in a number format; ``auto`` always does.

    Raises:
        InputError: It does not.
    """
    if engine != "auto" and precision not in ("auto", *FORMATS[engine]):
        raise InputError(
            f"engine {engine!r} does not compute in {precision!r}; it takes "
            f"{', '.join(FORMATS[engine])}; choose another --precision or --engine"
        )


def _formats(precision: str, convolutional: bool, machine: Machine) -> list[tuple[str, str]]:
    if precision == "bf16" and not machine.bf16:
        return [("fp32", "this processor has no bf16")]
    if precision != "auto":
        return [(precision, "as asked for")]
    if convolutional:
        return [("fp32", "convolutional towers lose accuracy in 16 bits")]
    if not machine.bf16:
        return [("fp32", "this processor has no bf16")]
    return [("bf16", "this processor has it"), ("fp32", "bf16 would move the answers")]
