"""Reads the JSON files of a model's folder, with errors that name the file."""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from taskembed.errors import ModelUnavailableError, from_os_error

MOST_BYTES = 64 * 2**20  # a normal configuration has some kilobytes


def read_saved(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file of a model; None if there is no such file.

    Raises:
        ModelUnavailableError: the file has other contents.
        StorageError: the file cannot be read.
        AccessDeniedError: the file may not be read.
    """
    value = _read(path)
    if value is not None and not isinstance(value, dict):
        raise _refused(path, "is not a JSON object")
    return value


def read_saved_list(path: Path) -> list[dict[str, Any]]:
    """Return the list of JSON objects in a file of a model; empty if there is no such file.

    Raises:
        ModelUnavailableError: the file has other contents.
        StorageError: the file cannot be read.
        AccessDeniedError: the file may not be read.
    """
    value = _read(path)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _refused(path, "is not a list of JSON objects")
    return value


def require_json(paths: Iterable[Path]) -> None:
    """Refuse files named .json that are not JSON; files too large to be read here are skipped.

    The errors of the libraries that read these files do not name the file.

    Raises:
        ModelUnavailableError: a file is not JSON.
        StorageError: a file cannot be read.
        AccessDeniedError: a file may not be read.
    """
    for path in paths:
        if path.suffix == ".json" and path.stat().st_size <= MOST_BYTES:
            _read(path)


def _read(path: Path) -> object:
    content = _content(path)
    if content is None:
        return None
    try:
        value: object = json.loads(content)
    except RecursionError as error:
        raise _refused(path, "is nested too deeply") from error
    except ValueError as error:
        raise _refused(path, f"is not JSON: {error}") from error
    return value


def _content(path: Path) -> bytes | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for a writer
            return None
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # the name is from a model's files
            return None
        raise from_os_error(error, str(path)) from error
    except ValueError as error:  # an impossible path
        raise _refused(path, str(error)) from error
    if len(content) > MOST_BYTES:
        raise _refused(path, f"is larger than {MOST_BYTES >> 20} MiB")
    return content


def _refused(path: Path, why: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{path} {why}", hint="save or download the model again: the file is damaged"
    )
