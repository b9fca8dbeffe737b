"""Which images to label next, what that is worth, and which labels to look at again.

This package sees vectors, labels and probabilities, and knows nothing about files or pages.
"""

from __future__ import annotations
