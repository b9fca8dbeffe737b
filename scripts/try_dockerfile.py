"""Run the commands of an export's Dockerfile in a fresh environment, and ask the server once.

python scripts/try_dockerfile.py EXPORT IMAGE

There is no container: each RUN is run as it stands with the environment's own Python, this checkout
in the place of the published package, and CMD is started. Ends with the answer and what it took.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
PORT = 18765


def main(export: str, image: str) -> None:
    """Install, start, ask."""
    folder = Path(export).resolve()
    lines = (folder / "Dockerfile").read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory(prefix="cliptune-image-") as place:
        root = Path(place)
        subprocess.run([sys.executable, "-m", "venv", root / "python"], check=True)
        for line in lines:
            if line.startswith("RUN "):
                run(line.removeprefix("RUN "), root, folder)
        command = json.loads(next(x for x in lines if x.startswith("CMD ")).removeprefix("CMD "))
        print(json.dumps(serve(command, root, folder, Path(image)), indent=2))


def run(command: str, root: Path, folder: Path) -> None:
    """Run a line of the Dockerfile as in a container whose files are these."""
    words = shlex.split(command)
    words = [str(ROOT) if word == "cliptune" else word for word in words]
    words[0] = str(root / "python" / "bin" / words[0])
    print("+", " ".join(words), file=sys.stderr)
    subprocess.run(words, cwd=folder, check=True, stdout=sys.stderr, env=clean())


def serve(command: list[str], root: Path, folder: Path, image: Path) -> dict[str, object]:
    """Start the server, wait until it is ready, and ask it for one image."""
    words = [word.replace("/srv/model", str(folder)) for word in command]
    words[0] = str(root / "python" / "bin" / words[0])
    started = time.perf_counter()
    process = subprocess.Popen([*words, "--port", str(PORT)], env=clean(), cwd=root)
    try:
        ready = wait(process)
        address = f"http://127.0.0.1:{PORT}/v1/predict"
        request = urllib.request.Request(
            address, image.read_bytes(), {"Content-Type": "image/jpeg"}
        )
        with urllib.request.urlopen(request) as reply:
            answer = json.load(reply)
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        resident = next(x for x in rollup.splitlines() if x.startswith("Rss")).split()[1]
        packages = sorted(p.name for p in (root / "python").glob("lib/python3*/site-packages/*"))
        return {
            "seconds_to_ready": ready - started,
            "resident_megabytes": int(resident) / 1000,
            "has_torch": "torch" in packages,
            "megabytes_installed": size(root / "python") / 1e6,
            "answer": answer["predictions"],
        }
    finally:
        process.terminate()
        process.wait()


def wait(process: subprocess.Popen[bytes]) -> float:
    """Return when the server says that it is ready."""
    while True:
        if process.poll() is not None:
            raise SystemExit("the server ended")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/ready").close()
            return time.perf_counter()
        except OSError:
            time.sleep(0.05)


def clean() -> dict[str, str]:
    """Return the environment without this checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def size(folder: Path) -> int:
    """Return the bytes of all files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main(*sys.argv[1:])
