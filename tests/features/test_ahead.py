"""Pixels ahead of the consumer: in threads, and in processes where these are faster."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from cliptune.encoders import Preprocess
from cliptune.errors import BadImageError
from cliptune.features import ahead, processes
from cliptune.features.ahead import read_ahead
from cliptune.features.processes import ReadingProcesses
from cliptune.features.reading import RowReader
from cliptune.images import ImageTable

SHAPE = (3, 8, 8)


class Reader:
    """Pixels that tell their row and who read them, after work that holds the interpreter."""

    def __init__(self, *, bad=None, steps=20_000, slow_elsewhere=0.0):
        self.bad, self.steps, self.slow_elsewhere = bad, steps, slow_elsewhere
        self.home = os.getpid()

    def __call__(self, row):
        if row == self.bad:
            raise BadImageError(f"image {row} is broken")
        sum(range(self.steps))
        away = os.getpid() != self.home
        if away and self.slow_elsewhere:
            time.sleep(self.slow_elsewhere)
        pixels = np.full(SHAPE, row % 251, np.uint8)
        pixels[0, 0, 0] = away
        return pixels


class Unpicklable(Reader):
    def __reduce__(self):
        raise TypeError("this one stays here")


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Measure a few small batches, and take processes on few cores too."""
    for name, value in {"_LEAST_CORES": 2, "_WARM_UP": 1, "_TRIAL": 3, "_WORTH": 0.0}.items():
        monkeypatch.setattr(ahead, name, value)


@pytest.fixture
def started(monkeypatch):
    """The processes that were started; they are waited for, which embedding does not."""
    found = []
    real = ReadingProcesses.start

    def start(*args, **kwargs):
        found.append(real(*args, **kwargs))
        found[0].wait()
        return found[0]

    monkeypatch.setattr(ReadingProcesses, "start", start)
    return found


@pytest.fixture
def faster_elsewhere(monkeypatch):
    """What many cores measure: this machine may have two, and others at work on them."""
    real = ahead._Ways._judge

    def judge(ways, seconds):
        real(ways, seconds / 1000 if ways._processes is not None else seconds)

    monkeypatch.setattr(ahead._Ways, "_judge", judge)


class LateForOne(Reader):
    """One process has it at once, all others two seconds later."""

    def __init__(self, mark):
        super().__init__()
        self.mark = mark

    def __setstate__(self, state):
        self.__dict__.update(state)
        try:
            self.mark.touch(exist_ok=False)
        except FileExistsError:
            time.sleep(2)


@pytest.fixture(autouse=True)
def shared(monkeypatch):
    """A place in the shared memory of this test alone: others run beside it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        monkeypatch.setattr(processes, "_SHARED", Path(folder))
        yield Path(folder)


def shared_files():
    return list(processes._SHARED.glob("cliptune-pixels-*"))


def consume(read, n=1600, *, device="cuda", each=lambda number: None):
    """Return what was read, and for each row whether a process read it."""
    rows = np.arange(n)[::-1].copy()
    found, away = [], []
    batches = read_ahead(read, rows, shape=SHAPE, batch_size=16, workers=2, device=device)
    for number, (part, pixels, _) in enumerate(batches):
        each(number)
        assert (pixels[:, 1] == (part % 251)[:, None, None]).all()
        found.append(part)
        away.append(pixels[:, 0, 0, 0].copy())
    assert np.array_equal(np.concatenate(found), rows)
    assert shared_files() == []
    return np.concatenate(away)


@pytest.mark.usefixtures("started", "faster_elsewhere")
def test_processes_take_over_where_a_device_waits_for_pixels():
    away = consume(Reader())
    assert not away[:64].any()
    assert away[-64:].all()


@pytest.mark.usefixtures("started")
def test_slower_processes_are_left_again():
    away = consume(Reader(slow_elsewhere=0.02))
    assert away.any()
    assert not away[-64:].any()


@pytest.mark.parametrize(
    ("reader", "device"),
    [
        pytest.param(Reader(), "cpu", id="the processors compute"),
        pytest.param(Unpicklable(), "cuda", id="the reader cannot be copied"),
    ],
)
def test_threads_stay(reader, device):
    assert not consume(reader, n=800, device=device).any()


def test_threads_stay_where_no_process_may_be_started(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("daemonic processes are not allowed to have children")

    monkeypatch.setattr("cliptune.features.processes.ProcessPoolExecutor", refuse)
    assert not consume(Reader()).any()


@pytest.mark.usefixtures("started", "faster_elsewhere")
def test_an_unreadable_image_is_named_by_a_process_too():
    with pytest.raises(BadImageError, match="image 3 is broken"):
        consume(Reader(bad=3))
    assert shared_files() == []


@pytest.mark.usefixtures("faster_elsewhere")
def test_a_killed_process_loses_nothing(started):
    def kill(number):
        if number == 40:
            os.kill(next(iter(started[0]._executor._processes)), signal.SIGKILL)

    away = consume(Reader(), each=kill)
    assert away.any()
    assert not away[-64:].any()


@pytest.mark.usefixtures("started", "faster_elsewhere")
def test_a_process_that_starts_late_still_finds_the_memory(tmp_path):
    """The first one there could answer for all; the name may go once each has the memory open."""
    made = ReadingProcesses.start(
        LateForOne(tmp_path / "first"), SHAPE, batch_size=16, count=2, batches=4
    )
    with closing(made):
        assert made.wait()
        for _ in range(4):
            assert (made.begin(np.arange(16))()[:, 1, 0, 0] == np.arange(16)).all()
        time.sleep(2.5)
        assert (made.begin(np.arange(16))()[:, 1, 0, 0] == np.arange(16)).all()
    assert shared_files() == []


def test_photographs_have_the_same_bytes_from_threads_and_processes(data_root):
    table = ImageTable.open(data_root / "hymenoptera_data").select(np.arange(24))
    read = RowReader(partial(table.load_image, min_side=224), Preprocess(), table.ids)
    rows = np.tile(np.arange(24), 8)
    found = {}
    for device in ("cpu", "cuda"):
        batches = read_ahead(
            read, rows, shape=(3, 224, 224), batch_size=8, workers=2, device=device
        )
        found[device] = [pixels.copy() for _, pixels, _ in batches]
    assert np.array_equal(np.concatenate(found["cpu"]), np.concatenate(found["cuda"]))


KILLED = """
import sys, time
from pathlib import Path
from test_ahead import SHAPE, Reader
from cliptune.features import processes
from cliptune.features.processes import ReadingProcesses
import numpy as np
processes._SHARED = Path(sys.argv[1])
made = ReadingProcesses.start(Reader(), SHAPE, batch_size=16, count=2, batches=4)
assert made.wait()
made.begin(np.arange(16))()
print(*made._executor._processes, flush=True)
time.sleep(600)
"""


def test_nothing_is_left_where_the_process_that_asked_is_killed(shared):
    command = [sys.executable, "-c", KILLED, str(shared)]
    here = Path(__file__).parent
    with subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, text=True) as process:
        workers = [int(number) for number in process.stdout.readline().split()]
        process.kill()
    assert len(workers) == 2
    assert shared_files() == []
    _, alive = psutil.wait_procs([p for p in map(known, workers) if p], timeout=30)
    assert alive == []


def known(number):
    try:
        return psutil.Process(number)
    except psutil.NoSuchProcess:
        return None
