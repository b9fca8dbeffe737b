"""``cliptune map``: images and texts in one plane, the gap in numbers, before and after."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cliptune.cli.console import note, print_json, print_table, print_text, progress_bar
from cliptune.cli.early import require_class_names, require_compute, require_runs
from cliptune.cli.numbers import whole
from cliptune.cli.open_data import open_table
from cliptune.cli.options import ComputeOptions, DataOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import (
    choose_template_sets,
    embed_table,
    embed_tokens,
    engine_loader,
    open_store,
    text_encoder,
)
from cliptune.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.atlas import MapOptions, MapView
    from cliptune.features import FeatureStore
    from cliptune.images import ImageTable
    from cliptune.map_views import Viewer
    from cliptune.prompts import TemplateSet

__all__ = ["map"]


def map(
    data: str,
    /,
    *,
    model: Annotated[tuple[str, ...], Parameter(alias="-m", negative="")] = (),
    run: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    method: Literal["pca", "umap", "tsne"] = "pca",
    fit: Literal["first", "all"] = "first",
    sample: Annotated[int | None, whole(1)] = None,
    shift: Annotated[bool, Parameter(negative="")] = False,
    force: Annotated[bool, Parameter(negative="")] = False,
    export: Literal["atlas"] | None = None,
    out: Path | None = None,
    dataset: DataOptions = DataOptions(),
    prompts: TemplateOptions = TemplateOptions(),
    compute: ComputeOptions = ComputeOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Draw images and texts in one plane, and measure how far apart and how alike they are.

    Several encoders or runs are drawn side by side and compared; the first is the "before".

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets';
            with class labels, or with captions.
        model: Encoder; give several to compare them. Without it lite, or what the first run
            started from.
        run: Classifier that 'cliptune fit' wrote, set beside the encoder; can be given several
            times.
        method: How the space becomes a plane.
        fit: Fit the plane on the first view, or on all.
        sample: Draw this many images, class by class.
        shift: Also move images and texts along the gap and score each step.
        force: Compare runs although they saw different data.
        export: Also print the command that opens the points in Embedding Atlas.
        out: Folder for figures, numbers and points; runs/map-... otherwise.
        dataset: How to read the data set.
        prompts: How class names become texts.
        compute: Where and how encoders compute.
        output: How results are shown.
    """
    sets = choose_template_sets(prompts)
    if len(sets) > 1:
        raise InputError(f"map takes one template set, {len(sets)} came; compare with evaluate")

    from cliptune.atlas import MapOptions
    from cliptune.atlas.page import load_plotly_script
    from cliptune.run_place import claim_place

    start = time.perf_counter()
    require_class_names(dataset)
    require_compute(compute, model)
    require_runs(run)
    load_plotly_script()  # what is missing is said before hours of embedding, not after
    options = MapOptions(method=method, fit=fit, shift=shift, force=force, seed=output.seed)
    with claim_place(out, "map", data) as place:
        reported = _draw(
            data,
            (model, run),
            place,
            options,
            sample=sample,
            templates=sets[0] if prompts.templates or prompts.template else None,
            for_atlas=export == "atlas",
            dataset=dataset,
            compute=compute,
        )
    if output.json:
        print_json(reported | {"seconds": time.perf_counter() - start})
    else:
        _show(reported)


def _draw(
    data: str,
    views_of: tuple[tuple[str, ...], tuple[Path, ...]],
    place: Path,
    options: MapOptions,
    *,
    sample: int | None,
    templates: TemplateSet | None,
    for_atlas: bool,
    dataset: DataOptions,
    compute: ComputeOptions,
) -> dict[str, Any]:  # Any: plain JSON values
    """Look through every encoder and run, and draw what they see."""
    from cliptune.atlas import build_map
    from cliptune.features import describe_computing
    from cliptune.map_data import check_mappable, choose_images
    from cliptune.map_run import write_map_run
    from cliptune.map_views import load_viewers, make_inputs

    table = open_table(data, dataset, check=check_mappable)
    viewers = load_viewers(
        *views_of,
        templates=templates,
        device=compute.device,
        precision=compute.precision,
        load=engine_loader(compute, table),
    )
    table, remarks = choose_images(
        table,
        dim=max(viewer.encoder.dim for viewer in viewers),
        n_views=len(viewers),
        sample=sample,
        seed=options.seed,
    )
    for remark in remarks:
        note(remark)
    store = open_store(compute)
    table, views, contents = _look(viewers, table, store, dataset, compute)
    inputs = make_inputs(data, table, viewers, views, remarks=remarks, contents=contents)
    with progress_bar("measuring and projecting", "steps") as show:
        result = build_map(inputs, options, progress=show)
    asked = {"data": data, "split": dataset.split, "sample": sample, "shift": options.shift}
    return write_map_run(
        place,
        result,
        asked=asked,
        table=table,
        viewers=viewers,
        computing=describe_computing(viewers[0].encoder, store.guard),
        for_atlas=for_atlas,
    )


def _look(
    viewers: Sequence[Viewer],
    table: ImageTable,
    store: FeatureStore,
    dataset: DataOptions,
    compute: ComputeOptions,
) -> tuple[ImageTable, list[MapView], NDArray[np.bytes_] | None]:
    """Embed with every encoder; images that the first finds unreadable are left out for all."""
    from cliptune.map_views import make_view

    views = []
    for viewer in viewers:
        embedded = embed_table(
            viewer.encoder,
            table,
            store,
            on_bad_image=dataset.on_bad_image,
            trunk="must" if viewer.needs == "trunk" else "no",
        )
        table = embedded.table
        views.append(
            make_view(
                viewer,
                table,
                embedded.features.vectors,
                text_encoder(viewer.encoder, store, compute),
                tokens=embed_tokens(viewer.encoder, table, store)
                if viewer.needs == "tokens"
                else None,
                trunk=embedded.features.trunk,
            )
        )
    return table, views, embedded.features.contents


def _show(reported: Mapping[str, Any]) -> None:  # Any: plain JSON values
    from cliptune.atlas.tables import number_rows, omitted_sentence

    title = f"{reported['data']}: {reported['n_images']} images, {reported['n_texts']} texts"
    print_table(title, *number_rows(reported))
    print_text("Brackets are 95 % intervals; * marks a change whose interval leaves out zero.")
    for view in reported["views"]:
        print_text(f"{view['name']}: {view['reading']}")
    for comparison in reported.get("comparisons", ()):
        print_text(f"{comparison['after']} against {comparison['before']}: {comparison['verdict']}")
    for remark in [omitted_sentence(reported["views"]), *reported["remarks"]]:
        if remark:
            print_text(remark)
    for kind, path in reported["figures"].items():
        print_text(f"{kind}: {path}")
    if "atlas" in reported:
        print_text(f"Embedding Atlas: {shlex.join(reported['atlas'])}")
    print_text(f"Numbers, points and figures: {reported['run']}")
