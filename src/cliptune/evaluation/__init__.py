"""Labels and scores in, numbers with intervals out.

It knows nothing about how a classifier came about.
"""

from __future__ import annotations
