"""`taskembed get`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._inputs.ids import read_ids
from taskembed.cli.options import common as opt
from taskembed.cli.options.documents import DocumentOptions
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import OutputOptions
from taskembed.cli.printing.documents import DocumentFormat
from taskembed.cli.printing.output import message, write
from taskembed.cli.printing.sentences import not_in_the_index
from taskembed.errors import ExitCode
from taskembed.escaping import json_text

if TYPE_CHECKING:
    from taskembed.cli.printing.documents import DocumentPrinter
    from taskembed.reading.document import Document


@with_groups
def get_command(
    doc_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Document ids; - reads them from stdin, in the form of search --format ids.",
        ),
    ],
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    *,
    printed: DocumentOptions,
    out: OutputOptions,
) -> int:
    """Print documents of an index by id, with their whole texts.

    Documents are in the order of the ids. Ids that are not in the index are listed on stderr; the
    exit code is then 1. No model is loaded.

    Example:
        taskembed get moon mars --fields title
        taskembed get - --format tsv
    """
    printer = printed.printer(as_json=out.as_json, for_people=DocumentFormat.TEXT)
    from taskembed.verbs.documents import get_documents

    missing: list[str] = []

    def found() -> Iterator[Document]:
        for doc_id, document in get_documents(index_folder, read_ids(doc_ids)):
            if document is None:
                missing.append(doc_id)
            else:
                yield document

    if out.as_json and printed.format_ is None:
        _print_object(printer, found(), missing)
        return ExitCode.PARTIAL if missing else ExitCode.OK
    printer.print_all(found())
    if not out.quiet:
        for note in printer.notes():
            message(f"note: {note}")
    if missing:
        message(not_in_the_index(missing))
    return ExitCode.PARTIAL if missing else ExitCode.OK


def _print_object(
    printer: DocumentPrinter, documents: Iterator[Document], missing: list[str]
) -> None:
    """Print one JSON object, with one document in memory at a time."""
    before = '{"documents": ['
    for document in documents:
        write(before + json_text(printer.json(document)))
        before = ", "
    if before != ", ":
        write(before)
    write(f'], "missing": {json_text(missing)}}}\n')
