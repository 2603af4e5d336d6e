"""The output of vectors: a file, or stdout if it is not a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from taskembed.cli.printing.output import STDOUT, ClosedPipeError, require_output
from taskembed.errors import UsageError, from_os_error
from taskembed.outputs import is_stream

OPTION = "--output"


def require_vector_output(output: Path, read: Iterable[Path | str | None]) -> None:
    """Check, before any work, that vectors can be written to a file, or to stdout.

    Args:
        output: the path of the file, or "-".
        read: the files and folders that the command reads.

    Raises:
        UsageError: stdout is a terminal, the file name has another ending, or the file is an input.
        NotFoundError: the folder of the file does not exist.
        AccessDeniedError: the file, or its folder, is not writable.
        StorageError: the path is a folder.
    """
    from taskembed.reading.vectors.files import files_beside, require_vector_name

    if str(output) in STDOUT:
        if sys.stdout.isatty():
            raise UsageError(
                "vectors are binary and cannot be written to a terminal",
                hint=f"{OPTION} FILE.parquet",
            )
        return
    if not is_stream(output):
        require_vector_name(OPTION, output)
    for path in (output, *files_beside(output)):
        require_output(OPTION, path, list(read))


@contextmanager
def vector_output(output: Path) -> Iterator[Path | BinaryIO]:
    """Yield the path of a file, or an open stream, to write vectors to.

    Raises:
        ClosedPipeError: the reader of stdout has closed the pipe.
        StorageError: the disk behind a stream is full.
    """
    if str(output) in STDOUT:
        with _written(sys.stdout.buffer, "stdout") as stream:
            yield stream
    elif is_stream(output):
        with output.open("ab") as opened, _written(opened, str(output)) as stream:
            yield stream
    else:
        yield output


@contextmanager
def _written(stream: BinaryIO, name: str) -> Iterator[BinaryIO]:
    try:
        yield stream
        stream.flush()
    except OSError as error:
        # Python flushes the stream again at exit: into /dev/null
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):
            raise ClosedPipeError("the output was closed") from None
        raise from_os_error(error, name) from error
