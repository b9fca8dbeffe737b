"""Pictures that a person drops on the page: what is believed of them, and where they are kept.

It knows the desk, and nothing about HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cliptune.app.desk import Desk
from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.errors import BadImageError, InputError
from cliptune.images import decode_image
from cliptune.runs import RunDir
from cliptune.system.atomic import atomic_path
from cliptune.workflows.journal_labels import KEPT_FOLDER
from cliptune.workflows.label_next import LabelView
from cliptune.workflows.pictures import gather_pictures
from cliptune.workflows.prove import run_path

__all__ = ["predict_dropped"]

_MOST = 200
_MOST_BYTES = 200 * 1024 * 1024
_TOP = 5
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp"}

Plain = dict[str, Any]  # Any: plain JSON values


def predict_dropped(desk: Desk, files: Sequence[tuple[str, bytes]], *, keep: bool) -> list[Plain]:
    """Classify pictures, and keep them as images without a label where that is wanted.

    Args:
        desk: The open page.
        files: Names and contents.
        keep: Write them beside the journal and take them into the project.

    Returns:
        For each its name and the most probable classes, or why it cannot be read.

    Raises:
        InputError: There are none, or too many.
        UnavailableError: They cannot be kept.
    """
    if not files or len(files) > _MOST or sum(len(data) for _, data in files) > _MOST_BYTES:
        raise InputError(f"{len(files)} pictures came; drop 1 to {_MOST} of 200 MB in all")
    answers: list[Plain] = []
    pictures = []
    for name, data in files:
        try:
            picture = decode_image(data, name=name)
        except BadImageError as error:
            answers.append({"name": name, "top": [], "error": str(error)})
            continue
        answers.append({"name": name, "top": [], "error": "", "kept": keep})
        pictures.append((answers[-1], picture, data))
    if pictures:
        names, shares = _classify(desk, [picture for _, picture, _ in pictures])
        for (answer, _, _), row in zip(pictures, shares, strict=True):
            order = np.argsort(-row, kind="stable")[:_TOP].tolist()
            answer["top"] = [{"label": names[c], "probability": float(row[c])} for c in order]
        if keep:
            for _, _, data in pictures:
                _keep(desk, data)
            desk.reopen()
    return answers


def _classify(desk: Desk, pictures: list[Any]) -> tuple[Sequence[str], Any]:
    project = desk.bench.project
    embedded = project.session.embed(
        project.encoder, gather_pictures(pictures), on_bad_image="fail", trunk="may"
    )
    features = embedded.features
    if desk.bench.run:
        calibrated = CalibratedHead.load(RunDir.open(run_path(project, desk.bench.run)))
        wide = features.vectors if features.trunk is None else features.trunk
        X = wide if calibrated.needs == "trunk" else features.vectors
        return calibrated.class_names, calibrated.predict_proba(X)
    view = LabelView.of(project)
    if len(view.class_names) < 2:
        return (), np.zeros((len(pictures), 0))
    from cliptune.heads.zero_shot import ZeroShotHead

    scale = project.encoder.logit_scale
    head = ZeroShotHead().fit(None, None, text_rows=view.text_rows, logit_scale=scale)
    return view.class_names, head.predict_proba(features.vectors)


def _keep(desk: Desk, data: bytes) -> None:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        suffix = _SUFFIXES.get(picture.format or "", ".img")
    name = hashlib.sha256(data).hexdigest()[:24] + suffix
    with atomic_path(desk.place / KEPT_FOLDER / name) as temporary:
        temporary.write_bytes(data)
