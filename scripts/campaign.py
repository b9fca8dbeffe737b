"""Try hard to break the command line, and count what ends as it should.

    python scripts/campaign.py [--only PART,PART] [--seed 0] [--keep DIR]

Parts: ``inputs`` (wrong options, data and runs: one line, exit code 2, nothing left), ``places``
(a strange file at every path, altered folders of shards), ``kills``
(embed, fit, sweep and study killed at random moments, taken up, and compared with an undisturbed
run), ``crowd`` (several commands at once on one place), ``full`` (no room left on the disk) and
``markup`` (names that are code, in every page, table and picture). Everything rests on a model
and pictures made on the spot. Prints "right N of M" by kind; exits with 1 if any is wrong.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import tempfile
import time
from pathlib import Path

_PARTS = ("inputs", "places", "kills", "crowd", "full", "markup")


def main() -> None:
    """Run the parts that were asked for."""
    faulthandler.enable()  # most commands run within this process: a crash says where
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(_PARTS), help="parts, with commas")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--keep", type=Path, help="work in this new folder and keep it")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := sorted(set(parts) - set(_PARTS)):
        parser.error(f"unknown part {unknown[0]!r}; the parts are {', '.join(_PARTS)}")
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.keep or Path(temporary) / "campaign").resolve()
        root.mkdir(parents=True)
        os.environ["CLIPTUNE_CACHE"] = str(root / "cache")
        os.environ["HF_HUB_OFFLINE"] = "1"
        sys.exit(0 if _run(root, parts, options.seed) else 1)


def _run(root: Path, parts: list[str], seed: int) -> bool:
    import campaign_crowd
    import campaign_full
    import campaign_inputs
    import campaign_kills
    import campaign_markup
    import campaign_places
    from campaign_tools import Tally, Workplace

    work, tally = Workplace(root), Tally()
    trials = {
        "inputs": lambda: campaign_inputs.run(work, tally),
        "places": lambda: campaign_places.run(work, tally),
        "kills": lambda: campaign_kills.run(work, tally, seed),
        "crowd": lambda: campaign_crowd.run(work, tally),
        "full": lambda: campaign_full.run(work, tally),
        "markup": lambda: campaign_markup.run(work, tally),
    }
    for part in parts:
        began = time.perf_counter()
        trials[part]()
        print(f"{part}: {time.perf_counter() - began:.0f} s", flush=True)
    return tally.show()


if __name__ == "__main__":
    main()
