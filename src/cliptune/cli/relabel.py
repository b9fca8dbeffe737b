"""``cliptune relabel``: answers of another labelling tool, taken into the journal."""

from __future__ import annotations

from pathlib import Path

from cliptune.cli.console import print_result
from cliptune.cli.options import Compute, Dataset, DatasetOptions, Output
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.relabel import relabel as take_answers

__all__ = ["relabel"]


def relabel(
    data: str,
    answers: Path,
    /,
    *,
    run: Path | None = None,
    who: str | None = None,
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Take the answers of another labelling tool into the journal; no file is moved or changed.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        answers: CSV, TSV, JSON or JSONL with the columns id (or path) and label, as label-next
            gives ids; or an export of Label Studio. (none) says that no class fits.
        run: The classifier that label-next was given; the journal is beside it.
        who: By whom; the user of this machine otherwise.
        dataset: How to read the data set.
        compute: Where digests of files are remembered.
        output: How results are shown.
    """
    taken = take_answers(
        data,
        answers,
        run=run,
        who=who,
        dataset=dataset,
        compute=compute,
        progress=TerminalWatch(),
    )
    print_result(taken, as_json=output.json)
