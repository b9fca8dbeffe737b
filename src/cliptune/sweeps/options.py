"""The options of a sweep and what each method is swept over; importable without torch.

It knows nothing about data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cliptune.errors import InputError, UnknownNameError
from cliptune.sweeps.grid import Grid, parse_grid
from cliptune.system.bounds import MAX_SEED, require_count

__all__ = [
    "HEAD_METHODS",
    "METHODS",
    "TOWER_METHODS",
    "SweepOptions",
    "parse_bytes",
    "parse_seconds",
    "read_grid",
]

HEAD_METHODS = ("dual-linear", "linear", "linear-sgd", "attention")
TOWER_METHODS = ("full", "lora")
METHODS = HEAD_METHODS + TOWER_METHODS

# Wide enough that the best rate of the shared data sets lies inside; see docs/sweeps.md.
_DEFAULT_GRIDS: Mapping[str, Mapping[str, str]] = {
    "dual-linear": {"sgd": "lr=1e-4..1e0:9 wd=0", "adamw": "lr=1e-5..1e-1:9 wd=0"},
    "linear-sgd": {"sgd": "lr=1e-3..1e1:9 wd=0", "adamw": "lr=1e-4..1e0:9 wd=0"},
    "attention": {"sgd": "lr=1e-4..1e0:9 wd=0", "adamw": "lr=1e-5..1e-1:9 wd=0"},
    "linear": {"sgd": "penalty=1e-6..1e-1:11", "adamw": "penalty=1e-6..1e-1:11"},
    "full": {
        "sgd": "backbone=0,1e-4,1e-3,1e-2 head=1e-2,1e-1,1e0",
        "adamw": "backbone=0,1e-5,1e-4,1e-3 head=1e-3,1e-2,1e-1",
    },
    "lora": {
        "sgd": "backbone=0,1e-3,1e-2,1e-1 head=1e-3,1e-2,1e-1",
        "adamw": "backbone=0,1e-4,1e-3,1e-2 head=1e-4,1e-3,1e-2",
    },
}
_MOST_SEEDS = 1000
# More than anyone waits for, and few enough to be listed at once.
_MOST_TRAININGS = 100_000
_MOST_SECONDS = 366 * 24 * 3600
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class SweepOptions:
    """What shapes the trials of a sweep, besides its grid.

    Attributes:
        method: One of ``METHODS``.
        search: ``grid``, or ``tpe``: points chosen one after another by Optuna's sampler.
        n_points: Points that ``tpe`` tries.
        seeds: Every point is trained with this many seeds.
        epochs: Passes over the training images; the most, for moving weights.
        batch_size: Images a step; fewer where there are fewer images.
        optimizer: ``sgd`` or ``adamw``.
        start: How the layers of ``dual-linear`` begin: ``identity`` or ``random``.
        products: ``fp32`` or ``bf16`` factors of the products of stacked heads.
        max_memory_bytes: Bound on one stack of heads.
        blocks: Of ``full``: only so many last blocks of the image tower move; what those below
            give is computed once and kept. None: all of it moves.
        seed: First of the seeds.
    """

    method: str = "dual-linear"
    search: Literal["grid", "tpe"] = "grid"
    n_points: int = 24
    seeds: int = 3
    epochs: int = 20
    batch_size: int = 256
    optimizer: Literal["sgd", "adamw"] = "sgd"
    start: Literal["identity", "random"] = "identity"
    products: Literal["fp32", "bf16"] = "fp32"
    max_memory_bytes: int = 1 << 30
    blocks: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownNameError("method", self.method, METHODS)
        require_count("--seeds", self.seeds, at_most=_MOST_SEEDS)
        require_count("--epochs", self.epochs)
        require_count("--batch-size", self.batch_size)
        require_count("--trials", self.n_points, at_most=_MOST_TRAININGS)
        require_count("--seed", self.seed, at_least=0, at_most=MAX_SEED)
        require_count("--seed plus --seeds", self.all_seeds[-1], at_least=0, at_most=MAX_SEED)
        if self.search == "tpe" and self.method not in HEAD_METHODS:
            raise InputError(
                f"--search tpe came with --method {self.method}; moving weights are searched by "
                "successive halving of a grid: drop --search"
            )
        if self.blocks is not None:
            require_count("--blocks", self.blocks)
            if self.method != "full":
                raise InputError(f"--blocks is of --method full; {self.method} moves no blocks")
        if self.start == "random" and self.method != "dual-linear":
            raise InputError(f"--start random is of dual-linear; --method {self.method} has none")

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of every point; a method that is solved exactly has one."""
        n = 1 if self.method == "linear" else self.seeds
        return tuple(range(self.seed, self.seed + n))


def read_grid(text: str | None, options: SweepOptions) -> Grid:
    """Read the grid of a method, or take its default.

    Raises:
        InputError: The grid is malformed, or has an axis that the method lacks.
    """
    default = _DEFAULT_GRIDS[options.method][options.optimizer]
    names = [entry.partition("=")[0] for entry in default.split()]
    if options.method == "linear" and text is not None and re.search(r"(^|\s)(lr|wd)=", text):
        raise InputError(
            "--method linear is solved to its minimum and has no learning rate: sweep its "
            "penalty, as in --grid 'penalty=1e-6..1e-1:11', or take --method linear-sgd"
        )
    defaults = parse_grid(default, known=names)
    if text is not None and not text.strip():
        raise InputError(
            "--grid came without an axis; write for example 'lr=1e-4..1e0:9', or drop it"
        )
    grid = defaults if text is None else parse_grid(text, known=names, defaults=defaults.axes)
    for axis in grid.axes:
        if axis.values[0] == 0 and axis.name not in ("wd", "backbone"):
            raise InputError(f"--grid {axis.name}=0 trains nothing; expected numbers above 0")
    _require_few(grid, options)
    if options.search == "tpe" and len(grid.axes[0].values) < 2:
        raise InputError("--search tpe needs a range to search, such as lr=1e-4..1e0")
    if options.method in TOWER_METHODS and grid.axis("backbone").values[-1] == 0:
        raise InputError(
            "--grid backbone=0 moves no weight; add a rate above 0, or sweep a head: "
            "--method linear-sgd"
        )
    return grid


def _require_few(grid: Grid, options: SweepOptions) -> None:
    """Count the trainings before any point is listed."""
    count = math.prod(len(axis.values) for axis in grid.axes) * len(options.all_seeds)
    if options.search == "grid" and count > _MOST_TRAININGS:
        raise InputError(
            f"--grid stands for {count} trainings, seeds included; expected at most "
            f"{_MOST_TRAININGS}: name fewer values"
        )


def parse_seconds(text: str) -> float:
    """Read a time such as ``90s``, ``30m``, ``1.5h`` or plain seconds.

    Raises:
        InputError: It has another form, or is not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip(), re.ASCII)
    if not found or float(found[1]) == 0:
        raise InputError(f"--budget {text[:40]!r} is no time; write for example 90s, 30m or 1h")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > _MOST_SECONDS:
        raise InputError(f"--budget {text[:40]!r} is more than a year; write for example 30m or 1h")
    return seconds


def parse_bytes(text: str) -> int:
    """Read an amount of memory such as ``512M`` or ``2GB``.

    Raises:
        InputError: It has another form, or is not above 0.
    """
    found = re.fullmatch(
        r"(\d{1,15}(?:\.\d{1,15})?)\s*([KMG]?)i?B?", text.strip(), re.IGNORECASE | re.ASCII
    )
    n_bytes = int(float(found[1]) * _BYTES[found[2].upper()]) if found else 0
    if n_bytes < 1:
        raise InputError(f"--max-memory {text[:40]!r} is no amount; write for example 512M or 2G")
    return n_bytes
