"""Who may see which image: partitions, the locked test, near-duplicates on one side.

It knows nothing about models.
"""

from __future__ import annotations
