"""The encoder of an embedding job, opened again as its record says.

It knows jobs and sessions, and nothing about what is embedded with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.errors import InputError
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.scale import EncoderRecipe
    from cliptune.scale.plan import Plan

__all__ = ["open_job_encoder", "require_embedded_by"]


def open_job_encoder(folder: Path, plan: Plan, session: Session) -> DualEncoder:
    """Open the encoder that embedded, on the engine and in the precision that it had.

    Args:
        folder: Of the job, for messages.
        plan: What the job says of itself.
        session: Where the cache is, and the device.

    Raises:
        InputError: Its name means other weights here than when the job was embedded.
        CliptuneError: It cannot be loaded.
    """
    from cliptune.encoders.hub import offline
    from cliptune.scale.shard import open_recipe

    with offline(session.compute.offline):
        encoder = open_recipe(_recipe(plan, session))
    require_embedded_by(encoder, folder, plan)
    return encoder


def require_embedded_by(encoder: DualEncoder, folder: Path, plan: Plan) -> None:
    """Make sure that an encoder is the one that a job was embedded with.

    Raises:
        InputError: It is another.
    """
    if encoder.fingerprint != plan.facts.get("fingerprint"):
        raise InputError(
            f"{encoder.name!r} has other weights than when {str(folder)!r} was embedded; name the "
            "model as it was then"
        )


def _recipe(plan: Plan, session: Session) -> EncoderRecipe:
    from cliptune.scale import EncoderRecipe

    return EncoderRecipe(
        model=str(plan.facts.get("model")),
        fingerprint=str(plan.facts.get("fingerprint")),
        engine=str(plan.facts.get("engine")),
        precision=str(plan.facts.get("precision")),
        device=session.compute.device,
        cache_dir=session.store.cache_dir,
    )
