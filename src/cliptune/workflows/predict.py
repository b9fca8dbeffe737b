"""``predict``: the most probable labels of each image.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cliptune.errors import InputError
from cliptune.workflows.options import ComputeOptions, Prompts, Shards, read_prompts
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.prompting import choose_one_template_set, own_template_set
from cliptune.workflows.requirements import refuse_beside_run, require_compute, require_runs
from cliptune.workflows.session import EmbeddedTable, Session
from cliptune.workflows.shard_workers import find_workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.encoders import DualEncoder
    from cliptune.images import ImageTable
    from cliptune.prompts import TemplateSet
    from cliptune.results.label_sets import PredictLabelsResult
    from cliptune.results.predictions import PredictResult
    from cliptune.workflows.classifier import Classifier
    from cliptune.workflows.pictures import Pictures
    from cliptune.workflows.session import Model

__all__ = ["predict", "read_labels"]

_ALONE = "each label on its own, so that they do not sum to 1"


def predict(
    images: Pictures,
    *,
    labels: str | Sequence[str] | None = None,
    run: str | Path | Classifier | None = None,
    top: int = 5,
    model: Model = "lite",
    prompts: Prompts = (),
    score: Literal["softmax", "sigmoid"] | None = None,
    on_bad_image: Literal["fail", "skip"] = "fail",
    compute: ComputeOptions = ComputeOptions(),
    shards: Shards | None = None,
    progress: ProgressLike = None,
) -> PredictResult | PredictLabelsResult:
    """Classify images: without training by their labels, or with a classifier that was fitted.

    Args:
        images: Paths, folders, names of data sets, PIL images, arrays (H, W, 3), a batch
            (N, H, W, 3), or an ``ImageTable``; one of them or a sequence.
        labels: At least two labels; or one text with commas between them, or a file with one a
            line.
        run: A classifier that ``fit`` wrote, or one that is loaded; it brings its labels, texts
            and encoder.
        top: How many labels to keep of each image.
        model: Which encoder, by name or loaded.
        prompts: How labels become texts; the template of the model's authors, where they have
            one, otherwise.
        score: What logits become: ``softmax`` over the labels, which sum to 1, or ``sigmoid`` of
            each label on its own; what the model was trained for otherwise.
        on_bad_image: An unreadable image stops the run, or is listed and left out.
        compute: Where and how the encoder computes.
        shards: Who embeds the images that the cache lacks, shard by shard; this process otherwise.
        progress: A callback, or True for bars.

    Raises:
        InputError: Neither or both of labels and run came, or one of them does not fit.
        DataError: A folder holds no images, or one cannot be read.
        RunError: The run is missing, unfinished or altered, or holds no classifier.
        ShardsFailedError: Shards failed, each of which is told; the others are kept.
    """
    if top < 1:
        raise InputError(f"--top {top} shows nothing; give 1 or more")
    if (labels is None) == (run is None):
        raise InputError("give either --labels or --run: labels to compare with, or a classifier")
    options = read_prompts(prompts)
    require_compute(compute, [] if labels is None else [model])
    if run is not None:
        refuse_beside_run(options, model)
        if score is not None:
            raise InputError(
                f"--score {score} came with --run, whose classifier gives calibrated "
                "probabilities; leave it out"
            )
        if isinstance(run, str | Path):
            require_runs([Path(run)])
    names = None if labels is None else read_labels(labels)
    asked = choose_one_template_set(options, "predict")
    template_set = asked if options.templates or options.template else None

    from cliptune.workflows.pictures import gather_pictures

    session = Session(compute, watching(progress), find_workers(shards))
    table = gather_pictures(images)
    if names is not None:
        answers = _zero_shot(table, names, template_set, model, session, on_bad_image, score)
    else:
        assert run is not None, "one of both was given"
        if isinstance(run, str | Path):
            from cliptune.classifiers.label_classifier import holds_label_classifier
            from cliptune.runs import RunDir

            if holds_label_classifier(opened := RunDir.open(run)):
                from cliptune.workflows.predict_labels import predict_labels

                return predict_labels(table, opened, top, session, on_bad_image)
        answers = _fitted(table, run, session, on_bad_image)
    return answers.to_result(top, session)


@dataclass(frozen=True)
class _Answers:
    """What one way of classifying says of every readable image."""

    task: str
    title: str
    encoder: DualEncoder
    templates: tuple[str, ...]
    embedded: EmbeddedTable
    names: Sequence[str]
    probabilities: NDArray[np.float64]
    abstains: NDArray[np.bool_]
    score: Literal["softmax", "sigmoid"] = "softmax"

    def to_result(self, top: int, session: Session) -> PredictResult:
        """Keep the most probable labels of each image."""
        from cliptune.features import describe_computing
        from cliptune.results.predictions import LabelProbability, Prediction, PredictResult

        predictions = tuple(
            Prediction(
                source.id,
                tuple(
                    LabelProbability(self.names[c], float(row[c]))
                    for c in (-row).argsort(kind="stable")[:top]
                ),
                bool(abstains),
            )
            for source, row, abstains in zip(
                self.embedded.table.sources, self.probabilities, self.abstains, strict=True
            )
        )
        computing = describe_computing(self.encoder, session.store.guard)
        return PredictResult(
            task=self.task,
            model=self.encoder.name,
            templates=self.templates,
            predictions=predictions,
            unreadable=self.embedded.unreadable,
            engine=computing["engine"],
            precision=computing["precision"],
            rows_checked=session.store.guard.checked,
            score=self.score,
            title=self.title,
        )


def _zero_shot(
    table: ImageTable,
    names: Sequence[str],
    asked: TemplateSet | None,
    model: Model,
    session: Session,
    on_bad_image: Literal["fail", "skip"],
    score: Literal["softmax", "sigmoid"] | None,
) -> _Answers:
    import numpy as np

    from cliptune.encoders.scoring import bias_of, score_of
    from cliptune.heads.zero_shot import ZeroShotHead
    from cliptune.prompts import ensemble_rows, find_equal_classes

    encoder = session.open_encoder(model, table, labels=names)
    template_set = asked or own_template_set(encoder)
    score = score or score_of(encoder)
    session.open_ahead(encoder, table)
    rows = ensemble_rows(session.text_encoder(encoder), names, template_set.templates)
    if equal := find_equal_classes(names, rows):
        raise InputError(
            f"--labels {', '.join(map(repr, equal[0]))} are equal texts to {encoder.name}, which "
            "cannot tell them apart; give each meaning once, or other words"
        )
    embedded = session.embed(encoder, table, on_bad_image=on_bad_image)
    head = ZeroShotHead().fit(
        None,
        None,
        text_rows=rows,
        logit_scale=encoder.logit_scale,
        logit_bias=bias_of(encoder),
    )
    judge = head.predict_sigmoid if score == "sigmoid" else head.predict_proba
    alone = f"; {_ALONE}" if score == "sigmoid" else ""
    return _Answers(
        task="zero-shot",
        title=f"{encoder.name} ({encoder.precision}), {template_set.name} prompts{alone}",
        encoder=encoder,
        templates=template_set.templates,
        embedded=embedded,
        names=names,
        probabilities=judge(embedded.features.vectors),
        abstains=np.zeros(len(embedded.table), dtype=np.bool_),
        score=score,
    )


def _fitted(
    table: ImageTable,
    run: str | Path | Classifier,
    session: Session,
    on_bad_image: Literal["fail", "skip"],
) -> _Answers:
    from cliptune.workflows.classifier import open_classifier

    classifier = open_classifier(run, session, table)
    embedded, X = classifier.embed(table, on_bad_image=on_bad_image)
    probabilities = classifier.calibrated.predict_proba(X)
    encoder = classifier.encoder
    return _Answers(
        task="fitted",
        title=f"{classifier.method} on {encoder.name} ({encoder.precision})",
        encoder=encoder,
        templates=classifier.templates,
        embedded=embedded,
        names=classifier.class_names,
        probabilities=probabilities,
        abstains=classifier.calibrated.abstains(probabilities),
    )


def read_labels(labels: str | Sequence[str]) -> list[str]:
    """Return labels that can be told apart by name.

    Args:
        labels: Labels; or one text: words with commas between them, JSON, or a file of one label
            a line or of JSON.

    Raises:
        InputError: One is empty or comes twice, or there are fewer than two.
    """
    from cliptune.system.plain_text import require_text

    given = _split_labels(labels) if isinstance(labels, str) else [str(name) for name in labels]
    names = [name.strip() for name in (given.values() if isinstance(given, Mapping) else given)]
    text = labels if isinstance(labels, str) else ",".join(names)
    shown = text if len(text) <= 100 else f"{text[:100]}..."
    if not all(names):
        raise InputError(f"--labels {shown!r} has an empty label; expected e.g. --labels ant,bee")
    for name in names:
        require_text(name, "the label", InputError)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"--labels names {', '.join(map(repr, twice[:8]))} twice; name each once")
    if len(names) < 2:
        raise InputError(
            f"--labels {shown!r} is one label; expected at least two to choose between, "
            "e.g. --labels ant,bee"
        )
    return names


def _split_labels(labels: str) -> Sequence[str] | Mapping[str, str]:
    from cliptune.images.names import parse_names, read_class_names
    from cliptune.system.file_kinds import is_file

    if is_file(labels):
        return read_class_names(Path(labels))
    if labels.lstrip().startswith(("[", "{")):
        return parse_names(labels, "--labels")
    return labels.split(",")
