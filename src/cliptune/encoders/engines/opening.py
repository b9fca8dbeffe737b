"""A model by name on the engine that suits this machine and this much work.

What was measured once is remembered by the encoder's fingerprint and the machine, so that a
later start opens the graphs at once and loads neither torch nor the weights. It knows no format
of graphs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.encoders import load_encoder
from cliptune.encoders.engines.encoder import EngineEncoder, Reference
from cliptune.encoders.engines.facts import EncoderFacts
from cliptune.encoders.engines.identity import Identity, identify
from cliptune.encoders.engines.machine import may_have_gpu, this_machine
from cliptune.encoders.engines.measuring import Work
from cliptune.encoders.engines.runtimes import ENGINES, require_installed
from cliptune.encoders.engines.storage import GraphStore, read_json, write_json
from cliptune.encoders.engines.token_ids import write_down
from cliptune.encoders.engines.trial import Trial
from cliptune.encoders.engines.ways import possible_ways
from cliptune.encoders.model_files import find_files
from cliptune.encoders.names import Embedded, parse_name
from cliptune.errors import ConversionError, DeviceError, UnknownNameError
from cliptune.paths import cache_dir as default_cache_dir

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["open_on_engine"]

_LOG = logging.getLogger(__name__)
# From here on a conversion of some seconds pays within the same run.
_WORTH_IMAGES = 256
_TORCH = "torch"
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
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    if engine not in ("auto", "torch"):
        require_installed(engine)
    if precision == "int8" and engine == "auto":
        require_installed("openvino")
    if _is_for_torch(engine, device, precision):
        return load_encoder(name, device=device, precision=precision)
    return _Opening(name, precision, engine, cache_dir or default_cache_dir(), work).open()


def _is_for_torch(engine: str, device: str, precision: str) -> bool:
    elsewhere = device not in ("auto", "cpu")
    if engine not in ("auto", "torch") and elsewhere:
        raise DeviceError(
            f"engine {engine!r} computes on the processor, the device asked for is {device!r}; "
            f"use --engine torch or --device cpu"
        )
    if engine == "torch" or elsewhere or precision == "fp16":
        return True
    return engine == "auto" and device == "auto" and may_have_gpu() and _torch_has_gpu()


def _torch_has_gpu() -> bool:
    from cliptune.encoders.precision import choose_device

    return choose_device("auto") != "cpu"


@dataclass(frozen=True)
class _Opening:
    """One request, resolved step by step."""

    name: str
    precision: str
    engine: str
    cache_dir: Path
    work: Work

    def open(self) -> DualEncoder:
        ref = parse_name(self.name)
        files = None if isinstance(ref, Embedded) else find_files(ref, self.name)
        identity, reference = identify(files, self.cache_dir), cache(self._load_reference)
        known = identity.fingerprint()
        facts = GraphStore(self.cache_dir, known).read_facts() if known else None
        is_first = facts is None
        if facts is None:
            facts = self._record(reference(), identity)
        if is_first and self._is_small():
            _LOG.info("few images and nothing converted yet: torch; a later start converts")
            return self._in_torch(reference)
        return self._settle(facts, reference)

    def _settle(self, facts: EncoderFacts, reference: Reference) -> DualEncoder:
        """Take the remembered choice if its graphs are there, else make, check and choose."""
        store, machine = GraphStore(self.cache_dir, facts.fingerprint), this_machine()
        ways = possible_ways(
            self.engine, self.precision, convolutional=facts.convolutional, machine=machine
        )
        place = store.path / f"choice-{machine.key}-{self.engine}-{self.precision}.json"
        remembered = read_json(place) or {}
        if remembered.get("way") == _TORCH:
            return self._in_torch(reference)
        ways = [way for way in ways if str(way) == remembered.get("way")] or ways
        trial = Trial(reference, facts.preprocess, self.work)
        for way in ways:
            encoder = EngineEncoder(
                name=self.name,
                facts=facts,
                way=way,
                store=store,
                reference=reference,
                calibration=lambda: trial.sample.pixels,
            )
            try:
                made = encoder.prepare()
            except ConversionError as error:
                if self.engine != "auto":
                    raise
                _LOG.warning("%s", error)
                continue
            if not made and str(way) == remembered.get("way"):
                encoder.reason = str(remembered.get("reason", way.reason))
                encoder.news = f"{way}: {encoder.reason}" if way.precision == "int8" else ""
                return encoder
            reason = trial.judge(
                encoder, asked=self.precision in _LOSSY, must_be_faster=self.engine == "auto"
            )
            if reason is not None:
                write_json(place, {"way": str(way), "reason": reason})
                encoder.reason, encoder.news = reason, f"{way}: {reason}"
                return encoder
        if trial.judged:
            write_json(place, {"way": _TORCH})
            _LOG.warning("%s: going on in torch, no other engine did better here", self.name)
        return self._in_torch(reference)

    def _is_small(self) -> bool:
        few = self.work.n_images is not None and self.work.n_images < _WORTH_IMAGES
        return self.engine == "auto" and self.precision != "int8" and few

    def _record(self, encoder: TorchEncoder, identity: Identity) -> EncoderFacts:
        facts = EncoderFacts.of(encoder)
        store = GraphStore(self.cache_dir, facts.fingerprint)
        store.write_facts(facts, write_down(encoder))
        identity.remember(facts.fingerprint)
        return facts

    def _load_reference(self) -> TorchEncoder:
        from cliptune.encoders.torch_encoder import TorchEncoder

        encoder = load_encoder(self.name, device="cpu", precision="fp32")
        assert isinstance(encoder, TorchEncoder), "load_encoder builds on torch"
        return encoder

    def _in_torch(self, reference: Reference) -> DualEncoder:
        if self.precision in ("auto", "fp32"):
            return reference()
        return load_encoder(self.name, device="cpu", precision=self.precision)
