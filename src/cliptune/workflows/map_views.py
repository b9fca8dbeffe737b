"""From encoders and runs to the views of a map.

It knows encoders, runs and tables, and nothing about figures or how progress is shown: whoever
calls it embeds images and texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.classifiers.head_data import join_tokens
from cliptune.classifiers.run_encoder import load_run_encoder
from cliptune.encoders import load_encoder
from cliptune.encoders.names import LITE
from cliptune.heads import Needs
from cliptune.heads.dual_linear import DualLinearHead
from cliptune.images import ImageTable, list_captions
from cliptune.modality_gap import MapInputs, MapView
from cliptune.modality_gap.relation import number_distinct
from cliptune.prompts import DEFAULT_TEMPLATE_SET, TemplateSet, ensemble_rows, load_template_set
from cliptune.runs import RunDir
from cliptune.workflows.fitted_scores import count_learned_from, match_classes
from cliptune.workflows.map_data import describes_images

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = ["Viewer", "load_viewers", "make_inputs", "make_view"]

EncodeTexts = Callable[[list[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Viewer:
    """Who looks at the images: an encoder, with or without the classifier of a run.

    Attributes:
        name: What the user calls it.
        encoder: What embeds.
        templates: The texts that class names are put into.
        classifier: Of the run; without it the nearest class text decides.
        run: The run.
    """

    name: str
    encoder: DualEncoder
    templates: tuple[str, ...]
    classifier: CalibratedHead | None = None
    run: RunDir | None = None

    @property
    def needs(self) -> Needs:
        """What its classifier looks at, ``pooled`` where it has none."""
        return "pooled" if self.classifier is None else self.classifier.needs


def load_viewers(
    models: Sequence[str],
    runs: Sequence[str | Path],
    *,
    templates: TemplateSet | None,
    device: str = "auto",
    precision: str = "auto",
    load: Callable[..., DualEncoder] = load_encoder,
    open_run: Callable[[RunDir], DualEncoder] = load_run_encoder,
) -> tuple[Viewer, ...]:
    """Load encoders and runs, in the order of their views: the "before" comes first.

    Runs without a model are set against the encoder that the first of them started from.

    Args:
        models: Names of encoders; with neither models nor runs it is ``lite``.
        runs: Finished runs of ``fit``.
        templates: For the models; without it those of the first run, else the default set. A
            run's class texts are always those it was trained with.
        device: Where the encoders compute.
        precision: What they compute in.
        load: What loads an encoder by its name, ``device`` and ``precision``.
        open_run: What loads the encoder of a run.

    Raises:
        RunError: A run is missing, unfinished, altered, or holds no classifier.
        CliptuneError: An encoder cannot be loaded; see ``load_encoder``.
    """
    opened = [RunDir.open(run) for run in runs]
    classifiers = [CalibratedHead.load(run) for run in opened]
    if templates is not None:
        texts = templates.templates
    elif classifiers:
        texts = classifiers[0].templates
    else:
        texts = load_template_set(DEFAULT_TEMPLATE_SET).templates
    bases = models or [c.encoder.name for c in classifiers[:1]] or [LITE]
    encoders = [load(name, device=device, precision=precision) for name in bases]
    viewers = [Viewer(name, e, texts) for name, e in zip(bases, encoders, strict=True)]
    loaded = {encoder.fingerprint: encoder for encoder in encoders}
    names = [run.path.resolve().name for run in opened]
    for run, classifier, name in zip(opened, classifiers, names, strict=True):
        encoder = loaded.get(classifier.encoder.fingerprint)
        if encoder is None:
            encoder = open_run(run)
        shown = name if names.count(name) == 1 else str(run.path)
        viewers.append(Viewer(shown, encoder, classifier.templates, classifier, run))
    return tuple(viewers)


def make_view(
    viewer: Viewer,
    table: ImageTable,
    vectors: NDArray[np.float32],
    encode_texts: EncodeTexts,
    *,
    tokens: NDArray[np.floating[Any]] | None = None,  # Any: tokens may be of half precision
    trunk: NDArray[np.float32] | None = None,
) -> MapView:
    """Put images and texts into one space as a viewer sees them.

    A head that adds layers to the model on both sides changes the space: its view shows the
    rows after these layers.

    Args:
        viewer: Who looks.
        table: N images.
        vectors: float32 (N, D), their unit rows from the viewer's encoder.
        encode_texts: Maps T texts to float32 (T, D), unit rows.
        tokens: (N, T, D), where the viewer needs them.
        trunk: float32 (N, D + E), where the viewer needs them.

    Raises:
        DataError: The run's classes are not those of the data.
    """
    if describes_images(table):
        text_vectors = encode_texts(list(list_captions(table)[0]))
    else:
        text_vectors = ensemble_rows(encode_texts, table.class_names, viewer.templates)
    if viewer.classifier is None or viewer.run is None:
        return MapView(viewer.name, vectors, text_vectors)
    predictions = None
    if not describes_images(table):
        X: NDArray[np.floating[Any]] = vectors if trunk is None else trunk
        if tokens is not None:
            X = join_tokens(vectors, tokens)
        predictions = _predict(viewer.classifier, X, table)
    head = viewer.classifier.head
    if isinstance(head, DualLinearHead):
        vectors = head.transform(vectors, "image")
        text_vectors = head.transform(text_vectors, "text")
    digest = str(viewer.run.manifest.get("data_digest", ""))
    return MapView(viewer.name, vectors, text_vectors, predictions, digest)


def _predict(
    classifier: CalibratedHead,
    X: NDArray[np.floating[Any]],  # Any: tokens may be of half precision
    table: ImageTable,
) -> NDArray[np.int64]:
    """Predict classes, numbered as in the table."""
    match_classes(table, classifier.class_names)  # a table of other classes stops here
    number_of = {class_name: c for c, class_name in enumerate(table.class_names)}
    numbers = np.asarray([number_of[class_name] for class_name in classifier.class_names])
    predicted: NDArray[np.int64] = numbers[classifier.predict_proba(X).argmax(axis=1)]
    return predicted


def make_inputs(
    data: str,
    table: ImageTable,
    viewers: Sequence[Viewer],
    views: Sequence[MapView],
    *,
    remarks: Sequence[str] = (),
    contents: NDArray[np.bytes_] | None = None,
) -> MapInputs:
    """Put a table and its views together.

    Args:
        data: What the user calls the data set.
        table: The images of all views.
        viewers: Who looked.
        views: One for each.
        remarks: What is known about the choice of images.
        contents: Digest of each image's bytes (N,), to tell pictures that repeat.
    """
    items = None if contents is None else number_distinct(contents)
    remarks = (*remarks, *_seen_in_training(data, table, viewers), *_templates_differ(viewers))
    if describes_images(table):
        texts, groups = list_captions(table)
        return MapInputs(
            data=data,
            image_ids=table.ids,
            views=tuple(views),
            texts=texts,
            text_groups=groups,
            load_image=table.load_image,
            remarks=remarks,
            image_items=items,
        )
    return MapInputs(
        data=data,
        image_ids=table.ids,
        views=tuple(views),
        texts=table.class_names,
        text_groups=np.arange(len(table.class_names)),
        labels=table.labels,
        class_names=table.class_names,
        load_image=table.load_image,
        remarks=remarks,
        image_items=items,
    )


def _seen_in_training(data: str, table: ImageTable, viewers: Sequence[Viewer]) -> list[str]:
    counts = {v.name: count_learned_from(v.run, data, table) for v in viewers if v.run is not None}
    return [
        f"{name} was learned or chosen on {n} of the {len(table)} images: its accuracy here "
        "flatters it."
        for name, n in counts.items()
        if n
    ]


def _templates_differ(viewers: Sequence[Viewer]) -> list[str]:
    if len({viewer.templates for viewer in viewers}) < 2:
        return []
    return [
        "The views put class names into different templates, which moves texts as well: see "
        "templates in the numbers."
    ]
