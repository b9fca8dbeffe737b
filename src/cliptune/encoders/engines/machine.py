"""This machine's processor, as far as the choice of an engine depends on it.

It asks the operating system and imports no framework.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cliptune.system.processors import usable_cores

__all__ = ["Machine", "may_have_gpu", "this_machine"]

_CPU_INFO = Path("/proc/cpuinfo")
_GPU_SIGNS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class Machine:
    """A processor.

    Attributes:
        processor: Its name.
        cores: Logical cores that this process may use.
        bf16: It multiplies bfloat16 natively.
        system: Operating system and instruction set, e.g. ``Linux x86_64``.
    """

    processor: str
    cores: int
    bf16: bool
    system: str

    @property
    def key(self) -> str:
        """Hex digest, 12 characters: what was measured on one machine holds for its like."""
        text = f"{self.processor}|{self.cores}|{self.bf16}|{self.system}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        """Describe it in a few words."""
        formats = "bf16" if self.bf16 else "no bf16"
        return f"{self.processor}, {self.cores} cores, {formats}, {self.system}"


@cache
def this_machine() -> Machine:
    """Describe the processor of this machine; bf16 is told on Linux only."""
    facts = _cpu_facts()
    flags = facts.get("flags", "").split()
    return Machine(
        processor=facts.get("model name") or platform.processor() or platform.machine(),
        cores=usable_cores(),
        bf16="avx512_bf16" in flags or "amx_bf16" in flags,
        system=f"{platform.system()} {platform.machine()}",
    )


def may_have_gpu() -> bool:
    """Say whether torch is worth asking for a GPU: its import takes seconds.

    On Linux a GPU that torch can use has a device file; elsewhere only torch knows.
    """
    return not sys.platform.startswith("linux") or any(Path(sign).exists() for sign in _GPU_SIGNS)


def _cpu_facts() -> dict[str, str]:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
