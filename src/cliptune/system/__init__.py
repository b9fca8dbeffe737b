"""What the machine and its files ask for: whole files, names, numbers, memory.

It knows nothing about images or models.
"""

from __future__ import annotations
