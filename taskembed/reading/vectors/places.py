"""Files of vectors that are not on this machine's disk: they are copied to a temporary file first.

Their rows are read twice where vectors are compared with a model, and from the end of the file.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from taskembed.activity import doing
from taskembed.errors import UsageError, os_errors
from taskembed.objects import is_address, shown
from taskembed.reading.places import place_of
from taskembed.reading.vectors.files import PARQUET
from taskembed.reading.vectors.input import VectorSource, find_vectors


@contextmanager
def vectors_at(argument: str | Path, vector_field: str | None = None) -> Iterator[VectorSource]:
    """Yield the vectors of a file, or of a Parquet object at an address such as s3://bucket/key.

    Args:
        argument: the path or the address.
        vector_field: the column of the vectors; None for "vector", "embedding" or "embeddings".

    Raises:
        UsageError: the name does not say the form, or what is at an address is not Parquet.
        NotFoundError: there is no such file or object, or none with its ids.
        AccessDeniedError: it may not be read.
        ServerUnavailableError: the server of the address cannot be reached, or fails.
        BadInputError: it is damaged, or has no vectors.
        StorageError: the copy finds no room.
    """
    if not is_address(argument):
        yield find_vectors(Path(argument), vector_field)
        return
    place, name = place_of(str(argument)), shown(str(argument))
    if place.suffix != PARQUET:
        raise UsageError("only Parquet is read from an address", what=name)
    with ExitStack() as stack:
        with place.open("rb") as stream, doing(f"copying {name}", waits_for_others=True):
            path = stack.enter_context(spooled(stream))
        yield find_vectors(path, vector_field, name=name)


@contextmanager
def spooled(stream: BinaryIO) -> Iterator[Path]:
    """Yield the path of a temporary file with all of a stream of Parquet, whose end is read first.

    Raises:
        StorageError: the stream cannot be read, or the disk is full.
    """
    with tempfile.NamedTemporaryFile(prefix="taskembed-", suffix=PARQUET) as file:
        with os_errors(file.name):
            shutil.copyfileobj(stream, file)
            file.flush()
        yield Path(file.name)
