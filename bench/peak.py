"""What this processor can do: matrix products of a ViT's shape, in fp32, bf16 and int8.

    python bench/peak.py

Two probes of each format through oneDNN: a product of a transformer's shape, [3200, 768] x
[768, 3072], and a small one that stays in the caches, repeated; the larger of the two is the
measured peak. Nothing faster than oneDNN was tried, so a share above 1 is possible.
"""

import time

import torch
from harness import data_parser, write

VIT_B_32_FLOP = 8.82e9  # of the image tower, an image
SHAPES = {"layer": (3200, 768, 3072), "cached": (512, 512, 512)}
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure_peak(seconds=1.0):
    """Return GFLOP/s by format: the best of both shapes."""
    return {
        name: max(_rate(shape, dtype, seconds) for shape in SHAPES.values())
        for name, dtype in FORMATS.items()
    }


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
    rows = [
        {
            "what": "matrix product",
            "way": name,
            "median": rate,
            "low": rate,
            "high": rate,
            "unit": "GFLOP/s",
        }
        for name, rate in peaks.items()
    ]
    write("peak", {"about": "The best of the probes.", "gflops": peaks}, [], rows)


if __name__ == "__main__":
    main()
