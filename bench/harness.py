"""What the benchmarks share: the peers' environment, workers, alternating runs, results.

Nothing here knows what is measured.
"""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "results"
_MODELS = ("torch", "torchvision", "open_clip_torch", "transformers", "timm")
PACKAGES = {
    # setuptools: OpenAI's package imports pkg_resources, which newer ones have left out.
    "peers": (*_MODELS, "openai-clip", "setuptools<81"),
    "cleanlab": ("cleanlab",),
    "servers": (*_MODELS, "fastapi", "uvicorn", "python-multipart", "litserve", "openvino"),
    # With NumPy 2.4 it ends in a TypeError after all images (findings/clip_benchmark_numpy.sh).
    "clip-benchmark": (*_MODELS, "clip-benchmark==1.6.2", "numpy==2.3.5"),
}


def peers_python(name):
    """Make an environment of peers once, and return its interpreter."""
    folder, packages = Path(tempfile.gettempdir()) / f"cliptune-bench-{name}", PACKAGES[name]
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists() and done.read_text() == repr(packages):
        return python
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    uv = Path(sys.executable).with_name("uv")
    # Bytecode, as pip writes it: without it the peers' imports would be timed too slow.
    command = [uv, "pip", "install", "--compile-bytecode", "--python", python] if uv.exists() else [
        python, "-m", "pip", "install"]  # fmt: skip
    subprocess.run([*command, *packages], check=True, stdout=sys.stderr)
    done.write_text(repr(packages))
    return python


def model_folder():
    """Write a ViT-B/32 with random weights as a folder that both sides can name."""
    folder = Path(tempfile.gettempdir()) / "cliptune-bench-vit-b-32"
    if not (folder / "open_clip_model.safetensors").exists():
        import torch
        from safetensors.torch import save_file

        from cliptune.encoders.open_clip_encoder import build_model
        from cliptune.encoders.published import model_config

        torch.manual_seed(0)
        folder.mkdir(exist_ok=True)
        config = model_config("ViT-B-32")
        described = {"model_cfg": config, "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(described))
        tensors = {k: v.contiguous() for k, v in build_model(config).state_dict().items()}
        save_file(tensors, folder / "open_clip_model.safetensors")
    return folder


class Worker:
    """A way in a process of its own, kept between runs so that imports are not timed."""

    def __init__(self, way, folder=None):
        peers = "clip-benchmark" if way == "clip-benchmark" else "peers"
        python = sys.executable if way.startswith("ours") else peers_python(peers)
        command = [python, ROOT / "worker.py", way, folder or model_folder()]
        pipe = subprocess.PIPE
        self.way = way
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._answer()

    def ask(self, do, **request):
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.way} ended with code {self.process.wait()}")
        return json.loads(line)


def alternate(workers, runs, do, **request):
    """Ask each worker in turn, ``runs`` times; return the seconds of each by its way."""
    seconds = {worker.way: [] for worker in workers}
    for run in range(runs):
        for worker in workers[:: 1 if run % 2 == 0 else -1]:
            seconds[worker.way].append(worker.ask(do, **request)["seconds"])
        print(f"{do}: run {run + 1} of {runs}", file=sys.stderr, flush=True)
    return seconds


def alternate_over(workers, runs, do, name, items, *, whole, part):
    """Do the same over many items, of which ways not in ``whole`` get a part.

    They get ``part`` items, evenly spread, and their seconds are scaled up to all: what works on
    batches takes as long for each.
    """
    some = items[:: max(1, len(items) // part)][:part]
    seconds = {worker.way: [] for worker in workers}
    for run in range(runs):
        for worker in workers[:: 1 if run % 2 == 0 else -1]:
            own = items if worker.way in whole else some
            found = worker.ask(do, **{name: own})["seconds"]
            seconds[worker.way].append(found * len(items) / len(own))
        print(f"{do}: run {run + 1} of {runs}", file=sys.stderr, flush=True)
    return seconds


def ratio(slow, fast):
    """Return the median of the runs' ratios, and their range."""
    ratios = sorted(s / f for s, f in zip(slow, fast, strict=True))
    return {"median": statistics.median(ratios), "low": ratios[0], "high": ratios[-1]}


def target(name, found, at_least, unit="times"):
    met = found["median"] >= at_least
    return {"name": name, **found, "target": at_least, "unit": unit, "met": met}


def at_most(name, values, most, unit):
    """Return a target that the median of values must not go above."""
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    met = found["median"] <= most
    return {"name": f"{name}, at most", **found, "target": most, "unit": unit, "met": met}


def machine():
    from cliptune.encoders.engines.machine import this_machine

    return f"{this_machine()}, Python {platform.python_version()}"


def half():
    """Return the format that this processor multiplies in: bf16, or fp32 where it has none."""
    from cliptune.encoders.engines.machine import this_machine

    return "bf16" if this_machine().bf16 else "fp32"


def result_path(name, ending, folder=RESULTS):
    """Return where a result is kept: processors without bf16 have files of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}{'' if half() == 'bf16' else '_without_bf16'}.{ending}"


def write(name, facts, targets, rows):
    """Write JSON and Markdown into ``bench/results`` and print the table."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"benchmark": name, "machine": machine(), "when": when, **facts, "targets": targets}
    kept = json.dumps({**record, "rows": rows}, indent=2) + "\n"
    result_path(name, "json").write_text(kept)
    lines = [f"# {name}", "", f"{record['machine']}, {when}. {facts.get('about', '')}", ""]
    lines += ["| what | way | median | range | unit |", "|---|---|---|---|---|"]
    for row in rows:
        spread = f"{row['low']:.4g} to {row['high']:.4g}"
        lines.append(
            f"| {row['what']} | {row['way']} | {row['median']:.4g} | {spread} | {row['unit']} |"
        )
    lines += ["", "| target | found | range | wanted | met |", "|---|---|---|---|---|"]
    for t in targets:
        found = f"{t['median']:.3g} {t['unit']} | {t['low']:.3g} to {t['high']:.3g}"
        lines.append(f"| {t['name']} | {found} | {t['target']:g} | {'yes' if t['met'] else 'no'} |")
    text = "\n".join(lines) + "\n"
    result_path(name, "md").write_text(text)
    print(text, flush=True)


def rate_row(what, way, n, seconds, unit):
    rates = sorted(n / s for s in seconds)
    return {"what": what, "way": way, "median": statistics.median(rates), "low": rates[0],
            "high": rates[-1], "unit": unit}  # fmt: skip


def picture_files(data, n_photographs, n_small):
    """List Hymenoptera's JPEGs, and write some CIFAR-10 test images as PNG files."""
    import io

    import numpy as np
    from PIL import Image

    from cliptune.images import ImageTable

    photographs = sorted(str(p) for p in Path(data).glob("hymenoptera_data/*/*/*.jpg"))
    folder = Path(tempfile.gettempdir()) / "cliptune-bench-cifar10"
    folder.mkdir(exist_ok=True)
    table = ImageTable.open(Path(data) / "cifar10")
    rows = np.flatnonzero(table.splits == "test")[:n_small]
    small = []
    for row in rows.tolist():
        path = folder / f"{row:06d}.png"
        if not path.exists():
            Image.open(io.BytesIO(table.sources[row].read())).save(path)
        small.append(str(path))
    return photographs[:n_photographs], small


def data_parser(about):
    import argparse
    import os

    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    default = os.environ.get("CLIPTUNE_TEST_DATA", str(ROOT.parent.parent / "shared" / "data"))
    parser.add_argument("data", nargs="?", default=default, help="folder of the data sets")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few images, one run: does it work")
    return parser
