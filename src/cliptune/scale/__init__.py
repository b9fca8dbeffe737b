"""Embedding by shards: each becomes one file, whoever computes it.

What is done and what is not is read from the folder alone; an executor (processes here, or Ray)
only computes. This package knows nothing about heads.
"""

from __future__ import annotations

from cliptune.scale.job import JobSummary, run_job
from cliptune.scale.plan import JobPlan, plan_job
from cliptune.scale.shard import EncoderRecipe

__all__ = ["EncoderRecipe", "JobPlan", "JobSummary", "plan_job", "run_job"]
