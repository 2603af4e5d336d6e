"""Milvus Lite: a database in a folder of this machine, which one process at a time has open.

The library serves it to its own client from threads of this process, until it is told to stop. A
process that ends meanwhile can leave files behind that the library cannot read, so its calls must
be `completed`.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from pathlib import Path
from threading import Lock

from taskembed.errors import IndexBusyError, NotFoundError, os_errors
from taskembed.extras import MILVUS, require_extra
from taskembed.interruptible import completed
from taskembed.object_errors import TRY_LATER

_clients: Counter[str] = Counter()  # of this process, by the absolute path of the database
_lock = Lock()


def open_database(database: Path, *, creates: bool) -> None:
    """Check that a database can be opened, before a client opens it; `close_database` follows.

    Args:
        database: the path.
        creates: whether a database that does not exist is created.

    Raises:
        MissingLibraryError: the library is not installed.
        NotFoundError: the database, or the folder to create it in, does not exist.
        IndexBusyError: another process has it open.
    """
    require_extra("milvus_lite", MILVUS)
    place = database.parent if creates else database
    if not place.is_dir():
        what = "folder" if creates else "Milvus Lite database"
        raise NotFoundError(f"no such {what}", what=str(place), hint="check the path")
    with _lock:
        if not _clients[_key(database)]:
            _require_free(database)
        _clients[_key(database)] += 1


def close_database(database: Path) -> None:
    """Let other processes open the database, if no other client of this process has it open."""
    with _lock:
        _clients[_key(database)] -= 1
        if not _clients[_key(database)]:
            servers = require_extra("milvus_lite.server_manager", MILVUS)
            completed(lambda: servers.server_manager_instance.release_server(str(database)))


def _key(database: Path) -> str:
    return str(database.absolute())


def _require_free(database: Path) -> None:
    """Check that nobody has the database open: the library says only that it cannot open it."""
    with os_errors(database):
        try:
            lock = os.open(database / "LOCK", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as the library holds it
    except BlockingIOError:
        raise IndexBusyError(
            "another process has it open, and Milvus Lite serves one at a time",
            what=str(database),
            hint=TRY_LATER,
        ) from None
    finally:
        os.close(lock)
