"""The digest of a model: sha256 over every file that can move a vector, remembered file by file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from taskembed.errors import from_os_error
from taskembed.files import remember, remembered
from taskembed.models.folder import model_files, module_folders
from taskembed.models.saved_json import read_saved


def model_digest(
    folder: Path, cache: Path, *, with_code: bool, find: Callable[[str], Path] | None = None
) -> str:
    """Return the digest of every file of a model that can move a vector.

    Args:
        folder: the model's.
        cache: where digests are remembered.
        with_code: Python files too.
        find: gives the folder of the base of a module that is itself an adapter.
    """
    files = model_files(folder, with_code=with_code)
    own = combined_digest(files, folder, cache)
    bases = [base for place in module_folders(folder) if (base := _base_of(place))]
    if not bases or find is None:
        return own
    below = [model_digest(find(base), cache, with_code=with_code) for base in bases]
    return hashlib.sha256("\0".join([own, *below]).encode()).hexdigest()


def _base_of(place: Path) -> str:
    """Return the model whose weights a module of adapter weights is put on; "" for none."""
    config = read_saved(place / "adapter_config.json") or {}
    base = config.get("base_model_name_or_path")
    return base if isinstance(base, str) else ""


def combined_digest(files: Iterable[Path], folder: Path, cache: Path) -> str:
    """Return the sha256 over the names and contents of files in a folder."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder)}\0{file_digest(path, cache)}\n".encode())
    return digest.hexdigest()


def file_digest(path: Path, cache: Path) -> str:
    """Return the sha256 of a file, which is remembered for as long as the file does not change."""
    try:
        key = hashlib.sha256(repr((str(path.resolve()), _stamp(path))).encode()).hexdigest()
        place = cache / "digests" / key
        if known := remembered(place):
            return known
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    remember(place, digest)
    return digest


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    # ctime cannot be set by hand: a file changed in place with its old date is noticed too
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
