"""The options of commands that print documents: the format, and which parts are printed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.printing.documents import DocumentFormat, DocumentPrinter
from taskembed.cli.printing.values import field_list
from taskembed.errors import UsageError


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """How documents are printed."""

    format_: Annotated[
        DocumentFormat | None,
        typer.Option(
            "--format",
            rich_help_panel=opt.Panel.OUTPUT,
            help="How documents are printed.  [default: for people on a terminal, jsonl elsewhere]",
        ),
    ] = None
    fields: Annotated[
        str | None,
        typer.Option(
            "--fields",
            metavar="NAMES",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Metadata to print, separated by commas.  [default: all in JSON and text, none "
            "elsewhere]",
        ),
    ] = None
    header: opt.Header = False
    no_text: opt.NoText = False

    def printer(self, *, as_json: bool, for_people: DocumentFormat) -> DocumentPrinter:
        """Return the printer of the documents.

        Args:
            as_json: whether --json was given.
            for_people: the format on a terminal.

        Raises:
            UsageError: the options conflict.
        """
        if as_json and self.format_ not in {None, DocumentFormat.JSONL}:
            raise UsageError("--json and --format cannot be combined")
        default = for_people if sys.stdout.isatty() and not as_json else DocumentFormat.JSONL
        chosen_format = self.format_ or default
        if self.header and chosen_format is not DocumentFormat.TSV:
            raise UsageError("--header requires --format tsv")
        return DocumentPrinter(
            chosen_format, field_list(self.fields), with_text=not self.no_text, header=self.header
        )
