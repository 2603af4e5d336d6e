"""Remembers which folders the ids of an index come from, so that no other folder replaces them.

The id of a file of text or of source code is its path within the folder that was named. If two
folders with a README.md each were indexed into one index, one document would replace the other. So
an index remembers the folders, and the files that were named directly, by their paths relative to
its own folder. A folder that was moved has no files at its old path, so it can still be updated.
Folders of object stores are not remembered: looking there would take a request for each file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from taskembed.errors import UsageError
from taskembed.reading.corpus_files import is_same_file
from taskembed.reading.places import Place
from taskembed.reading.streams import Input

_REMEMBERED = 500  # most folders and single files that are remembered; the latest are kept


def with_ids_of(inputs: Sequence[Input], index: Path, remembered: str | None) -> str | None:
    """Return the folders that the ids of an index come from, including those of new files.

    Args:
        inputs: the files of a run.
        index: the folder of the index.
        remembered: the result of an earlier run; None for none.

    Returns:
        JSON: paths, relative to the index; those of folders end in "/". None for none.

    Raises:
        UsageError: a file has the id of another file, which exists and was indexed earlier.
    """
    start = os.path.realpath(index)
    known = _read(remembered)
    files = [(item, item.path) for item in inputs if item.path and item.path_in_input]
    earlier = _Earlier(known, start)
    for item, path in files if known else ():
        earlier.require_own_id(item, path)
    named = dict.fromkeys(
        (place, item.id_folder is not None)
        for item, path in files
        if isinstance(place := item.id_folder or path, Path)
    )
    new = [_relative(path, start) + "/" * is_folder for path, is_folder in named]
    names = [*(name for name in known if name not in new), *new]
    return json.dumps(names[-_REMEMBERED:]) if names else None


def _read(remembered: str | None) -> list[str]:
    try:
        names = json.loads(remembered or "[]")
    except ValueError:  # a newer version may write it otherwise
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _relative(path: Path, start: str) -> str:
    """Return a path from the folder of the index; links in the path stay as they are."""
    return os.path.relpath(path.absolute(), start)


class _Earlier:
    """The folders of earlier runs, and the files that were named directly.

    Args:
        names: the remembered names.
        start: the path that the names are relative to.
    """

    def __init__(self, names: Sequence[str], start: str) -> None:
        self._folders: list[Path] = []
        self._files: dict[str, list[Path]] = {}  # by their ids
        for name in names:
            place = Path(os.path.normpath(f"{start}/{name}"))
            if name.endswith("/"):
                self._folders.append(place)
            else:
                self._files.setdefault(place.name, []).append(place)

    def require_own_id(self, item: Input, path: Place) -> None:
        """Refuse a file if another file with its id exists in an earlier folder.

        Raises:
            UsageError: there is such a file.
        """
        name = item.path_in_input
        own = Path(os.path.normpath(path.absolute())) if isinstance(path, Path) else None
        for other in (*(place / name for place in self._folders), *self._files.get(name, ())):
            if other != own and other.is_file() and not is_same_file(other, path):
                raise UsageError(
                    f"{item.name} would replace {other} in the index: both have the id {name!r}, "
                    "the path in the folder that was named",
                    hint="keep this folder in an index of its own, with --index OTHER; or begin "
                    "again with --recreate: with this folder alone, or with the folder that "
                    "contains both. Nothing was changed",
                )
