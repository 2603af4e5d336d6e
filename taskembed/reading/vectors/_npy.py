"""Vectors as NumPy's .npy, with the ids, one a line, and the space in files beside it."""

from __future__ import annotations

import json
from typing import BinaryIO, TextIO

import numpy as np

from taskembed.errors import os_errors
from taskembed.reading.vectors.rows import VectorHeader, VectorRows, as_type
from taskembed.version import __version__

_HEADER_BYTES = 128  # bytes before the numbers; must be a multiple of 64
_MAGIC = b"\x93NUMPY\x01\x00"


class NpyVectors:
    """Writes vectors one after the other; the number of vectors is written last.

    Args:
        vectors: the stream of the vectors, which can seek.
        ids: the stream of the ids.
        header: properties of all vectors.
    """

    def __init__(self, vectors: BinaryIO, ids: TextIO, header: VectorHeader) -> None:
        self._vectors = vectors
        self._ids = ids
        self._header = header
        self._rows = 0
        vectors.write(bytes(_HEADER_BYTES))

    def write(self, rows: VectorRows) -> None:
        """Write some documents: their ids and their vectors."""
        numbers = as_type(rows, self._header.dtype)
        with os_errors(self._vectors.name):
            self._vectors.write(numbers.astype(numbers.dtype.newbyteorder("<"), "C").tobytes())
        with os_errors(self._ids.name):
            self._ids.writelines(f"{doc_id}\n" for doc_id in rows.doc_ids)
        self._rows += len(rows.doc_ids)

    def finish(self, space: TextIO) -> None:
        """Write the number of vectors, and the space.

        Args:
            space: the stream of the space, as JSON.
        """
        dtype = np.dtype(self._header.dtype.value).newbyteorder("<").str
        shape = (self._rows, self._header.space.dim)
        text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
        room = _HEADER_BYTES - len(_MAGIC) - 2
        self._vectors.seek(0)
        self._vectors.write(_MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n")
        self._vectors.seek(0, 2)
        value = {
            "space": self._header.space.to_json(),
            "side": self._header.side.value,
            "taskembed": __version__,
        }
        space.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
