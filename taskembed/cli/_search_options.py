"""The options of `taskembed search` alone, in groups: its queries, its hits, its reranker."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from taskembed.cli import _options as opt
from taskembed.cli._hits import OF_ONE_QUERY, HitFormat, HitPrinter
from taskembed.cli._stdin import read_stdin
from taskembed.errors import BadInputError, UsageError, os_errors


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Where queries come from, when they are no argument."""

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
            help="With --queries, skip unusable ones; the exit code is then 1.",
        ),
    ] = False

    @property
    def many(self) -> bool:
        """Whether many queries are answered."""
        return self.queries is not None

    def check(self, query: str | None) -> None:
        """Refuse anything but one place that queries come from, and --skip-bad for a single query.

        Args:
            query: the argument.

        Raises:
            UsageError: there is no query or more than one, or --skip-bad without --queries.
        """
        if (query is not None) + (self.query_file is not None) + self.many != 1:
            raise UsageError(
                "give one query, --query-file, or --queries", hint="taskembed search --help"
            )
        if self.skip_bad and not self.many:
            raise UsageError("--skip-bad goes with --queries")

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
            text = _text_in(self.query_file)
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
            rich_help_panel=opt.Panel.OUTPUT,
            help="Score every document of a large index, not only likely ones.",
        ),
    ] = False
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Write to this file instead of stdout; it appears once it is complete.",
        ),
    ] = None
    format_: Annotated[
        HitFormat | None,
        typer.Option(
            "--format",
            rich_help_panel=opt.Panel.OUTPUT,
            help="How hits are printed; trec is for --queries.  "
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
    header: Annotated[
        bool,
        typer.Option(
            "--header",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Begin TSV with a row of column names.",
        ),
    ] = False
    no_text: Annotated[
        bool,
        typer.Option("--no-text", rich_help_panel=opt.Panel.OUTPUT, help="Omit the texts."),
    ] = False
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="SCORE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Omit hits with a lower score: a cosine, unless the index has `metric: dot`.",
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

    def printer(self, *, as_json: bool, many: bool) -> HitPrinter:
        """Return what prints the hits.

        Args:
            as_json: --json was given.
            many: the hits are of many queries.

        Raises:
            UsageError: the options contradict each other.
        """
        chosen = self._format(as_json=as_json, many=many)
        if self.header and chosen is not HitFormat.TSV:
            raise UsageError("--header goes with --format tsv")
        fields = None
        if self.fields is not None:
            fields = [name for name in map(str.strip, self.fields.split(",")) if name]
        return HitPrinter(chosen, fields, not self.no_text, self.tag, self.header)

    def _format(self, *, as_json: bool, many: bool) -> HitFormat:
        asked = self.format_
        if as_json and asked not in {None, HitFormat.JSON, HitFormat.JSONL}:
            raise UsageError("--json and --format say different things")
        if as_json and not many:
            return asked or HitFormat.JSON
        if asked is HitFormat.TREC and not many:
            raise UsageError("--format trec is for --queries")
        if many and asked in OF_ONE_QUERY:
            raise UsageError("--queries prints jsonl, tsv or trec")
        if asked:
            return asked
        is_for_people = sys.stdout.isatty() and not many and self.output is None
        return HitFormat.TABLE if is_for_people else HitFormat.JSONL


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """Which reranker judges the hits."""

    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank",
            metavar="MODEL",
            rich_help_panel=opt.Panel.RERANKER,
            help="The model that reranks the best hits: a Hugging Face id, or a folder.",
        ),
    ] = None
    rerank_depth: Annotated[
        int,
        typer.Option(
            "--rerank-depth",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.RERANKER,
            help="The number of hits to rerank.",
        ),
    ] = 50
    rerank_instruction: Annotated[
        str | None,
        typer.Option(
            "--rerank-instruction",
            metavar="TEXT",
            rich_help_panel=opt.Panel.RERANKER,
            help="What makes a document relevant, for a reranker that takes instructions.",
        ),
    ] = None

    def check(self) -> None:
        """Refuse an instruction for no reranker.

        Raises:
            UsageError: there is one.
        """
        if self.rerank_instruction is not None and self.rerank is None:
            raise UsageError("--rerank-instruction goes with --rerank")


def _text_in(path: Path) -> str:
    try:
        with os_errors(path):
            return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError("the query is not UTF-8", what=str(path)) from error
