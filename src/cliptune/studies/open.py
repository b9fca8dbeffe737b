"""The beginning of a study: which images it rests on, its key, its folder, the speed here.

It knows tables and encoders, and nothing about sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cliptune.encoders import DualEncoder
from cliptune.errors import DataError, MissingExtraError
from cliptune.features import DataIdentity, load_identity
from cliptune.images import ImageTable, labelled_sets, learnable_part
from cliptune.prompts import DEFAULT_TEMPLATE_SET, load_template_set
from cliptune.runs import RunDir
from cliptune.studies.options import StudyOptions
from cliptune.studies.plan import require_budget
from cliptune.studies.section_cache import digest_of
from cliptune.studies.speed import Speed, TrainingSpeed, measure_speed, measure_training
from cliptune.studies.study_data import StudyData, spread_classes
from cliptune.studies.training_plan import MOVES_WEIGHTS
from cliptune.system.places import file_stem

_MEASURED = 64  # images at hand for the steps that are timed

__all__ = [
    "begin_folder",
    "default_folder",
    "labelled_part",
    "measure_speeds",
    "measure_trainings",
    "study_key",
]


def labelled_part(table: ImageTable) -> tuple[ImageTable, int]:
    """Return the images with labels, and how many have none; without any label all images.

    Where images may have several labels, those of which nothing is said are the unlabelled ones.

    Raises:
        DataError: Images may have several labels, and fewer than two classes have any.
    """
    if table.label_sets is not None:
        part = labelled_sets(table)[0]
        return part, len(table) - len(part)
    labelled = table.labels >= 0
    if not labelled.any():
        return table, 0
    return learnable_part(table)[0], int((~labelled).sum())


def study_key(
    images: DataIdentity,
    class_names: tuple[str, ...],
    encoders: Mapping[str, DualEncoder],
    options: StudyOptions,
    *,
    precision: str,
) -> str:
    """Return a digest of everything that shapes all sections alike.

    Args:
        images: With their bytes, labels and splits.
        class_names: Names of all classes, those without an image among them.
        encoders: By the name that the user gave.
        options: Of them seed and validation share count; the budget does not.
        precision: As it was asked for. Which engine runs an encoder is chosen by measurement
            and keeps its answers, so it does not count: a study goes on after another choice.
    """
    return digest_of(
        {
            "images": images.digest,
            "class_names": list(class_names),
            "encoders": {
                name: [e.fingerprint, e.preprocess.to_dict()] for name, e in encoders.items()
            },
            "precision": precision,
            "seed": options.seed,
            "val_fraction": options.val_fraction,
        }
    )


def default_folder(options: StudyOptions, key: str) -> Path:
    """Return ``runs/study-<data>-<key>``, the same for the same study."""
    return Path("runs") / f"study-{file_stem(options.data)}-{key[:8]}"


def begin_folder(place: Path, options: StudyOptions, key: str, images: DataIdentity) -> Path:
    """Begin a study's folder, or take up the same study's.

    Args:
        place: Where, held for this process.
        options: What was asked for.
        key: See ``study_key``.
        images: What the study rests on.

    Raises:
        RunError: Something else is there, or a study of other images; the message names them.
        UnavailableError: It cannot be written to.
    """
    config = {
        "command": "study",
        "key": key,
        "data": options.data,
        "models": list(options.models),
        "seed": options.seed,
        "val_fraction": options.val_fraction,
    }
    if (there := load_identity(place)) is not None:
        images.require_same(there, f"the study in {str(place)!r}")
    folder = RunDir.create(place, config).path
    images.save(folder)
    return folder


def measure_speeds(
    table: ImageTable, encoders: Mapping[str, DualEncoder], options: StudyOptions
) -> dict[str, Speed]:
    """Measure each encoder here, and refuse a budget that embedding alone would use up.

    Raises:
        InputError: The budget is too small; the message says what the least is.
    """
    speeds = {
        name: measure_speed(encoder, table, seed=options.seed) for name, encoder in encoders.items()
    }
    require_budget(len(table), speeds, options.budget_seconds)
    return speeds


def measure_trainings(
    subject: StudyData, options: StudyOptions
) -> tuple[dict[str, TrainingSpeed], str]:
    """Return what training each encoder costs, and why some cannot be trained.

    Nothing is measured where no section moves weights.
    """
    speeds: dict[str, TrainingSpeed] = {}
    problem = ""
    if not subject.is_divided or not MOVES_WEIGHTS & set(options.sections):
        return {}, ""
    templates = load_template_set(DEFAULT_TEMPLATE_SET).templates
    rows = spread_classes(subject, subject.partition.train, _MEASURED)
    for view in subject.views:
        try:
            encoder = _load_trainable(view.name, subject.device)
            speeds[view.name] = measure_training(
                encoder, subject.table.select(rows), templates=templates
            )
        except (DataError, MissingExtraError) as error:
            problem = " ".join(str(error).split())
    return speeds, problem


def _load_trainable(name: str, device: str) -> DualEncoder:
    try:
        from cliptune.studies.tuning import load_trainable  # brings torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "training all weights") from error
    return load_trainable(name, device)
