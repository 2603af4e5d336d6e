"""Finds the files of a corpus: files named by arguments, and files in folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from taskembed.english import counted
from taskembed.errors import NotFoundError, UsageError
from taskembed.reading._folders import FolderFiles, files_below, records_below
from taskembed.reading.formats import ENDINGS, TEXT_ENDINGS, TEXTS, InputFormat, text_format_of
from taskembed.reading.inputs import corpus_of, file_input, find_inputs
from taskembed.reading.places import Place, place_of, split_pattern
from taskembed.reading.streams import Input, Shape

_LISTED_LINKS = 3  # links that a note names


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files of a corpus.

    Attributes:
        inputs: the files, in the order in which they are read.
        folders: the kind of files read from folders: TEXT or CODE; None for records, or if no
            folder was named.
        notes: messages for people about files that are not read.
    """

    inputs: list[Input]
    folders: InputFormat | None = None
    notes: tuple[str, ...] = ()


def find_corpus_files(
    arguments: Sequence[str],
    *,
    format_name: str | None = None,
    shape: Shape | None = None,
    folders: InputFormat | None = None,
    is_code: bool = False,
) -> CorpusFiles:
    """Return the files that arguments name: files, patterns, folders, "-" for stdin.

    Files of one kind are read from a folder: records, text or source code. It is the first of these
    that applies: files named corpus.*; the kind in `folders`; source code, if `is_code`; other
    files of records; text.

    Args:
        arguments: paths, patterns such as "notes/**/*.md", or "-".
        format_name: format of all inputs; None to take it from their names.
        shape: delimiter, encoding and columns of CSV and TSV.
        folders: the kind of files that an earlier run read from folders.
        is_code: whether the corpus is source code.

    Raises:
        NotFoundError: a file or folder does not exist, or there is nothing to read in a folder or
            for a pattern.
        BadInputError: a folder is an index, or a dataset in a format that is not read.
        UsageError: the name of a file does not tell its format; or two files have the same id.
    """
    shape = shape or Shape()
    asked = InputFormat(format_name) if format_name else None
    wanted = asked if asked in TEXTS else folders
    finder = _Finder(asked, shape, wanted or (InputFormat.CODE if is_code else None))
    inputs = [item for argument in arguments for item in finder.inputs_of(argument)]
    if sum(item.path is None for item in inputs) > 1:
        raise UsageError("stdin can be read only once")
    _require_different_ids(inputs)
    stood_for = set(finder.stood_for)
    return CorpusFiles(
        inputs, stood_for.pop() if len(stood_for) == 1 else None, tuple(finder.notes)
    )


class _Finder:
    """Finds the files of each argument, and collects notes."""

    def __init__(self, asked: InputFormat | None, shape: Shape, wanted: InputFormat | None) -> None:
        self._asked = asked
        self._shape = shape
        self._wanted = wanted
        self.notes: list[str] = []
        self.stood_for: list[InputFormat | None] = []  # None for records

    def inputs_of(self, argument: str) -> Iterator[Input]:
        """Yield the files of an argument."""
        path = place_of(argument)
        if argument == "-":
            yield self._stdin()
        elif path.is_dir():
            yield from self._in_folder(path)
        elif not path.exists() and (pattern := split_pattern(argument)):
            yield from self._matching(path, *pattern)
        else:
            yield self._file(path)

    def _stdin(self) -> Input:
        if self._asked in TEXTS:
            raise UsageError(
                f"stdin cannot be read as {self._asked}: the id of such a document is its path",
                hint="name a file or a folder",
            )
        return find_inputs(["-"], format_name=self._asked, shape=self._shape)[0]

    def _file(self, path: Place, folder: Place | None = None) -> Input:
        """Return a file as an input; its format follows from its name, or from the option.

        Args:
            path: the path of the file.
            folder: the folder that an argument names; None if an argument names the file itself.
        """
        if not path.exists() and not path.is_symlink():
            raise NotFoundError(f"no such file or folder: {path}", hint="check the path")
        kind = self._asked if self._asked in TEXTS else None
        if self._asked is None:
            kind = text_format_of(path)
        item = file_input(path, kind or self._asked, self._shape)
        path_in_input = path.relative_to(folder).as_posix() if folder else path.name
        return replace(item, path_in_input=path_in_input, id_folder=folder) if kind else item

    def _matching(self, named: Place, base: Place, pattern: str) -> Iterator[Input]:
        """Yield the files that match a pattern; ids are relative to the folder before it."""
        found = [
            path
            for path in sorted(base.glob(pattern))
            if not path.is_dir() and self._is_wanted(path, base)
        ]
        if not found:
            raise NotFoundError(
                f"no file that can be read matches {str(named)!r}", hint="check the pattern"
            )
        yield from (self._file(path, base) for path in found)

    def _is_wanted(self, path: Place, base: Place) -> bool:
        is_hidden = any(part.startswith(".") for part in path.relative_to(base).parts)
        is_known = self._asked or text_format_of(path) or corpus_of([path])
        return bool(not is_hidden and is_known)

    def _in_folder(self, folder: Place) -> Iterator[Input]:
        """Yield the files to read from a folder."""
        kind, chosen, below = self._chosen(folder)
        if not chosen:
            raise _nothing_in(folder, below, self._asked)
        self.stood_for.append(kind)
        self.notes += _notes(folder, kind, chosen, below)
        for path in chosen:
            yield self._file(path, folder)

    def _chosen(self, folder: Place) -> tuple[InputFormat | None, list[Place], FolderFiles]:
        """Return the kind of files to read from a folder (None: records), these, and all files."""
        if self._asked in TEXTS:
            below = files_below(folder)
            return self._asked, below.of(self._asked), below
        corpus = corpus_of(folder.glob("corpus.*"))
        if corpus or self._asked:
            return None, corpus or records_below(folder), FolderFiles()
        below = files_below(folder)
        if self._wanted and (wanted := below.of(self._wanted)):
            return self._wanted, wanted, below
        records = records_below(folder)
        is_text = below.texts and not records
        return (InputFormat.TEXT, below.texts, below) if is_text else (None, records, below)


def _notes(
    folder: Place, kind: InputFormat | None, chosen: Sequence[Place], below: FolderFiles
) -> Iterator[str]:
    """Yield notes about the files of a folder that are not read."""
    if kind is None and below.texts:
        yield (
            f"{folder}: {counted(len(chosen), 'file')} of records will be read, but not "
            f"{counted(len(below.texts), 'file')} of text; to read those instead: --format text"
        )
    if kind and below.records:
        what = "text" if kind is InputFormat.TEXT else "source code"
        yield (
            f"{folder}: {counted(len(chosen), 'file')} of {what} will be read, but not "
            f"{counted(len(below.records), 'file')} of records such as "
            f"{below.records[0].relative_to(folder)}; name those to read them"
        )
    if kind and below.links:
        names = [str(path.relative_to(folder)) for path in below.links[:_LISTED_LINKS]]
        more = ", ..." if len(below.links) > _LISTED_LINKS else ""
        yield (
            f"{folder}: links to folders are not followed: {', '.join(names)}{more}; to read such "
            "a folder, name it"
        )


def _nothing_in(folder: Place, below: FolderFiles, asked: InputFormat | None) -> NotFoundError:
    if asked in TEXTS:
        what = "source code" if asked is InputFormat.CODE else "text"
        return NotFoundError(f"no file of {what} in the folder {folder}", hint="check the path")
    hint = f"known names end in {' '.join([*ENDINGS, *TEXT_ENDINGS])}"
    if below.sources:
        hint = f"for its {counted(len(below.sources), 'file')} of source code: --format code"
    return NotFoundError(f"no corpus in the folder {folder}", hint=hint)


def _require_different_ids(inputs: Sequence[Input]) -> None:
    """Refuse two files with the same path in their inputs: one document would replace the other."""
    first: dict[str, Input] = {}
    for item in inputs:
        if not item.path or not item.path_in_input:
            continue
        other = first.setdefault(item.path_in_input, item)
        if other.path and other.path != item.path and not is_same_file(other.path, item.path):
            raise UsageError(
                f"{other.name} and {item.name} would have the same id, {item.path_in_input!r}",
                hint="name the folder that contains both, or make an index of each with --index",
            )


def is_same_file(one: Place, other: Place) -> bool:
    """Return whether two paths are of the same file; False if one does not exist."""
    if not isinstance(one, Path) or not isinstance(other, Path):
        return one == other
    try:
        return one.samefile(other)
    except OSError:
        return False
