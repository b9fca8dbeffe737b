"""From the folder of a run or an export to a run at work.

It knows runs, encoders and exports, and nothing about HTTP or batches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.label_classifier import (
    AnyClassifier,
    LabelClassifier,
    limits_of,
    load_any_classifier,
)
from cliptune.encoders.engines.encoder import EngineEncoder
from cliptune.encoders.engines.runtimes import calls_at_once
from cliptune.errors import RunError
from cliptune.runs import RunDir
from cliptune.serving.drift import DriftMeter
from cliptune.serving.encoders import open_run_encoder
from cliptune.serving.exports import is_export, open_export
from cliptune.serving.pace import Pace
from cliptune.serving.served import Answer, ServedRun, Tower
from cliptune.system.file_kinds import is_file

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.serving.settings import ServeSettings

__all__ = ["folder_state", "open_served", "require_servable"]

_MANIFESTS = ("manifest.json", "export.json")


def folder_state(folder: str | Path) -> tuple[int, ...] | None:
    """Return what changes when a folder is replaced; None where no run or export is there."""
    for name in _MANIFESTS:
        try:
            found = (Path(folder) / name).stat()
        except OSError:
            continue
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None


def open_served(
    name: str, folder: str, settings: ServeSettings, encoders: dict[tuple[str, ...], DualEncoder]
) -> ServedRun:
    """Open a run or an export.

    Args:
        name: What it is to be served under.
        folder: Where it is.
        settings: Engine and cache.
        encoders: Encoders that are open already, by fingerprint; a new one is added.

    Raises:
        RunError: It is missing, unfinished, altered, or holds no classifier.
        CliptuneError: Its encoder is not to be had.
    """
    path = Path(folder)
    if is_export(path):
        return open_export(name, path, Pace(settings.max_batch))
    run = RunDir.open(path)
    classifier = load_any_classifier(run)
    threshold, thresholds = limits_of(classifier)
    if thresholds is not None and settings.drift:
        raise RunError(
            f"--drift counts one class an image, and {str(path)!r} answers several; leave it out"
        )
    encoder = _shared_encoder(run, classifier, settings, encoders)
    return ServedRun(
        name=name,
        digest=_digest(run),
        class_names=classifier.class_names,
        method=classifier.method,
        model=classifier.encoder.name,
        threshold=threshold,
        preprocess=encoder.preprocess,
        min_sides=tuple(map(_min_side, getattr(encoder, "parts", (encoder,)))),
        tower=_tower(encoder, classifier.needs, settings.max_batch),
        answer=partial(_answer, classifier),
        text_rows=partial(encoder.encode_texts, truncate=True),
        templates=classifier.templates,
        logit_scale=encoder.logit_scale,
        drift=_drift(run, classifier, encoder, settings) if settings.drift else None,
        thresholds=thresholds,
    )


def _min_side(encoder: DualEncoder) -> int | None:
    return encoder.preprocess.min_side if getattr(encoder, "reduced_input", False) else None


def _tower(encoder: DualEncoder, needs: str, max_batch: int) -> Tower:
    key = (encoder.fingerprint, encoder.precision, needs)
    runs: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.floating[Any]]]] = {
        "tokens": partial(_pooled_and_tokens, encoder),
        "trunk": encoder.encode_trunk,
        "pooled": encoder.encode_images,
    }
    if not isinstance(encoder, EngineEncoder):
        return Tower(key, runs[needs], Pace(max_batch), at_once=1, on_cores=False)
    most = encoder.at_once("image" if needs == "pooled" else needs)  # more are taken in parts
    pace = Pace(min(max_batch, most))
    return Tower(key, runs[needs], pace, calls_at_once(), on_cores=True)


def _pooled_and_tokens(
    encoder: DualEncoder, pixels: NDArray[np.uint8]
) -> NDArray[np.floating[Any]]:
    from cliptune.classifiers.head_data import join_tokens

    return join_tokens(encoder.encode_images(pixels), encoder.encode_tokens(pixels))


def _answer(classifier: AnyClassifier, rows: NDArray[np.floating[Any]]) -> Answer:
    embeddings = rows[:, 0] if classifier.needs == "tokens" else rows[:, : classifier.encoder.dim]
    if isinstance(classifier, LabelClassifier):
        said = classifier.predict_rows(rows)
    else:
        said = classifier.predict_proba(rows)
    return Answer(said, np.asarray(embeddings, dtype=np.float32))


def _shared_encoder(
    run: RunDir,
    classifier: AnyClassifier,
    settings: ServeSettings,
    encoders: dict[tuple[str, ...], DualEncoder],
) -> DualEncoder:
    """Return the encoder of a run, the one that is open already where two runs have the same."""
    key = (classifier.encoder.fingerprint,)
    if key not in encoders:
        encoders[key] = open_run_encoder(run, classifier.encoder, settings)
    return encoders[key]


def _digest(run: RunDir) -> str:
    """Return a SHA-256 over the digests of all files of a run."""
    files = run.manifest["files"]
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _drift(
    run: RunDir, classifier: AnyClassifier, encoder: DualEncoder, settings: ServeSettings
) -> DriftMeter:
    from cliptune.serving.training import training_reference

    place = None if settings.cache_dir is None else Path(settings.cache_dir)
    names = classifier.class_names
    return DriftMeter(training_reference(run, names, encoder, place))


def require_servable(folder: str) -> None:
    """Make sure that a finished run or an export is there, without reading it.

    Raises:
        RunError: There is not.
    """
    if not any(is_file(Path(folder) / name) for name in _MANIFESTS):
        raise RunError(
            f"{folder!r} is neither a finished run nor an export; give a folder that "
            "'cliptune fit' or 'cliptune export' wrote"
        )
