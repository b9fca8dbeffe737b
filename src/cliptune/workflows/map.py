"""``map``: images and texts in one plane, the gap in numbers, before and after.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cliptune.errors import InputError
from cliptune.system.bounds import MAX_SEED, require_count
from cliptune.workflows.dataset import data_name, open_table
from cliptune.workflows.options import ComputeOptions, DataOptions, Prompts, read_prompts
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.prompting import choose_template_sets
from cliptune.workflows.requirements import require_class_names, require_compute, require_runs
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.images import ImageTable
    from cliptune.modality_gap import MapOptions, MapView
    from cliptune.prompts import TemplateSet
    from cliptune.results.mapped import MapResult
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.map_views import Viewer

__all__ = ["map"]


def map(
    data: Data,
    *,
    model: str | Sequence[str] = (),
    run: str | Path | Sequence[str | Path] = (),
    method: Literal["pca", "umap", "tsne"] = "pca",
    fit: Literal["first", "all"] = "first",
    sample: int | None = None,
    shift: bool = False,
    force: bool = False,
    export: Literal["atlas"] | None = None,
    prompts: Prompts = (),
    out: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    seed: int = 0,
    progress: ProgressLike = None,
) -> MapResult:
    """Draw images and texts in one plane, and measure how far apart and how alike they are.

    Several encoders or runs are drawn side by side and compared; the first is the "before".

    Args:
        data: A data set by name, or a table, with class labels or with captions.
        model: Names of encoders. Without one ``lite``, or what the first run started from.
        run: Classifiers that ``fit`` or ``finetune`` wrote, set beside the encoder.
        method: How the space becomes a plane.
        fit: Fit the plane on the first view, or on all.
        sample: Draw this many images, class by class.
        shift: Also move images and texts along the gap and score each step.
        force: Compare runs although they saw different data.
        export: ``atlas`` also reports the command that opens the points in Embedding Atlas.
        prompts: How class names become texts.
        out: Folder for figures, numbers and points; ``runs/map-...`` otherwise.
        dataset: How to read the data set.
        compute: Where and how encoders compute.
        seed: Of everything random.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: Data, models, runs or place do not fit; the message says which.
    """
    from cliptune.modality_gap import MapOptions
    from cliptune.modality_gap.page import load_plotly_script
    from cliptune.runs.place import claim_place

    template_options = read_prompts(prompts)
    sets = choose_template_sets(template_options)
    if len(sets) > 1:
        raise InputError(f"map takes one template set, {len(sets)} came; compare with evaluate")
    start = time.perf_counter()
    models = (model,) if isinstance(model, str) else tuple(model)
    runs = (Path(run),) if isinstance(run, str | Path) else tuple(Path(one) for one in run)
    require_count("--seed", seed, at_least=0, at_most=MAX_SEED)
    if sample is not None:
        require_count("--sample", sample)
    require_class_names(dataset)
    require_compute(compute, models)
    require_runs(runs)
    load_plotly_script()  # what is missing is said before hours of embedding, not after
    options = MapOptions(method=method, fit=fit, shift=shift, force=force, seed=seed)
    session = Session(compute, watching(progress))
    place = None if out is None else Path(out)
    given = template_options.templates or template_options.template
    with claim_place(place, "map", data_name(data)) as claimed:
        reported = _draw(
            data,
            (models, runs),
            claimed,
            options,
            session,
            sample=sample,
            templates=sets[0] if given else None,
            for_atlas=export == "atlas",
            dataset=dataset,
        )
    from cliptune.results.mapped import MapResult

    return MapResult.from_dict(reported | {"seconds": time.perf_counter() - start})


def _draw(
    data: Data,
    views_of: tuple[tuple[str, ...], tuple[Path, ...]],
    place: Path,
    options: MapOptions,
    session: Session,
    *,
    sample: int | None,
    templates: TemplateSet | None,
    for_atlas: bool,
    dataset: DataOptions,
) -> dict[str, Any]:  # Any: plain JSON values
    """Look through every encoder and run, and draw what they see."""
    from cliptune.features import describe_computing
    from cliptune.modality_gap import build_map
    from cliptune.workflows.map_data import check_mappable, choose_images
    from cliptune.workflows.map_run import write_map_run
    from cliptune.workflows.map_views import load_viewers, make_inputs
    from cliptune.workflows.own_weights import open_run_encoder

    table = open_table(data, dataset, session.watch, check=check_mappable)
    viewers = load_viewers(
        *views_of,
        templates=templates,
        device=session.compute.device,
        precision=session.compute.precision,
        load=session.engine_loader(table),
        open_run=lambda run: open_run_encoder(session, run, table),
    )
    table, remarks = choose_images(
        table,
        dim=max(viewer.encoder.dim for viewer in viewers),
        n_views=len(viewers),
        sample=sample,
        seed=options.seed,
    )
    for remark in remarks:
        session.watch.note(remark)
    table, views, contents = _look(viewers, table, session, dataset)
    name = data_name(data)
    inputs = make_inputs(name, table, viewers, views, remarks=remarks, contents=contents)
    with session.watch.stage("measuring and projecting", "steps") as show:
        result = build_map(inputs, options, progress=show)
    asked = {"data": name, "split": dataset.split, "sample": sample, "shift": options.shift}
    return write_map_run(
        place,
        result,
        asked=asked,
        table=table,
        viewers=viewers,
        computing=describe_computing(viewers[0].encoder, session.store.guard),
        for_atlas=for_atlas,
    )


def _look(
    viewers: Sequence[Viewer], table: ImageTable, session: Session, dataset: DataOptions
) -> tuple[ImageTable, list[MapView], NDArray[np.bytes_] | None]:
    """Embed with every encoder; images that the first finds unreadable are left out for all."""
    from cliptune.workflows.map_views import make_view

    views = []
    for viewer in viewers:
        encoder, needs = viewer.encoder, viewer.needs
        embedded = session.embed(
            encoder,
            table,
            on_bad_image=dataset.on_bad_image,
            trunk="must" if needs == "trunk" else "no",
        )
        table = embedded.table
        tokens = session.embed_tokens(encoder, table) if needs == "tokens" else None
        views.append(
            make_view(
                viewer,
                table,
                embedded.features.vectors,
                session.text_encoder(encoder),
                tokens=tokens,
                trunk=embedded.features.trunk,
            )
        )
    return table, views, embedded.features.contents
