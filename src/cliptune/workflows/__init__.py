"""One verb a module: everything that a command does, without printing.

Verbs take plain values and options, tell how far they are to a callback, and return a result.
Command line, notebooks and other programs call the same ones.
"""

from __future__ import annotations
