"""A table in one paragraph: what was read, from where, and what was left out.

It counts what is in a table, and reads nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cliptune.images.table import ImageTable

__all__ = ["describe_table", "table_facts"]

_CLASSES_SHOWN = 12


def table_facts(table: ImageTable) -> dict[str, Any]:  # Any: plain JSON values
    """Count what is in a table, as plain JSON values.

    Args:
        table: N images.
    """
    reading = table.reading
    counts = _class_counts(table)
    splits = {s: int((table.splits == s).sum()) for s in ("train", "val", "test", "unlabelled")}
    facts: dict[str, Any] = {
        "data": table.root,
        "layout": reading.layout if reading else "",
        "n": len(table),
        "classes": [
            {"name": name, "n": n} for name, n in zip(table.class_names, counts, strict=True)
        ],
        "class_order": reading.order if reading else "",
        "splits": {split: n for split, n in splits.items() if n},
        "labels_from": reading.labels_from if reading else "",
        "n_unlabelled": _n_unlabelled(table),
        "n_several": sum(len(labels or ()) > 1 for labels in table.label_sets or ()),
        "several_labels": table.label_sets is not None,
        "n_captioned": sum(bool(texts) for texts in table.captions or ()),
        "n_unsure": sum(shares is not None for shares in table.confidence or ()),
        "n_groups": 0 if table.groups is None else len(set(table.groups.tolist()) - {""}),
        "notes": list(reading.notes) if reading else [],
        "ignored": [vars(ignored) for ignored in reading.ignored] if reading else [],
    }
    return facts


def describe_table(table: ImageTable) -> str:
    """Say in one paragraph how a data set was read.

    Args:
        table: N images, all splits together.
    """
    facts = table_facts(table)
    first = f"{facts['data']}: {facts['layout'] or 'images'}, {len(table)} images"
    sentences = [first + _classes_in_words(facts), *_what_is_there(facts)]
    sentences += [_as_sentence(note) for note in facts["notes"]]
    if table.reading and table.reading.ignored:
        left = "; ".join(ignored.sentence() for ignored in table.reading.ignored)
        sentences.append(f"Not read: {left}")
    return ". ".join(sentences) + "."


def _as_sentence(note: str) -> str:
    """Begin with a capital, but for names of files."""
    word = note.partition(" ")[0]
    return note[0].upper() + note[1:] if word.isalpha() else note


def _classes_in_words(facts: dict[str, Any]) -> str:
    classes = sorted(facts["classes"], key=lambda c: -int(c["n"]))
    if not classes:
        return ""
    shown = ", ".join(f"{c['name']} {c['n']}" for c in classes[:_CLASSES_SHOWN])
    if len(classes) > _CLASSES_SHOWN:
        rest = classes[_CLASSES_SHOWN:]
        shown += f", and {len(rest)} more with {rest[-1]['n']} to {rest[0]['n']} each"
    word = "class" if len(classes) == 1 else "classes"
    return f", {len(classes)} {word} ({shown})"


def _what_is_there(facts: dict[str, Any]) -> list[str]:
    sentences = []
    if facts["splits"]:
        listed = ", ".join(f"{split} {n}" for split, n in facts["splits"].items())
        outside = facts["n"] - sum(facts["splits"].values())
        sentences.append(f"Splits: {listed}" + (f", none {outside}" if outside else ""))
    if facts["labels_from"]:
        order = f", classes {facts['class_order']}" if facts["class_order"] else ""
        sentences.append(f"Labels from {facts['labels_from']}{order}")
    if facts["several_labels"]:
        sentences.append(f"An image may have several labels; {facts['n_several']} have")
    if facts["n_unlabelled"]:
        sentences.append(f"{facts['n_unlabelled']} images have no label")
    if facts["n_captioned"]:
        sentences.append(f"{facts['n_captioned']} images have captions")
    if facts["n_unsure"]:
        sentences.append(f"{facts['n_unsure']} labels come with how sure they are")
    if facts["n_groups"]:
        sentences.append(f"{facts['n_groups']} groups of images")
    return sentences


def _n_unlabelled(table: ImageTable) -> int:
    if table.label_sets is None:
        return int((table.labels < 0).sum())
    return sum(labels is None for labels in table.label_sets)


def _class_counts(table: ImageTable) -> list[int]:
    if table.label_sets is None:
        codes = table.labels[table.labels >= 0]
    else:
        codes = np.array([c for labels in table.label_sets for c in labels or ()], dtype=np.int64)
    counts: list[int] = np.bincount(codes, minlength=len(table.class_names)).tolist()
    return counts
