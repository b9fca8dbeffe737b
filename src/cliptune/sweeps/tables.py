"""The trials of a sweep as Parquet: one table of trials, one of their loss curves.

It knows nothing about what is concluded from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cliptune.runs import RunDir
from cliptune.sweeps.records import Trial

__all__ = ["trial_rows", "write_tables"]


def trial_rows(trials: Sequence[Trial], *, frozen: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row a trial, as plain JSON values.

    Args:
        trials: All that are finished.
        frozen: Parts of the model that no trial moves; a backbone rate of 0 adds ``image``.
    """
    return [
        {
            **trial.cell.rates,
            "frozen": sorted({*frozen, *(["image"] if _backbone_rests(trial) else [])}),
            "seed": trial.cell.seed,
            "val_accuracy": trial.val_accuracy,
            "val_loss": trial.val_loss if trial.val_loss == trial.val_loss else None,
            "n_val": len(trial.hits),
            "diverged": trial.diverged,
            "seconds": trial.seconds,
            "batch_size": trial.cell.batch_size,
            "n_train": trial.cell.n_train,
            "steps": trial.cell.steps,
            "purpose": trial.cell.purpose,
        }
        for trial in trials
    ]


def write_tables(run: RunDir, rows: Sequence[dict[str, Any]], trials: Sequence[Trial]) -> None:
    """Write ``trials.parquet`` and ``curves.parquet``; ``trial`` in the second counts rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    curves: dict[str, list[Any]] = {"trial": [], "place": [], "train_loss": []}  # Any: mixed
    for number, trial in enumerate(trials):
        curves["trial"] += [number] * len(trial.losses)
        curves["place"] += range(len(trial.losses))
        curves["train_loss"] += trial.losses
    tables = {"trials": pa.Table.from_pylist(list(rows)), "curves": pa.table(curves)}
    for name, table in tables.items():
        with run.writing(f"{name}.parquet") as temporary:
            pq.write_table(table, temporary)


def _backbone_rests(trial: Trial) -> bool:
    return trial.cell.rates.get("backbone") == 0
