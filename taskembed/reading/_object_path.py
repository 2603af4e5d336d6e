"""Objects of a store as paths: an object is a file, and the part of a key before a / is a folder.

folder = object_path("s3://bucket/docs")
for path in folder.glob("**/*.parquet"):
print(path.name, path.stat().st_size)
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from taskembed.activity import doing
from taskembed.errors import AccessDeniedError, BadInputError, NotFoundError, UsageError
from taskembed.object_errors import NoPartsError
from taskembed.object_reader import open_object
from taskembed.objects import SERVERS, Store, StoredObject, open_store, shown

MAGIC = "*?["  # characters of a pattern
MAX_OBJECTS = 200_000  # below one folder; what is known of them takes 100 MB


def object_path(address: str) -> ObjectPath:
    """Return the path of an address: s3://bucket/key, gs://, az://, https://, http://.

    Keys are taken as they are; only the addresses of https and http are percent-encoded.

    Raises:
        UsageError: the address cannot be used.
        MissingLibraryError: the library of objects is not installed.
    """
    scheme, _, rest = address.partition("://")
    if scheme.lower() in SERVERS:
        key = unquote(urlsplit(address).path).removeprefix("/")
        return ObjectPath(address, key, _Known(open_store(address), is_alone=True))
    bucket, _, key = rest.partition("/")
    root = f"{scheme}://{bucket}"
    return ObjectPath(root, key, _Known(open_store(root)))


class _Known:
    """What a store has said of its objects, so that it is asked once."""

    def __init__(self, store: Store, *, is_alone: bool = False) -> None:
        self.store = store
        self.is_alone = is_alone
        self._objects: dict[str, StoredObject | None] = {}
        self._listings: dict[str, list[str]] = {}

    def name(self, key: str) -> str:
        """Return by which name the store knows a key."""
        return "" if self.is_alone else key

    def about(self, key: str) -> StoredObject | None:
        """Return what is said of an object; None if there is none."""
        if key not in self._objects:
            with doing(f"asking for {self.store.shown(self.name(key))}", waits_for_others=True):
                self._objects[key] = self._asked(self.name(key))
        return self._objects[key]

    def _asked(self, name: str) -> StoredObject | None:
        try:
            if self.is_alone:  # an address may be signed for reading, and not for asking about it
                with suppress(NoPartsError):
                    return self.store.part(name, 0, 1)[1]
            return self.store.about(name)
        except NotFoundError:
            return None

    def below(self, folder: str) -> list[str]:
        """Return the keys of the objects below a folder.

        Raises:
            BadInputError: there are too many.
        """
        if folder not in self._listings:
            self._listings[folder] = list(self._listed(folder))
        return self._listings[folder]

    def _listed(self, folder: str) -> Iterator[str]:
        start = f"{folder}/" if folder else ""
        with doing(
            f"listing {self.store.shown(folder)}", unit="objects", waits_for_others=True
        ) as step:
            for found in self.store.listed(folder):
                if not found.name.startswith(start):  # the empty object that some tools put there
                    continue
                step.done += 1
                if step.done > MAX_OBJECTS:
                    raise BadInputError(
                        f"there are more than {MAX_OBJECTS:,} objects below it",
                        what=self.store.shown(folder),
                        hint="name its folders, and index them one after the other",
                    )
                self._objects[found.name] = found
                yield found.name


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object, or a folder of objects; it answers as `pathlib.Path` does.

    Attributes:
        root: the address of the bucket; of a server over HTTP, the whole address.
        key: the path in the bucket; it ends with a / if it can only be a folder.
    """

    root: str = field(repr=False)
    key: str
    _known: _Known = field(compare=False, repr=False)

    def __str__(self) -> str:
        """Return the address as it may be printed: without what gives access."""
        return shown(self.root) if self.is_alone else self._known.store.shown(self.key)

    @property
    def is_alone(self) -> bool:
        """Whether its server knows no folders."""
        return self._known.is_alone

    @property
    def _pure(self) -> PurePosixPath:
        return PurePosixPath(self.key)

    @property
    def name(self) -> str:
        """The part of the key after the last /."""
        return self._pure.name

    @property
    def suffixes(self) -> list[str]:
        """The endings of the name."""
        return self._pure.suffixes

    @property
    def suffix(self) -> str:
        """The last ending of the name."""
        return self._pure.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the key between its slashes."""
        return self._pure.parts

    @property
    def parent(self) -> ObjectPath:
        """The folder that it is in."""
        return self.at(self.key.rstrip("/").rpartition("/")[0])

    def at(self, key: str) -> ObjectPath:
        """Return another path in the same bucket."""
        return replace(self, key=key)

    def __truediv__(self, name: str, /) -> ObjectPath:
        """Return what has a name in this folder."""
        return self.at(f"{self._folder}/{name}" if self._folder else name)

    def relative_to(self, other: ObjectPath, /) -> PurePosixPath:
        """Return the path within a folder."""
        return self._pure.relative_to(other._pure)  # its own class

    def exists(self) -> bool:
        """Return whether there is such an object, or an object below it."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Return whether there is an object with this key.

        Raises:
            AccessDeniedError: the store does not permit to ask.
        """
        if not self._folder or self.key != self._folder:
            return False
        try:
            return bool(self._known.about(self.key))
        except AccessDeniedError:
            # who may read docs/* may not ask for docs itself, nor for docs/*.jsonl
            if not self.is_alone and (set(MAGIC) & set(self.key) or self._known.below(self.key)):
                return False
            raise

    def is_dir(self) -> bool:
        """Return whether there are objects below it, and none with its key.

        Raises:
            UsageError: its server cannot list what is below it.
            BadInputError: there are too many to list.
        """
        if self.is_alone:
            if self.key == self._folder and self.key:
                return False
            raise UsageError(
                "a server over HTTP does not list its files", what=str(self), hint=_NAME_EACH
            )
        return not self.is_file() and bool(self._known.below(self._folder))

    def is_symlink(self) -> bool:
        """Return False: stores have no links."""
        return False

    def stat(self) -> os.stat_result:
        """Return the object's size, and when it was modified.

        Raises:
            NotFoundError: there is no such object.
        """
        found = self._known.about(self.key)
        if found is None:
            raise NotFoundError("no such object", what=str(self), hint="check the address")
        modified = int(found.modified.timestamp())
        return os.stat_result(
            (stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, found.size, modified, modified, modified)
        )

    def open(self, _mode: Literal["rb"], /) -> BufferedReader:
        """Open the object, to be read from its beginning or at any position.

        Raises:
            NotFoundError: there is no such object.
            AccessDeniedError: it may not be read.
            ServerUnavailableError: its server cannot be reached, or fails.
        """
        return open_object(self._known.store, self._known.name(self.key))

    def glob(self, pattern: str, /) -> Iterator[ObjectPath]:
        """Yield the objects below this folder that match a pattern; ** is any number of folders."""
        asked = pattern.split("/")
        start = len(self._folder) + 1 if self._folder else 0
        for key in self._known.below(self._folder):
            if _matches(key[start:].split("/"), asked):
                yield self.at(key)

    def walk(self) -> Iterator[tuple[ObjectPath, list[str], list[str]]]:
        """Yield each folder with the names of its folders and objects, as `os.walk` does."""
        folders: dict[str, set[str]] = {}
        files: dict[str, list[str]] = {}
        for key in self._known.below(self._folder):
            place, _, name = key.rpartition("/")
            files.setdefault(place, []).append(name)
            while place != self._folder:
                outer, _, name = place.rpartition("/")
                if name in folders.setdefault(outer, set()):
                    break
                folders[outer].add(name)
                place = outer
        waiting = [self.at(self._folder)]
        while waiting:
            here = waiting.pop()
            inner = folders.get(here.key, set())
            names = sorted(inner)
            # an empty object with the name of a folder stands for the folder
            yield here, names, sorted(name for name in files.get(here.key, ()) if name not in inner)
            waiting += [here / name for name in reversed(names)]

    def require_listing_for_pattern(self) -> None:
        """Return when there is no pattern in the address, or the store can list what matches it.

        Raises:
            UsageError: there is one, and it cannot.
        """
        if self.is_alone and "*" in self.key:
            raise UsageError(
                "a server over HTTP does not list its files, so it has no patterns",
                what=str(self),
                hint=_NAME_EACH,
            )

    @property
    def _folder(self) -> str:
        """The key without a / at its end."""
        return self.key.rstrip("/")


_NAME_EACH = "name each file"


def _matches(names: Sequence[str], asked: Sequence[str]) -> bool:
    """Return whether the parts of a key match those of a pattern."""
    if not asked:
        return not names
    if asked[0] == "**":
        return any(_matches(names[skipped:], asked[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], asked[0]) and _matches(names[1:], asked[1:])
