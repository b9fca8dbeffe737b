"""Time and memory of 1,000, 10,000 and 50,000 images with ``lite``, through the feature cache.

    python bench/scaling.py [DATA] [--sizes 1000 10000 50000] [--quick]

CIFAR-10 from Parquet, embedded into an empty cache each time, in a process of its own.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import data_parser, rate_row, target, write

ALLOWED_BYTES = 1.5e9


def embed(data, n):
    """Embed n images; return seconds and the peak of resident memory above the loaded model."""
    import numpy as np

    from cliptune.encoders.engines import open_on_engine
    from cliptune.features import FeatureStore
    from cliptune.images import ImageTable
    from cliptune.system.usage import Usage

    cache = Path(tempfile.gettempdir()) / "cliptune-bench-cache"
    encoder = open_on_engine("lite", engine="openvino", cache_dir=cache)
    size = encoder.preprocess.size
    encoder.encode_images(np.zeros((64, 3, *size), np.uint8))
    table = ImageTable.open(data)
    table = table.select(np.arange(n) % len(table)) if n <= len(table) else table
    with tempfile.TemporaryDirectory() as folder, Usage() as usage:
        FeatureStore(folder).features(encoder, table)
    print(json.dumps({"n": len(table), "seconds": usage.seconds, "bytes": usage.peak_bytes}))


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10000, 50000])
    parser.add_argument("--one", type=int, help="embed so many in this process")
    options = parser.parse_args()
    data = str(Path(options.data) / "cifar10")
    if options.one:
        return embed(data, options.one)
    found = []
    for n in [100, 200] if options.quick else options.sizes:
        command = [sys.executable, __file__, options.data, "--one", str(n)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    rows = [rate_row("embed", f"{f['n']} images", f["n"], [f["seconds"]], "images/s")
            for f in found]  # fmt: skip
    rates = [f["n"] / f["seconds"] for f in found]
    linear = rates[-1] / rates[0]
    spare = ALLOWED_BYTES / max(1, found[-1]["bytes"])
    targets = [
        target("rate at the largest over the smallest size",
               {"median": linear, "low": linear, "high": linear}, 0.9, ""),
        target("1.5 GB over the peak memory above the model",
               {"median": spare, "low": spare, "high": spare}, 1, ""),
    ]  # fmt: skip
    about = "CIFAR-10 in Parquet, lite on OpenVINO, an empty cache."
    write("scaling", {"about": about, "found": found}, targets, rows)
    return None


if __name__ == "__main__":
    main()
