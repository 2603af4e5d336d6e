"""The digest of a model: sha256 over every file that can change a vector, cached for each file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from taskembed.errors import os_errors
from taskembed.files import remember, remembered
from taskembed.models.folder import Tree, model_files, module_folders
from taskembed.models.saved_json import read_saved


def model_digest(tree: Tree, cache: Path, *, with_code: bool) -> str:
    """Return the sha256 over every file of a model that can change a vector.

    Args:
        tree: the model's files.
        cache: the folder of cached digests.
        with_code: whether to include Python files.
    """
    return combined_digest(model_files(tree, with_code=with_code), tree.root, cache)


def adapter_bases(tree: Tree) -> list[str]:
    """Return the base models of a model's modules that are adapters."""
    return [base for place in module_folders(tree) if (base := _base_of(place))]


def _base_of(place: Path) -> str:
    """Return the base model of a module that is an adapter; "" for any other module."""
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
    """Return the sha256 of a file, which is cached until the file changes."""
    with os_errors(path):
        key = hashlib.sha256(repr((str(path.resolve()), _stamp(path))).encode()).hexdigest()
        place = cache / "digests" / key
        if known := remembered(place):
            return known
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    remember(place, digest)
    return digest


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    # ctime cannot be set by programs, so a change that restores the modification time is noticed
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
