"""Embedding by shards: processes and Ray beside threads, and what a driver of a million rows takes.

    python bench/scale.py [DATA] [--copies 12] [--runs 3] [--rows 1000000] [--only ...] [--quick]

``ways``: ``lite`` on Hymenoptera's photographs, each of several files with bytes of its own, by
the commands themselves, in turns, into empty folders. Rates are of what the same command takes
longer for all files than for 128, which leaves out the start of every process. ``tower`` is the
encoder alone on batches from memory.
``rows``: a model of one thin layer on small pictures, hard-linked, a quarter of the rows and all
of them; memory is the driver's peak, and time what it took beyond its start.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from harness import at_most, data_parser, ratio, target, write
from PIL import Image

LAYERS = {"layers": 1, "width": 32}
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "head_width": 16, **LAYERS},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "heads": 2, **LAYERS},
}
FEW = 128
WAYS = {
    "threads": (),
    "local": ("--executor", "local", "--workers", "2", "--pixels", "quick"),
    "local, exact": ("--executor", "local", "--workers", "2", "--pixels", "exact"),
    "ray": ("--executor", "ray", "--workers", "2", "--pixels", "quick"),
}


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", default=["ways", "rows"], choices=["ways", "rows"])
    options = parser.parse_args()
    if options.quick:
        options.copies, options.rows, options.runs = 1, 4_000, 1
    rows, targets = [], []
    with tempfile.TemporaryDirectory() as name:
        if "ways" in options.only:
            measure_ways(Path(name), options, rows, targets)
        if "rows" in options.only:
            measure_rows(Path(name), options, rows, targets)
    about = {
        "ways": f"{options.runs} runs, {options.copies} files of each photograph.",
        "rows": f"{options.rows} rows.",
    }
    told = " ".join(about[part] for part in options.only)
    name = "scale" if len(options.only) == len(about) else f"scale_{options.only[0]}"
    write(name, {"about": told}, targets, rows)


def measure_ways(place, options, rows, targets):
    """Compare threads, processes and Ray on the same files."""
    many, few = place / "many", place / "few"
    n = copy_photographs(Path(options.data), many, options.copies)
    copy_photographs(Path(options.data), few, 1, limit=FEW)
    starts = {way: [] for way in WAYS}
    seconds = {way: [] for way in WAYS}
    towers = []
    for run in range(options.runs):
        for way in list(WAYS)[:: 1 if run % 2 == 0 else -1]:
            starts[way].append(embed(few, WAYS[way], FEW // 2)["seconds"])
            seconds[way].append(embed(many, WAYS[way], -(-n // 4))["seconds"])
        towers.append(tower())
        print(f"ways: run {run + 1} of {options.runs}", file=sys.stderr, flush=True)
    rates = {}
    for way in WAYS:
        beyond = [whole - start for whole, start in zip(seconds[way], starts[way], strict=True)]
        rates[way] = [(n - FEW) / s for s in beyond]
        rows.append(as_row("JPEG files, lite", way, rates[way], "images/s"))
        rows.append(as_row(f"{FEW} files, the whole command", way, starts[way], "s"))
    rows.append(as_row("lite", "tower", towers, "images/s"))
    targets += [
        target("local over threads", ratio(rates["local"], rates["threads"]), 1.15),
        target("local over the tower alone", ratio(rates["local"], towers), 0.85),
        target("ray over local", ratio(rates["ray"], rates["local"]), 0.9),
    ]


def measure_rows(place, options, rows, targets):
    """Embed a quarter of the rows and all of them; watch the driver."""
    model = tiny_model(place / "model")
    way = (*WAYS["local, exact"], "--model", str(model))
    way += (
        "--engine",
        "openvino",
    )  # one thin layer is as fast in torch, which the driver would load
    found = {}
    for n in (1000, 1, options.rows // 4, options.rows):  # the first one converts the model
        data = place / f"rows-{n}"
        link_pictures(data, n)
        found[n] = embed(data, way, 8192)
        print(f"rows: {n} took {found[n]['seconds']:.1f} s", file=sys.stderr, flush=True)
    start = found[1]["seconds"]
    part, whole = found[options.rows // 4], found[options.rows]
    each = [1e6 * (f["seconds"] - start) / f["rows"] for f in (part, whole)]
    for f, value in ((part, each[0]), (whole, each[1])):
        rows.append(as_row(f"{f['rows']} rows", "time of a row", [value], "us"))
        rows.append(as_row(f"{f['rows']} rows", "memory of the driver", [f["peak"] / 1e6], "MB"))
    share = abs(each[1] / each[0] - 1)
    targets += [
        at_most("memory of the driver, all rows", [whole["peak"] / 1e6], 300, "MB"),
        at_most("time of a row, all of them beside a quarter: apart by", [share], 0.05, ""),
    ]


def embed(data, way, rows_per_shard):
    """Run a command into an empty folder and an empty cache of vectors; return what it says."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "cliptune", "embed", str(data), "--out", f"{name}/out"]
        if way:
            command += ["--rows-per-shard", str(rows_per_shard)]
        empty_vectors()
        began = time.perf_counter()
        process = subprocess.Popen([*command, *way, "--json"], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.DEVNULL, env=environment())  # fmt: skip
        peaks = [0]
        watcher = threading.Thread(target=watch, args=(process.pid, peaks), daemon=True)
        watcher.start()
        said = process.communicate()[0]
        seconds = time.perf_counter() - began
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    found = json.loads(said)
    return {"rows": found.get("rows", found.get("n")), "seconds": seconds, "peak": max(peaks)}


def watch(pid, peaks):
    """Keep the largest peak of a process's own resident memory."""
    while psutil.pid_exists(pid):
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peaks.append(1024 * int(line.split()[1]))
        except OSError:
            return
        time.sleep(0.2)


def environment():
    cache = Path(tempfile.gettempdir()) / "cliptune-bench-cache"
    return {**os.environ, "CLIPTUNE_CACHE": str(cache)}


def empty_vectors():
    """Forget vectors, keep graphs."""
    import shutil

    shutil.rmtree(Path(environment()["CLIPTUNE_CACHE"]) / "features", ignore_errors=True)


def tower():
    """Return images a second of the encoder alone."""
    import numpy as np

    from cliptune.encoders.engines import open_on_engine

    cache = Path(environment()["CLIPTUNE_CACHE"])
    encoder = open_on_engine("lite", engine="openvino", precision="fp32", cache_dir=cache)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 3, 224, 224), dtype=np.uint8)
    encoder.encode_images(pixels)
    start = time.perf_counter()
    for _ in range(12):
        encoder.encode_images(pixels)
    return 12 * 64 / (time.perf_counter() - start)


def copy_photographs(data, folder, copies, limit=None):
    """Copy photographs into class folders, each with a comment of its own; return how many."""
    files = sorted(data.glob("hymenoptera_data/*/*/*.jpg"))[:limit]
    for copy in range(copies):
        for number, file in enumerate(files):
            text = f"{copy} {number}".encode()
            comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
            content = file.read_bytes()
            to = folder / file.parent.name / f"{copy:03d}-{number:04d}.jpg"
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(content[:2] + comment + content[2:])
    return copies * len(files)


def link_pictures(folder, n):
    """Make n files of 1,000 small pictures, 10,000 in a folder."""
    import numpy as np

    rng = np.random.default_rng(0)
    (folder / "c000").mkdir(parents=True)
    for row in range(n):
        to = folder / f"c{row // 10_000:03d}"
        to.mkdir(exist_ok=True)
        if row < 1000:
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(to / f"{row:07d}.jpg")
        else:
            os.link(folder / "c000" / f"{row % 1000:07d}.jpg", to / f"{row:07d}.jpg")


def tiny_model(folder):
    """Write a model of one thin layer with random weights."""
    import torch
    from safetensors.torch import save_file

    from cliptune.encoders.open_clip_encoder import build_model

    torch.manual_seed(0)
    folder.mkdir()
    described = {"model_cfg": TINY, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    save_file(build_model(TINY).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def as_row(what, way, values, unit):
    middle = sorted(values)[len(values) // 2]
    return {"what": what, "way": way, "median": middle, "low": min(values), "high": max(values),
            "unit": unit}  # fmt: skip


if __name__ == "__main__":
    main()
