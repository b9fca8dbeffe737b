"""``python -m cliptune``."""

from cliptune.cli import main

main()
