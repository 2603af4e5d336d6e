"""The newest generation of an index, found and opened while a writer may run.

    INDEX/ LOCK                    held by the one writer; never deleted; see `_lock.py`
           manifest-00000042.json  generation 42: see `manifests.py`
           seg-..., del-...        immutable files; a name is never used for a later generation

The manifest with the highest number defines the index; LOCK contains the lowest value that this
number may have. Readers take no lock: they open the files of one manifest and keep them open. This
module reads; `commit.py` writes. Neither depends on what the files contain.
"""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, TypeVar

from taskembed.activity import doing
from taskembed.errors import (
    IndexBusyError,
    IndexDamagedError,
    NotFoundError,
    TaskembedError,
    from_os_error,
)
from taskembed.index.disk._lock import LOCK, acknowledged
from taskembed.index.disk.files import (
    Damage,
    StoredFile,
    allow_handles,
    damaged,
    open_regular,
    stream_damage,
)
from taskembed.index.disk.manifests import (
    FILE,
    Snapshot,
    generations_of,
    manifest_name,
    read_manifest,
)
from taskembed.space import Task

KEPT_GENERATIONS = 2  # the newest, and the one before it, which a reader may be opening
OPEN_SECONDS = 60.0  # how long a reader tries again while a writer removes the files
PAUSE_SECONDS = 0.002  # before the second try; doubled after each further one
LONGEST_PAUSE_SECONDS = 0.25
MOST_ATTEMPTS = 5  # attempts after which a manifest that is listed but cannot be opened is damage

T = TypeVar("T")


def read_newest(folder: Path) -> Snapshot:
    """Return the newest generation of the index in `folder`, even while a writer removes old ones.

    Raises:
        NotFoundError: there is no index.
        IndexDamagedError: the newest manifest is damaged, or there are files of an
            index but no manifest.
        NewerFormatError: the index was written by a newer taskembed.
    """
    return open_newest(folder, lambda snapshot: snapshot)


def _newest(folder: Path, task: Task) -> int:
    """Return the highest generation that has a manifest; `task` is named if there is no index.

    Raises:
        FileNotFoundError: a writer changed the folder while it was listed.
    """
    last = acknowledged(folder)
    names = names_in(folder)
    newest = max(generations_of(names), default=-1)
    # Subtle: a writer writes a later generation into LOCK before it removes a manifest. So if LOCK
    # has not changed when it is read again, no writer has removed a manifest in the meantime.
    if newest < last and acknowledged(folder) != last:
        raise FileNotFoundError(errno.ENOENT, "it does not exist yet", manifest_name(last))
    if 0 <= newest < last:
        raise _missing_manifest(folder, last, newest)
    if newest < 0:
        raise _without_manifest(folder, names, last, task)
    return newest


def _missing_manifest(folder: Path, last: int, newest: int) -> IndexDamagedError:
    return IndexDamagedError(
        f"the index is damaged: {folder / manifest_name(last)}: it is missing, and it was "
        f"committed after generation {newest}",
        hint=f"restore it from a copy; or index again with --recreate; or continue with generation "
        f"{newest}: delete {folder / LOCK}",
    )


def _without_manifest(folder: Path, names: Iterable[str], last: int, task: Task) -> TaskembedError:
    if last >= 0 or any(FILE.fullmatch(name) for name in names):
        return IndexDamagedError(
            f"the index is damaged: {folder}: it has files of an index, but no manifest",
            hint="restore the folder from a copy, or delete it and index again",
        )
    return NotFoundError(
        f"no index at {folder}",
        hint=f"create one: taskembed index CORPUS --task {task} --index {shlex.quote(str(folder))}",
    )


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; an empty list if there is no folder.

    Raises:
        TaskembedError: the operating system refuses to list the folder.
    """
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  # returns names, not paths
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, str(folder)) from error


def open_newest(
    folder: Path,
    opened: Callable[[Snapshot], T],
    *,
    task: Task = Task.RETRIEVAL,
    seconds: float = OPEN_SECONDS,
) -> T:
    """Return `opened(newest generation)`; retry while a writer removes that generation's files.

    Every reader opens an index through this function. `opened` opens all files that it needs, and
    does not catch FileNotFoundError.

    Args:
        folder: the folder of the index.
        opened: opens a generation.
        task: the task for which an index is wanted; the hint names it if there is none.
        seconds: how long to try again while generations are replaced.

    Raises:
        NotFoundError: there is no index.
        IndexDamagedError: a file is missing although its generation is still the newest.
        IndexBusyError: for `seconds`, each generation was replaced before it could be opened.
    """
    deadline = time.monotonic() + seconds
    pause = PAUSE_SECONDS
    tried, times = -1, 0
    while True:
        newest = -1
        try:
            newest = _newest(folder, task)
            tried, times = newest, times + 1 if newest == tried else 1
            return opened(read_manifest(folder, newest))
        except FileNotFoundError as error:
            missing = Path(os.fsdecode(error.filename or "its files")).name
            if newest >= 0 and (times >= MOST_ATTEMPTS or is_newest(folder, newest)):
                raise damaged(folder, Damage(missing, "it is missing")) from error
        if time.monotonic() >= deadline:
            raise IndexBusyError(
                "another process commits faster than the index can be opened here",
                what=str(folder),
                hint="run the same command again when it has finished",
            )
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def is_newest(folder: Path, generation: int) -> bool:
    """Return whether a generation is the newest, so that all of its files must exist.

    Subtle: the manifest is checked after the folder is listed. A writer removes a manifest before
    the files that it names, so while the manifest exists, no writer has removed its files.

    Raises:
        TaskembedError: the operating system refuses to list the folder.
    """
    return (
        generations_of(names_in(folder))[-1:] == [generation]
        and (folder / manifest_name(generation)).exists()
    )


Check = Callable[[], Iterable[Damage]]


def verify(
    folder: Path, checks_of: Callable[[Snapshot], Iterable[Check]] = lambda _: ()
) -> tuple[Snapshot, list[Damage]]:
    """Read every byte of the newest generation; return the generation and its damaged files.

    All files are opened first, so that a writer may remove them in the meantime. If the process may
    not open so many files, they are opened one by one, and the check restarts if one is removed.

    Args:
        folder: the folder of the index.
        checks_of: returns checks of the files' contents; called when the files are open. If it
            raises IndexDamagedError, the manifest itself is damaged.
    """
    with ExitStack() as stack:

        def checked(snapshot: Snapshot) -> tuple[Snapshot, list[Damage]]:
            stack.close()  # close the files of an earlier attempt
            return snapshot, _damages(folder, snapshot, checks_of, stack)

        return open_newest(folder, checked)


def _damages(
    folder: Path,
    snapshot: Snapshot,
    checks_of: Callable[[Snapshot], Iterable[Check]],
    stack: ExitStack,
) -> list[Damage]:
    held: dict[str, BinaryIO | Damage] = {}
    if allow_handles(len(snapshot.files)):
        held = {name: _held(folder, snapshot, name, stack) for name in snapshot.files}
    damages = []
    checks: list[Check] = []
    try:
        checks = list(checks_of(snapshot))
    except IndexDamagedError as error:
        manifest = manifest_name(snapshot.generation)
        what = "" if error.name == manifest else f"{error.name}: "
        damages.append(Damage(manifest, what + error.reason))
    with doing("", unit="files", total=len(snapshot.files)) as step:
        for name, file in sorted(snapshot.files.items()):
            with ExitStack() as brief:
                stream = held[name] if held else _held(folder, snapshot, name, brief)
                found = _damage_of(folder, file, stream)
            damages += [found] if found else []
            step.done += 1
        for check in checks:
            known = {damage.name for damage in damages}
            damages += [damage for damage in check() if damage.name not in known]
    return sorted(damages, key=lambda damage: damage.name)


def _held(folder: Path, snapshot: Snapshot, name: str, stack: ExitStack) -> BinaryIO | Damage:
    """Open a file of a generation, or return how it is damaged.

    Raises:
        FileNotFoundError: a writer removed it.
    """
    try:
        return stack.enter_context(open_regular(folder, name))
    except FileNotFoundError:
        if not is_newest(folder, snapshot.generation):
            raise
        return Damage(name, "it is missing")
    except IndexDamagedError as error:
        return Damage(name, error.reason)


def _damage_of(folder: Path, file: StoredFile, held: BinaryIO | Damage) -> Damage | None:
    return held if isinstance(held, Damage) else stream_damage(folder, file, held)
