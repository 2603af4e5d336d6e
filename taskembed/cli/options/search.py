"""The options of `taskembed search`, in groups: the queries, and the hits."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._process.stdin import read_stdin, read_text
from taskembed.cli.options import common as opt
from taskembed.cli.printing.hits import EXPLAINED, OF_ONE_QUERY, HitFormat, HitPrinter
from taskembed.cli.printing.output import STDOUT, require_output
from taskembed.cli.printing.values import field_list
from taskembed.errors import BadInputError, UsageError

if TYPE_CHECKING:
    from taskembed.reading.queries import Query
    from taskembed.reading.streams import OnBad


Snippet = Annotated[
    bool,
    typer.Option(
        "--snippet",
        rich_help_panel=opt.Panel.OUTPUT,
        help="Print the best sentence of each hit instead of its text.",
    ),
]


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Where queries are read from, if there is no argument."""

    query_file: Annotated[
        Path | None,
        typer.Option(
            "--query-file",
            metavar="FILE",
            rich_help_panel=opt.Panel.INPUT,
            help="Read the query from this file; - is stdin.",
        ),
    ] = None
    queries: Annotated[
        str | None,
        typer.Option(
            "--queries",
            metavar="FILE",
            rich_help_panel=opt.Panel.INPUT,
            help="Read many queries: JSONL with id and text, or TSV; - is stdin.",
        ),
    ] = None
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            rich_help_panel=opt.Panel.INPUT,
            help="With --queries, skip invalid queries; the exit code is then 1.",
        ),
    ] = False

    @property
    def many(self) -> bool:
        """Whether there are many queries."""
        return self.queries is not None

    def check(self, query: str | None) -> None:
        """Check that queries come from exactly one source.

        Args:
            query: the argument.

        Raises:
            UsageError: there is no source or more than one, or --skip-bad without --queries.
        """
        if (query is not None) + (self.query_file is not None) + self.many != 1:
            raise UsageError(
                "give exactly one of: a query, --query-file, --queries",
                hint="see taskembed search --help",
            )
        if self.skip_bad and not self.many:
            raise UsageError("--skip-bad requires --queries")

    def read(self, on_bad: OnBad) -> Iterator[Query] | None:
        """Return an iterator over the queries of --queries; None without the option.

        Args:
            on_bad: called with each invalid query.

        Raises:
            UsageError: the format is not known from the name of the file.
            NotFoundError: there is no such file.
        """
        if self.queries is None:
            return None
        from taskembed.reading.queries import read_queries

        return read_queries(self.queries, on_bad)

    def text(self, query: str | None) -> str:
        """Return the one query.

        Args:
            query: the argument; "-" for stdin.

        Raises:
            BadInputError: the query is empty, or not UTF-8.
            NotFoundError: there is no such file.
        """
        if "-" in {query, str(self.query_file)}:
            text = read_stdin("the query is")
        elif self.query_file is not None:
            text = read_text(self.query_file, "the query is")
        else:
            text = query or ""
        if not text.strip():
            raise BadInputError("the query is empty")
        return text.strip()


@dataclass(frozen=True, slots=True)
class HitOptions:
    """Which hits are printed, where, and how."""

    k: Annotated[
        int,
        typer.Option(
            "-k",
            "--top-k",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.OUTPUT,
            help="The number of hits.",
        ),
    ] = 10
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            rich_help_panel=opt.Panel.RANKING,
            help="Score every document of a large index, not only likely candidates.",
        ),
    ] = False
    output: Annotated[
        Path | None,
        opt.output_option("Write to this file instead of stdout; the file is replaced at the end."),
    ] = None
    format_: Annotated[
        HitFormat | None,
        typer.Option(
            "--format",
            rich_help_panel=opt.Panel.OUTPUT,
            help="How hits are printed; trec is for many queries.  "
            "[default: table on a terminal, jsonl elsewhere]",
        ),
    ] = None
    fields: Annotated[
        str | None,
        typer.Option(
            "--fields",
            metavar="NAMES",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Metadata to print, separated by commas.  [default: all in JSON, none elsewhere]",
        ),
    ] = None
    header: opt.Header = False
    no_text: opt.NoText = False
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="SCORE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Rank by vectors alone, and omit hits with a lower score (a cosine, unless the "
            "index has `metric: dot`).",
        ),
    ] = None
    tag: Annotated[
        str,
        typer.Option(
            "--tag",
            metavar="TAG",
            rich_help_panel=opt.Panel.OUTPUT,
            help="The last column of a TREC run.",
        ),
    ] = "taskembed"

    def printer(
        self,
        *,
        as_json: bool,
        many: bool,
        explain: bool = False,
        many_option: str = "--queries",
    ) -> HitPrinter:
        """Return the printer of the hits.

        Args:
            as_json: whether --json was given.
            many: whether there are many queries.
            explain: whether to print the parts of a hybrid search's score.
            many_option: the option that reads many queries.

        Raises:
            UsageError: the options conflict.
        """
        chosen = self._format(many_option, as_json=as_json, many=many)
        if explain and chosen not in EXPLAINED:
            raise UsageError("--explain can only be printed as a table, json or jsonl")
        if self.header and chosen is not HitFormat.TSV:
            raise UsageError("--header requires --format tsv")
        fields = field_list(self.fields)
        return HitPrinter(chosen, fields, not self.no_text, self.tag, self.header, explain)

    def check_output(self, read: Iterable[Path | str | None]) -> None:
        """Refuse an output that cannot be written, or that is one of the files that are read.

        Raises:
            TaskembedError: the output cannot be written, or is one of the inputs.
        """
        if str(self.output) not in STDOUT:
            require_output("--output", self.output, read)

    def _format(self, many_option: str, *, as_json: bool, many: bool) -> HitFormat:
        asked = self.format_
        if as_json and asked not in {None, HitFormat.JSON, HitFormat.JSONL}:
            raise UsageError("--json and --format cannot be combined")
        if as_json and not many:
            return asked or HitFormat.JSON
        if asked is HitFormat.TREC and not many:
            raise UsageError(f"--format trec is for {many_option}")
        if many and asked in OF_ONE_QUERY:
            raise UsageError(f"{many_option} prints jsonl, tsv or trec")
        if asked:
            return asked
        is_for_people = sys.stdout.isatty() and not many and self.output is None
        return HitFormat.TABLE if is_for_people else HitFormat.JSONL
