"""The store with processes that are killed, that run side by side, and that fill the memory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from embedding_process import LoggingEncoder

from cliptune.features import FeatureStore
from cliptune.images import ImageTable

SCRIPT = Path(__file__).with_name("embedding_process.py")
BATCH = 64


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)]
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # it forks
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=alone)


def output(process: subprocess.Popen[str]) -> list[str]:
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return text.split()


def batches(log: Path) -> list[tuple[str, list[str]]]:
    """Return the process and the images of each batch that an encoder was given."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(line[0], line[1:]) for line in lines]


def kill_after(process: subprocess.Popen[str], log: Path, rng: random.Random) -> None:
    """Kill a process within its first four batches: some while it still reads files."""
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        wanted = len(batches(log)) + rng.randrange(4)
        while len(batches(log)) < wanted:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()


def test_survives_kills_at_random_moments_with_equal_bits(make_table, tmp_path):
    n = 5000
    make_table(n)
    images, log = tmp_path / "images", tmp_path / "log"
    undisturbed = output(start("embed", images, tmp_path / "whole", tmp_path / "whole.log", 0))
    rng = random.Random(3)
    log.touch()
    for _ in range(20):
        kill_after(start("embed", images, tmp_path / "cache", log, 0.02), log, rng)
    assert output(start("embed", images, tmp_path / "cache", log, 0)) == undisturbed
    given = batches(log)
    assert {image for _, images in given for image in images} == {
        image for _, images in batches(tmp_path / "whole.log") for image in images
    }
    repeated, seen = Counter(), set()
    for process_id, names in given:
        repeated[process_id] += sum(name in seen for name in names)
        seen.update(names)
    assert len(repeated) > 5, "too few kills came while it was embedding"
    assert max(repeated.values()) <= BATCH
    assert sum(repeated.values()) <= 20 * BATCH


def test_survives_a_kill_before_each_step_of_writing(make_table, tmp_path):
    make_table(37)
    images = tmp_path / "images"
    process = start("crash", images, tmp_path / "cache", 1)
    numbers = [int(text) for text in output(process)]
    steps = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert [code for _, code in steps] == [-9] * (len(steps) - 1) + [0]
    assert len(steps) > 25  # five shards of three steps each, and the merging of five
    results = set()
    for step, _ in steps:
        log = Path(f"{tmp_path / 'cache'}-{step}.log")
        table = ImageTable.open(images)
        store = FeatureStore(f"{tmp_path / 'cache'}-{step}", batch_size=8)
        results.add(store.features(LoggingEncoder(str(log), 0), table).vectors.tobytes())
        counts = Counter(name for _, names in batches(log) for name in names)
        assert len(counts) == 37
        assert sum(counts.values()) <= 37 + 8
        folder = next(store.cache_dir.glob("features/pooled-*"))
        assert len(list(folder.glob("*.safetensors"))) == 1
        assert not list(folder.glob(".*"))
    assert len(results) == 1


def test_two_processes_share_the_work_of_one_table(make_table, tmp_path):
    make_table(300)
    cache, log = tmp_path / "cache", tmp_path / "log"
    both = [start("embed", tmp_path / "images", cache, log, 0.05) for _ in range(2)]
    first, second = (output(process) for process in both)
    assert first == second
    counts = Counter(name for _, names in batches(log) for name in names)
    assert len(counts) == sum(counts.values()) == 300


def test_processes_with_different_tables_do_not_disturb_each_other(make_table, tmp_path):
    alone = {}
    for seed in range(3):
        make_table(150, folder=f"images{seed}", seed=seed)
        log = tmp_path / f"alone{seed}.log"
        arguments = (tmp_path / f"images{seed}", tmp_path / f"alone{seed}", log, 0)
        alone[seed] = output(start("embed", *arguments))
    log = tmp_path / "log"
    side_by_side = [
        start("embed", tmp_path / f"images{seed}", tmp_path / "cache", log, 0.05)
        for seed in range(3)
    ]
    assert [output(process) for process in side_by_side] == [alone[seed] for seed in range(3)]


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory in Linux's unit")
def test_writing_a_hundred_thousand_vectors_needs_no_more_memory_than_a_thousand(tmp_path):
    few = float(output(start("fill", 1_000, tmp_path / "few"))[0])
    many = float(output(start("fill", 100_000, tmp_path / "many"))[0])
    assert many - few < 30  # MiB, of 195 MiB written: a piece of a shard and the digests


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory in Linux's unit")
def test_embedding_many_images_needs_little_more_memory_than_few(tmp_path):
    few = float(output(start("memory", 1_000, tmp_path / "few"))[0])
    many = float(output(start("memory", 10_000, tmp_path / "many"))[0])
    assert many - few < 12  # MiB; the vectors alone are 20
