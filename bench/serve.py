"""A served run beside transformers' pipeline behind FastAPI, and LitServe: images a second, waits.

python bench/serve.py [DATA] [--runs 5] [--quick] [--flood 20000]
"""

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from harness import (
    ROOT,
    data_parser,
    model_folder,
    peers_python,
    picture_files,
    ratio,
    target,
    write,
)
from serve_client import closed_loop, form, open_loop

PLACE = Path(tempfile.gettempdir()) / "cliptune-bench-serve"
CACHE = Path(tempfile.gettempdir()) / "cliptune-bench-cache"
CLIENTS = 32


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--flood", type=int, default=20_000, help="requests of the last load")
    options = parser.parse_args()
    runs, seconds = (1, 5) if options.quick else (options.runs, 20)
    files, _ = picture_files(options.data, 100, 1)
    bodies = [form(Path(file).read_bytes()) for file in files]
    exports = {name: prepare(name, options.data) for name in ("lite", "vit")}
    ways = {
        "ours, lite": ours(exports["lite"]),
        "ours, ViT-B/32": ours(exports["vit"]),
        "LitServe, ViT-B/32": peer("litserve", exports["vit"][1]),
        "FastAPI and pipeline, ViT-B/32": peer("pipeline", PLACE / "pipeline"),
    }
    rates = {way: [] for way in ways}
    for run in range(runs):
        for way in list(ways)[:: 1 if run % 2 == 0 else -1]:
            with serving(ways[way]) as (_, port):
                rates[way].append(rate(port, bodies, seconds))
    rows = [row("32 clients", way, found, "images/s") for way, found in rates.items()]
    targets = [
        target("ours over FastAPI and the pipeline, ViT-B/32",
               ratio(rates["ours, ViT-B/32"], rates["FastAPI and pipeline, ViT-B/32"]), 3.0),
        target("ours over LitServe, ViT-B/32",
               ratio(rates["ours, ViT-B/32"], rates["LitServe, ViT-B/32"]), 1.3),
    ]  # fmt: skip
    for name in ("lite", "vit"):
        carried = statistics.median(rates["ours, lite" if name == "lite" else "ours, ViT-B/32"])
        flood = 200 if options.quick else options.flood
        found = loads(ways["ours, lite" if name == "lite" else "ours, ViT-B/32"], bodies, carried,
                      seconds, flood)  # fmt: skip
        rows += [row(what, f"ours, {name}", [value], unit) for what, value, unit in found]
    about = f"{CLIENTS} clients in a process beside the server; {len(files)} photographs."
    write("serve", {"about": about}, targets, rows)


def prepare(name, data):
    """Fit and export once; return the run and its export."""
    run, export = PLACE / f"{name}-run", PLACE / f"{name}-export"
    environment = {**os.environ, "CLIPTUNE_CACHE": str(CACHE)}
    model = "lite" if name == "lite" else str(model_folder())
    table = str(Path(data) / "hymenoptera_data")
    steps = {
        run: ["fit", table, "--model", model, "--method", "prototype", "--features", "embedding"],
        export: ["export", str(run), "--format", "openvino", "--limit", "0.9"],
    }
    for out, words in steps.items():
        if not out.exists():
            words = [sys.executable, "-m", "cliptune", *words, "--out", str(out)]
            subprocess.run(words, check=True, env=environment, stdout=sys.stderr)
    return run, export


def ours(places):
    return [sys.executable, "-m", "cliptune", "serve", f"model={places[1]}", "--port", "{port}"]


def peer(way, folder):
    return [str(peers_python("servers")), str(ROOT / "serve_peers.py"), way, "{port}", str(folder)]


@contextlib.contextmanager
def serving(command):
    """Start a server on a free port, wait until it answers, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.replace("{port}", str(port)) for word in command]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{words} ended")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.05)
        yield process, port
    finally:
        process.terminate()
        process.wait(60)


def rate(port, bodies, seconds):
    """Return answered images a second, after some that warm up."""
    asyncio.run(closed_loop(port, bodies, CLIENTS, seconds / 5))
    found, taken = asyncio.run(closed_loop(port, bodies, CLIENTS, seconds))
    wrong = [status for status, _ in found if status != 200]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(found)} requests failed, e.g. with {wrong[0]}")
    return len(found) / taken


def loads(command, bodies, carried, seconds, flood):
    """Put half and twice of what it carries on a server; return (what, value, unit)."""
    with serving([*command, "--max-queue", "64"]) as (process, port):
        asyncio.run(closed_loop(port, bodies, 1, seconds / 5))
        alone, _ = asyncio.run(closed_loop(port, bodies, 1, seconds / 2))
        single = statistics.median(taken for _, taken in alone)
        half, _ = asyncio.run(open_loop(port, bodies, carried / 2, seconds))
        before = resident(process.pid)
        twice, _ = asyncio.run(open_loop(port, bodies, 2 * carried, flood / (2 * carried)))
        after = resident(process.pid)
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()
        assert b"cliptune_requests_total" in metrics
    accepted = [taken for status, taken in twice if status == 200]
    statuses = {status for status, _ in twice}
    if statuses - {200, 429}:
        raise SystemExit(f"at twice the load statuses were {statuses}")
    return [
        ("one image alone, median", 1000 * single, "ms"),
        ("half the load, p95", 1000 * p95([taken for _, taken in half]), "ms"),
        ("half the load, p95 over one alone", p95([t for _, t in half]) / single, "times"),
        ("twice the load, p95 of the accepted", 1000 * p95(accepted), "ms"),
        ("twice the load, share refused with 429", 1 - len(accepted) / len(twice), "share"),
        ("memory before the flood", before, "MB"),
        (f"memory after {len(twice)} requests", after, "MB"),
    ]


def p95(seconds):
    return sorted(seconds)[int(0.95 * (len(seconds) - 1))]


def resident(pid):
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(x for x in rollup.splitlines() if x.startswith("Rss")).split()[1]) / 1000


def row(what, way, values, unit):
    values = sorted(values)
    return {"what": what, "way": way, "median": statistics.median(values), "low": values[0],
            "high": values[-1], "unit": unit}  # fmt: skip


if __name__ == "__main__":
    main()
