"""``cliptune data``: how a data set is read, before anything is computed."""

from __future__ import annotations

from pathlib import Path

from cliptune.cli.console import note, print_json, print_text
from cliptune.cli.options import (
    DatasetOptions,
    Output,
    Shards,
    SharedShardOptions,
    ShownDataset,
)
from cliptune.errors import InputError
from cliptune.system.escaping import for_terminal
from cliptune.system.places import require_writable
from cliptune.workflows.dataset import read_whole_table
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.requirements import require_class_names
from cliptune.workflows.shard_workers import find_workers
from cliptune.workflows.write_shards import require_format_of_shards, write_by_shards

__all__ = ["data"]


def data(
    data: str,
    /,
    out: Path | None = None,
    *,
    to: str | None = None,
    shards: Shards = SharedShardOptions(),
    dataset: ShownDataset = DatasetOptions(),
    output: Output = Output(),
) -> None:
    """Say how a data set is read: layout, classes, splits, labels, and what is left out.

    With --to it is written into a new folder in another format, the pictures byte for byte.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        out: The new folder of --to.
        to: imagefolder, csv, webdataset, parquet, labelstudio, fiftyone or hf.
        shards: Who writes the tars of --to webdataset; a killed job goes on.
        dataset: How to read the data set.
        output: How results are shown.
    """
    from cliptune.images.describe import describe_table, table_facts
    from cliptune.images.writers import require_writer, write_table

    require_class_names(dataset)
    if shards.executor is not None:
        require_format_of_shards(to, shards.executor)
    if (to is None) != (out is None):
        raise InputError("--to and a folder go together, e.g. cliptune data DATA --to csv new/")
    if to is not None and out is not None:
        require_writer(to)
        require_writable(out, "another folder")
    workers, watch = find_workers(shards), TerminalWatch()
    table = read_whole_table(data, dataset, watch, confidence=True)
    if dataset.split is not None:
        table = table.split(dataset.split)
    facts = table_facts(table)
    if not output.json:
        print_text(for_terminal(describe_table(table)))
    if to is not None and out is not None:
        if workers is None:
            notes = write_table(table, to, out)
        else:
            notes = write_by_shards(table, out, workers, watch)
        facts |= {"to": to, "out": str(out), "written_notes": list(notes)}
        for sentence in notes:
            note(sentence)
        if not output.json:
            print_text(f"{len(table)} images as {to}: {out}")
    if output.json:
        print_json(facts)
