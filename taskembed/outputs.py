"""Output files, which appear under their names only when they are complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from taskembed.errors import from_os_error, os_errors


def resolved(path: Path) -> Path:
    """Return an absolute path without links, as `Path.resolve` does.

    Before Python 3.13, that raises RuntimeError for a link that points back to itself.
    """
    return Path(os.path.realpath(path))


def is_stream(path: Path) -> bool:
    """Return whether a path is a pipe, a device or an open file, which cannot be replaced.

    The result is False for folders, and for ordinary files in folders such as /dev/shm.
    """
    if path.exists() and not path.is_file():
        return not path.is_dir()
    # a file that another process, or a shell by ">", has opened: /dev/stderr, /dev/fd/3
    folder = resolved(path.parent)
    return folder == Path("/dev") or folder.is_relative_to("/proc")


@contextmanager
def completed_file(
    output: Path, mode: str = "wb", *, encoding: str | None = None, newline: str | None = None
) -> Iterator[Any]:
    """Yield a stream into a temporary file beside `output`, which it replaces at the end.

    After an exception, `output` is as it was, and the temporary file is removed.

    Args:
        output: the path of the file; if it is a link, the target of the link is replaced.
        mode: "wb" for bytes, "w" for text.
        encoding: of text.
        newline: how lines of text end.

    Raises:
        AccessDeniedError: the file, or its folder, may not be written to.
        NotFoundError: the folder does not exist.
        StorageError: the disk is full or fails.
    """
    output = resolved(output)
    with os_errors(output):
        descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}-")
    temporary = Path(name)
    try:
        # with an opener, errors name the output file rather than the temporary file
        with open(  # Path.open has no opener
            output, mode, encoding=encoding, newline=newline, opener=lambda *_: descriptor
        ) as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # the mode of new files; temporary files are private
        temporary.replace(output)
    except OSError as error:
        raise from_os_error(error, str(output)) from error
    finally:
        temporary.unlink(missing_ok=True)
