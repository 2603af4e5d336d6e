"""The served indexes: their names, and the newest generation of each.

    served = ServedIndexes.of({"notes": Path("/srv/notes-index")}, encoder_of)
    with served.chosen("notes").held() as held:
        print(len(held.index))

An index is opened again if it has a new generation, or if its folder was replaced. A generation
stays open as long as a request uses it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from taskembed.errors import IndexDamagedError, NotFoundError, UsageError
from taskembed.escaping import escaped
from taskembed.index.disk.generations import names_in
from taskembed.index.disk.manifests import generations_of, manifest_name
from taskembed.index.reader import Index
from taskembed.outputs import resolved
from taskembed.space import EmbeddingSpace, Task
from taskembed.verbs.classify import Classifier
from taskembed.verbs.protocols import Encoder

SHOWN_NAME = 80  # most characters of a name in an error message
MOVE_SECONDS = 1.0  # how long to wait for an index that is being replaced
_PAUSE_SECONDS = 0.05

EncoderOf = Callable[[Index], Encoder]
_Stamp = tuple[int, int, int, int]  # generation, and device, inode and time of its manifest
_EncoderKey = tuple[EmbeddingSpace, str]  # the space, and the precision of the newest vectors


def names_of(folders: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Return folders of indexes by the names that agents use for them.

    Args:
        folders: pairs of a name, or "" for the name of the folder, and the folder. If several
            folders have the same name, the shortest distinct ends of their paths are used.

    Example:
        names_of([("", Path("/a/notes")), ("", Path("/b/notes"))])
        # {"a/notes": Path("/a/notes"), "b/notes": Path("/b/notes")}
    """
    known: dict[Path, str] = {}
    for name, folder in folders:
        place = resolved(folder)
        known.setdefault(place, escaped(name or place.name or "index"))
    return {
        name if list(known.values()).count(name) == 1 else _distinct_end(place, list(known)): place
        for place, name in known.items()
    }


def _distinct_end(folder: Path, every: Sequence[Path]) -> str:
    """Return the shortest end of a path that no other path has."""
    parts = folder.parts[1:]
    for length in range(1, len(parts)):
        end = parts[-length:]
        if sum(other.parts[1:][-length:] == end for other in every) == 1:
            return escaped("/".join(end))
    return escaped(str(folder))


@dataclass(slots=True, eq=False)
class Held:
    """A generation of an index, with its models; only valid within `ServedIndex.held`.

    Attributes:
        name: the name of the index.
        index: the open index.
    """

    name: str
    index: Index
    _encoders: _Encoders
    _classifier: Classifier | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def encoder(self) -> Encoder:
        """Return the encoder of the index, which is loaded only once.

        Raises:
            ModelUnavailableError: the model cannot be loaded.
        """
        return self._encoders.of(self.name, self.index)

    def classifier(self) -> Classifier:
        """Return the classifier of the index; the first call reads the labels of its documents.

        Raises:
            SpaceMismatchError: the index is for another task than classification.
            UsageError: the index has no labels.
            ModelUnavailableError: the model cannot be loaded.
        """
        with self._lock:
            if self._classifier is None:
                self._classifier = Classifier.of(self.index, self.encoder())
            return self._classifier


class _Encoders:
    """The encoder of each index; indexes of the same space share one."""

    def __init__(self, encoder_of: EncoderOf) -> None:
        self._encoder_of = encoder_of
        self._known: dict[str, tuple[_EncoderKey, Encoder]] = {}
        self._lock = threading.Lock()  # only one model is loaded at a time

    def of(self, name: str, index: Index) -> Encoder:
        key = (index.space, str(index.made_by.get("precision", "")))
        known = self._known.get(name)
        if known is not None and known[0] == key:
            return known[1]
        with self._lock:
            same = (item[1] for item in self._known.values() if item[0] == key)
            encoder = next(same, None) or self._encoder_of(index)
            self._known[name] = (key, encoder)
            return encoder


@dataclass(slots=True)
class _Generation:
    """An open generation: its manifest, and the number of requests that use it.

    It is closed when there is a newer one and no request uses it.
    """

    held: Held
    stamp: _Stamp | None
    users: int = 0
    is_old: bool = False

    def close_if_unused(self) -> None:
        if self.is_old and not self.users:
            self.held.index.close()


class ServedIndex:
    """An index whose newest generation is open."""

    def __init__(
        self, name: str, folder: Path, encoders: _Encoders, view: Task | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self.view = view  # the task of the served view; None for the first view
        self.task: Task | None = None  # the task in the generation that was opened last
        self.tasks: tuple[Task, ...] = ()  # the tasks of all views in that generation
        self._encoders = encoders
        self._lock = threading.Lock()
        self._current: _Generation | None = None

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Yield the newest generation, which stays open until the context ends.

        Raises:
            NotFoundError: the index does not exist, or no longer exists.
            IndexDamagedError: a file differs from what was written.
            NewerFormatError: the index was written by a newer taskembed.
        """
        with self._lock:
            current = self._newest()
            current.users += 1
        try:
            yield current.held
        finally:
            with self._lock:
                current.users -= 1
                current.close_if_unused()

    def close(self) -> None:
        """Close the index as soon as no request uses it."""
        with self._lock:
            self._retire()

    def _newest(self) -> _Generation:
        stamp = _stamp_of(self.folder)
        if self._current is not None and self._current.stamp == stamp is not None:
            return self._current
        seconds = MOVE_SECONDS if self._current else 0.0
        self._retire()
        index = self._opened(seconds)
        if self.view not in {None, index.space.task}:  # a different view was opened
            index.close()
            raise NotFoundError(f"{self.folder} no longer has a view for the task {self.view!s}")
        self.task, self.tasks = index.space.task, index.tasks
        self._current = _Generation(Held(self.name, index, self._encoders), stamp)
        return self._current

    def _opened(self, seconds: float) -> Index:
        """Open the index; wait a moment if it is being replaced."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return Index.open(self.folder, task=self.view)
            except (NotFoundError, IndexDamagedError):
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _retire(self) -> None:
        if self._current is not None:
            self._current.is_old = True
            self._current.close_if_unused()
            self._current = None


def _stamp_of(folder: Path) -> _Stamp | None:
    """Return a value that changes if an index has a new generation, or was replaced."""
    newest = max(generations_of(names_in(folder)), default=None)
    if newest is None:
        return None
    try:
        found = (folder / manifest_name(newest)).stat()
    except OSError:
        return None
    return newest, found.st_dev, found.st_ino, found.st_mtime_ns


@dataclass(frozen=True, slots=True)
class ServedIndexes:
    """All indexes of a server, by name."""

    by_name: Mapping[str, ServedIndex]

    @classmethod
    def of(cls, folders: Mapping[str, Path], encoder_of: EncoderOf) -> ServedIndexes:
        """Open indexes; their models are loaded when they are needed.

        The views after the first are served too, under names such as "notes:similarity".

        Args:
            folders: the folders by name.
            encoder_of: loads the encoder of an index.

        Raises:
            TaskembedError: an index cannot be opened.
        """
        encoders = _Encoders(encoder_of)
        by_name: dict[str, ServedIndex] = {}
        for name, place in folders.items():
            by_name[name] = served = ServedIndex(name, place, encoders)
            with served.held():
                pass
            for view in served.tasks[1:]:
                label = f"{name}:{view.value}"
                by_name[label] = other = ServedIndex(label, place, encoders, view)
                with other.held():
                    pass
        return cls(by_name)

    def close(self) -> None:
        """Close every index."""
        for served in self.by_name.values():
            served.close()

    def chosen(self, name: str | None, task: Task | None = None) -> ServedIndex:
        """Return the index with a name; without a name, the only one, or the only one for a task.

        Args:
            name: the name of an index; a path is not accepted.
            task: the task that the index should be for; a view for the task is preferred, and the
                guard compares the task later.

        Raises:
            UsageError: there is no such index; or there is no name, and not exactly one index fits.
        """
        if name is not None:
            if name in self.by_name:
                served = self.by_name[name]
                if task in {None, served.task}:
                    return served
                return self.by_name.get(f"{name}:{task}", served)
            shown = repr(name[:SHOWN_NAME])
            raise UsageError(f"there is no index {shown}", hint=f"the indexes: {self.listed()}")
        every = list(self.by_name.values())
        fitting = [served for served in every if served.task is task]
        if len(every) == 1:
            return every[0]
        if task is not None and len(fitting) == 1:
            return fitting[0]
        if task is not None and not fitting:
            raise UsageError(
                f"no index is for the task {task.value!r}",
                hint=f"the indexes: {self.listed()}; another one: "
                f"taskembed index CORPUS --task {task.value} --index {task.value}-index",
            )
        raise UsageError(
            "several indexes are served: name one", hint=f"the indexes: {self.listed()}"
        )

    def listed(self) -> str:
        """Return the names and tasks of the indexes, for a message."""
        shown = [f"{item.name} ({item.task})" for item in list(self.by_name.values())[:SHOWN]]
        more = len(self.by_name) - len(shown)
        return ", ".join(shown) + (f", and {more} more" if more else "")


SHOWN = 20  # names in a message
