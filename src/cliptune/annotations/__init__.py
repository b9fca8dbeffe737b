"""What people say of images: acts in a journal, kept by the content of the image.

This package knows digests of images, and nothing about models or pages. Images are never moved or
changed; what was said of them is a file beside the runs.
"""

from __future__ import annotations

from cliptune.annotations.acts import Act, Answer
from cliptune.annotations.journal import Journal

__all__ = ["Act", "Answer", "Journal"]
