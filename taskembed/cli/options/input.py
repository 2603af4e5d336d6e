"""Options for files of documents, in groups: how to read them, and how to handle bad records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.errors import UsageError
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.formats import InputFormat
from taskembed.verbs.defaults import OnDuplicate

if TYPE_CHECKING:
    from taskembed.index.remembered import Reading
    from taskembed.reading.rejects import RejectFile


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How the input is read; the index remembers it."""

    format_name: Annotated[
        InputFormat | None,
        typer.Option(
            "--format",
            rich_help_panel=opt.Panel.INPUT,
            help="The format of the inputs.  [default: by the file names]",
        ),
    ] = None
    id_field: Annotated[
        str | None,
        typer.Option(
            "--id-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The field with the id.  [default: id, _id or doc_id]",
        ),
    ] = None
    text_field: Annotated[
        str | None,
        typer.Option(
            "--text-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The field with the text.  [default: text, preceded by title if there is one]",
        ),
    ] = None
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            metavar="TEMPLATE",
            rich_help_panel=opt.Panel.INPUT,
            help="The text to embed, such as '{title}. {text}'; {title?} marks an optional field.",
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter",
            metavar="CHARACTER",
            rich_help_panel=opt.Panel.INPUT,
            help=r"The separator of cells in CSV and TSV, such as ';' or '\t'.",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The encoding of CSV, TSV and text, such as cp1252 or utf-16.  [default: utf-8]",
        ),
    ] = None
    first_row: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            rich_help_panel=opt.Panel.INPUT,
            help="Whether the first row of CSV and TSV is a header of column names.",
        ),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="NAMES",
            rich_help_panel=opt.Panel.INPUT,
            help="With --no-header, the column names, such as id,text.",
        ),
    ] = None

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            UsageError: two options contradict each other.
        """
        if self.text_field and self.template:
            raise UsageError("--text-field and --template cannot be combined")

    def reading(self, on_duplicate: OnDuplicate | None) -> Reading:
        """Return how to read the input; for None, what the index remembers is used.

        Args:
            on_duplicate: which of two documents with the same id is kept.

        Raises:
            UsageError: column names are given twice, by --header and --columns; or not at all.
        """
        from taskembed.index.remembered import Reading

        return Reading(
            id_field=self.id_field,
            text_field=self.text_field,
            format=self.format_name.value if self.format_name else None,
            on_duplicate=on_duplicate.value if on_duplicate else None,
            delimiter=self.delimiter,
            encoding=self.encoding,
            columns=self._columns(),
        )

    def _columns(self) -> str | None:
        if self.columns is None and self.first_row is False:
            raise UsageError(
                "--no-header needs the column names", hint="for example --columns id,text"
            )
        if self.columns is not None and self.first_row is not False:
            raise UsageError(
                "--columns requires --no-header",
                hint="if the first row contains the column names, use --id-field and --text-field "
                "to choose columns",
            )
        return "" if self.first_row else self.columns


@dataclass(frozen=True, slots=True)
class RejectOptions:
    """What happens to a record that cannot be used."""

    skip_bad: opt.SkipBad = False
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects",
            metavar="FILE",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="Write bad records to this file, as JSONL, with reasons.",
        ),
    ] = None
    max_bad: Annotated[
        int | None,
        typer.Option(
            "--max-bad",
            min=0,
            metavar="N",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="With --skip-bad, stop after more than N bad records.",
        ),
    ] = None

    def reject_file(self) -> RejectFile:
        """Return the handler of bad records, which its caller opens."""
        from taskembed.reading.rejects import RejectFile

        return RejectFile(self.rejects, stop=not self.skip_bad, max_bad=self.max_bad)

    def check(self, *, dry_run: bool = False) -> None:
        """Check that no options conflict and none is missing.

        Args:
            dry_run: whether nothing is written.

        Raises:
            UsageError: two options contradict each other.
        """
        if (self.rejects or self.max_bad is not None) and not self.skip_bad:
            raise UsageError("--rejects and --max-bad require --skip-bad")
        if self.rejects and dry_run:
            raise UsageError("--dry-run writes nothing, so it cannot be combined with --rejects")


@dataclass(frozen=True, slots=True)
class BadRecordOptions(RejectOptions):
    """Which records count as bad, and what happens to them."""

    max_record_bytes: Annotated[
        int,
        typer.Option(
            "--max-record-bytes",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="Treat larger records as bad records.",
        ),
    ] = DEFAULT_MAX_RECORD_BYTES
    fail_on_truncate: Annotated[
        bool,
        typer.Option(
            "--fail-on-truncate",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="Treat documents that are too long for the model as bad records.",
        ),
    ] = False
