"""A way of computing on trial: is it fast here, and does it keep the answers?

The judgement is by rule; it knows nothing about what is remembered of it.
"""

from __future__ import annotations

import logging
from functools import cached_property

from cliptune.encoders.engines.encoder import EngineEncoder, Reference
from cliptune.encoders.engines.measuring import Measured, Sample, Work, measure, take_sample
from cliptune.encoders.preprocess import Preprocess
from cliptune.formatting import per_second

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
    """

    def __init__(
        self, reference: Reference, preprocess: Preprocess, work: Work, *, seconds: float = 2.0
    ) -> None:
        self._load = reference
        self._preprocess = preprocess
        self._work = work
        self._seconds = seconds
        self.judged = False

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

        Args:
            encoder: With both graphs open.
            asked: Its number format was asked for: it is taken, with a line on what it costs.
            must_be_faster: Than torch, or else it is not worth having.
        """
        measured, base = self.measure(encoder), self.reference
        agreement = measured.agreement
        rates = (
            f"{per_second(measured.images_per_second)} images/s here against "
            f"{per_second(base.images_per_second)} with torch fp32; {agreement} "
            f"({self.sample.source})"
        )
        if not agreement.keeps_answers:
            if not asked:
                _LOG.warning("%s is not taken for %s: %s", encoder.way, encoder.name, agreement)
                return None
            _LOG.warning("%s changes the answers of %s: %s", encoder.way, encoder.name, agreement)
        if must_be_faster and measured.images_per_second <= base.images_per_second:
            _LOG.info("%s is not taken: %s", encoder.way, rates)
            return None
        return f"{encoder.way.reason}; {rates}"
