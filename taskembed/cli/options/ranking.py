"""The options of `taskembed search` about ranking, grouping and reranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.printing.hits import HitFormat
from taskembed.errors import UsageError
from taskembed.index.ranking.modes import Method, Mode
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.index.ranking.fusion import Fusion
    from taskembed.index.ranking.grouping import Grouping


@dataclass(frozen=True, slots=True)
class RankOptions:
    """How hits are ranked."""

    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            rich_help_panel=opt.Panel.RANKING,
            help="Rank by vectors, by words, or by both.  "
            "[default: hybrid if the index stores words, else dense]",
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
            help="How a hybrid search combines both rankings: by scores scaled to 0..1, or by "
            "reciprocal ranks.  "
            "[default: convex]",
        ),
    ] = None
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            rich_help_panel=opt.Panel.RANKING,
            help="Print each hit's rank and score by vectors and by words.",
        ),
    ] = False

    chunks: Annotated[
        bool,
        typer.Option(
            "--chunks",
            rich_help_panel=opt.Panel.RANKING,
            help="Rank chunks instead of documents; several may belong to one document.",
        ),
    ] = False

    def check(self, format_: HitFormat) -> None:
        """Refuse chunks in a TREC run, which may list each document only once.

        Args:
            format_: the format of the hits.

        Raises:
            UsageError: chunks and a TREC run are requested.
        """
        if self.chunks and format_ is HitFormat.TREC:
            raise UsageError(
                "--chunks may list a document twice, which is not allowed in a TREC run"
            )

    def fused(self, task: Task) -> Fusion | None:
        """Return how a hybrid search combines its two rankings; None for the default.

        Args:
            task: the task of the index.

        Raises:
            UsageError: the options are given for a search that is not hybrid.
        """
        if self.alpha is None and self.fusion is None:
            return None
        if self.mode in {Mode.DENSE, Mode.WORDS}:
            raise UsageError("--alpha and --fusion require --mode hybrid")
        from taskembed.index.ranking.fusion import Fusion
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
            help="Find the best groups of documents with the same value of this metadata field; -k "
            "is then the number of groups.",
        ),
    ] = None
    per_group: Annotated[
        int | None,
        typer.Option(
            "--per-group",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.RANKING,
            help="The number of hits in each group.  [default: 1]",
        ),
    ] = None

    def check(self) -> None:
        """Refuse --per-group without --group-by.

        Raises:
            UsageError: it is given alone.
        """
        if self.per_group is not None and self.group_by is None:
            raise UsageError("--per-group requires --group-by")

    def grouping(self) -> Grouping | None:
        """Return how hits are grouped; None for no groups."""
        if self.group_by is None:
            return None
        from taskembed.index.ranking.grouping import Grouping  # numpy: 0.1 s

        return Grouping(self.group_by, self.per_group or 1)


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """The reranker of the hits."""

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
        """Refuse --rerank-instruction without --rerank.

        Raises:
            UsageError: it is given alone.
        """
        if self.rerank_instruction is not None and self.rerank is None:
            raise UsageError("--rerank-instruction requires --rerank")
