"""Export a run of every method in every format, and ask what left without torch.

    python scripts/try_exports.py DATA OUT [--only linear,full]

DATA is a folder of files with a split ``test`` or ``val``. Heads are fitted and encoders trained
for one epoch on ``lite``; each run leaves as ONNX, OpenVINO and for the hub, each with its
certificate. The ONNX graph then answers for every test image through the ``predict.py`` beside it,
in a fresh environment of numpy, Pillow and onnxruntime alone, and is held against ``cliptune
predict``. It ends with 1 if an agreement is below 99.5 %, or a format is refused that the
documentation says there is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cliptune.images import ImageTable

HEADS = (
    *("zero-shot", "prototype", "discriminant", "linear", "blend", "linear-sgd", "dual-linear"),
    *("knn", "cache", "attention"),
)
TRAINED = ("full", "lora", "head-then-full")
NOT_FOR_THE_HUB = {"knn", "cache", "attention", "dual-linear"}  # they are no linear layer
LEAST = 0.995


def main() -> int:
    """Print a row a run and format."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="methods, separated by commas")
    options = parser.parse_args()
    methods = options.only.split(",") if options.only else [*HEADS, *TRAINED]
    python = plain_python(options.out / "plain")
    images = test_files(options.data)
    print(f"{len(images)} test images; agreement is that of the most probable class")
    print("| method | format | graph | agreement | largest difference | images/s |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = 0
    for method in methods:
        run = fit(method, options.data, options.out)
        for kind in ("onnx", "openvino", "hub"):
            if kind == "hub" and method in NOT_FOR_THE_HUB:
                continue
            failed += certify(method, kind, run, options.out)
        agreement, largest = consume(python, options.out / f"{method}-onnx", run, images)
        row(method, "predict.py", "image.onnx", agreement, largest, None)
        failed += agreement < LEAST
    print("all agree" if not failed else f"{failed} do not agree")
    return int(failed > 0)


def plain_python(folder: Path) -> Path:
    """Make an environment with what ``predict.py`` names and nothing else."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        packages = ["numpy", "pillow", "onnxruntime"]
        install = [python, "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(install, check=True, stdout=sys.stderr)
    return python


def test_files(data: str) -> list[str]:
    """List the files of the split ``test``, else ``val``."""
    table = ImageTable.open(data)
    held = "test" if "test" in table.splits else "val"
    rows = np.flatnonzero(table.splits == held).tolist()
    return [str(Path(data) / table.sources[i].id) for i in rows]


def fit(method: str, data: str, out: Path) -> Path:
    """Fit or train once."""
    run = out / method
    if not run.exists():
        words = ["fit", data, "--method", method, "--out", run]
        if method in TRAINED:
            words = ["finetune", data, "--method", method, "--epochs", "1", "--out", run]
        cliptune(*words)
    return run


def certify(method: str, kind: str, run: Path, out: Path) -> int:
    """Export, and print a row a graph; return how many agree too little."""
    try:
        found = cliptune("export", run, "--format", kind, "--out", out / f"{method}-{kind}")
    except subprocess.CalledProcessError as error:
        print(f"| {method} | {kind} | not exported: {error.stderr.strip().splitlines()[-1]} |")
        return 1
    for one in found["graphs"]:
        facts = one["agreement"]["value"], one["largest_difference"], one["images_per_second"]
        row(method, kind, one["file"], *facts)
    return sum(one["agreement"]["value"] < LEAST for one in found["graphs"])


def consume(python: Path, export: Path, run: Path, images: list[str]) -> tuple[float, float]:
    """Answer by ``predict.py``; return agreement with the run, and the largest difference."""
    words = [str(python), "-I", str(export / "predict.py"), *images]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    said = [line.split("\t")[1:3] for line in lines]
    own = [one["labels"][0] for one in cliptune("predict", *images, "--run", run)["predictions"]]
    same = [label == one["label"] for (label, _), one in zip(said, own, strict=True)]
    differences = [
        abs(float(probability) - one["probability"])
        for (label, probability), one in zip(said, own, strict=True)
        if label == one["label"]
    ]
    return sum(same) / len(same), max(differences)


def cliptune(*words: Any) -> Any:
    """Run a command and return its JSON."""
    command = [sys.executable, "-m", "cliptune", *map(str, words), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def row(
    method: str, kind: str, graph: str, agreement: float, largest: float, rate: float | None
) -> None:
    """Print a row of the table."""
    speed = "" if rate is None else f"{rate:.1f}"
    print(
        f"| {method} | {kind} | {graph} | {agreement:.2%} | {largest:.2g} | {speed} |", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
