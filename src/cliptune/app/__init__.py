"""The local page over the loop: look, label, re-fit, prove, ship.

Everything that the page does is a function here or in ``workflows`` and an endpoint with a schema;
the scripts of the page only show and ask. It serves this machine alone.
"""

from __future__ import annotations
