"""A served run beside transformers' pipeline behind FastAPI, and LitServe: images a second, waits.

    python bench/serve.py [DATA] [--runs 3] [--quick] [--flood 20000] [--soak 600]

Also how soon a served run is ready and what memory it holds, what half and twice of what it carries
does to waits and memory, and a soak: hours of traffic in small.
"""

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from harness import ROOT, at_most, data_parser, peers_python, picture_files, ratio, target, write
from serve_client import Connection, closed_loop, form, open_loop
from serve_exports import PLACE, WITH_CACHE, prepare

from cliptune.encoders.engines.machine import this_machine

CLIENTS = 32
LOG = PLACE / "server.log"


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--flood", type=int, default=20_000, help="requests at twice the load")
    parser.add_argument("--soak", type=int, default=600, help="seconds of the soak")
    options = parser.parse_args()
    runs, seconds = (1, 5) if options.quick else (options.runs, 20)
    files, _ = picture_files(options.data, 100, 1)
    bodies = [form(Path(file).read_bytes()) for file in files]
    (lite_run, lite), (vit_run, vit) = (
        prepare(name, options.data, "openvino") for name in ("lite", "vit")
    )
    own = "bf16" if this_machine().bf16 else "f32"  # of a ViT's run, as its engine chooses
    ways = {
        "ours, lite": ours(lite_run),
        "ours, lite, export": ours(lite),
        "LitServe, lite": peer("litserve", lite, "f32"),
        "ours, ViT-B/32": ours(vit_run),
        f"LitServe, ViT-B/32, {own}": peer("litserve", vit, own),
        "ours, ViT-B/32, export": ours(vit),
        "LitServe, ViT-B/32, f32": peer("litserve", vit, "f32"),
        "FastAPI and pipeline, ViT-B/32": peer("pipeline", PLACE / "pipeline"),
    }
    rates = {way: [] for way in ways}
    for run in range(runs):
        for way in list(ways)[:: 1 if run % 2 == 0 else -1]:
            with serving(ways[way]) as (_, port):
                rates[way].append(rate(port, bodies, seconds))
    rows = [row("32 clients", way, found, "images/s") for way, found in rates.items()]
    pairs = (
        ("ours, ViT-B/32", "FastAPI and pipeline, ViT-B/32", 3.0),
        ("ours, ViT-B/32, export", "FastAPI and pipeline, ViT-B/32", 3.0),
        ("ours, lite", "LitServe, lite", 1.3),
        ("ours, ViT-B/32", f"LitServe, ViT-B/32, {own}", 1.3),
        ("ours, ViT-B/32, export", "LitServe, ViT-B/32, f32", 1.3),
    )
    targets = [
        target(f"{one} over {other}", ratio(rates[one], rates[other]), wanted)
        for one, other, wanted in pairs
    ]
    for name in ("lite", "ViT-B/32"):
        way = f"ours, {name}"
        carried = statistics.median(rates[way])
        found = loads(ways[way], bodies, carried, seconds, 200 if options.quick else options.flood)
        times = found.pop("half the load, p95 over one alone")
        targets.append(at_most(f"{name}: half the load, p95 over one alone", [times], 3, "times"))
        rows += [row(what, way, [value], unit) for what, (value, unit) in found.items()]
    ready, held = starts(ways["ours, lite"], bodies, runs)
    targets += [
        at_most("lite, the run: start to ready", ready, 3, "s"),
        at_most("lite, the run: memory without torch", held, 400, "MB"),
    ]
    carried = statistics.median(rates["ours, lite"])
    rows += soak(ways["ours, lite"], bodies, 0.6 * carried, 10 if options.quick else options.soak)
    about = (
        f"ViT-B/32 with random weights; {CLIENTS} clients in a process beside the server; "
        f"{len(files)} photographs."
    )
    write("serve", {"about": about}, targets, rows)


def ours(folder):
    return [sys.executable, "-m", "cliptune", "serve", f"model={folder}", "--port", "{port}"]


def peer(way, folder, *more):
    script = str(ROOT / "serve_peers.py")
    return [str(peers_python("servers")), script, way, "{port}", str(folder), *more]


@contextlib.contextmanager
def serving(command):
    """Start a server on a free port, wait until it answers, and end it with all its workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.replace("{port}", str(port)) for word in command]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=LOG.open("w"), env=WITH_CACHE,
        start_new_session=True,
    )  # fmt: skip
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{words} ended; see {LOG}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.05)
        yield process, port
    finally:
        process.terminate()
        process.wait(60)
        with contextlib.suppress(ProcessLookupError):  # LitServe's workers outlive it
            os.killpg(process.pid, signal.SIGKILL)


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
    share = 1 - len(accepted) / len(twice)
    return {
        "one image alone, median": (1000 * single, "ms"),
        "half the load, p95": (1000 * p95([taken for _, taken in half]), "ms"),
        "half the load, p95 over one alone": p95([taken for _, taken in half]) / single,
        "twice the load, p95 of the accepted": (1000 * p95(accepted), "ms"),
        "twice the load, share refused with 429": (share, "share"),
        "memory before the flood": (before, "MB"),
        f"memory after {len(twice)} requests": (after, "MB"),
    }


def starts(command, bodies, runs):
    """Return the seconds until /ready answers 200, and the memory after 500 images, of each start.

    A server that has torch loaded ends the benchmark.
    """
    ready, held = [], []
    for _ in range(runs + 1):
        start = time.perf_counter()
        with serving(command) as (process, port):
            wait_until_ready(port)
            ready.append(time.perf_counter() - start)
            asyncio.run(some(port, bodies, 500))
            held.append(resident(process.pid))
            if "libtorch" in Path(f"/proc/{process.pid}/maps").read_text():
                raise SystemExit("the server of a run has loaded torch")
    return ready[1:], held[1:]  # the first start makes graphs


def wait_until_ready(port):
    while True:
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/ready").status == 200:
                return
        time.sleep(0.02)


async def some(port, bodies, n):
    connection = Connection(port)
    for number in range(n):
        status, _ = await connection.ask(bodies[number % len(bodies)])
        assert status == 200
    connection.close()


def soak(command, bodies, load, seconds):
    """Put a steady load on a server; return rows of waits and memory in each fifth of the time."""
    rows = []
    with serving(command) as (process, port):
        for part in range(5):
            found, _ = asyncio.run(open_loop(port, bodies, load, seconds / 5))
            wrong = sum(status != 200 for status, _ in found)
            if wrong:
                raise SystemExit(f"{wrong} of {len(found)} requests of the soak failed")
            waits = [taken for _, taken in found]
            what = f"soak of {seconds} s, fifth {part + 1}, {len(found)} requests"
            rows.append(row(f"{what}: p95", "ours, lite", [1000 * p95(waits)], "ms"))
            rows.append(row(f"{what}: memory", "ours, lite", [resident(process.pid)], "MB"))
    return rows


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
