"""Options for files of documents, in groups: how they are read, and what a bad record is."""

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
            help="The format of the inputs, whatever their file names say.",
        ),
    ] = None
    id_field: Annotated[
        str | None,
        typer.Option(
            "--id-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The field that holds the id.  [default: id, _id or doc_id]",
        ),
    ] = None
    text_field: Annotated[
        str | None,
        typer.Option(
            "--text-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The field that holds the text.  [default: text, after title if there is one]",
        ),
    ] = None
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            metavar="TEMPLATE",
            rich_help_panel=opt.Panel.INPUT,
            help="The text to embed, such as '{title}. {text}'; {title?} may be missing.",
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
            raise UsageError("--text-field and --template exclude each other")

    def reading(self, on_duplicate: OnDuplicate | None) -> Reading:
        """Return how the input is to be read; None is left to what the index remembers.

        Args:
            on_duplicate: which of two documents with one id stays.

        Raises:
            UsageError: the first row has the names of the columns and --columns too; or neither.
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
            raise UsageError("--no-header needs the names of the columns", hint="--columns id,text")
        if self.columns is not None and self.first_row is not False:
            raise UsageError(
                "--columns goes with --no-header",
                hint="where the first row has the names, --id-field and --text-field say which "
                "is what",
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
        """Refuse options that contradict each other, or need another.

        Args:
            dry_run: nothing is written.

        Raises:
            UsageError: two options contradict each other.
        """
        if (self.rejects or self.max_bad is not None) and not self.skip_bad:
            raise UsageError("--rejects and --max-bad go with --skip-bad")
        if self.rejects and dry_run:
            raise UsageError("--dry-run writes nothing, so there are no --rejects")


@dataclass(frozen=True, slots=True)
class BadRecordOptions(RejectOptions):
    """What a bad record of a text is, and what happens to it."""

    max_record_bytes: Annotated[
        int,
        typer.Option(
            "--max-record-bytes",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="A larger record is a bad record.",
        ),
    ] = DEFAULT_MAX_RECORD_BYTES
    fail_on_truncate: Annotated[
        bool,
        typer.Option(
            "--fail-on-truncate",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="A document that is too long for the model is a bad record.",
        ),
    ] = False
