"""Files of the Hugging Face hub: from its cache, else fetched, else one plain refusal in time.

It knows repositories and file names, and nothing about what the files mean.

``huggingface_hub`` repeats a request that fails, for minutes where a firewall swallows it. So
nothing here lets it talk to the network before the host has answered a short question of ours.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cliptune.errors import UnavailableError
from cliptune.system.formatting import duration

__all__ = [
    "cached_file",
    "fetch_file",
    "fetch_tokenizer",
    "has_tokenizer",
    "offline",
    "old_cache_file",
    "tokenizer_files",
]

_log = logging.getLogger(__name__)
_OFFLINE: ContextVar[bool] = ContextVar("cliptune_offline", default=False)

_ANSWER_SECONDS = 3.0
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
_TOKENIZER_FILES = (
    *_VOCABULARIES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)


@contextmanager
def offline(wanted: bool = True) -> Iterator[None]:
    """Fetch nothing within the block: what is in the cache is used, all else is refused."""
    token = _OFFLINE.set(wanted or _OFFLINE.get())
    try:
        yield
    finally:
        _OFFLINE.reset(token)


def cached_file(repo: str, filenames: Sequence[str], *, revision: str | None = None) -> Path | None:
    """Find the first of some files of a repository in the local cache, without the network."""
    from huggingface_hub import try_to_load_from_cache

    for filename in filenames:
        found = try_to_load_from_cache(repo, filename, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def old_cache_file(url: str) -> Path | None:
    """Find what OpenAI's package or an older open_clip has fetched from an address."""
    name = url.rpartition("/")[2]
    path = Path.home() / ".cache" / "clip" / name
    return path if name and path.is_file() else None


def fetch_file(
    repo: str, filenames: Sequence[str], *, purpose: str, revision: str | None = None
) -> Path:
    """Return the first of some files that the repository has, from the cache or fetched.

    Args:
        repo: ``OWNER/NAME``.
        filenames: Wanted names, the best first.
        purpose: What the file is, for the message, e.g. ``"the weights of RN50/openai"``.
        revision: A branch, tag or commit; the main branch otherwise.

    Raises:
        UnavailableError: There is none in the cache and the hub does not answer, refuses, or
            has none of them; raised within seconds.
    """
    if found := cached_file(repo, filenames, revision=revision):
        return found
    _require_hub(purpose)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HTTPError, LocalEntryNotFoundError

    for filename in filenames:
        try:
            path = hf_hub_download(repo, filename, revision=revision, etag_timeout=_ANSWER_SECONDS)
            return Path(path)
        except LocalEntryNotFoundError as error:  # the hub stopped answering
            raise _unavailable(purpose, _first_line(error)) from error
        except EntryNotFoundError:
            _log.debug("%s has no %s", repo, filename)
        except (OSError, HTTPError) as error:  # refused, gated, no such repository, full disk
            raise _unavailable(purpose, _why_refused(error, repo, revision)) from error
    raise _unavailable(purpose, f"{repo} on the hub has none of {', '.join(filenames)}")


def fetch_tokenizer(repo: str, *, purpose: str, revision: str | None = None) -> Path:
    """Return a folder with the files of a repository's tokenizer.

    Raises:
        UnavailableError: As for ``fetch_file``.
    """
    if found := cached_file(repo, _VOCABULARIES, revision=revision):
        return found.parent
    _require_hub(purpose)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HTTPError, LocalEntryNotFoundError

    fetched: list[Path] = []
    # Vocabularies last: where one is in the cache, all else that there is has come before it.
    for filename in (*_TOKENIZER_FILES[len(_VOCABULARIES) :], *_VOCABULARIES):
        try:
            fetched.append(Path(hf_hub_download(repo, filename, revision=revision)))
        except LocalEntryNotFoundError as error:  # the hub stopped answering
            raise _unavailable(purpose, _first_line(error)) from error
        except EntryNotFoundError:
            _log.debug("%s has no %s", repo, filename)
        except (OSError, HTTPError) as error:
            raise _unavailable(purpose, _why_refused(error, repo, revision)) from error
    if not fetched or not has_tokenizer(fetched[-1].parent):
        raise _unavailable(purpose, f"{repo} on the hub has no vocabulary")
    return fetched[-1].parent


def has_tokenizer(folder: Path) -> bool:
    """Say whether a folder holds a tokenizer's vocabulary."""
    return any((folder / name).is_file() for name in _VOCABULARIES)


def tokenizer_files(folder: Path) -> list[Path]:
    """Return the files in a folder that a tokenizer may read."""
    return [path for name in _TOKENIZER_FILES if (path := folder / name).is_file()]


def _why_refused(error: BaseException, repo: str, revision: str | None) -> str:
    """Say in a clause why the hub gave nothing, and what would help."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return (
            f"{repo} is gated: accept its terms on its page, then set HF_TOKEN or log in with "
            "'hf auth login'"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}; name a branch, a tag or a commit of it"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub has no repository {repo}, or it is private: check the name, or set HF_TOKEN"
        )
    return _first_line(error)


def _require_hub(purpose: str) -> None:
    from huggingface_hub import constants

    if _OFFLINE.get():
        raise _unavailable(purpose, "--offline was given")
    if constants.HF_HUB_OFFLINE:
        raise _unavailable(purpose, "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set")
    if reason := _why_unreachable(constants.ENDPOINT):
        raise _unavailable(purpose, reason)


def _why_unreachable(endpoint: str) -> str:
    """Ask a host for its front page; return why it cannot be reached, or nothing.

    In a thread, because a timeout of a socket bounds neither the look-up of a name nor an
    answer that comes drop by drop.
    """
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(_ask(endpoint)), daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS + 1)
    if not reasons:
        return f"{endpoint} did not answer within {duration(_ANSWER_SECONDS + 1)}"
    return f"{endpoint} cannot be reached ({reasons[0]})" if reasons[0] else ""


def _ask(endpoint: str) -> str:
    import http.client  # these load TLS, which a start with the files here does without
    import urllib.error
    import urllib.request

    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        opener = urllib.request.build_opener()  # urlopen would keep the first call's proxies
        with opener.open(request, timeout=_ANSWER_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        is_proxy_or_broken = error.code == 407 or error.code >= 500
        error.close()
        return f"HTTP {error.code}" if is_proxy_or_broken else ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(getattr(error, "reason", "") or error) or type(error).__name__


def _unavailable(purpose: str, reason: str) -> UnavailableError:
    from huggingface_hub import constants

    return UnavailableError(
        f"cannot get {purpose}: {reason}; use 'lite', which needs no network, or a local folder "
        f"or checkpoint file, or put the repository into the cache folder {constants.HF_HUB_CACHE}"
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
