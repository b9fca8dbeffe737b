"""``fit`` on the parts of an embedding job: a few passes over files, in memory that stays flat.

It knows jobs, heads and the run, and nothing about how the verb is called.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cliptune.errors import InputError
from cliptune.system.atomic import TEMPORARY
from cliptune.workflows.dataset import data_name
from cliptune.workflows.fit_heads import HeadRequest
from cliptune.workflows.job_encoder import open_job_encoder, require_embedded_by
from cliptune.workflows.options import ComputeOptions, DataOptions
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.classifiers.calibrated_head import EncoderRecord
    from cliptune.encoders import DualEncoder
    from cliptune.partwise.choosing import ChosenOnParts, PartTask
    from cliptune.partwise.opened import Opened
    from cliptune.partwise.roles import Roles
    from cliptune.results.fitted import FitResult
    from cliptune.runs import RunDir
    from cliptune.scale.reading import JobRows

__all__ = ["fit_parts", "refuse_beyond_parts"]

_CAN = (
    "--method all, zero-shot, prototype, discriminant or linear, --margin, --select, --val, "
    "--abstain-precision, --template(s), --embed-encoder, --out and --seed"
)
_SETTLED = ("precision", "engine", "max_patches", "crops")  # when the job was embedded


@dataclass(frozen=True)
class _Encoded:
    """What is needed of the encoder once texts are embedded."""

    record: EncoderRecord
    text_rows: NDArray[np.float32]
    computing: Mapping[str, Any]  # Any: plain JSON values
    encoder: DualEncoder | None


def refuse_beyond_parts(request: HeadRequest, compute: ComputeOptions) -> None:
    """Make sure that nothing is asked for that vectors in parts cannot give.

    Raises:
        InputError: Something is; the message says what can be asked for.
    """
    from cliptune.partwise.choosing import METHODS

    if request.method not in ("all", *METHODS):
        _refuse(request, f"--method {request.method}")
    if request.shots is not None or request.n_seeds != 1:
        _refuse(request, "--shots")
    if request.balance != "none":
        _refuse(request, f"--balance {request.balance}")
    if request.class_thresholds:
        _refuse(request, "--class-thresholds")
    if request.unlabelled is not None:
        _refuse(request, "--unlabelled")
    for name, value in request.options.items():
        if (name, value) not in (("features", "auto"), ("features", "embedding")):
            _refuse(request, f"--{name.replace('_', '-')} {value}")
    for given, usual, names in (
        (request.dataset, DataOptions(), [f.name for f in fields(DataOptions)]),
        (compute, ComputeOptions(), _SETTLED),
    ):
        for name in names:
            if getattr(given, name) != getattr(usual, name):
                _refuse(request, f"--{name.replace('_', '-')}")


def _refuse(request: HeadRequest, came: str) -> NoReturn:
    raise InputError(
        f"{came} came, and {data_name(request.data)!r} is the folder of an embedding job, whose "
        f"vectors are what is learned from; there one can ask for {_CAN}"
    )


def fit_parts(request: HeadRequest, place: Path, session: Session) -> FitResult:
    """Choose on held-out rows, fit on all outside the test, open it once, leave a classifier.

    Args:
        request: What was asked for, with the folder of the job as data.
        place: Where the run goes.
        session: Where the encoder of the job is opened, and who is told.

    Raises:
        CliptuneError: The job is not finished, was altered, has no labels or one class only, or
            its encoder cannot be opened.
    """
    from cliptune.partwise.choosing import METHODS, PartTask, choose_on_parts
    from cliptune.partwise.opened import open_test
    from cliptune.partwise.roles import assign_roles
    from cliptune.partwise.rows import PartRows
    from cliptune.results.fitted import FitResult
    from cliptune.scale.reading import JobRows

    began = time.perf_counter()
    job = JobRows.open(Path(data_name(request.data)))
    with session.watch.stage("reading labels", "rows") as show:
        roles = assign_roles(job, seed=request.seed, val=request.val, progress=show)
    for sentence in roles.notes:
        session.watch.note(sentence)
    encoded = _encode_texts(request, job, roles, session)
    task = PartTask(
        rows=PartRows(job, roles, encoded.record.dim),
        text_rows=encoded.text_rows,
        logit_scale=encoded.record.logit_scale,
        seed=request.seed,
        stage=lambda label: session.watch.stage(label, "rows"),
    )
    chosen = choose_on_parts(
        task,
        METHODS if request.method == "all" else (request.method,),
        abstain_precision=request.abstain_precision,
        margin=request.margin,
        select=request.select,
    )
    recommended = chosen.answer.method or "zero-shot"
    shipped = recommended if request.method == "all" else request.method
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=place) as folder:
        answers = Path(folder) / "predictions.parquet"
        opened = open_test(task, chosen.fitted, shipped=shipped, predictions=answers)
        result = _describe(request, task, chosen, opened, shipped, encoded, place)
        run = _begin_run(request, place, result, encoded)
        answers.replace(run.path / "predictions.parquet")
    _fill_run(run, request, task, chosen, opened, shipped, result, encoded)
    return FitResult.from_dict(result | {"seconds_total": time.perf_counter() - began})


def _encode_texts(request: HeadRequest, job: JobRows, roles: Roles, session: Session) -> _Encoded:
    """Open the job's encoder, embed the class texts, and let go of it unless it is kept."""
    from cliptune.classifiers.calibrated_head import EncoderRecord
    from cliptune.features import describe_computing
    from cliptune.prompts import ensemble_rows, find_equal_classes
    from cliptune.scale.shard import open_recipe
    from cliptune.workflows.prompting import note_equal_classes

    encoder = _open_encoder(request, job, session)
    texts = ensemble_rows(
        session.text_encoder(encoder), roles.class_names, request.template_set.templates
    )
    note_equal_classes(find_equal_classes(roles.class_names, texts), session.watch)
    record = EncoderRecord.of(encoder)
    computing = describe_computing(encoder, session.store.guard)
    open_recipe.cache_clear()  # its weights would take room that rows need
    return _Encoded(record, texts, computing, encoder if request.embed_encoder else None)


def _open_encoder(request: HeadRequest, job: JobRows, session: Session) -> DualEncoder:
    model, own = request.model, str(job.plan.facts.get("model"))
    if not isinstance(model, str):
        require_embedded_by(model, job.folder, job.plan)
        return model
    if model not in ("lite", own):  # lite is what stands there where nothing was said
        raise InputError(
            f"--model {model} came, and {str(job.folder)!r} was embedded by {own!r}; leave --model "
            "out"
        )
    return open_job_encoder(job.folder, job.plan, session)


def _describe(
    request: HeadRequest,
    task: PartTask,
    chosen: ChosenOnParts,
    opened: Opened,
    shipped: str,
    encoded: _Encoded,
    place: Path,
) -> dict[str, Any]:  # Any: plain JSON values
    """Return what is reported, as ``finish_run`` does for images in memory."""
    from cliptune.partwise.roles import Role
    from cliptune.selection.sentence import recommendation

    roles, job = task.rows.roles, task.rows.job
    n_learned = roles.n(Role.TRAIN, Role.HELD, Role.REST)
    recommended = chosen.answer.method or "zero-shot"
    methods = {name: _method(task, chosen, opened, name, recommended) for name in chosen.fitted}
    result: dict[str, Any] = {
        "task": "fit",
        **_settings(request, encoded.record),
        **encoded.computing,
        **methods[shipped],
        "zero_shot": opened.metrics("zero-shot", roles.class_names, task.seed).summary(),
        "class_names": list(roles.class_names),
        "n_train": n_learned,
        "notes": list(roles.notes),
        "data_digest": job.data_digest,
        "features_key": job.plan.digest,
        "run": str(place),
        "parts": {
            "rows": job.n_rows,
            "without_label": roles.without_label,
            "learned_from": n_learned,
            "held_out": roles.n(Role.HELD),
            "passes": task.rows.passes,
            "passes_of": dict(chosen.passes),
        },
        "encoder_in_run": encoded.encoder is not None,
        "label_errors": None,
    }
    if request.method == "all":
        best = chosen.answer.method
        test = opened.metrics(best, roles.class_names, task.seed).accuracy if best else None
        result["methods"] = methods
        result |= {k: v for k, v in chosen.answer.to_dict().items() if k != "accuracy"}
        result["recommendation"] = recommendation(chosen.answer, test)
    return result


def _method(
    task: PartTask, chosen: ChosenOnParts, opened: Opened, name: str, recommended: str
) -> dict[str, Any]:  # Any: plain JSON values
    def against(other: str) -> dict[str, Any]:
        return vars(opened.compare(other, name, task.seed))

    return {
        **chosen.fitted[name].to_dict(),
        "test": opened.metrics(name, task.rows.roles.class_names, task.seed).to_dict(),
        "against_zero_shot": against("zero-shot"),
        "against_recommended": against(recommended),
        "against_linear": against("linear") if "linear" in chosen.fitted else None,
    }


def _settings(
    request: HeadRequest, encoder: EncoderRecord
) -> dict[str, Any]:  # Any: plain JSON values
    from cliptune.workflows.fit_run import FitSettings

    return FitSettings(
        data_name(request.data),
        request.method,
        request.template_set,
        request.val,
        request.chosen_options,
        request.seed,
    ).to_dict(encoder)


def _begin_run(
    request: HeadRequest, place: Path, result: Mapping[str, Any], encoded: _Encoded
) -> RunDir:
    from cliptune.runs import RunDir

    config = {**_settings(request, encoded.record), "method": request.method}
    return RunDir.create(place, {**config, "data_digest": result["data_digest"]})


def _fill_run(
    run: RunDir,
    request: HeadRequest,
    task: PartTask,
    chosen: ChosenOnParts,
    opened: Opened,
    shipped: str,
    result: Mapping[str, Any],
    encoded: _Encoded,
) -> None:
    from cliptune.classifiers.calibrated_head import CalibratedHead
    from cliptune.evaluation.confusion import write_class_scores
    from cliptune.results.model_card import render_model_card

    names, fitted, record = task.rows.roles.class_names, chosen.fitted[shipped], encoded.record
    if encoded.encoder is not None:
        from cliptune.classifiers.run_encoder import encoder_in_fp32, save_run_encoder

        kept = save_run_encoder(run, encoder_in_fp32(encoded.encoder))
        record = replace(kept, precision=record.precision)
    CalibratedHead(
        head=fitted.head,
        class_names=names,
        templates=tuple(request.template_set.templates),
        encoder=record,
        temperature=fitted.temperature,
        threshold=fitted.threshold,
    ).save(run)
    run.write_csv(
        "misclassified.csv",
        ["id", "label", "predicted", "probability", "label_probability"],
        _mistakes(opened, names),
    )
    write_class_scores(run, opened.metrics(shipped, names, task.seed))
    run.write_text("model_card.md", render_model_card(result))
    run.write_json("metrics.json", result)
    facts = {key: result[key] for key in ("seed", "data_digest", "features_key")}
    run.finish({**facts, **encoded.computing, "encoder": vars(record)})


def _mistakes(opened: Opened, names: Sequence[str]) -> Iterator[list[str]]:
    for name, label, said, probability, own in opened.mistakes:
        yield [name, names[label], names[said], f"{probability:.6f}", f"{own:.6f}"]
