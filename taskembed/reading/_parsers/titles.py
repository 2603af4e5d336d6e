"""Finds the title of a text file: its first heading."""

from __future__ import annotations

import re
from itertools import pairwise

LOOKED_AT = 64 * 2**10  # characters at the beginning of a file that are searched for a title

_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HASHES = re.compile(r" {0,3}#{1,6}[ \t]+(.*)")
_MARKDOWN_LINE = re.compile(r" {0,3}(=+|-+)\s*")
_FRONT_TITLE = re.compile(r"title:\s*(.+)", re.IGNORECASE)
_RST_LINE = re.compile(r"([!-/:-@[-`{-~])\1*\s*")


def markdown_title(text: str) -> str:
    """Return the title in the front matter of a Markdown file, or its first heading; "" if none."""
    lines = text[:LOOKED_AT].splitlines()
    title, body = _front_matter(lines)
    return title or _heading(body)


def _front_matter(lines: list[str]) -> tuple[str, list[str]]:
    """Return the title in the front matter, if there is one, and the lines after it."""
    if not lines or lines[0].rstrip() != "---":
        return "", lines
    ends = (row for row, line in enumerate(lines) if row and line.rstrip() in {"---", "..."})
    end = next(ends, 0)
    titles = (found[1] for line in lines[1:end] if (found := _FRONT_TITLE.match(line)))
    return next(titles, "").strip().strip("\"'"), lines[end + 1 :]


def _heading(lines: list[str]) -> str:
    fence = before = ""
    for line in lines:
        if found := _FENCE.match(line):
            mark = found[1][:3]
            fence = ("" if fence == mark else fence) if fence else mark
            before = ""
            continue
        if fence:
            continue
        if found := _HASHES.match(line):
            title = found[1].rstrip().rstrip("#").rstrip()
            if title:
                return title
        if before and _MARKDOWN_LINE.fullmatch(line):
            return before
        before = line.strip()
    return ""


def rst_title(text: str) -> str:
    """Return the first heading of a reStructuredText file: an underlined line; "" if none.

    The underline repeats one punctuation character, and is at least as long as the heading.
    """
    lines = text[:LOOKED_AT].splitlines()
    for line, under in pairwise(lines):
        title = line.strip()
        is_text = title and not _RST_LINE.fullmatch(title)
        if is_text and len(under.rstrip()) >= len(title) and _RST_LINE.fullmatch(under):
            return title
    return ""
