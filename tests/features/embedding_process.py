"""A process that embeds, for tests that kill it, run two of it, or measure its memory.

python embedding_process.py embed IMAGES CACHE LOG SECONDS_PER_BATCH
python embedding_process.py crash IMAGES CACHE FIRST_STEP
python embedding_process.py memory N
python embedding_process.py fill N CACHE
"""

from __future__ import annotations

import hashlib
import io
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from cliptune.encoders import Preprocess
from cliptune.features import FeatureStore, shards
from cliptune.features.folder import ShardFolder
from cliptune.images import ImageTable
from fakes import TinyEncoder

SMALL = Preprocess(size=(8, 8))


class LoggingEncoder(TinyEncoder):
    """Writes down which images it was given, before it embeds them, and takes its time.

    The size of a batch and an image's place in it show in the last bits, as with BLAS.
    """

    def __init__(self, log: str, seconds: float) -> None:
        super().__init__(preprocess=SMALL)
        self.log, self.seconds = log, seconds

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        names = [hashlib.md5(p.tobytes()).hexdigest() for p in pixels]
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()} {' '.join(names)}\n")
        time.sleep(self.seconds)
        vectors = super().encode_images(pixels)
        places = np.arange(len(pixels), dtype=np.float32)[:, None] + len(pixels)
        return vectors + np.float32(1e-6) * places


def embed(images: str, cache: str, log: str, seconds: str) -> None:
    table, encoder = ImageTable.open(images), LoggingEncoder(log, float(seconds))
    say("ready")
    features = FeatureStore(cache, workers=1).features(encoder, table)
    say(hashlib.sha256(features.vectors.tobytes()).hexdigest())


def crash(images: str, cache: str, first_step: str) -> None:
    """Fork one process per step of writing; each is killed just before its step."""
    table, step = ImageTable.open(images), int(first_step)
    while True:
        child = os.fork()
        if child == 0:
            kill_before(step)
            encoder = LoggingEncoder(f"{cache}-{step}.log", 0)
            FeatureStore(f"{cache}-{step}", batch_size=8).features(encoder, table)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say(f"{step} {os.waitstatus_to_exitcode(status)}")
        if not os.WIFSIGNALED(status):
            return
        step += 1


def kill_before(step: int) -> None:
    """Count everything that changes a file, and kill this process before number ``step``."""
    count = 0

    def counted(function: Any) -> Any:  # Any: functions of any signature
        def call(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return call

    shards.os.fsync = counted(os.fsync)
    Path.replace = counted(Path.replace)
    Path.unlink = counted(Path.unlink)
    Path.mkdir = counted(Path.mkdir)


class Drawing:
    """A source that draws its image when it is read."""

    def __init__(self, number: int) -> None:
        self.id = self.location = f"{number}.bmp"
        self.number = number

    def read(self) -> bytes:
        colour = (self.number % 256, self.number // 256 % 256, self.number // 65536)
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(buffer, "BMP")
        return buffer.getvalue()


class Drawings(Sequence[Drawing]):
    """N sources of which none is kept."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, number: int) -> Drawing:
        if not 0 <= number < self.n:
            raise IndexError(number)
        return Drawing(number)


def memory(n: str, cache: str) -> None:
    """Embed ``n`` images into 512 dimensions and print the peak of resident memory in MiB."""
    count = int(n)
    labels, splits = np.zeros(count, np.int64), np.full(count, "")
    table = ImageTable(Drawings(count), labels, splits, ("a",), "drawn")
    features = FeatureStore(cache).features(TinyEncoder(dim=512, preprocess=SMALL), table)
    assert features.vectors.shape == (count, 512)
    say(str(peak_mib()))


def fill(n: str, cache: str) -> None:
    """Write ``n`` vectors of 512 dimensions as a run does, merge and map them; print the peak."""
    count, folder = int(n), ShardFolder(Path(cache))
    rng, contents = np.random.default_rng(0), np.arange(1, 2 * count + 1).view("S16")
    for start in range(0, count, 1000):
        folder.append(contents[start : start + 1000], rng.random((1000, 512), np.float32))
    folder.merge()
    assert folder.gather(contents).shape == (count, 512)
    say(str(peak_mib()))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    commands = {"embed": embed, "crash": crash, "memory": memory, "fill": fill}
    commands[sys.argv[1]](*sys.argv[2:])
