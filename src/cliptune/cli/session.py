"""What every command that touches images does first: data set, encoder, features.

It adds progress and one-line notes to calls of the library, and computes nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Literal

from cliptune.cli.console import note, progress_bar
from cliptune.cli.options import ComputeOptions, ModelOptions, TemplateOptions
from cliptune.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.encoders import DualEncoder
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.features import Features, FeatureStore, Progress
    from cliptune.images import BadImage, ImageTable
    from cliptune.prompts import TemplateSet

__all__ = [
    "Embedded",
    "choose_one_template_set",
    "choose_template_sets",
    "embed_table",
    "embed_tokens",
    "engine_loader",
    "note_equal_classes",
    "open_encoder",
    "open_store",
    "open_trainable_encoder",
    "text_encoder",
]


@dataclass(frozen=True)
class Embedded:
    """The readable images of a data set, their features and what these cost.

    Attributes:
        table: The images that could be read.
        features: One unit row for each of them.
        bad: The images that were left out.
        n_embedded: Distinct images that were not in the cache.
        seconds: Time spent on embedding them, input and model together.
    """

    table: ImageTable
    features: Features
    bad: tuple[BadImage, ...]
    n_embedded: int
    seconds: float

    @property
    def images_per_second(self) -> float | None:
        """Speed of the embedding, None where everything was in the cache."""
        return self.n_embedded / self.seconds if self.n_embedded else None


def _import_ahead(module: str) -> None:
    """Begin to import what is needed later; who needs it before waits and hears what is wrong."""

    def work() -> None:
        with suppress(ImportError):
            import_module(module)

    Thread(target=work, daemon=True).start()


def open_encoder(
    options: ModelOptions, table: ImageTable | None = None, *, labels: Sequence[str] = ()
) -> DualEncoder:
    """Load the encoder that the options name, to embed with; see ``engine_loader``."""
    load = engine_loader(options, table, labels=labels)
    return load(options.model, device=options.device, precision=options.precision)


def engine_loader(
    options: ComputeOptions, table: ImageTable | None = None, *, labels: Sequence[str] = ()
) -> Callable[..., DualEncoder]:
    """Return what loads an encoder by name and says on which engine and why.

    Args:
        options: Which engine, and where graphs are kept.
        table: The images to embed: an engine is tried on the first of them.
        labels: Classes to tell apart in that trial; those of the table otherwise.
    """

    def load(name: str, *, device: str, precision: str) -> DualEncoder:
        from cliptune.encoders.engines import Work, open_on_engine
        from cliptune.features import load_first_pixels

        work = Work()
        if table is not None:
            names = tuple(labels) or table.class_names
            work = Work(len(table), partial(load_first_pixels, table), names)
        encoder = open_on_engine(
            name,
            device=device,
            precision=precision,
            engine=options.engine,
            cache_dir=options.cache_dir,
            work=work,
        )
        if reason := getattr(encoder, "news", ""):
            note(f"{name} on {reason}")
        return encoder

    return load


def open_trainable_encoder(options: ModelOptions) -> TorchEncoder:
    """Load the encoder that the options name with weights in fp32, as training keeps them.

    Raises:
        CliptuneError: It cannot be loaded; see ``load_encoder``.
    """
    from cliptune.encoders import load_encoder
    from cliptune.encoders.torch_encoder import TorchEncoder

    encoder = load_encoder(options.model, device=options.device, precision="fp32")
    assert isinstance(encoder, TorchEncoder), "what is loaded in fp32 is a torch module"
    return encoder


def open_store(options: ComputeOptions) -> FeatureStore:
    """Open the feature cache at the place that the options name."""
    from cliptune.features import FeatureStore
    from cliptune.paths import cache_dir

    return FeatureStore(options.cache_dir or cache_dir())


def embed_table(
    encoder: DualEncoder,
    table: ImageTable,
    store: FeatureStore,
    *,
    on_bad_image: Literal["fail", "skip"],
    trunk: Literal["no", "must", "may"] = "no",
    meanwhile: str | None = None,
) -> Embedded:
    """Embed a table through the cache, with a bar on standard error.

    With a ``trunk`` that must be, an encoder without features before a projection is refused; with
    one that may be, it goes on without, and a line says so.

    A module that is needed afterwards is imported ``meanwhile``, if there is something to embed;
    beside anything that runs in Python itself an import only takes turns with it.

    Images are read once, by the embedding; only when one turns out to be unreadable are all of
    them read to find the others, and the run stops or goes on without them, as asked.
    """
    from cliptune.errors import BadImageError, NoTrunkError

    try:
        return _embed(encoder, table, store, bad=(), trunk=trunk != "no", meanwhile=meanwhile)
    except BadImageError:
        kept, bad = _remove_unreadable(table, on_bad_image=on_bad_image)
        return _embed(encoder, kept, store, bad=bad, trunk=trunk != "no")
    except NoTrunkError as error:
        if trunk != "may":
            raise
        note(str(error))
        return embed_table(encoder, table, store, on_bad_image=on_bad_image, meanwhile=meanwhile)


def embed_tokens(
    encoder: DualEncoder, table: ImageTable, store: FeatureStore
) -> NDArray[np.float32]:
    """Embed every patch of every image, (N, T, D), through the cache."""
    with progress_bar(f"embedding patches with {encoder.name}") as show:
        features = store.features(
            encoder, table, tokens=True, progress=lambda p: show(p.done, p.total)
        )
    assert features.tokens is not None, "tokens were asked for"
    return features.tokens


def _embed(
    encoder: DualEncoder,
    table: ImageTable,
    store: FeatureStore,
    *,
    bad: tuple[BadImage, ...],
    trunk: bool,
    meanwhile: str | None = None,
) -> Embedded:
    last: list[Progress] = []
    with progress_bar(f"embedding with {encoder.name}") as show:

        def advance(progress: Progress) -> None:
            if meanwhile and not last and progress.done < progress.total:
                _import_ahead(meanwhile)
            last[:] = [progress]
            show(progress.done, progress.total)

        features = store.features(encoder, table, trunk=trunk, progress=advance)
    seconds = last[0].input_seconds + last[0].model_seconds
    return Embedded(table, features, bad, last[0].embedded, seconds)


def _remove_unreadable(
    table: ImageTable, *, on_bad_image: Literal["fail", "skip"]
) -> tuple[ImageTable, tuple[BadImage, ...]]:
    """Read every image once; stop at unreadable ones or leave them out, as asked."""
    from cliptune.images import apply_bad_image_policy, scan_images

    with progress_bar("reading") as show:
        report = scan_images(table, progress=show)
    kept = apply_bad_image_policy(table, report, policy=on_bad_image)
    for bad in report.bad:
        note(f"left out {bad.id}: {bad.reason}")
    return kept, report.bad


def text_encoder(
    encoder: DualEncoder, store: FeatureStore, options: ComputeOptions
) -> Callable[[list[str]], NDArray[np.float32]]:
    """Return the function that embeds texts, through the cache, with a bar."""

    def encode(texts: list[str]) -> NDArray[np.float32]:
        with progress_bar(f"embedding {len(texts)} texts", "texts") as show:
            return store.text_features(encoder, texts, truncate=options.truncate, progress=show)

    return encode


def choose_template_sets(options: TemplateOptions) -> list[TemplateSet]:
    """Return the template sets asked for, named ones first, or the default one."""
    from cliptune.prompts import DEFAULT_TEMPLATE_SET, custom_template_set, load_template_set

    names = list(dict.fromkeys(options.templates))
    sets = [load_template_set(name) for name in names]
    if options.template:
        sets.append(custom_template_set(options.template))
    return sets or [load_template_set(DEFAULT_TEMPLATE_SET)]


def choose_one_template_set(options: TemplateOptions, command: str) -> TemplateSet:
    """Return the template set asked for, or the default one.

    Raises:
        InputError: Several came.
    """
    sets = choose_template_sets(options)
    if len(sets) > 1:
        raise InputError(
            f"{command} takes one template set, {len(sets)} came "
            f"({', '.join(s.name for s in sets)}); compare sets with 'cliptune evaluate'"
        )
    return sets[0]


def note_equal_classes(groups: Sequence[Sequence[str]]) -> None:
    """Say which classes zero-shot cannot tell apart because their texts are equal."""
    for names in groups:
        note(
            f"zero-shot cannot tell {', '.join(map(repr, names))} apart: their texts are equal to "
            f"the model; it says {names[0]!r} for all of them"
        )
