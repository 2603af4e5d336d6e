"""Applies the .gitignore files of a folder, of its subfolders and of the folders around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from taskembed.errors import os_errors
from taskembed.outputs import resolved

_NAME = ".gitignore"


class Ignored:
    """The .gitignore files that apply within a folder, as git reads them.

    The innermost .gitignore with a pattern that matches a path decides. Outside the folder, the
    .gitignore files up to the root of the repository apply, unless they ignore the whole folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._here = resolved(folder)
        self._specs = {place: spec for place in _around(self._here) if (spec := _spec_of(place))}
        if self._says(self._here, is_folder=True):
            self._specs = {}

    def enter(self, place: Path) -> None:
        """Read the .gitignore of a folder; must be called before `has` for paths in the folder."""
        inside = self._inside(place)
        if spec := _spec_of(inside):
            self._specs[inside] = spec

    def has(self, path: Path, *, is_folder: bool = False) -> bool:
        """Return whether a file or folder is ignored."""
        return bool(self._specs) and self._says(self._inside(path), is_folder=is_folder)

    def _inside(self, path: Path) -> Path:
        """Return a path with the links above the folder resolved."""
        return self._here / path.relative_to(self._folder)

    def _says(self, path: Path, *, is_folder: bool) -> bool:
        for place in path.parents:
            spec = self._specs.get(place)
            if spec is None:
                continue
            name = path.relative_to(place).as_posix() + "/" * is_folder
            found = spec.check_file(name).include
            if found is not None:
                return found
        return False


def _around(folder: Path) -> list[Path]:
    """Return the folders around a folder, up to the root of its repository; none without one."""
    places = [folder, *folder.parents]
    root = next((place for place in places if (place / ".git").exists()), folder)
    return places[1 : places.index(root) + 1]


def _spec_of(folder: Path) -> GitIgnoreSpec | None:
    path = folder / _NAME
    if not path.is_file():
        return None
    with os_errors(path):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    return GitIgnoreSpec.from_lines(_valid(text.splitlines()))


def _valid(lines: list[str]) -> Iterator[str]:
    """Yield the lines that are patterns; git too ignores the others."""
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue
        yield line
