"""All engines on this machine with one model: speed, and agreement with torch in float32.

It measures and judges by the same rule as the automatic choice, and knows no command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.encoders.engines.agreement import Agreement
from cliptune.encoders.engines.backends import Backend, possible_ways
from cliptune.encoders.engines.choices import Choice, list_choices, write_choice
from cliptune.encoders.engines.machine import Machine, this_machine
from cliptune.encoders.engines.measuring import Measured, Work
from cliptune.encoders.engines.resolving import TORCH, resolve
from cliptune.encoders.engines.runtimes import EXTRAS, is_installed
from cliptune.encoders.engines.trial import Trial
from cliptune.encoders.names import require_one_encoder
from cliptune.errors import ConversionError

if TYPE_CHECKING:
    from cliptune.encoders.engines.resolving import ResolvedModel
    from cliptune.encoders.engines.self_check import SelfCheck
    from cliptune.encoders.preprocess import Preprocess

__all__ = ["Diagnosis", "EngineRow", "examine"]

_SECONDS = 2.0


@dataclass(frozen=True)
class EngineRow:
    """One engine in one number format.

    Attributes:
        name: ``torch``, ``openvino`` or ``onnx``.
        precision: Of the image tower.
        measured: None where it is not available.
        note: What is missing, or whether it keeps the answers.
    """

    name: str
    precision: str
    measured: Measured | None
    note: str

    @property
    def way(self) -> str:
        """Engine and number format in two words."""
        return f"{self.name} {self.precision}"

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the row as plain JSON values; what was not measured is null."""
        keys = ("images_per_second", "texts_per_second", "min_cosine", "top1_agreement")
        scores = self.measured.to_dict() if self.measured else dict.fromkeys(keys)
        available = self.measured is not None
        return {"name": self.name, "precision": self.precision, **scores, "available": available,
                "note": self.note}  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        model: The model's name.
        machine: This one.
        sample: What was measured on, in words.
        engines: Torch in float32 first.
        choice: What ``--engine auto`` takes from now on, e.g. ``openvino bf16``.
        reason: Why.
        remembered: What had been chosen before for requests on this machine and still held, by
            ``ENGINE PRECISION`` as asked for.
        self_check: What can be seen of the model itself.
        preprocess: Its input transform.
    """

    model: str
    machine: Machine
    sample: str
    engines: tuple[EngineRow, ...]
    choice: str
    reason: str
    remembered: Mapping[str, Choice]
    self_check: SelfCheck
    preprocess: Preprocess

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything as plain JSON values."""
        return {
            "model": self.model,
            "machine": str(self.machine),
            "sample": self.sample,
            "engines": [row.to_dict() for row in self.engines],
            "choice": self.choice,
            "reason": self.reason,
            "self_check": self.self_check.to_dict(),
            "remembered": {asked: choice.to_dict() for asked, choice in self.remembered.items()},
        }


def examine(name: str, *, cache_dir: Path, work: Work, with_int8: bool = False) -> Diagnosis:
    """Measure every engine that is installed, and remember which one to take.

    Args:
        name: The model, as ``load_encoder`` takes it.
        cache_dir: Where graphs and choices are kept.
        work: The user's images and labels, if there are any.
        with_int8: Also quantise the image tower and measure that.

    Raises:
        CliptuneError: The model cannot be loaded.
    """
    from cliptune.encoders.engines.self_check import check_encoder

    require_one_encoder([name], "each is measured by itself")
    model = resolve(name, cache_dir)
    trial = Trial(model.reference, model.facts.preprocess, work, seconds=_SECONDS)
    base = trial.reference
    rows = [EngineRow(TORCH, "fp32", base, "the reference"), *_rows(model, trial, with_int8)]
    choice, reason = _choose(model, rows, base)
    before = list_choices(model.store.path)
    taken = TORCH if choice == rows[0].way else choice
    write_choice(model.store.path, "auto", "auto", Choice(taken, reason, _surprise(rows)))
    machine, source = this_machine(), trial.sample.source
    check = check_encoder(model.reference())
    model.store.write_check(check)
    return Diagnosis(
        name, machine, source, tuple(rows), choice, reason, before, check, model.facts.preprocess
    )


def _rows(model: ResolvedModel, trial: Trial, with_int8: bool) -> Iterator[EngineRow]:
    machine = this_machine()
    formats = {
        "openvino": ["fp32", *(["bf16"] if machine.bf16 else []), *(["int8"] if with_int8 else [])],
        "onnx": ["fp32"],
    }
    for engine, precisions in formats.items():
        for precision in precisions:
            if not is_installed(engine):
                missing = f"not installed: pip install 'cliptune[{EXTRAS[engine]}]'"
                yield EngineRow(engine, precision, None, missing)
                continue
            yield _row(model, trial, Backend(engine, precision, "measured"))


def _row(model: ResolvedModel, trial: Trial, way: Backend) -> EngineRow:
    encoder = model.encoder(way, calibration=lambda: trial.sample.pixels)
    try:
        encoder.prepare()
    except ConversionError as error:
        return EngineRow(way.engine, way.precision, None, str(error))
    measured = trial.measure(encoder)
    if not measured.agreement.keeps_answers:
        measured = trial.measure(encoder)  # not believed before it was seen twice
    return EngineRow(way.engine, way.precision, measured, _verdict(measured.agreement))


def _verdict(agreement: Agreement) -> str:
    return "keeps the answers" if agreement.keeps_answers else "changes the answers"


def _surprise(rows: list[EngineRow]) -> str:
    """Say which fp32 engines change the answers: none should."""
    odd = [
        f"{row.way}: {row.measured.agreement}"
        for row in rows
        if row.precision == "fp32" and row.measured and not row.measured.agreement.keeps_answers
    ]
    return "; ".join(odd)


def _choose(model: ResolvedModel, rows: list[EngineRow], base: Measured) -> tuple[str, str]:
    """Apply the rule of the automatic choice to what was measured."""
    found = {row.way: row.measured for row in rows if row.measured}
    convolutional, machine = model.facts.convolutional, this_machine()
    for way in possible_ways("auto", "auto", convolutional=convolutional, machine=machine):
        measured = found.get(str(way))
        if measured is None or not measured.agreement.keeps_answers:
            continue
        if measured.images_per_second > base.images_per_second:
            faster = measured.images_per_second / base.images_per_second
            return str(way), f"{way.reason}; {faster:.1f} times torch fp32; {measured.agreement}"
    return rows[0].way, "no other engine is faster here and keeps the answers"
