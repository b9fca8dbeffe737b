"""Blank figures, colours and contact sheets.

It knows nothing about what is drawn.
"""

from __future__ import annotations
