"""A way of computing on trial: is it fast here, and does it keep the answers?

The judgement is by rule; it knows nothing about what is remembered of it.
"""

from __future__ import annotations

import logging
from functools import cached_property

from cliptune.encoders.engines.encoder import EngineEncoder, Reference
from cliptune.encoders.engines.measuring import Measured, Sample, Work, measure, take_sample
from cliptune.encoders.preprocess import Preprocess
from cliptune.system.formatting import per_second

__all__ = ["Trial"]

_LOG = logging.getLogger(__name__)


class Trial:
    """Judges encoders against the reference on one sample, which is taken when first needed.

    Args:
        reference: Loads the model in torch, float32.
        preprocess: The model's input transform.
        work: What the model is wanted for; its images and labels make the sample.
        seconds: How long each is timed.

    Attributes:
        judged: Something was measured.
        refusals: Ways that were refused twice, and why.
    """

    def __init__(
        self, reference: Reference, preprocess: Preprocess, work: Work, *, seconds: float = 2.0
    ) -> None:
        self._load = reference
        self._preprocess = preprocess
        self._work = work
        self._seconds = seconds
        self.judged = False
        self.refusals: dict[str, str] = {}

    @cached_property
    def sample(self) -> Sample:
        """What everything is measured on."""
        return take_sample(self._preprocess, self._work)

    @cached_property
    def reference(self) -> Measured:
        """Torch in float32 on the sample."""
        return measure(self._load(), self.sample, reference=None, seconds=self._seconds)

    def measure(self, encoder: EngineEncoder) -> Measured:
        """Measure an encoder beside the reference."""
        self.judged = True
        base = self.reference
        return measure(encoder, self.sample, reference=base, seconds=self._seconds)

    def judge(self, encoder: EngineEncoder, *, asked: bool, must_be_faster: bool) -> str | None:
        """Return why to take an encoder, or None after a line that says why not.

        A refusal is not believed before it was measured twice.

        Args:
            encoder: With both graphs open.
            asked: Its number format was asked for: it is taken, with a line on what it costs.
            must_be_faster: Than torch, or else it is not worth having.
        """
        measured = self.measure(encoder)
        refusal = self._refuse(measured, asked=asked, must_be_faster=must_be_faster)
        if refusal:
            measured = self.measure(encoder)
            refusal = self._refuse(measured, asked=asked, must_be_faster=must_be_faster)
        if refusal:
            self.refusals[str(encoder.way)] = refusal
            _LOG.warning("%s is not taken for %s: %s", encoder.way, encoder.name, refusal)
            return None
        if not measured.agreement.keeps_answers:
            said = str(measured.agreement)
            _LOG.warning("%s changes the answers of %s: %s", encoder.way, encoder.name, said)
        return f"{encoder.way.reason}; {self._rates(measured)}"

    @property
    def surprise(self) -> str:
        """Which fp32 ways were refused, and why: they should be right, and faster than torch."""
        odd = [f"{way}: {why}" for way, why in self.refusals.items() if way.endswith(" fp32")]
        return "; ".join(odd)

    def _refuse(self, measured: Measured, *, asked: bool, must_be_faster: bool) -> str:
        if not measured.agreement.keeps_answers and not asked:
            return str(measured.agreement)
        if must_be_faster and measured.images_per_second <= self.reference.images_per_second:
            return self._rates(measured)
        return ""

    def _rates(self, measured: Measured) -> str:
        return (
            f"{per_second(measured.images_per_second)} images/s here against "
            f"{per_second(self.reference.images_per_second)} with torch fp32; "
            f"{measured.agreement} ({self.sample.source})"
        )
