"""What a job consists of: its shards, the names of their files, and what makes it this job.

It knows nothing about who computes.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import RunError
from cliptune.scale.shard import EncoderRecipe
from cliptune.system.atomic import atomic_path
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import read_object

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = [
    "PARTS",
    "JobPlan",
    "Plan",
    "StreamPlan",
    "holds_job",
    "plan_job",
    "plan_stream",
    "read_plan",
]

PARTS = "parts"
_FILE = "job.json"
_LAYOUT = 1  # of the files; raise it when they change


@dataclass(frozen=True)
class Plan(ABC):
    """One job in shards, each of which becomes a part.

    Attributes:
        facts: All that decides what the parts hold, as plain JSON values, hence ``Any``.
    """

    facts: Mapping[str, Any]

    @property
    @abstractmethod
    def n_shards(self) -> int:
        """How many shards there are."""

    @property
    def on_bad_image(self) -> Literal["fail", "skip"]:
        """What becomes of a shard with an unreadable image."""
        return "skip" if self.facts["on_bad_image"] == "skip" else "fail"

    @property
    def digest(self) -> str:
        """SHA-256 over the facts; hex."""
        text = json.dumps(dict(self.facts), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

    def part(self, folder: Path, number: int) -> Path:
        """Return a shard's file."""
        return folder / PARTS / f"part-{number:06d}.parquet"

    def begin(self, folder: Path) -> None:
        """Write down which job this is, or see that the folder holds this very one.

        Raises:
            RunError: The folder holds the parts of another job, or other files.
            UnavailableError: It cannot be written to.
        """
        file = folder / _FILE
        if is_file(file):
            self._require_same(read_object(file), folder)
            return
        strange = [] if not folder.is_dir() else [p.name for p in folder.iterdir()]
        strange = [name for name in strange if not name.startswith(".")]
        if strange:
            raise RunError(
                f"{str(folder)!r} holds {strange[0]!r} and no job of this kind; name an empty or a "
                "new folder"
            )
        with atomic_path(file) as temporary:
            text = json.dumps({"digest": self.digest, "facts": dict(self.facts)}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")

    def _require_same(self, found: Mapping[str, Any], folder: Path) -> None:
        if found.get("digest") == self.digest:
            return
        facts = found.get("facts")
        raise RunError(
            f"{str(folder)!r} holds the parts of another job ({str(found.get('digest'))[:12]}, "
            f"this one is {self.digest[:12]}); it differs in "
            f"{self._differs(facts if isinstance(facts, dict) else {})}: name a new folder"
        )

    def _differs(self, theirs: Mapping[str, Any]) -> str:
        """Say in what the facts of another job differ."""
        names = [*self.facts, *theirs]
        other = [n for n in dict.fromkeys(names) if theirs.get(n) != self.facts.get(n)]
        return ", ".join(other) or "its record"


@dataclass(frozen=True)
class JobPlan(Plan):
    """One job: N images in shards of consecutive rows.

    Attributes:
        n_rows: N.
        rows_per_shard: Rows of each shard but the last.
    """

    n_rows: int
    rows_per_shard: int

    @property
    def n_shards(self) -> int:
        """How many shards there are."""
        return -(-self.n_rows // self.rows_per_shard)

    def rows(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a shard."""
        start = number * self.rows_per_shard
        return np.arange(start, min(start + self.rows_per_shard, self.n_rows))


class StreamPlan(Plan):
    """One job: a shard is a unit of the data, such as a tar, and nobody knows yet what it holds."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the units."""
        return tuple(self.facts["units"])

    @property
    def n_shards(self) -> int:
        """How many units there are."""
        return len(self.facts["units"])

    def _differs(self, theirs: Mapping[str, Any]) -> str:
        units = theirs.get("units")
        if not isinstance(units, list) or units == self.facts["units"]:
            return super()._differs(theirs)
        own = self.facts["units"]
        if gone := [name for name in units if name not in set(own)]:
            return f"units: {gone[0]!r} is not there any more"
        if new := [name for name in own if name not in set(units)]:
            return f"units: {new[0]!r} is new"
        return "the order of its units"


def plan_job(
    table: ImageTable,
    recipe: EncoderRecipe,
    *,
    fingerprint: str,
    preprocess: Mapping[str, Any],  # Any: plain JSON values
    rows_per_shard: int,
    dtype: str,
    on_bad_image: str,
) -> JobPlan:
    """Say what a job consists of.

    Args:
        table: N images.
        recipe: What embeds.
        fingerprint: Of the encoder's weights.
        preprocess: The constants of its input transform.
        rows_per_shard: Rows of each shard but the last.
        dtype: ``float32`` or ``float16``.
        on_bad_image: ``fail`` or ``skip``.
    """
    facts = {
        "images": table.digest(),
        "rows": len(table),
        "rows_per_shard": rows_per_shard,
        **_encoding(recipe, fingerprint, preprocess),
        "dtype": dtype,
        "on_bad_image": on_bad_image,
        "layout": _LAYOUT,
    }
    return JobPlan(json.loads(json.dumps(facts)), len(table), rows_per_shard)


def plan_stream(
    names: Sequence[str],
    recipe: EncoderRecipe,
    *,
    fingerprint: str,
    preprocess: Mapping[str, Any],  # Any: plain JSON values
    reading: Mapping[str, Any],
    dtype: str,
    on_bad_image: str,
) -> StreamPlan:
    """Say what a job consists of whose images nobody has listed.

    Sizes and versions of units are no facts of the job but of the parts that were made of them: a
    damaged tar may be mended, and is computed by the same job.

    Args:
        names: Of the units, unique.
        recipe: What embeds.
        fingerprint: Of the encoder's weights.
        preprocess: The constants of its input transform.
        reading: How units are read, as plain JSON values.
        dtype: ``float32`` or ``float16``.
        on_bad_image: ``fail`` or ``skip``.
    """
    facts = {
        "units": list(names),
        "reading": dict(reading),
        **_encoding(recipe, fingerprint, preprocess),
        "dtype": dtype,
        "on_bad_image": on_bad_image,
        "layout": _LAYOUT,
    }
    return StreamPlan(json.loads(json.dumps(facts)))


def _encoding(
    recipe: EncoderRecipe, fingerprint: str, preprocess: Mapping[str, Any]
) -> dict[str, Any]:  # Any: plain JSON values
    pixels = {} if recipe.pixels == "exact" else {"pixels": recipe.pixels}
    return {
        "model": recipe.model,
        "fingerprint": fingerprint,
        "preprocess": dict(preprocess),
        "engine": recipe.engine,
        "precision": recipe.precision,
        **pixels,
    }


def holds_job(folder: Path) -> bool:
    """Say whether a folder has the record of a job, be it finished, broken or neither."""
    return is_file(folder / _FILE)


def read_plan(folder: Path) -> Plan:
    """Read which job a folder holds.

    Raises:
        RunError: It holds none, or its record is broken.
    """
    if not holds_job(folder):
        raise RunError(
            f"{str(folder)!r} holds no embedding job; make one with 'cliptune embed DATA --out "
            f"{folder} --executor local'"
        )
    found = read_object(folder / _FILE)
    facts = found.get("facts")
    plan = _as_plan(facts) if isinstance(facts, dict) else None
    if plan is None:
        raise RunError(f"the record {str(folder / _FILE)!r} is broken; embed anew")
    if plan.digest != found.get("digest"):
        raise RunError(f"the record {str(folder / _FILE)!r} was altered; embed anew")
    return plan


def _as_plan(facts: Mapping[str, Any]) -> Plan | None:  # Any: plain JSON values
    units = facts.get("units")
    if isinstance(units, list) and units and all(isinstance(name, str) for name in units):
        return StreamPlan(facts)
    rows, per_shard = facts.get("rows"), facts.get("rows_per_shard")
    if isinstance(rows, int) and isinstance(per_shard, int) and rows > 0 and per_shard > 0:
        return JobPlan(facts, rows, per_shard)
    return None
