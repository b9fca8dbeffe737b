"""A head with all that makes it a classifier: its data, calibration, encoder, saved form.

It knows nothing about comparing methods.
"""

from __future__ import annotations
