"""What every verb that embeds shares: encoder, cache of features, who is told.

It knows images, encoders and features, and nothing about any verb.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Literal, Protocol

from cliptune.errors import CliptuneError, InputError
from cliptune.system.processors import hold_to_quota
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import Watch
from cliptune.workflows.prompting import note_equal_classes
from cliptune.workflows.requirements import require_model_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.classifiers.head_data import HeadData
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.engines import Work
    from cliptune.encoders.preprocess import Preprocess
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.features import Features, FeatureStore, Progress
    from cliptune.images import BadImage, ImageTable, ScanReport
    from cliptune.results.base import Unreadable
    from cliptune.runs import RunDir
    from cliptune.workflows.embed_ahead import Ahead
    from cliptune.workflows.shard_workers import ShardWorkers

    Model = str | DualEncoder

__all__ = ["EmbeddedTable", "Session", "work_on"]

BadImagePolicy = Literal["fail", "skip"]
_FEW = 64  # images


@dataclass(frozen=True)
class EmbeddedTable:
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

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The images that were left out, as results list them."""
        from cliptune.results.base import Unreadable

        return tuple(Unreadable(bad.id, bad.reason) for bad in self.bad)


class Parts(Protocol):
    """Who learns from which rows: a partition, or what a sweep may see of one."""

    @property
    def train(self) -> NDArray[np.int64]: ...

    @property
    def val(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Session:
    """Where and how one call of a verb computes, and who is told of it.

    Attributes:
        compute: Where and how encoders compute.
        watch: Who is told.
        workers: Who embeds images that the cache lacks, shard by shard; this process otherwise.
    """

    compute: ComputeOptions
    watch: Watch
    workers: ShardWorkers | None = None

    def __post_init__(self) -> None:
        hold_to_quota()

    @cached_property
    def store(self) -> FeatureStore:
        """The feature cache."""
        from cliptune.features import FeatureStore
        from cliptune.system.paths import cache_dir

        return FeatureStore(self.compute.cache_dir or cache_dir())

    def open_encoder(
        self, model: Model, table: ImageTable | None = None, *, labels: Sequence[str] = ()
    ) -> DualEncoder:
        """Load an encoder to embed with, by its name; see ``engine_loader``."""
        if not isinstance(model, str):
            if self.workers is not None:
                require_model_name(model)
            return model
        load = self.engine_loader(table, labels=labels)
        return load(model, device=self.compute.device, precision=self.compute.precision)

    def open_ahead(self, encoder: DualEncoder, table: ImageTable) -> None:
        """Let the image tower's graph be opened beside what comes first, where images need it.

        Opening takes a second, and so does embedding a first text; of many images that is nothing.
        """
        from cliptune.encoders.engines.encoder import EngineEncoder

        if len(table) > _FEW or not isinstance(encoder, EngineEncoder):
            return
        with suppress(CliptuneError):  # what cannot be read is said when it is embedded
            if not self.store.holds(encoder, table):
                encoder.open_ahead("image")

    def engine_loader(
        self, table: ImageTable | None = None, *, labels: Sequence[str] = ()
    ) -> Callable[..., DualEncoder]:
        """Return what loads an encoder by name and tells on which engine and why.

        Args:
            table: The images to embed: an engine is tried on the first of them.
            labels: Classes to tell apart in that trial; those of the table otherwise.
        """

        def load(name: str, *, device: str, precision: str) -> DualEncoder:
            from cliptune.encoders.engines import open_on_engine
            from cliptune.encoders.hub import offline

            with offline(self.compute.offline):
                encoder = open_on_engine(
                    self.compute.model_name(name),
                    device=device,
                    precision=precision,
                    engine=self.compute.engine,
                    cache_dir=self.compute.cache_dir,
                    work=work_on(table, labels),
                )
            if reason := getattr(encoder, "news", ""):
                self.watch.note(f"{name} on {reason}")
            return encoder

        return load

    def open_trainable_encoder(self, model: Model) -> TorchEncoder:
        """Load an encoder with weights in fp32, as training keeps them.

        One that is loaded already is loaded anew by its name: training changes that one alone.

        Raises:
            CliptuneError: It cannot be loaded; see ``load_encoder``.
        """
        from cliptune.encoders import load_encoder
        from cliptune.encoders.hub import offline
        from cliptune.encoders.torch_encoder import TorchEncoder

        name = self.compute.model_name(model) if isinstance(model, str) else model.name
        with offline(self.compute.offline):
            encoder = load_encoder(name, device=self.compute.device, precision="fp32")
        assert isinstance(encoder, TorchEncoder), "what is loaded in fp32 is a torch module"
        if encoder.preprocess.resize_mode == "native":
            raise InputError(
                f"{name} takes pictures of different shapes (SigLIP 2 NaFlex), whose weights are "
                "not trained here; fit a classifier on it, or take a SigLIP 2 of a fixed size"
            )
        return encoder

    def embed(
        self,
        encoder: DualEncoder,
        table: ImageTable,
        *,
        on_bad_image: BadImagePolicy,
        trunk: Literal["no", "must", "may"] = "no",
        meanwhile: str | None = None,
        run: RunDir | None = None,
    ) -> EmbeddedTable:
        """Embed a table through the cache; what it lacks is computed by an executor, if one is.

        Where the encoder is that of a ``run``, workers find it there.

        With a ``trunk`` that must be, an encoder without features before a projection is refused;
        with one that may be, it goes on without, and a line says so.

        A module that is needed afterwards is imported ``meanwhile``, if there is something to
        embed; beside anything that runs in Python itself an import only takes turns with it.

        Images are read once, by the embedding; only when one turns out to be unreadable are all
        of them read to find the others, and the run stops or goes on without them, as asked.
        """
        from cliptune.errors import BadImageError, NoTrunkError

        asked = trunk != "no"
        kinds = ("pooled", "trunk") if trunk == "must" else ("pooled",)
        ahead = self._embed_ahead(encoder, table, kinds, on_bad_image=on_bad_image, run=run)
        if ahead is not None:
            table, found, done = ahead
            embedded = self._embed(encoder, table, bad=found, trunk=asked)
            n_embedded = embedded.n_embedded + done.n_embedded
            return replace(embedded, n_embedded=n_embedded, seconds=embedded.seconds + done.seconds)
        try:
            return self._embed(encoder, table, bad=(), trunk=asked, meanwhile=meanwhile)
        except BadImageError:
            kept, bad = self._remove_unreadable(table, on_bad_image=on_bad_image)
            return self._embed(encoder, kept, bad=bad, trunk=asked)
        except NoTrunkError as error:
            if trunk != "may":
                raise
            self.watch.note(str(error))
            return self.embed(encoder, table, on_bad_image=on_bad_image, meanwhile=meanwhile)

    def _embed_ahead(
        self,
        encoder: DualEncoder,
        table: ImageTable,
        kinds: tuple[str, ...],
        *,
        on_bad_image: BadImagePolicy,
        run: RunDir | None,
    ) -> tuple[ImageTable, tuple[BadImage, ...], Ahead] | None:
        """Let an executor compute what the cache lacks.

        Returns:
            The images that are left, those that are left out, and what was computed; None where
            there is no executor.
        """
        from cliptune.errors import BadImageError

        if self.workers is None:
            return None
        from cliptune.workflows.embed_ahead import embed_ahead

        bad: tuple[BadImage, ...] = ()
        ask = partial(
            embed_ahead, self, self.workers, encoder, kinds=kinds, on_bad_image=on_bad_image,
            run=run,
        )  # fmt: skip
        try:
            ahead = ask(table)
        except BadImageError:  # there are no bytes at all
            table, bad = self._remove_unreadable(table, on_bad_image=on_bad_image)
            ahead = ask(table)
        if ahead.report is not None:
            table, more = self._leave_out(table, ahead.report, on_bad_image=on_bad_image)
            bad += more
        return table, bad, ahead

    def _embed(
        self,
        encoder: DualEncoder,
        table: ImageTable,
        *,
        bad: tuple[BadImage, ...],
        trunk: bool,
        meanwhile: str | None = None,
    ) -> EmbeddedTable:
        last: list[Progress] = []
        with self.watch.stage(f"embedding with {encoder.name}") as show:

            def advance(progress: Progress) -> None:
                if meanwhile and not last and progress.done < progress.total:
                    _import_ahead(meanwhile)
                last[:] = [progress]
                show(progress.done, progress.total)

            features = self.store.features(encoder, table, trunk=trunk, progress=advance)
        seconds = last[0].input_seconds + last[0].model_seconds
        return EmbeddedTable(table, features, bad, last[0].embedded, seconds)

    def _remove_unreadable(
        self, table: ImageTable, *, on_bad_image: BadImagePolicy
    ) -> tuple[ImageTable, tuple[BadImage, ...]]:
        """Read every image once; stop at unreadable ones or leave them out, as asked."""
        from cliptune.images import scan_images

        with self.watch.stage("reading") as show:
            report = scan_images(table, progress=show)
        return self._leave_out(table, report, on_bad_image=on_bad_image)

    def _leave_out(
        self, table: ImageTable, report: ScanReport, *, on_bad_image: BadImagePolicy
    ) -> tuple[ImageTable, tuple[BadImage, ...]]:
        from cliptune.images import apply_bad_image_policy

        kept = apply_bad_image_policy(table, report, policy=on_bad_image)
        for bad in report.bad:
            self.watch.note(f"left out {bad.id}: {bad.reason}")
        return kept, report.bad

    def embed_tokens(
        self, encoder: DualEncoder, table: ImageTable, *, run: RunDir | None = None
    ) -> NDArray[np.float32]:
        """Embed every patch of every image, (N, T, D), through the cache."""
        self._embed_ahead(encoder, table, ("pooled", "tokens"), on_bad_image="fail", run=run)
        with self.watch.stage(f"embedding patches with {encoder.name}") as show:
            features = self.store.features(
                encoder, table, tokens=True, progress=lambda p: show(p.done, p.total)
            )
        assert features.tokens is not None, "tokens were asked for"
        return features.tokens

    def text_encoder(self, encoder: DualEncoder) -> Callable[[list[str]], NDArray[np.float32]]:
        """Return the function that embeds texts, through the cache."""

        def encode(texts: list[str]) -> NDArray[np.float32]:
            with self.watch.stage(f"embedding {len(texts)} texts", "texts") as show:
                return self.store.text_features(
                    encoder, texts, truncate=self.compute.truncate, progress=show
                )

        return encode

    def make_task(
        self,
        encoder: DualEncoder,
        embedded: EmbeddedTable,
        parts: Parts,
        *,
        templates: Sequence[str],
        seed: int,
        tokens: bool = False,
    ) -> HeadData:
        """Embed the class texts, and the patches if they are wanted, and put all together.

        Args:
            encoder: What made the vectors.
            embedded: N labelled images.
            parts: Rows to learn from and rows to select on.
            templates: Of the class texts.
            seed: Of everything random.
            tokens: Whether a method needs the patches.
        """
        from cliptune.classifiers.head_data import HeadData
        from cliptune.prompts import ensemble_rows, find_equal_classes

        table = embedded.table
        rows = ensemble_rows(self.text_encoder(encoder), table.class_names, templates)
        note_equal_classes(find_equal_classes(table.class_names, rows), self.watch)
        return HeadData(
            vectors=embedded.features.vectors,
            tokens=self.embed_tokens(encoder, table) if tokens else None,
            labels=table.labels,
            class_names=table.class_names,
            text_rows=rows,
            logit_scale=encoder.logit_scale,
            train=parts.train,
            val=parts.val,
            seed=seed,
            trunk=embedded.features.trunk,
            groups=table.groups,
            soft_labels=table.soft_labels,
        )


def work_on(table: ImageTable | None, labels: Sequence[str]) -> Work:
    """Say what an encoder is wanted for: the images of a table, to tell classes apart."""
    from cliptune.encoders.engines import Work

    if table is None:
        return Work()
    names = tuple(labels) or table.class_names
    return Work(len(table), partial(_first_pixels, table), names)


def _first_pixels(table: ImageTable, preprocess: Preprocess, n: int) -> NDArray[np.uint8]:
    from cliptune.features import load_first_pixels

    return load_first_pixels(table, preprocess, n)


def _import_ahead(module: str) -> None:
    """Begin to import what is needed later; who needs it before waits and hears what is wrong."""

    def work() -> None:
        with suppress(ImportError):
            import_module(module)

    Thread(target=work, daemon=True).start()
