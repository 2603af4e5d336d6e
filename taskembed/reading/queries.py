"""Reading queries: a file of JSONL or TSV becomes queries, each with its id."""

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
from taskembed.reading.rows import Record
from taskembed.reading.streams import Input, OnBad, as_text, read_lines, stop_at_first
from taskembed.reading.template import Template

QUERY_ID_FIELDS = ("id", "_id", "query_id")
_QUERY_IDS = {"id", "_id", "qid", "query_id", "query-id", "queryid"}  # in a header
_QUERY_TEXTS = {"text", "query", "question"}


@dataclass(frozen=True, slots=True)
class Query:
    """A query with a name, as runs and judgements know it."""

    query_id: str
    text: str


def read_queries(argument: str, on_bad: OnBad = stop_at_first) -> Iterator[Query]:
    """Yield the queries of a file: JSONL with id and text, or TSV, with a header or not.

    Args:
        argument: the file; "-" is stdin.
        on_bad: called with a line that cannot be used, or an id that came before; raises to stop,
            returns to go on.

    Raises:
        UsageError: the name does not say what the file is.
        BadInputError: it is not that, or is damaged.
    """
    item = _query_input(argument)
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
        raise ValueError(f"the id {query.query_id!r} stands twice")


class _QueryRow(NamedTuple):
    """A line of queries, and how it is read: that raises a ValueError where it is none."""

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
    path = Path(argument)
    if argument != "-" and path.is_dir():
        raise UsageError(f"{argument} is a folder", hint="the queries are in one file")
    # <(command) is a pipe called /dev/fd/63: no name that could say what it is
    is_nameless = path.is_fifo() and not path.suffix
    try:
        return find_inputs([argument], format_name="jsonl" if is_nameless else None)[0]
    except UsageError as error:
        # not the hint for a corpus: --format says there how hits are printed
        error.hint = "name it .jsonl or .tsv"
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
    """Return which columns a header calls the id and the text; None when it is no header."""
    names = line.decode(errors="replace").lower().split("\t")
    id_names, text_names = ({*names} & known for known in (_QUERY_IDS, _QUERY_TEXTS))
    if not id_names or not text_names:
        return None
    return names.index(min(id_names)), names.index(min(text_names))


def _tsv_query(line: bytes, columns: tuple[int, int] | None) -> Query:
    """Return the query of a line: an id, a tab and a text; or as its header has them.

    Raises:
        ValueError: it is none.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    cells = text.split("\t", -1 if columns else 1)
    at = columns or (0, 1)
    if len(cells) <= max(at) or not cells[at[0]].strip():
        raise ValueError("it is not an id, a tab and a text")
    query_id, content = (cells[column].strip() for column in at)
    check_id(query_id, "the id")
    return Query(query_id, content)
