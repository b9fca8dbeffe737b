"""``cliptune data``: how a data set is read, before anything is computed."""

from __future__ import annotations

from cliptune.cli.console import print_json, print_text
from cliptune.cli.early import require_class_names
from cliptune.cli.open_data import read_whole_table
from cliptune.cli.options import DataOptions, OutputOptions
from cliptune.escaping import for_terminal

__all__ = ["data"]


def data(
    data: str,
    /,
    *,
    dataset: DataOptions = DataOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Say how a data set is read: layout, classes, splits, labels, and what is left out.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'.
        dataset: How to read the data set.
        output: How results are shown.
    """
    from cliptune.images.describe import describe_table, table_facts

    require_class_names(dataset)
    table = read_whole_table(data, dataset)
    if dataset.split is not None:
        table = table.split(dataset.split)
    if output.json:
        print_json(table_facts(table))
    else:
        print_text(for_terminal(describe_table(table)))
