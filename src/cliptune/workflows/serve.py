"""``serve``: finished runs and exports behind HTTP.

It knows nothing about how options are read; a server gives no result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cliptune.system.places import require_writable
from cliptune.workflows.progress import ProgressLike, watching

if TYPE_CHECKING:
    from cliptune.serving.settings import ServeSettings

__all__ = ["serve"]


def serve(
    runs: str | Path | Sequence[str | Path],
    *,
    settings: ServeSettings | None = None,
    progress: ProgressLike = None,
) -> None:
    """Serve runs until a signal ends the process.

    Args:
        runs: Folders of finished runs or of exports; ``NAME=FOLDER`` gives one another name.
        settings: How; its runs are replaced by these.
        progress: A callback, or True for lines on standard error: told the address.

    Raises:
        InputError: A number is out of range, two runs have one name, or others can read the
            token.
        RunError: A run is missing, unfinished or altered, or holds no classifier.
        UnavailableError: The address is taken.
        MissingExtraError: What a server is made of is not installed.
    """
    from cliptune.serving.opening import require_servable
    from cliptune.serving.server import require_server, run_server
    from cliptune.serving.settings import ServeSettings, name_runs, read_token

    given = [runs] if isinstance(runs, str | Path) else list(runs)
    whole = replace(settings or ServeSettings(runs={}), runs=name_runs(given))
    whole.require_sound()
    require_server()
    if whole.cache_dir is not None:
        require_writable(Path(whole.cache_dir), "--cache-dir")
    if whole.token_file is not None:
        read_token(whole.token_file)
    for folder in whole.runs.values():
        require_servable(folder)
    watch = watching(progress)

    def tell(address: str) -> None:
        watch.note(f"serving {', '.join(whole.runs)} on {address} (end with Ctrl-C)")

    run_server(whole, tell)
