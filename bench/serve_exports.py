"""What ``serve.py`` and ``graph.py`` share: runs that are fitted once, and their exports."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import model_folder

PLACE = Path(tempfile.gettempdir()) / "cliptune-bench-serve"
CACHE = Path(tempfile.gettempdir()) / "cliptune-bench-cache"
WITH_CACHE = {**os.environ, "CLIPTUNE_CACHE": str(CACHE)}


def prepare(name, data, kind):
    """Fit ``lite`` or ``vit`` and export it once; return the run and its export."""
    run, export = PLACE / f"{name}-run", PLACE / f"{name}-{kind}"
    model = "lite" if name == "lite" else str(model_folder())
    table = str(Path(data) / "hymenoptera_data")
    steps = {
        run: ["fit", table, "--model", model, "--method", "prototype", "--features", "embedding"],
        export: ["export", str(run), "--format", kind, "--limit", "0.9"],
    }
    for out, words in steps.items():
        if not out.exists():
            words = [sys.executable, "-m", "cliptune", *words, "--out", str(out)]
            subprocess.run(words, check=True, env=WITH_CACHE, stdout=sys.stderr)
    return run, export
