"""Where inputs are: paths of this machine, and objects of a store, which answer as paths do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path, PurePath
from typing import Any, Literal, Protocol, Self

from taskembed.errors import from_os_error
from taskembed.objects import is_address
from taskembed.reading._object_path import MAGIC, ObjectPath, object_path


class Place(Protocol):
    """A file or a folder: what readers ask of `pathlib.Path`.

    An object of a store refuses with errors of ours, and a local path with those of the operating
    system.
    """

    @property
    def name(self) -> str:
        """The last part."""

    @property
    def suffixes(self) -> list[str]:
        """The endings of the name: [".jsonl", ".gz"]."""

    @property
    def suffix(self) -> str:
        """The last ending of the name; "" if it has none."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the folders, and the name."""

    @property
    def parent(self) -> Self:
        """The folder that it is in."""

    def __truediv__(self, name: str, /) -> Self:
        """Return what has a name in this folder."""

    def __lt__(self, other: Any, /) -> bool:  # noqa: ANN401  # as pathlib
        """Return whether it is sorted before another place."""

    def exists(self) -> bool:
        """Return whether there is such a file or folder."""

    def is_dir(self) -> bool:
        """Return whether it is a folder."""

    def is_file(self) -> bool:
        """Return whether it is a file."""

    def is_symlink(self) -> bool:
        """Return whether it is a link."""

    def stat(self) -> os.stat_result:
        """Return its size, its type, and when it was modified."""

    def open(self, mode: Literal["rb"], /) -> BufferedReader:
        """Open the file."""

    def relative_to(self, other: Any, /) -> PurePath:  # noqa: ANN401  # as pathlib
        """Return the path within a folder."""

    def glob(self, pattern: str, /) -> Iterator[Self]:
        """Yield what matches a pattern in this folder."""


def place_of(argument: str) -> Place:
    """Return the place that an argument names: a path, or an address such as s3://bucket/key.

    Raises:
        UsageError: it is an address that names nothing which could be read.
        MissingLibraryError: it is an address, and the library of objects is not installed.
    """
    return object_path(argument) if is_address(argument) else Path(argument)


def split_pattern(argument: str) -> tuple[Place, str] | None:
    """Return the folder before a pattern, and the pattern within it; None if it is no pattern.

    split_pattern("notes/2024/**/*.md") is (Path("notes/2024"), "**/*.md").

    Raises:
        UsageError: it is a pattern of a server that cannot list its files.
    """
    place = place_of(argument)
    if isinstance(place, ObjectPath):
        place.require_listing_for_pattern()
        if place.is_alone:
            return None
    parts = place.parts
    fixed = next((row for row, part in enumerate(parts) if set(MAGIC) & set(part)), None)
    if fixed is None:
        return None
    rest = str(PurePath(*parts[fixed:]))
    if isinstance(place, ObjectPath):
        return place.at("/".join(parts[:fixed])), rest
    return Path(*parts[:fixed]), rest


def walk(folder: Place) -> Iterator[tuple[Place, list[str], list[str]]]:
    """Yield each folder with the names of its folders and files, as `os.walk` does.

    A folder is not entered if the caller removes its name from the list. No link is followed.

    Raises:
        AccessDeniedError: a folder may not be read.
    """
    if isinstance(folder, ObjectPath):
        yield from folder.walk()
        return

    def stop(error: OSError) -> None:
        raise from_os_error(error, str(error.filename)) from error

    for name, folders, files in os.walk(str(folder), onerror=stop):
        yield Path(name), folders, files
