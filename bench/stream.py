"""Tars that their workers read as they come, beside the job that lists all first.

    python bench/stream.py [DATA] [--runs 3] [--quick]

Photographs in eight tars of 192, two workers, in turns, into empty folders: images a second of the
whole command, and the processor's seconds of it and its workers, which other work beside it
moves less. Then one worker and one tar, of 192 and of 3,072. Memory is VmHWM of the command that
plans and of the worker with most.
"""

import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import psutil
from harness import at_most, data_parser, ratio, target, write

from scale import as_row, environment

PER_TAR, N_TARS, LARGE = 192, 8, 3072
MEGABYTE = 1 << 20


def main():
    options = data_parser(__doc__).parse_args()
    if options.quick:
        options.runs = 1
    pictures = [path.read_bytes() for path in sorted(Path(options.data).rglob("*.jpg"))]
    rates, seconds = ({"streamed": [], "listed": []} for _ in range(2))
    rows, peaks = [], []
    with tempfile.TemporaryDirectory() as name:
        tars = write_tars(Path(name, "many"), pictures, N_TARS, PER_TAR)
        ways = {"streamed": ("--stream",), "listed": ("--rows-per-shard", str(PER_TAR))}
        embed(tars, 2, ways["listed"])  # converts the model, the first time
        for run in range(options.runs):
            for way, words in list(ways.items())[:: 1 if run % 2 == 0 else -1]:
                found = embed(tars, 2, words)
                rates[way].append(found["rate"])
                seconds[way].append(found["seconds"])
                peaks += [found["driver"]] if way == "streamed" else []
        rows += [as_row("images/s", way, values, "images/s") for way, values in rates.items()]
        rows += [as_row("processor", way, values, "s") for way, values in seconds.items()]
        rows.append(as_row("the command that plans", "streamed", peaks, "MB"))
        for n in (PER_TAR, LARGE):
            tar = write_tars(Path(name, str(n)), pictures, 1, n)
            worker = [embed(tar, 1, ("--stream",))["worker"]]
            rows.append(as_row(f"a worker, a tar of {n}", "streamed", worker, "MB"))
    targets = [
        target("seconds, listed to streamed", ratio(seconds["listed"], seconds["streamed"]), 0.9),
        at_most("the command that plans", peaks, 300, "MB"),
    ]
    about = f"{options.runs} runs, {N_TARS * PER_TAR} photographs in {N_TARS} tars."
    write("stream", {"about": about}, targets, rows)


def write_tars(folder, pictures, n_tars, n):
    folder.mkdir()
    for number in range(n_tars):
        with tarfile.open(folder / f"train-{number:06d}.tar", "w") as archive:
            for place in range(n):
                data = pictures[(number * n + place) % len(pictures)]
                for suffix, content in (("jpg", data), ("cls", b"%d" % (place % 2))):
                    member = tarfile.TarInfo(f"{place:06d}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


def embed(data, workers, words):
    """Run a command into an empty folder; return its rate, and peaks in megabytes."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "cliptune", "embed", str(data), "--out", f"{name}/out"]
        before = processor_seconds()
        command += ["--executor", "local", "--workers", str(workers), *words, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.DEVNULL, env=environment())  # fmt: skip
        peaks = {process.pid: 0}
        while process.poll() is None:
            keep_peaks(process.pid, peaks)
            time.sleep(0.2)
        found = json.loads(process.stdout.read())
    driver = peaks.pop(process.pid)
    return {
        "rate": found["images_per_second"],
        "seconds": processor_seconds() - before,
        "driver": driver,
        "worker": max(peaks.values()),
    }


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep_peaks(pid, peaks):
    """Keep the largest peaks of the resident memory of a process and of its children."""
    try:
        family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        for one in family:
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peaks[one] = max(peaks.get(one, 0), 1024 * int(line.split()[1]) / MEGABYTE)
    except (psutil.Error, OSError):
        return  # it has ended


if __name__ == "__main__":
    main()
