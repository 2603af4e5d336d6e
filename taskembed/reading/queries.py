"""Reads queries from JSONL or TSV."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from taskembed.errors import BadRecordError, UsageError
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.documents import check_id, document_of
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs, read_records
from taskembed.reading.places import place_of
from taskembed.reading.rows import Record
from taskembed.reading.streams import Input, OnBad, as_text, read_lines, stop_at_first
from taskembed.reading.template import Template

QUERY_ID_FIELDS = ("id", "_id", "query_id")
_QUERY_IDS = {"id", "_id", "qid", "query_id", "query-id", "queryid"}  # names of the id in a header
_QUERY_TEXTS = {"text", "query", "question"}


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its id, which runs and judgements refer to."""

    query_id: str
    text: str


def read_queries(argument: str, on_bad: OnBad = stop_at_first) -> Iterator[Query]:
    """Return the queries of a file: JSONL with id and text, or TSV with or without a header.

    A missing file is reported at once; the queries are read lazily.

    Args:
        argument: the file; "-" is stdin.
        on_bad: called with each line that cannot be used and each duplicate id; raises to stop,
            returns to continue.

    Raises:
        UsageError: the name of the file does not tell its format.
        NotFoundError: there is no such file.
        BadInputError: the file has another format, or is damaged.
    """
    return _queries(_query_input(argument), on_bad)


def _queries(item: Input, on_bad: OnBad) -> Iterator[Query]:
    rows = _tsv_rows(item, on_bad) if item.format == "tsv" else _fields_of_queries(item, on_bad)
    seen: set[str] = set()
    for source, read, raw in rows:
        try:
            query = read()
            _require_new(query, seen)
        except ValueError as error:
            on_bad(BadRecordError(source, str(error), raw=as_text(raw or b"")))
        else:
            seen.add(query.query_id)
            yield query


def _require_new(query: Query, seen: Collection[str]) -> None:
    if not query.text:
        raise ValueError("the query is empty")
    if query.query_id in seen:
        raise ValueError(f"duplicate id {query.query_id!r}")


class _QueryRow(NamedTuple):
    """A line of a file of queries; `read` returns its query, or raises a ValueError."""

    source: str
    read: Callable[[], Query]
    line: bytes | None


def _fields_of_queries(item: Input, on_bad: OnBad) -> Iterator[_QueryRow]:
    fields = RecordFields(template=Template("{text}"))

    def query(record: Record, source: str) -> Query:
        document = document_of(record, fields, source, QUERY_ID_FIELDS)
        return Query(document.doc_id, document.text)

    for source, record, raw in read_records(item, on_bad, DEFAULT_MAX_RECORD_BYTES):
        yield _QueryRow(source, partial(query, record, source), raw)


def _query_input(argument: str) -> Input:
    path = place_of(argument)
    if argument != "-" and path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file of queries")
    # <(command) is a pipe named /dev/fd/63, which has no ending
    is_nameless = isinstance(path, Path) and path.is_fifo() and not path.suffix
    try:
        return find_inputs([argument], format_name="jsonl" if is_nameless else None)[0]
    except UsageError as error:
        # replaces the hint for a corpus: in `search`, --format is the format of the output
        error.hint = "the name must end in .jsonl or .tsv"
        raise


def _tsv_rows(item: Input, on_bad: OnBad) -> Iterator[_QueryRow]:
    columns: tuple[int, int] | None = None
    is_first = True
    for source, line in read_lines(item, on_bad, DEFAULT_MAX_RECORD_BYTES):
        if is_first:
            columns, is_first = _query_columns(line), False
            if columns:
                continue
        yield _QueryRow(source, partial(_tsv_query, line, columns), line)


def _query_columns(line: bytes) -> tuple[int, int] | None:
    """Return the columns of the id and the text in a header; None if the line is not a header."""
    names = line.decode(errors="replace").lower().split("\t")
    id_names, text_names = ({*names} & known for known in (_QUERY_IDS, _QUERY_TEXTS))
    if not id_names or not text_names:
        return None
    return names.index(min(id_names)), names.index(min(text_names))


def _tsv_query(line: bytes, columns: tuple[int, int] | None) -> Query:
    """Return the query in a line: an id, a tab and a text, or the columns of the header.

    Raises:
        ValueError: the line is not a query.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    cells = text.split("\t", -1 if columns else 1)
    at = columns or (0, 1)
    if len(cells) <= max(at) or not cells[at[0]].strip():
        raise ValueError("expected an id, a tab and a text")
    query_id, content = (cells[column].strip() for column in at)
    check_id(query_id, "the id")
    return Query(query_id, content)
