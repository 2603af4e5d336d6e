"""Finds the files below a folder: files of records, of text and of source code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.errors import BadInputError
from taskembed.reading.formats import InputFormat, split_name, text_format_of
from taskembed.reading.places import Place, walk

if TYPE_CHECKING:
    from taskembed.reading._ignored import Ignored

_SAVED_DATASETS = (
    "dataset_dict.json",
    "state.json",
)  # in a folder that `save_to_disk` of datasets wrote
_MANIFEST = re.compile(r"manifest-\d{8}\.json")  # a file of an index, which is not a corpus


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """The files below a folder, sorted, without hidden files, indexes and what git ignores.

    Attributes:
        texts: files of text.
        sources: files of source code.
        records: files of records: JSONL, CSV and the like.
        links: links to folders, which are not followed.
    """

    texts: list[Place] = field(default_factory=list)
    sources: list[Place] = field(default_factory=list)
    records: list[Place] = field(default_factory=list)
    links: list[Place] = field(default_factory=list)

    def of(self, kind: InputFormat) -> list[Place]:
        """Return the files of source code, or those of text."""
        return self.sources if kind is InputFormat.CODE else self.texts


def files_below(folder: Place) -> FolderFiles:
    """Return the files below a folder, by kind; only files named .gitignore are opened.

    Raises:
        BadInputError: the folder is an index, or a dataset in a format that is not read.
        AccessDeniedError: a folder may not be read.
    """
    from taskembed.reading._ignored import Ignored  # pathspec: 0.01 s

    found = FolderFiles()
    lists = {InputFormat.TEXT: found.texts, InputFormat.CODE: found.sources}
    ignored = Ignored(folder) if isinstance(folder, Path) else None  # no git works in a store
    for place, folders, files in _places(folder, ignored):
        found.links.extend(path for name in folders if (path := place / name).is_symlink())
        for path in (place / name for name in files):
            kind = text_format_of(path)
            if kind is not None:
                lists[kind].append(path)
            elif split_name(path)[0] is not None:
                found.records.append(path)
    for paths in (found.texts, found.sources, found.records, found.links):
        paths.sort()
    return found


def records_below(folder: Place) -> list[Place]:
    """Return every file of records below a folder, sorted, without hidden files and indexes.

    Raises:
        BadInputError: the folder is an index, or a dataset in a format that is not read.
        AccessDeniedError: a folder may not be read.
    """
    return sorted(
        path
        for place, _, files in _places(folder)
        for path in (place / name for name in files)
        if is_of_records(path)
    )


def is_of_records(path: Place) -> bool:
    """Return whether a path is a file of records that is not hidden."""
    is_hidden = path.name.startswith(".")
    return not is_hidden and split_name(path)[0] is not None and path.is_file()


def _places(
    folder: Place, ignored: Ignored | None = None
) -> Iterator[tuple[Place, list[str], list[str]]]:
    """Yield each folder with the names of its folders and files, as `os.walk` does.

    Hidden and ignored folders and files are left out, and so are indexes. Links are not followed.
    """
    for place, folders, files in walk(folder):
        if any(map(_MANIFEST.fullmatch, files)):
            if place == folder:
                raise BadInputError(
                    f"{folder} is an index, not a corpus",
                    hint="name the files that it was made from",
                )
            folders.clear()
            continue
        _require_no_dataset(place, files)
        folders[:] = [inner for inner in folders if not inner.startswith(".")]
        shown = [inner for inner in files if not inner.startswith(".")]
        if ignored and isinstance(place, Path):
            ignored.enter(place)
            folders[:] = [
                inner for inner in folders if not ignored.has(place / inner, is_folder=True)
            ]
            shown = [inner for inner in shown if not ignored.has(place / inner)]
        yield place, folders, shown


def _require_no_dataset(folder: Place, files: Sequence[str]) -> None:
    is_saved = any(name in files for name in _SAVED_DATASETS)
    if "dataset_dict.json" in files or (
        is_saved and any(name.endswith(".arrow") for name in files)
    ):
        split = "['train']" if "dataset_dict.json" in files else ""  # or another one
        raise BadInputError(
            f"{folder} was written by `save_to_disk` of the library datasets, and cannot be read",
            hint=f"write Parquet: datasets.load_from_disk({str(folder)!r}){split}"
            ".to_parquet('corpus.parquet')",
        )
