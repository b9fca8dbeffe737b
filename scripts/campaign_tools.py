"""What all parts of the campaign share: data of its own, commands, and a count of what is right.

It knows nothing about what is tried.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cliptune.cli import run_command_line

__all__ = ["Outcome", "Tally", "Workplace", "draw_picture", "refusal_fault", "without_times"]

_CLASSES = ("ant", "bee", "cat")
_LONGEST_MESSAGE = 2100
_LONGEST_SECONDS = 60  # of a command in this process
_VISION = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 32}
_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
_MODEL = {"embed_dim": 32, "vision_cfg": _VISION, "text_cfg": _TEXT}
# What differs between two runs of the same work: times (also within a page), places, who did what.
_TIMES = ("second", "peak_memory", "speed", "date", "created", "finished", "machine", "cores")
_SAID_TIME = re.compile(
    r"(?:< )?\b[\d.,]+ (?:ms|s|min|h|times as long)\b|\b\d+ [A-Z][a-z]+ \d{4}\b"
)
_PLACES = (
    "facts",
    "tiles",
    "blocks",
    "run",
    "out",
    "file",
    "report",
    "command",
    "predict",
    "storage",
    "study",
    "cache",
)
_SHARES = ("images_embedded", "images_per_second", "n_trained_here", "rows_checked", "reused")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def last_line(self) -> str:
        """The line that says why it ended."""
        return (self.err.strip().splitlines() or [""])[-1]


@dataclass
class Tally:
    """Which cases were right, by kind."""

    by_kind: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, name: str, fault: str) -> None:
        """Count a case; ``fault`` says what was wrong with it, or nothing."""
        self.by_kind[kind].append(not fault)
        if fault:
            print(f"WRONG {kind}: {name[:120]!r}: {fault[:600]}", flush=True)

    def show(self) -> bool:
        """Print the counts; say whether all were right."""
        for kind, cases in self.by_kind.items():
            print(f"{kind}: right {sum(cases)} of {len(cases)}")
        everything = [case for cases in self.by_kind.values() for case in cases]
        print(f"in all: right {sum(everything)} of {len(everything)}")
        return all(everything)


class Workplace:
    """A folder with a small model and a small data set, and ways to run commands in it.

    Args:
        root: An empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.model, self.data = root, root / "model", root / "data"
        self._count = 0
        _write_model(self.model)
        for split, n in (("train", 24), ("test", 10)):
            for tint, name in enumerate(_CLASSES):
                for number in range(n):
                    path = self.data / split / name / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    draw_picture((100 if split == "test" else 0) + 1000 * tint + number, tint).save(
                        path
                    )

    def new(self, name: str) -> Path:
        """Return a path that nothing is at."""
        self._count += 1
        return self.root / f"{name}-{self._count}"

    def here(self, words: Sequence[object], place: Path | None = None) -> Outcome:
        """Run a command in this process, as ``python -m cliptune`` does."""
        out, err = io.StringIO(), io.StringIO()
        began = time.perf_counter()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            contextlib.chdir(place or self.root),
            _time_limit(),
        ):
            code = run_command_line([str(word) for word in words])
        return Outcome(code, out.getvalue(), err.getvalue(), time.perf_counter() - began)

    def start(
        self,
        words: Sequence[object],
        *,
        place: Path | None = None,
        limit: Callable[[], None] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "cliptune", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=place or self.root,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            preexec_fn=limit,  # it sets a limit of the system and nothing else
        )

    def apart(self, words: Sequence[object], **options: Any) -> Outcome:  # Any: as for ``start``
        """Run a command as a process of its own and wait for it."""
        began = time.perf_counter()
        process = self.start(words, **options)
        out, err = process.communicate(timeout=900)
        return Outcome(process.returncode, out, err, time.perf_counter() - began)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt a command that waits for ever, as for a pipe that nobody writes to."""

    def interrupt(number: int, frame: object) -> None:
        raise RuntimeError(f"it took more than {_LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(_LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def draw_picture(seed: int, tint: int = 0) -> Image.Image:
    """Draw a picture that no other seed gives, in a colour of its class."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 5, 3))
    coarse[..., tint % 3] = coarse[..., tint % 3] // 3 + 160
    return Image.fromarray(coarse.astype(np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)


def refusal_fault(outcome: Outcome, says: str = "", out: Path | None = None) -> str:
    """Say what is wrong with how wrong input was refused; nothing where all is right."""
    if outcome.code != 2:
        return f"exit code {outcome.code}, expected 2: {outcome.err[-300:]}"
    if "Traceback" in outcome.err or not outcome.last_line.startswith("cliptune: "):
        return f"no clear last line: {outcome.err[-300:]}"
    if outcome.out:
        return f"standard output is not empty: {outcome.out[:100]!r}"
    if says not in outcome.err or len(outcome.last_line) > _LONGEST_MESSAGE:
        return f"expected {says!r} in {outcome.last_line!r}"
    if out is not None and out.exists():
        return f"left behind: {sorted(str(p.name) for p in out.rglob('*'))[:5]}"
    return ""


def without_times(value: Any) -> Any:  # Any: plain JSON values
    """Return a result without what two runs of the same work may differ in."""
    if isinstance(value, dict):
        dropped = (*_TIMES, *_SHARES)
        return {
            key: without_times(one)
            for key, one in value.items()
            if not any(word in key for word in dropped) and key not in _PLACES
        }
    if isinstance(value, str):
        return _SAID_TIME.sub("a while", value)
    return [without_times(one) for one in value] if isinstance(value, list) else value


def _write_model(folder: Path) -> None:
    """Write a model of open_clip's layout with weights drawn at random."""
    import torch
    from safetensors.torch import save_file

    from cliptune.encoders.open_clip_encoder import build_model

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_file(build_model(_MODEL).state_dict(), folder / "open_clip_model.safetensors")
    described = {"model_cfg": _MODEL, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
