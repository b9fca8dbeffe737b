"""What each verb gives: typed records with a version, read and written as JSON.

They are what the command line prints, what runs keep and what notebooks show. This package knows
nothing about how results come about.
"""

from __future__ import annotations
