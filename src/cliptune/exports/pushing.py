"""Uploading a folder to the hub, which happens only where somebody asked for it.

It knows the hub's client and nothing about what is in the folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from cliptune.errors import InputError, UnavailableError

__all__ = ["push_folder", "require_repository"]


def require_repository(name: str) -> None:
    """Make sure that a name is ``OWNER/NAME``.

    Raises:
        InputError: It is not.
    """
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise InputError(f"--push {name!r} is no OWNER/NAME")


def push_folder(folder: Path, name: str) -> str:
    """Upload a folder as a private model.

    Args:
        folder: What to upload.
        name: ``OWNER/NAME``; made where it is missing.

    Returns:
        Its address.

    Raises:
        UnavailableError: The hub refuses it, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled

    api = HfApi()
    try:
        address = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Export of cliptune")
    except (HTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UnavailableError(
            f"cannot push to {name!r} ({reason}); the folder {str(folder)!r} is written: sign in "
            "with 'hf auth login' and upload it"
        ) from error
    return str(address)
