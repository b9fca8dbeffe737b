"""Which units a data set of the Hugging Face hub has: its files.

A unit is a shard of the library's stream, which is a file; of data sets that are folders of
images, several files that follow each other. No image is fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cliptune.catalog.fetch import require_reachable
from cliptune.errors import InputError, UnavailableError
from cliptune.images.hub import explain_hub, parse_hub_name
from cliptune.images.hub_reading import HubUnit, in_groups, open_stream
from cliptune.images.split_words import split_of
from cliptune.images.tree import is_image_name

__all__ = ["find_hub_units"]

_GROUP_BYTES = 100 * 10**6  # of single images that become a unit
_PATHS_A_REQUEST = 500


def find_hub_units(name: str, split: str | None = None) -> tuple[HubUnit, ...]:
    """Find the units of ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@CONFIG``; no image is fetched.

    Args:
        name: The data set.
        split: Only this one of its splits.

    Raises:
        InputError: The name has another form, or there is no such data set or split.
        UnavailableError: The hub cannot be reached.
    """
    from huggingface_hub import constants

    repository, config = parse_hub_name(name)
    if constants.HF_HUB_OFFLINE:
        raise UnavailableError(
            f"cannot stream {name!r}: HF_HUB_OFFLINE is set; leave --stream out to take what is "
            "in the cache"
        )
    require_reachable(constants.ENDPOINT)
    return explain_hub(name, lambda: _find(repository, config, split))


def _find(repository: str, config: str | None, split: str | None) -> tuple[HubUnit, ...]:
    import datasets
    from huggingface_hub import HfApi

    revision = str(HfApi().dataset_info(repository).sha)
    builder = datasets.load_dataset_builder(repository, config, revision=revision)
    files_of = builder.config.data_files or {}
    streams = dict(open_stream(repository, config, revision))
    if split is not None:
        wanted = [one for one in streams if one == split or split_of(one) == split_of(split)]
        if not wanted:
            raise InputError(f"{repository!r} has no split {split!r}; it has {', '.join(streams)}")
        streams = {one: streams[one] for one in wanted}
    units: list[HubUnit] = []
    for own, rows in streams.items():
        files = [str(file) for file in files_of.get(own, ())]
        facts = _facts_of(files, repository, revision)
        of = _n_units(files, rows.num_shards, sum(size for size, _ in facts))
        for number in range(of):
            place = _stretch(len(files), of, number) if len(files) >= of else slice(0, None)
            units.append(
                HubUnit(
                    f"{own}/{number:05d}",
                    _shown((files[place] or [f"hf://datasets/{repository}"])[0], revision),
                    sum(size for size, _ in facts[place]),
                    _joined([mark for _, mark in facts[place]]) or revision,
                    *(repository, config, revision, own, number, of, rows.num_shards),
                )
            )
    return tuple(units)


def _n_units(files: Sequence[str], n_shards: int, n_bytes: int) -> int:
    """Say into how many units a split goes: its shards, unless each is a single picture."""
    if files and all(is_image_name(file.rpartition("/")[2]) for file in files):
        return max(1, min(n_shards, -(-n_bytes // _GROUP_BYTES)))
    return n_shards


def _stretch(n: int, of: int, number: int) -> slice:
    """Return which of n files a stretch has, as ``IterableDataset.shard`` cuts them."""
    least, more = divmod(n, of)
    start = least * number + min(number, more)
    return slice(start, start + least + (number < more))


def _facts_of(files: Sequence[str], repository: str, revision: str) -> list[tuple[int, str]]:
    """Ask for the sizes of files and the digests of what is in them."""
    from huggingface_hub import HfApi

    before = f"hf://datasets/{repository}@{revision}/"
    paths = [file.removeprefix(before) for file in files if file.startswith(before)]
    found: dict[str, tuple[int, str]] = {}
    for some in in_groups(paths, _PATHS_A_REQUEST):
        for one in HfApi().get_paths_info(repository, some, repo_type="dataset", revision=revision):
            found[one.path] = (int(getattr(one, "size", 0)), str(getattr(one, "blob_id", "")))
    return [found.get(file.removeprefix(before), (0, file)) for file in files]


def _joined(marks: Sequence[str]) -> str:
    if len(marks) < 2:
        return "".join(marks)
    return hashlib.sha256("\0".join(marks).encode()).hexdigest()


def _shown(file: str, revision: str) -> str:
    return file.replace(f"@{revision}", "")
