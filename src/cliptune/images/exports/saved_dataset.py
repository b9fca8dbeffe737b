"""A data set of the ``datasets`` library that was kept with ``save_to_disk``.

It knows the files by which such a folder is recognised; rows are read as those of the hub.
"""

from __future__ import annotations

from cliptune.errors import DataError
from cliptune.images.asked import Asked, refuse_folder_options
from cliptune.images.exports.annotated import TreeReader
from cliptune.images.labelling import label_all
from cliptune.images.records import LabelledImages
from cliptune.images.split_words import split_of
from cliptune.images.tree import Tree

__all__ = ["READER"]


def read_tree(tree: Tree, asked: Asked) -> LabelledImages | None:
    """Read a saved ``Dataset`` or ``DatasetDict``."""
    files = set(tree.top.files)
    if "dataset_dict.json" not in files and not {"state.json", "dataset_info.json"} <= files:
        return None
    import datasets

    from cliptune.images.hub import dataset_records

    refuse_folder_options(tree.root, asked)
    try:
        saved = datasets.load_from_disk(tree.root)
    except (ValueError, OSError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{tree.root!r} is no readable saved data set ({reason})") from error
    splits = saved if isinstance(saved, datasets.DatasetDict) else {"": saved}
    if not any(len(part) for part in splits.values()):
        raise DataError(f"{tree.root!r} has no rows; expected one for each image")
    parts = [
        (dataset_records(part, name or "row", tree.root), split_of(name) or "")
        for name, part in splits.items()
        if len(part)
    ]
    return label_all(parts, asked.columns, asked.where, tree.root)


READER = TreeReader("saved data set", read_tree)
