"""The options of `taskembed search` alone, in groups: its queries, its hits, its reranker."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli import _options as opt
from taskembed.cli._hits import EXPLAINED, OF_ONE_QUERY, HitFormat, HitPrinter
from taskembed.cli._output import STDOUT, require_output
from taskembed.cli._stdin import read_stdin, read_text
from taskembed.cli._values import field_list
from taskembed.errors import BadInputError, UsageError
from taskembed.index.modes import Method, Mode
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.index.fusion import Fusion
    from taskembed.index.grouping import Grouping


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

    def printer(
        self,
        *,
        as_json: bool,
        many: bool,
        explain: bool = False,
        many_option: str = "--queries",
    ) -> HitPrinter:
        """Return what prints the hits.

        Args:
            as_json: --json was given.
            many: the hits are of many queries.
            explain: what the score of a hybrid search is made of is printed.
            many_option: the option that names many queries.

        Raises:
            UsageError: the options contradict each other.
        """
        chosen = self._format(many_option, as_json=as_json, many=many)
        if explain and chosen not in EXPLAINED:
            raise UsageError("--explain prints a table, json or jsonl")
        if self.header and chosen is not HitFormat.TSV:
            raise UsageError("--header goes with --format tsv")
        fields = field_list(self.fields)
        return HitPrinter(chosen, fields, not self.no_text, self.tag, self.header, explain)

    def check_output(self, read: Iterable[Path | str | None]) -> None:
        """Refuse an output that cannot be written, or that is one of the files that are read.

        Raises:
            TaskembedError: it is.
        """
        if str(self.output) not in STDOUT:
            require_output("--output", self.output, read)

    def _format(self, many_option: str, *, as_json: bool, many: bool) -> HitFormat:
        asked = self.format_
        if as_json and asked not in {None, HitFormat.JSON, HitFormat.JSONL}:
            raise UsageError("--json and --format say different things")
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


@dataclass(frozen=True, slots=True)
class RankOptions:
    """What the hits are ranked by."""

    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            rich_help_panel=opt.Panel.RANKING,
            help="Rank by the vectors, by the words, or by both.  "
            "[default: hybrid if the index keeps words, else dense]",
        ),
    ] = None
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha",
            min=0,
            max=1,
            metavar="WEIGHT",
            rich_help_panel=opt.Panel.RANKING,
            help="The weight of the vectors in a hybrid search.  "
            "[default: 0.6, or 0.7 for code; up to 0.8 for short queries]",
        ),
    ] = None
    fusion: Annotated[
        Method | None,
        typer.Option(
            "--fusion",
            rich_help_panel=opt.Panel.RANKING,
            help="How a hybrid search adds up: scores scaled to 0..1, or reciprocal ranks.  "
            "[default: convex]",
        ),
    ] = None
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            rich_help_panel=opt.Panel.RANKING,
            help="Print each hit's rank and score on either side of a hybrid search.",
        ),
    ] = False

    chunks: Annotated[
        bool,
        typer.Option(
            "--chunks",
            rich_help_panel=opt.Panel.RANKING,
            help="Rank chunks, of which several may be of one document, instead of documents.",
        ),
    ] = False

    def check(self, format_: HitFormat) -> None:
        """Refuse chunks in a TREC run, which has each document once.

        Args:
            format_: of the hits.

        Raises:
            UsageError: they are asked for.
        """
        if self.chunks and format_ is HitFormat.TREC:
            raise UsageError("--chunks may list a document twice, which a TREC run cannot")

    def fused(self, task: Task) -> Fusion | None:
        """Return how the lists of a hybrid search become one; None for the default.

        Args:
            task: of the index.

        Raises:
            UsageError: it is said for a search that is not hybrid.
        """
        if self.alpha is None and self.fusion is None:
            return None
        if self.mode in {Mode.DENSE, Mode.WORDS}:
            raise UsageError("--alpha and --fusion go with --mode hybrid")
        from taskembed.index.fusion import Fusion
        from taskembed.verbs.search import default_fusion

        default, method = default_fusion(task), self.fusion or Method.CONVEX
        if self.alpha is None and method is Method.CONVEX:
            return default
        return Fusion(default.alpha if self.alpha is None else self.alpha, method)


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """How hits are grouped."""

    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            metavar="FIELD",
            rich_help_panel=opt.Panel.RANKING,
            help="Find the best groups: documents with the same value of this field of the "
            "metadata. -k is then the number of groups.",
        ),
    ] = None
    per_group: Annotated[
        int | None,
        typer.Option(
            "--per-group",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.RANKING,
            help="The number of hits of a group.  [default: 1]",
        ),
    ] = None

    def check(self) -> None:
        """Refuse a number of hits of a group without a field.

        Raises:
            UsageError: there is one.
        """
        if self.per_group is not None and self.group_by is None:
            raise UsageError("--per-group goes with --group-by")

    def grouping(self) -> Grouping | None:
        """Return how hits are grouped; None for no groups."""
        if self.group_by is None:
            return None
        from taskembed.index.grouping import Grouping  # numpy: 0.1 s

        return Grouping(self.group_by, self.per_group or 1)


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
