"""A model as far as the disk knows it: facts, graphs, and torch only if need be.

It opens nothing and chooses nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune import encoders
from cliptune.encoders.engines.backends import Backend
from cliptune.encoders.engines.encoder import EngineEncoder, Reference
from cliptune.encoders.engines.facts import EncoderFacts
from cliptune.encoders.engines.identity import identify
from cliptune.encoders.engines.storage import GraphStore
from cliptune.encoders.engines.token_ids import write_down
from cliptune.encoders.names import Embedded, parse_name, split_crops
from cliptune.errors import UnavailableError

if TYPE_CHECKING:
    from cliptune.encoders.engines.self_check import SelfCheck
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["TORCH", "ResolvedModel", "resolve", "resolve_weights"]

TORCH = "torch"
_LOG = logging.getLogger(__name__)
_PROBE_SECONDS = 4.0  # of a first load; a slower model is probed by ``doctor``


@dataclass(frozen=True)
class ResolvedModel:
    """A model that was asked for, by name or by the weights of a run.

    Attributes:
        name: What the user calls it; of trained weights, the model that they were trained from.
        facts: The encoder without its towers.
        store: Where its graphs are kept.
        reference: Loads it in torch, float32, on the processor; once.
        is_new: Its weights had never been read with this cache, until now.
    """

    name: str
    facts: EncoderFacts
    store: GraphStore
    reference: Reference
    is_new: bool

    def encoder(
        self, way: Backend, *, calibration: Callable[[], NDArray[np.uint8]]
    ) -> EngineEncoder:
        """Return the model on an engine; nothing is loaded yet."""
        return EngineEncoder(
            name=self.name,
            facts=self.facts,
            way=way,
            store=self.store,
            reference=self.reference,
            calibration=calibration,
        )


def resolve(name: str, cache_dir: Path) -> ResolvedModel:
    """Find a model's files and what is known of them; read the weights if that is nothing.

    Raises:
        CliptuneError: The model cannot be found or loaded; see ``load_encoder``.
    """
    ref = parse_name(name)
    files = None
    if not isinstance(ref, Embedded):
        from cliptune.encoders.model_files import find_files

        files = find_files(ref, name)
    identity = identify(files, cache_dir, crops=split_crops(name)[1])
    reference = cache(lambda: _load(name))
    known = identity.fingerprint()
    if known and (facts := GraphStore(cache_dir, known).read_facts()):
        GraphStore(cache_dir, known).note_use()
        return ResolvedModel(name, facts, GraphStore(cache_dir, known), reference, is_new=False)
    facts = EncoderFacts.of(reference())
    store = GraphStore(cache_dir, facts.fingerprint)
    try:
        store.write_facts(facts, write_down(reference()))
        if files is not None:
            store.write_check(_look_at(reference()))
        identity.remember(facts.fingerprint)
    except UnavailableError as error:
        _LOG.warning("nothing is remembered of %s: %s", name, error)
    return ResolvedModel(name, facts, store, reference, is_new=True)


def resolve_weights(
    name: str, fingerprint: str, reference: Reference, cache_dir: Path
) -> ResolvedModel:
    """Describe weights that no name leads to; they are loaded where nothing is known of them yet.

    Args:
        name: What the user calls the model.
        fingerprint: Of the weights, as they were recorded.
        reference: Loads them in torch, float32, on the processor.
        cache_dir: Where graphs are kept.
    """
    store, load = GraphStore(cache_dir, fingerprint), cache(reference)
    facts = store.read_facts()
    if facts is not None:
        store.note_use()
        return ResolvedModel(name, facts, store, load, is_new=False)
    facts = EncoderFacts.of(load())
    with suppress(UnavailableError):  # it is told when graphs are made
        store.write_facts(facts, write_down(load()))
    return ResolvedModel(name, facts, store, load, is_new=True)


def _look_at(encoder: TorchEncoder) -> SelfCheck:
    """Check a model that is loaded for the first time, and say what is wrong with it."""
    from cliptune.encoders.engines.self_check import check_encoder

    check = check_encoder(encoder, seconds=_PROBE_SECONDS)
    for warning in check.warnings:
        _LOG.warning("%s", warning)
    return check


def _load(name: str) -> TorchEncoder:
    from cliptune.encoders.torch_encoder import TorchEncoder

    encoder = encoders.load_encoder(name, device="cpu", precision="fp32")
    assert isinstance(encoder, TorchEncoder), "load_encoder builds on torch"
    return encoder
