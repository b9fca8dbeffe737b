"""A model, by name or by its weights, on the engine that suits this machine and this much work.

What was measured once is remembered by the encoder's fingerprint and the machine, so that a
later start opens the graphs at once and loads neither torch nor the weights. It knows no format
of graphs.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cliptune import encoders
from cliptune.encoders.engines.backends import Backend, possible_ways, require_format
from cliptune.encoders.engines.choices import Choice, read_choice, write_choice
from cliptune.encoders.engines.encoder import EngineEncoder, Reference
from cliptune.encoders.engines.machine import may_have_gpu, this_machine
from cliptune.encoders.engines.measuring import Work
from cliptune.encoders.engines.resolving import TORCH, ResolvedModel, resolve, resolve_weights
from cliptune.encoders.engines.runtimes import ENGINES, require_installed
from cliptune.encoders.engines.storage import GraphStore
from cliptune.encoders.engines.trial import Trial
from cliptune.encoders.names import split_joint
from cliptune.errors import ConversionError, DeviceError, UnavailableError, UnknownNameError
from cliptune.system.paths import cache_dir as default_cache_dir

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = [
    "open_on_engine",
    "open_recorded",
    "open_recorded_weights",
    "open_weights",
    "require_engine",
]

_LOG = logging.getLogger(__name__)
# From here on a conversion of some seconds pays within the same run.
_WORTH_IMAGES = 256
# The same for weights of one run alone, whose graphs the next run has no use for.
_WORTH_IMAGES_OF_A_RUN = 512
_TRAINED = "what it trains in"
_LOSSY = ("bf16", "int8")


def open_on_engine(
    name: str = "lite",
    *,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    cache_dir: Path | None = None,
    work: Work = Work(),
) -> DualEncoder:
    """Load a model by name, on the engine asked for or the fastest that keeps the answers.

    ``auto`` on a processor: OpenVINO, else ONNX Runtime, in bf16 where the processor has it and
    float32 otherwise or where bf16 would move the answers (convolutional towers; a mean-centred
    cosine below 0.999 or another label for more than 0.5 % of the sample); torch where neither
    is faster. A first start with few images does not convert anything. On a GPU: torch.

    Args:
        name: As ``load_encoder`` takes it.
        device: As ``load_encoder`` takes it; the other engines compute on the processor.
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16``, or ``int8`` (OpenVINO, image tower).
        engine: ``auto``, ``torch``, ``openvino`` or ``onnx``.
        cache_dir: Where graphs are kept; the user's cache otherwise.
        work: What it is wanted for.

    Raises:
        UnknownNameError: There is no such engine, model, device or precision.
        MissingExtraError: The engine is not installed; the message names the extra.
        InputError: The engine does not compute in the precision.
        DeviceError: The engine does not compute on the device.
        ConversionError: The engine that was asked for cannot run the model.
        UnavailableError: The cache has no room for the graphs of the engine that was asked for.
    """
    require_engine(engine, device=device, precision=precision)
    if len(split_joint(name)) > 1:
        from cliptune.encoders.joint import open_joint

        ask = partial(
            open_on_engine, device=device, precision=precision, engine=engine,
            cache_dir=cache_dir, work=work,
        )  # fmt: skip
        return open_joint(name, ask)
    if _is_for_torch(engine, device, precision):
        return encoders.load_encoder(name, device=device, precision=precision)
    resolved = resolve(name, cache_dir or default_cache_dir())
    few = work.n_images is not None and work.n_images < _WORTH_IMAGES
    if resolved.is_new and few and engine == "auto" and precision != "int8":
        _LOG.info("few images and nothing converted yet: torch; a later start converts")
        return _in_torch(resolved, precision)
    return _settle(resolved, engine, precision, work)


def open_weights(
    name: str,
    fingerprint: str,
    reference: Reference,
    *,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "auto",
    cache_dir: Path | None = None,
    work: Work = Work(),
) -> EngineEncoder | None:
    """Open weights that no name leads to, as training leaves them, on an engine if that pays.

    ``auto`` converts for 512 images or more; for fewer it takes graphs that were made before.

    Args:
        name: What the user calls the model.
        fingerprint: Of the weights.
        reference: Loads them in torch, float32, on the processor.
        device: As ``load_encoder`` takes it.
        precision: As ``open_on_engine`` takes it; ``auto`` is ``fp32``, as they were trained.
        engine: As ``open_on_engine`` takes it.
        cache_dir: Where graphs are kept; the user's cache otherwise.
        work: What they are wanted for.

    Returns:
        The engine, or None where torch is asked for or does as well.

    Raises:
        CliptuneError: See ``open_on_engine``.
    """
    require_engine(engine, device=device, precision=precision)
    if _is_for_torch(engine, device, precision):
        return None
    wanted = "fp32" if precision == "auto" else precision
    place = cache_dir or default_cache_dir()
    few = (work.n_images or 0) < _WORTH_IMAGES_OF_A_RUN
    store = GraphStore(place, fingerprint)
    remembered = _remembered(store, engine, wanted)
    if remembered is None and few and engine == "auto" and precision != "int8":
        return None
    if remembered is not None and remembered.way == TORCH:
        return None  # before the weights are read for nothing
    resolved = resolve_weights(name, fingerprint, reference, place)
    found = _settle(resolved, engine, wanted, work, why=_TRAINED if precision == "auto" else "")
    return found if isinstance(found, EngineEncoder) else None


def require_engine(engine: str, *, device: str, precision: str) -> None:
    """Make sure that an engine is installed and computes so, whatever the model.

    Raises:
        UnknownNameError: There is no such engine.
        MissingExtraError: It is not installed; the message names the extra.
        InputError: It does not compute in the precision.
        DeviceError: It does not compute on the device.
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    if engine not in ("auto", "torch"):
        require_installed(engine)
        if device not in ("auto", "cpu"):
            raise DeviceError(
                f"engine {engine!r} computes on the processor, the device asked for is "
                f"{device!r}; use --engine torch or --device cpu"
            )
    if precision == "int8" and engine == "auto":
        require_installed("openvino")
    require_format(engine, precision)


def open_recorded(name: str, engine: str, precision: str, *, cache_dir: Path) -> DualEncoder:
    """Load a model on the very engine and in the number format that a record names.

    Nothing is measured, chosen or quantised.

    Args:
        name: As ``load_encoder`` takes it.
        engine: ``torch``, ``openvino`` or ``onnx``.
        precision: What it computed in.
        cache_dir: Where graphs are kept.

    Raises:
        CliptuneError: The model, the engine or its 8-bit graph is not here.
    """
    if engine not in ENGINES[1:]:
        raise UnknownNameError("engine", engine, ENGINES[1:])
    if engine == TORCH:
        return encoders.load_encoder(name, precision=precision)
    return _recorded(resolve(name, cache_dir), engine, precision)


def open_recorded_weights(
    name: str,
    fingerprint: str,
    reference: Reference,
    engine: str,
    precision: str,
    *,
    cache_dir: Path,
) -> EngineEncoder:
    """Open weights that no name leads to on the very engine and format that a record names.

    Args:
        name: What the user calls the model.
        fingerprint: Of the weights.
        reference: Loads them in torch, float32, on the processor.
        engine: ``openvino`` or ``onnx``.
        precision: What it computed in.
        cache_dir: Where graphs are kept.

    Raises:
        CliptuneError: The weights, the engine or its 8-bit graph is not here.
    """
    resolved = resolve_weights(name, fingerprint, reference, cache_dir)
    return _recorded(resolved, engine, precision)


def _recorded(resolved: ResolvedModel, engine: str, precision: str) -> EngineEncoder:
    require_installed(engine)
    way = Backend(engine, precision, "recorded")
    if precision == "int8" and not resolved.store.looks_whole(way.graph_kind("image"), "image"):
        place = resolved.store.path.parent.parent
        raise ConversionError(f"the 8-bit graph of {resolved.name} is no longer in {str(place)!r}")
    encoder = resolved.encoder(way, calibration=lambda: np.empty(0, np.uint8))
    encoder.prepare()
    return encoder


def _is_for_torch(engine: str, device: str, precision: str) -> bool:
    elsewhere = device not in ("auto", "cpu")
    if engine == "torch" or elsewhere or precision == "fp16":
        return True
    return engine == "auto" and device == "auto" and may_have_gpu() and _torch_has_gpu()


def _torch_has_gpu() -> bool:
    from cliptune.encoders.precision import choose_device

    return choose_device("auto") != "cpu"


def _settle(
    resolved: ResolvedModel, engine: str, precision: str, work: Work, *, why: str = ""
) -> DualEncoder:
    """Take the remembered choice if its graphs are there, else make, check and choose.

    Args:
        resolved: The model.
        engine: As it is asked for.
        precision: As it is asked for.
        work: What it is wanted for.
        why: Why this precision, where the caller knows better than that it was asked for.
    """
    ways = possible_ways(
        engine, precision, convolutional=resolved.facts.convolutional, machine=this_machine()
    )
    remembered = _remembered(resolved.store, engine, precision)
    if remembered is not None and remembered.way == TORCH:
        return _in_torch(resolved, precision)
    known = None if remembered is None else remembered.way
    ways = [way for way in ways if str(way) == known] or ways
    ways = [replace(way, reason=why or way.reason) for way in ways]
    trial = Trial(resolved.reference, resolved.facts.preprocess, work)
    may_go_on = engine == "auto" and precision != "int8"
    for way in ways:
        encoder = resolved.encoder(way, calibration=lambda: trial.sample.pixels)
        if remembered is not None and str(way) == known and encoder.has_graphs():
            return _with_reason(encoder, remembered.reason, news=way.precision == "int8")
        if not _is_prepared(encoder, may_go_on=may_go_on):
            continue
        asked = precision in _LOSSY  # by name: taken whatever it costs or gains
        judged = trial.judge(encoder, asked=asked, must_be_faster=engine == "auto" and not asked)
        if judged is not None:
            choice = Choice(str(way), judged, trial.surprise)
            write_choice(resolved.store.path, engine, precision, choice)
            return _with_reason(encoder, judged, news=True)
    if trial.judged:
        reason = "no other engine did better here"
        choice = Choice(TORCH, reason, trial.surprise)
        write_choice(resolved.store.path, engine, precision, choice)
        _LOG.warning("%s: going on in torch, %s", resolved.name, reason)
    return _in_torch(resolved, precision)


def _remembered(store: GraphStore, engine: str, precision: str) -> Choice | None:
    """Return the choice that holds; what ``auto`` chose in fp32 is what fp32 would choose."""
    found = read_choice(store.path, engine, precision)
    if found is None and precision == "fp32":
        found = read_choice(store.path, engine, "auto")
        if found is not None and not found.way.endswith(" fp32"):
            found = None
    return found


def _is_prepared(encoder: EngineEncoder, *, may_go_on: bool) -> bool:
    """Open or make an encoder's graphs; where torch may go on instead, say why it has to.

    Torch needs no graphs, so neither a tower that cannot be converted nor a cache without room for
    hundreds of megabytes ends the work.
    """
    try:
        encoder.prepare()
    except (ConversionError, UnavailableError) as error:
        if not may_go_on:
            raise
        _LOG.warning("%s", error)
        return False
    return True


def _with_reason(encoder: EngineEncoder, reason: str, *, news: bool) -> EngineEncoder:
    encoder.reason = reason
    encoder.news = f"{encoder.way}: {reason}" if news else ""
    return encoder


def _in_torch(resolved: ResolvedModel, precision: str) -> DualEncoder:
    if precision in ("auto", "fp32"):
        return resolved.reference()
    return encoders.load_encoder(resolved.name, device="cpu", precision=precision)
