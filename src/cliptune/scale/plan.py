"""What a job consists of: its shards, the names of their files, and what makes it this job.

It knows nothing about who computes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import RunError
from cliptune.scale.shard import EncoderRecipe
from cliptune.system.atomic import atomic_path
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import read_object

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = ["PARTS", "JobPlan", "holds_job", "plan_job", "read_plan"]

PARTS = "parts"
_FILE = "job.json"
_LAYOUT = 1  # of the files; raise it when they change


@dataclass(frozen=True)
class JobPlan:
    """One job: N images in shards of consecutive rows.

    Attributes:
        facts: All that decides what the parts hold, as plain JSON values, hence ``Any``.
        n_rows: N.
        rows_per_shard: Rows of each shard but the last.
    """

    facts: Mapping[str, Any]
    n_rows: int
    rows_per_shard: int

    @property
    def digest(self) -> str:
        """SHA-256 over the facts; hex."""
        text = json.dumps(dict(self.facts), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

    @property
    def n_shards(self) -> int:
        """How many shards there are."""
        return -(-self.n_rows // self.rows_per_shard)

    def rows(self, number: int) -> NDArray[np.int64]:
        """Return the rows of a shard."""
        start = number * self.rows_per_shard
        return np.arange(start, min(start + self.rows_per_shard, self.n_rows))

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
        theirs = facts if isinstance(facts, dict) else {}
        names = [*self.facts, *theirs]
        other = [n for n in dict.fromkeys(names) if theirs.get(n) != self.facts.get(n)]
        raise RunError(
            f"{str(folder)!r} holds the parts of another job ({str(found.get('digest'))[:12]}, "
            f"this one is {self.digest[:12]}); it differs in {', '.join(other) or 'its record'}: "
            "name a new folder"
        )


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
        "model": recipe.model,
        "fingerprint": fingerprint,
        "preprocess": dict(preprocess),
        "engine": recipe.engine,
        "precision": recipe.precision,
        "rows_per_shard": rows_per_shard,
        "dtype": dtype,
        "on_bad_image": on_bad_image,
        "layout": _LAYOUT,
    }
    if recipe.pixels != "exact":
        facts["pixels"] = recipe.pixels
    return JobPlan(json.loads(json.dumps(facts)), len(table), rows_per_shard)


def holds_job(folder: Path) -> bool:
    """Say whether a folder has the record of a job, be it finished, broken or neither."""
    return is_file(folder / _FILE)


def read_plan(folder: Path) -> JobPlan:
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
    sizes = [facts.get(k) if isinstance(facts, dict) else None for k in ("rows", "rows_per_shard")]
    if not (isinstance(facts, dict) and all(isinstance(s, int) and s > 0 for s in sizes)):
        raise RunError(f"the record {str(folder / _FILE)!r} is broken; embed anew")
    plan = JobPlan(facts, facts["rows"], facts["rows_per_shard"])
    if plan.digest != found.get("digest"):
        raise RunError(f"the record {str(folder / _FILE)!r} was altered; embed anew")
    return plan
