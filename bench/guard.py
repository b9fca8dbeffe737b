"""What the check of a random sample of rows costs, as a share of the embedding's time.

    python bench/guard.py [DATA] [--images 4000] [--texts 4000] [--runs 3] [--quick]

CIFAR-10 into an empty cache, and prompts, each in one run that is timed as a whole and within the
check: reading the sampled images again, computing them alone, comparing. Nothing else is altered,
so other work on the machine slows both alike.
"""

import tempfile
import time
from pathlib import Path

from harness import data_parser, half, model_folder, target, write

CACHE = Path(tempfile.gettempdir()) / "cliptune-bench-cache"


class Clock:
    """Adds up the seconds of a function's calls."""

    def __init__(self):
        self.seconds = 0.0

    def around(self, function):
        def timed(*given, **named):
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def share(embed):
    """Embed into an empty cache; return the check's share of the time, and rows checked."""
    from cliptune.features import FeatureStore, RowGuard
    from cliptune.features import embed as embedding

    clock, check, read_again = Clock(), RowGuard.check, embedding.read_again
    RowGuard.check = clock.around(check)
    embedding.read_again = clock.around(read_again)
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = FeatureStore(folder)
            start = time.perf_counter()
            embed(store)
            seconds = time.perf_counter() - start
    finally:
        RowGuard.check, embedding.read_again = check, read_again
    return clock.seconds / seconds, store.guard.checked.n


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--texts", type=int, default=4000)
    options = parser.parse_args()
    if options.quick:
        options.images, options.texts, options.runs = 200, 200, 1

    import numpy as np

    from cliptune.encoders.engines import open_on_engine
    from cliptune.images import ImageTable

    table = ImageTable.open(Path(options.data) / "cifar10")
    table = table.select(np.arange(options.images))
    texts = [f"a photo of thing {i}, number {i % 97} of its kind" for i in range(options.texts)]
    models = {
        "lite, fp32": ("lite", "fp32"),
        f"ViT-B/32, {half()}": (str(model_folder()), half()),
    }
    rows, targets = [], []
    for name, (model, precision) in models.items():
        encoder = open_on_engine(model, engine="openvino", precision=precision, cache_dir=CACHE)
        work = {
            f"{len(table)} images": lambda store, e=encoder: store.features(e, table),
            f"{len(texts)} texts": lambda store, e=encoder: store.text_features(e, texts),
        }
        for what, embed in work.items():
            found = [share(embed) for _ in range(options.runs)]
            shares = sorted(100 * share for share, _ in found)
            row = {"what": what, "way": name, "median": shares[len(shares) // 2],
                   "low": shares[0], "high": shares[-1], "unit": "% of the time"}  # fmt: skip
            rows.append({**row, "rows_checked": found[0][1]})
            allowed = {"median": 1 / row["median"], "low": 1 / shares[-1], "high": 1 / shares[0]}
            targets.append(target(f"1 % over the share, {name}, {what}", allowed, 1, ""))
    about = "Reading again, computing alone and comparing, within whole embeddings on OpenVINO."
    write("guard", {"about": about}, targets, rows)


if __name__ == "__main__":
    main()
