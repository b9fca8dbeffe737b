"""One run of ``fit``: from the images to the classifier and what is said of it.

It knows features, heads and the run, and nothing about how the verb is called.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.errors import InputError, UnknownNameError
from cliptune.finetuning.options import METHODS
from cliptune.system.bounds import MAX_SEED, require_count
from cliptune.workflows.dataset import data_name
from cliptune.workflows.fit_crops import compare_crops
from cliptune.workflows.fit_joint import compare_encoders
from cliptune.workflows.fit_prepared import Prepared, choose, prepare
from cliptune.workflows.fit_unlabelled import embed_unlabelled, open_unlabelled
from cliptune.workflows.options import DataOptions
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.choosing import Chosen
    from cliptune.heads.balance import Balance
    from cliptune.images import ImageTable
    from cliptune.prompts import TemplateSet
    from cliptune.results.fitted import CropsCompared, EncodersCompared, FitResult
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.few_shot import Trial
    from cliptune.workflows.session import Model

__all__ = ["HeadRequest", "Shots", "fit_heads"]

Shots = str | int | Sequence[int]


@dataclass(frozen=True, kw_only=True)
class HeadRequest:
    """What was asked for.

    Attributes:
        data: The data set.
        method: A name in ``HEADS``, or ``all``.
        template_set: How class names become texts.
        margin: How much of the score a cheaper method may cost.
        select: The score that methods are compared by.
        balance: Of logistic regressions, where classes are of unlike sizes.
        class_thresholds: Move the threshold of each class, where that pays.
        unlabelled: Images without labels to learn from as well, or None.
        val: Share of the images held out once, in place of cross-validation, or None.
        shots: Images a class, or None.
        n_seeds: Draws for each of these.
        options: Arguments of the head that were given.
        abstain_precision: Wanted precision of answers, or None.
        embed_encoder: Keep the encoder's weights in the run.
        dataset: How to read the data set.
        model: Which encoder.
        seed: Of everything random.
    """

    data: Data
    method: str
    template_set: TemplateSet
    margin: float
    select: str
    balance: Balance
    class_thresholds: bool
    unlabelled: Data | None
    val: float | None
    shots: Shots | None
    n_seeds: int
    options: Mapping[str, float | str]
    abstain_precision: float | None
    embed_encoder: bool
    dataset: DataOptions
    model: Model
    seed: int

    @property
    def chosen_options(self) -> dict[str, float | str]:
        """Arguments of heads; to choose the features is no argument of theirs."""
        return {k: v for k, v in self.options.items() if (k, v) != ("features", "auto")}


def fit_heads(request: HeadRequest, place: Path, session: Session) -> FitResult:
    """Embed once, choose on held-out images, open the test once, leave a classifier."""
    began = time.perf_counter()
    counts = _read_shots(request.shots, request.n_seeds, request.seed)
    methods = _methods(request.method, request.options)
    _check_balance(request.balance, methods)
    if request.class_thresholds:
        _check_thresholds(request.select, methods, counts)
    without_labels = _open_unlabelled(request, methods, session)
    trials: list[Trial] = []
    compared: CropsCompared | EncodersCompared | None = None
    compares = request.method == "all" and not counts
    if compares and session.compute.crops > 1:
        prepared, chosen, compared = compare_crops(request, methods, session)
    elif compares and (models := _several(request)):
        prepared, chosen, compared = compare_encoders(request, methods, session, models)
    else:
        prepared = prepare(request, methods, counts, session)
        for sentence in prepared.partition.notes:
            session.watch.note(sentence)
        if counts:
            trials, kept = _run_trials(prepared, methods, counts, request, session)
            prepared = _of_draw(prepared, kept)
            chosen = kept.chosen
        else:
            more = None
            if request.unlabelled is not None and without_labels is not None:
                bad = request.dataset.on_bad_image
                more = embed_unlabelled(request.unlabelled, without_labels, prepared, bad)
            chosen = choose(prepared, methods, request, unlabelled=more)
    for sentence in chosen.notes:
        session.watch.note(sentence)
    return _finish(request, prepared, chosen, compared, trials, counts, place, began)


def _finish(
    request: HeadRequest,
    prepared: Prepared,
    chosen: Chosen,
    compared: CropsCompared | EncodersCompared | None,
    trials: Sequence[Trial],
    counts: tuple[int, ...],
    place: Path,
    began: float,
) -> FitResult:
    """Open the test, fill the run directory, and say what came out."""
    from cliptune.classifiers.calibrated_head import EncoderRecord
    from cliptune.classifiers.run_encoder import encoder_in_fp32
    from cliptune.features import describe_computing
    from cliptune.results.fitted import FitResult
    from cliptune.workflows.fit_run import FitSettings, finish_run

    settings = FitSettings(
        data_name(request.data),
        request.method,
        request.template_set,
        request.val,
        request.chosen_options,
        request.seed,
        counts,
        request.n_seeds,
    )
    encoder, embedded = prepared.encoder, prepared.embedded
    reported = finish_run(
        place,
        settings,
        chosen,
        task=prepared.task,
        partition=prepared.partition,
        table=embedded.table,
        features_key=embedded.features.key,
        encoder=EncoderRecord.of(encoder),
        trials=trials,
        looks=compared,
        unlabelled=None if request.unlabelled is None else data_name(request.unlabelled),
        computing=describe_computing(encoder, prepared.session.store.guard),
        weights_of=encoder_in_fp32(encoder) if request.embed_encoder else None,
    )
    return FitResult.from_dict(reported | {"seconds_total": time.perf_counter() - began})


def _several(request: HeadRequest) -> tuple[Model, ...]:
    """Return the encoders that are put side by side, or their names; none where there is one."""
    from cliptune.encoders.names import split_joint

    if not isinstance(request.model, str):
        return getattr(request.model, "parts", ())
    names = split_joint(request.model)
    return names if len(names) > 1 else ()


def _read_shots(shots: Shots | None, n_seeds: int, seed: int) -> tuple[int, ...]:
    """Return the numbers of images a class, none where all are learned from.

    Raises:
        InputError: They are no numbers, or draws were asked for without them, or the last draw
            has no seed.
    """
    if shots is None:
        if n_seeds != 1:
            raise InputError(
                f"--seeds {n_seeds} came without --shots; it says how often images are drawn: add "
                "e.g. --shots 16, or vary the split with --seed"
            )
        return ()
    from cliptune.workflows.few_shot import parse_shots

    require_count("--seed plus --seeds", seed + n_seeds - 1, at_least=0, at_most=MAX_SEED)
    if isinstance(shots, int):
        return parse_shots(str(shots))
    return parse_shots(shots if isinstance(shots, str) else ",".join(map(str, shots)))


def _methods(method: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    from cliptune.heads import HEADS
    from cliptune.heads.build import make_head
    from cliptune.selection.methods import COMPARED

    if method != "all":
        if method not in HEADS:
            raise UnknownNameError("method", method, [*HEADS, "all", *METHODS])
        if options:  # a head refuses what it does not take, before any image is embedded
            auto = {"features": "embedding"} if options.get("features") == "auto" else {}
            make_head(method, {**options, **auto}, seed=0)
        return (method,)
    if options:
        raise InputError(
            f"--method all takes no {', '.join('--' + o.replace('_', '-') for o in options)}; "
            "name one method to set its options"
        )
    return COMPARED


def _check_balance(balance: Balance, methods: Sequence[str]) -> None:
    if balance != "none" and not {"linear", "blend"} & set(methods):
        raise InputError(
            f"--balance {balance} came with --method {methods[0]}, which has nothing to balance; "
            "it is for linear and blend, or for all methods"
        )


def _check_thresholds(select: str, methods: Sequence[str], counts: tuple[int, ...]) -> None:
    from cliptune.selection.class_thresholds import check_moved_score, require_bias

    if counts:
        raise InputError(
            "--class-thresholds came with --shots, which draws as many images of each class; "
            "leave one of them out"
        )
    check_moved_score(select)
    if len(methods) == 1:
        require_bias(methods[0])


def _open_unlabelled(
    request: HeadRequest, methods: Sequence[str], session: Session
) -> tuple[ImageTable, int] | None:
    """Find the images without labels before anything is embedded.

    Raises:
        InputError: There are none, or they came with what does not go with them.
    """
    if request.unlabelled is None:
        return None
    from cliptune.selection.unlabelled import require_linear

    beside = {
        "--shots": request.shots is not None,
        "--crops": session.compute.crops > 1,
        "several encoders": bool(_several(request)),
        "--class-thresholds": request.class_thresholds,
    }
    for option in (name for name, given in beside.items() if given):
        raise InputError(
            f"--unlabelled came with {option}, and the two were never tried together; leave one "
            "of them out"
        )
    if len(methods) == 1:
        require_linear(methods[0])
    return open_unlabelled(request.unlabelled, request.seed)


def _run_trials(
    prepared: Prepared,
    methods: Sequence[str],
    shots: Sequence[int],
    request: HeadRequest,
    session: Session,
) -> tuple[list[Trial], Trial]:
    """Fit the methods on every draw.

    Returns:
        All trials; and the one whose classifier is kept, the first of most images.
    """
    from cliptune.workflows.few_shot import draw_trials, fit_trial

    draws = draw_trials(prepared.task, prepared.partition, shots=shots, n_seeds=request.n_seeds)
    trials = []
    with session.watch.stage("few-shot", "draws") as show:
        for done, draw in enumerate(draws):
            show(done, len(draws))
            trials.append(
                fit_trial(
                    draw,
                    methods,
                    options=request.chosen_options,
                    abstain_precision=request.abstain_precision,
                    margin=request.margin,
                    select=request.select,
                    balance=request.balance,
                )
            )
    return trials, next(trial for trial in trials if trial.draw.shots == shots[-1])


def _of_draw(prepared: Prepared, kept: Trial) -> Prepared:
    """Return the same data as the draw that is kept divides them."""
    drawn = kept.draw.task
    sentence = (
        f"few-shot: {kept.draw.shots} images of each class to learn from and to choose on, drawn "
        f"with seed {drawn.seed}"
    )
    notes = (*prepared.partition.notes, sentence)
    partition = replace(prepared.partition, train=drawn.train, val=drawn.val, notes=notes)
    return replace(prepared, task=drawn, partition=partition)
