"""Prepares the metadata of documents for printing: chosen fields, cells, notes on field names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from taskembed.escaping import json_text
from taskembed.index.filtering.field_types import value_named

CUT_CHARACTERS = 200  # of a text in a table; a data format never cuts
NAMED_FIELDS = 10  # metadata fields in a note


def field_list(names: str | None) -> list[str] | None:
    """Return the names in --fields, which are separated by commas; None without the option."""
    return None if names is None else [name for name in map(str.strip, names.split(",")) if name]


def cell(value: object) -> str:
    """Return a value of the metadata as text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def field_cell(metadata: Mapping[str, object], name: str) -> str:
    """Return the value of a field as text; `a.b` may be a name or a path, as in filters."""
    return cell(value_named(metadata, name))


def cut(text: str) -> str:
    """Return a text on one line, cut if it is long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= CUT_CHARACTERS else flat[: CUT_CHARACTERS - 1] + "…"


def chosen(
    metadata: Mapping[str, object], fields: Sequence[str] | None, *, with_text: bool
) -> dict[str, object]:
    """Return the metadata for JSON output.

    Args:
        metadata: the metadata of a document.
        fields: the requested names; None for all.
        with_text: whether the text of the document is printed too.
    """
    if fields is not None:
        found = {name: value_named(metadata, name) for name in fields}
        return {name: item for name, item in found.items() if item is not None or name in metadata}
    if with_text:
        return dict(metadata)
    # the metadata contains the text without the title
    return {name: item for name, item in metadata.items() if name != "text"}


class MetFields:
    """Records which requested fields occur in the printed documents, and which others exist.

    Args:
        asked: the requested names.
    """

    def __init__(self, asked: Iterable[str]) -> None:
        self._unknown = dict.fromkeys(asked)
        self._named: dict[str, None] = {}  # metadata fields, in their order
        self._any = False

    def meet(self, metadata: Mapping[str, object]) -> None:
        """Record the metadata of one more printed document."""
        self._any = True
        if not self._unknown:
            return
        for name in [name for name in self._unknown if _has(metadata, name)]:
            del self._unknown[name]
        if len(self._named) <= NAMED_FIELDS:  # one more than shown, to know that there are more
            self._named.update(dict.fromkeys(metadata))

    def notes(self, nothing: str) -> Iterator[str]:
        """Yield a note if a requested field never occurs; `nothing` is "no hit has"."""
        if self._unknown and self._any:
            known = ", ".join(list(self._named)[:NAMED_FIELDS]) or "none"
            more = ", ..." if len(self._named) > NAMED_FIELDS else ""
            yield f"{nothing} the field {', '.join(self._unknown)}; existing fields: {known}{more}"


def _has(metadata: Mapping[str, object], name: str) -> bool:
    return name in metadata or value_named(metadata, name) is not None
