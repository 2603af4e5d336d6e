"""Reads an object of a store as a seekable file.

No connection is kept open between two requests, since hours may pass: the reader of a corpus waits
while its texts are encoded. Each request asks for the next range of bytes, and the object must not
have changed since the first request.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections import OrderedDict
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, cast

from taskembed.activity import Step, doing
from taskembed.errors import BadInputError
from taskembed.object_errors import NoPartsError
from taskembed.objects import Store

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 2**20
BLOCKS_AHEAD = 8  # blocks in a request, if an object is read from front to back
# blocks in memory, if it is read at any position: Parquet alternates between columns
BLOCKS_KEPT = 64
# largest object that is copied to a file if the server has no range requests
WHOLE_BYTES = 8 * 2**30


def open_object(store: Store, name: str) -> io.BufferedReader:
    """Open an object as a seekable stream.

    Sequential reading takes up to 8 MiB of memory, reading at other positions up to 64 MiB. If the
    server does not support range requests, the object is copied to a temporary file first.

    Raises:
        NotFoundError: there is no such object.
        AccessDeniedError: the object may not be read.
        ChangedError: the object is changed while it is read.
        ServerUnavailableError: the server cannot be reached, or fails.
        BadInputError: the server has no range requests, and the object is very large.
    """
    try:
        return io.BufferedReader(_Blocks(store, name))
    except NoPartsError:
        return _copy(store, name)


class _Blocks(io.RawIOBase):
    """An object in blocks, which are requested when they are read."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._at = 0
        self._has_jumped = False
        with self._waiting():
            first, self._found = store.part(name, 0, BLOCK_BYTES)
        self._blocks: OrderedDict[int, bytes] = OrderedDict({0: bytes(first)})
        self._next, self._ahead = 1, 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._found.size}[whence]
        if start + offset < 0:
            raise ValueError("a position before the beginning")
        self._has_jumped = self._has_jumped or start + offset != self._at
        self._at = start + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._at >= self._found.size:
            return 0
        target = memoryview(buffer).cast("B")
        number, start = divmod(self._at, BLOCK_BYTES)
        ready = self._block(number)[start : start + len(target)]
        target[: len(ready)] = ready
        self._at += len(ready)
        return len(ready)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            self._fetch(number)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _fetch(self, number: int) -> None:
        """Request a block; request more blocks at once the longer reading is sequential."""
        self._ahead = min(2 * self._ahead, BLOCKS_AHEAD) if number == self._next else 1
        start, stop = number * BLOCK_BYTES, (number + self._ahead) * BLOCK_BYTES
        if not self._has_jumped:
            self._blocks.clear()  # first, so that only one answer is in memory
        with self._waiting():
            data, _ = self._store.part(self._name, start, stop, of=self._found)
        for start in range(0, len(data), BLOCK_BYTES):
            # a copy, since a view would keep all of the answer in memory
            block = bytes(memoryview(data)[start : start + BLOCK_BYTES])
            self._blocks[number + start // BLOCK_BYTES] = block
        self._next = number + self._ahead
        while len(self._blocks) > max(BLOCKS_KEPT, self._ahead):
            self._blocks.popitem(last=False)

    def _waiting(self) -> AbstractContextManager[Step]:
        return doing(f"reading {self._store.shown(self._name)}", waits_for_others=True)


def _copy(store: Store, name: str) -> io.BufferedReader:
    """Copy an object into a temporary file, and open that."""
    with ExitStack() as stack:
        copy = stack.enter_context(tempfile.TemporaryFile(prefix="taskembed-"))
        with doing(f"copying {store.shown(name)}", unit="MiB", waits_for_others=True) as step:
            stream = store.stream(name)
            while piece := stream.read(BLOCK_BYTES):
                _require_small(copy.tell() + len(piece), store.shown(name))
                copy.write(piece)
                step.done = copy.tell() // 2**20
        copy.seek(0)
        stack.pop_all()  # the file stays open
        return cast("io.BufferedReader", copy)


def _require_small(size: int, name: str) -> None:
    if size > WHOLE_BYTES:
        raise BadInputError(
            f"it has more than {WHOLE_BYTES:,} bytes, and its server cannot send parts",
            what=name,
            hint="copy it to this machine",
        )
