"""Opening the database of a study: its address, its locks, whose study it is.

It knows nothing about trials.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.errors import InputError, MissingExtraError, RunError, UnavailableError
from cliptune.features import DataIdentity
from cliptune.sweeps.locks import FileLocks, Locks, PostgresLocks
from cliptune.system.redaction import hide_password, hide_passwords

if TYPE_CHECKING:
    from optuna.study import Study
    from sqlalchemy.engine import URL

__all__ = ["disconnect", "open_study", "reached", "require_address", "without_password"]

_REMEDY = "name another study with --study"


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Turn what a driver says about an address into one line that shows no password."""
    try:
        from sqlalchemy.exc import ArgumentError, DBAPIError
    except ModuleNotFoundError as error:
        raise MissingExtraError("sweep", "a sweep") from error
    try:
        yield
    except ArgumentError as error:
        raise _wrong_address(url) from error
    except DBAPIError as error:
        reason = hide_passwords(str(error.orig).strip().splitlines()[0])
        raise UnavailableError(
            f"cannot reach the storage {without_password(url)} ({reason}); check the address and "
            "that its server runs, or leave out --storage"
        ) from error


def without_password(url: str) -> str:
    """Return an address as it may be shown."""
    return hide_password(url)


def open_study(
    url: str, name: str, identity: Mapping[str, Any], images: DataIdentity
) -> tuple[Study, Locks]:
    """Open a study with its locks, or begin it; what is refused leaves nothing open.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        name: Name of the study in the database.
        identity: All else that makes trials comparable, as plain JSON values.
        images: What all trials learn from and are judged on.
    """
    import optuna
    from sqlalchemy.engine import make_url

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    address = make_url(url)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    try:
        locks = _open_locks(address, url, name)
    except ModuleNotFoundError as error:
        raise MissingExtraError("postgresql", "a study in PostgreSQL") from error
    with locks.exclusive():
        storage = optuna.storages.RDBStorage(
            address.render_as_string(hide_password=False),
            engine_kwargs={"connect_args": _connect_arguments(address)},
        )
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        try:
            _require_same_identity(study, name, identity, images)
        except RunError:
            locks.close()
            disconnect(study)
            raise
    return study, locks


def disconnect(study: Study) -> None:
    """Let go of a study's database."""
    from optuna.storages import RDBStorage

    study._storage.remove_session()
    backend = getattr(study._storage, "_backend", study._storage)  # Optuna wraps it in a cache
    if isinstance(backend, RDBStorage):
        backend.engine.dispose()


def require_address(url: str) -> None:
    """Make sure, without connecting, that an address is one of a study.

    Raises:
        InputError: It is of another kind, or none at all.
        MissingExtraError: Sweeps are not installed.
    """
    with reached(url):
        from sqlalchemy.engine import make_url

        address = make_url(url)
        _require_kind(address, url)


def _require_kind(address: URL, url: str) -> None:
    kind = address.get_backend_name()
    if kind != "postgresql" and not (kind == "sqlite" and address.database):
        raise _wrong_address(url)


def _wrong_address(url: str) -> InputError:
    return InputError(
        f"--storage {without_password(url)!r} is no address of a study; expected sqlite:///PATH or "
        "postgresql://USER@HOST/DATABASE"
    )


def _open_locks(address: URL, url: str, name: str) -> Locks:
    _require_kind(address, url)
    if address.get_backend_name() == "sqlite":
        return FileLocks(Path(f"{address.database}.locks"))
    return PostgresLocks(address.update_query_dict({"connect_timeout": "5"}), name)


def _connect_arguments(address: URL) -> dict[str, Any]:  # Any: each driver's own
    return {"timeout": 60} if address.get_backend_name() == "sqlite" else {"connect_timeout": 5}


def _require_same_identity(
    study: Study, name: str, identity: Mapping[str, Any], images: DataIdentity
) -> None:
    wanted = json.loads(json.dumps({**identity, "images": images.digest}))
    found = study.user_attrs.get("identity")
    if found is None:
        # First the images: a study that says whose it is can always say which images those are.
        study.set_user_attr("images", b64encode(images.to_bytes()).decode())
        study.set_user_attr("identity", wanted)
        return
    if found.get("images") != wanted["images"]:
        images.require_same(_recorded_images(study), f"study {name!r}", remedy=_REMEDY)
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        shown = ", ".join(f"{key}: {found.get(key)}, here {wanted[key]}" for key in differing)
        raise RunError(
            f"study {name!r} was begun with other options ({shown}); repeat its options or name "
            "another with --study"
        )


def _recorded_images(study: Study) -> DataIdentity | None:
    """Read which images a study rests on; nothing where a version before did not record it."""
    try:
        return DataIdentity.from_bytes(b64decode(study.user_attrs["images"]))
    except (KeyError, TypeError, ValueError):  # RunError is a ValueError
        return None
