"""Prints the documents of an index, for people or as JSONL, TSV or ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING

from taskembed.batches import batched
from taskembed.cli.printing.output import write
from taskembed.cli.printing.table import Column, print_table
from taskembed.cli.printing.values import MetFields, cell, chosen, cut, field_cell
from taskembed.escaping import escaped, id_line, json_text, tsv_cell

if TYPE_CHECKING:
    from taskembed.reading.document import Document

TABLE_ROWS = 1_000  # rows of a table in memory; their columns have the same width
WRITTEN_AT_ONCE = 65_536  # characters


class DocumentFormat(Enum):
    """A format of documents."""

    TABLE = "table"
    TEXT = "text"
    JSONL = "jsonl"
    TSV = "tsv"
    IDS = "ids"


class DocumentPrinter:
    """Prints documents in one format as they are read; only a few are in memory at a time.

    Args:
        format_: the format of the documents.
        fields: metadata fields that are printed; None for the default of the format.
        with_text: whether the texts are printed.
        header: whether TSV begins with the names of its columns.
    """

    def __init__(
        self,
        format_: DocumentFormat,
        fields: list[str] | None,
        *,
        with_text: bool,
        header: bool = False,
    ) -> None:
        self._format = format_
        self._fields = fields
        self._with_text = with_text
        self._header = header
        self._met = MetFields(fields or ())
        self.count = 0  # documents that were printed

    def print_all(self, documents: Iterable[Document]) -> None:
        """Print documents as they are read.

        Raises:
            ClosedPipeError: the reader of stdout has closed the pipe.
        """
        met = self._meeting(documents)
        if self._format is DocumentFormat.TABLE:
            for some in batched(met, TABLE_ROWS):
                self._print_table(some)
            return
        lines: list[str] = []
        waiting = 0
        if self._header:
            names = ["doc_id", *(["text"] if self._with_text else []), *(self._fields or ())]
            lines.append("\t".join(map(tsv_cell, names)) + "\n")
        for document in met:
            lines.append(self._line(document))
            waiting += len(lines[-1])
            if waiting >= WRITTEN_AT_ONCE:
                write("".join(lines))
                lines, waiting = [], 0
        write("".join(lines))

    def json(self, document: Document) -> dict[str, object]:
        """Return a document as a JSON object."""
        text = {"text": document.text} if self._with_text else {}
        metadata = chosen(document.metadata, self._fields, with_text=self._with_text)
        return {"doc_id": document.doc_id, **text, "metadata": metadata}

    def notes(self) -> Iterator[str]:
        """Yield a note if no document has a requested metadata field."""
        yield from self._met.notes("no printed document has")

    def _meeting(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            self.count += 1
            self._met.meet(document.metadata)
            yield document

    def _line(self, document: Document) -> str:
        match self._format:
            case DocumentFormat.IDS:
                return id_line(document.doc_id) + "\n"
            case DocumentFormat.TSV:
                return self._tsv(document)
            case DocumentFormat.TEXT:
                return self._for_people(document)
        return json_text(self.json(document)) + "\n"

    def _tsv(self, document: Document) -> str:
        cells = [document.doc_id]
        cells += [document.text] if self._with_text else []
        cells += [field_cell(document.metadata, name) for name in self._fields or ()]
        return "\t".join(map(tsv_cell, cells)) + "\n"

    def _for_people(self, document: Document) -> str:
        """Return a whole document: its id and metadata, one line each, and its text."""
        metadata = chosen(document.metadata, self._fields, with_text=False)
        named = {"doc_id": document.doc_id, **metadata}
        lines = [f"{escaped(name)}: {escaped(cell(value))}\n" for name, value in named.items()]
        text = "\n" + escaped(document.text, keep="\n\t") + "\n" if self._with_text else ""
        between = "\n" if self.count > 1 else ""
        return between + "".join(lines) + text

    def _print_table(self, documents: list[Document]) -> None:
        fields = self._fields or []
        columns = [Column(name, folds=True) for name in ("doc_id", *fields)]
        columns += [Column("text", folds=True)] if self._with_text else []
        rows = []
        for document in documents:
            cells = [document.doc_id, *(field_cell(document.metadata, name) for name in fields)]
            rows.append([*cells, cut(document.text)] if self._with_text else cells)
        print_table(columns, rows)
