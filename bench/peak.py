"""What this processor can do: matrix products of a ViT's shape, and its arithmetic units alone.

    python bench/peak.py

Two probes of fp32 and bf16 through oneDNN: a product of a transformer's shape, [3200, 768] x
[768, 3072], and a small one that stays in the caches, repeated; the larger of the two is the
measured peak of products. ``register_peak.c`` touches nothing but registers, in int8 as well: what
no program can pass. It is left out where there is no C compiler.
"""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from harness import ROOT, data_parser, write

VIT_B_32_FLOP = 8.82e9  # of the image tower, an image
SHAPES = {"layer": (3200, 768, 3072), "cached": (512, 512, 512)}
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure_peak(seconds=1.0):
    """Return GFLOP/s by format: the best of both shapes."""
    return {
        name: max(_rate(shape, dtype, seconds) for shape in SHAPES.values())
        for name, dtype in FORMATS.items()
    }


def measure_registers():
    """Return 1e9 operations a second by format, none without a compiler or AVX-512."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "register_peak"
        flags = ["-O2", "-march=native", "-pthread", ROOT / "register_peak.c", "-o", program]
        if subprocess.run([compiler, *flags], stderr=subprocess.DEVNULL).returncode:
            return {}  # a processor of another kind
        run = [program, str(torch.get_num_threads())]
        return json.loads(subprocess.run(run, check=True, capture_output=True).stdout)


def _rate(shape, dtype, seconds):
    rows, inner, columns = shape
    a, b = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(4):
            torch.mm(a, b.T, out=out)
        best = max(best, 4 * 2 * rows * inner * columns / (time.perf_counter() - start) / 1e9)
    return best


def main():
    data_parser(__doc__).parse_args()
    with torch.inference_mode():
        peaks = measure_peak()
    registers = measure_registers()
    rows = [_row("matrix product", name, rate) for name, rate in peaks.items()]
    rows += [_row("registers", name, rate) for name, rate in registers.items()]
    facts = {"gflops": peaks, "register_gflops": registers}
    write("peak", {"about": "The best of the probes.", **facts}, [], rows)


def _row(what, way, rate):
    return {
        "what": what,
        "way": way,
        "median": rate,
        "low": rate,
        "high": rate,
        "unit": "GFLOP/s" if way != "int8" else "GOP/s",
    }


if __name__ == "__main__":
    main()
