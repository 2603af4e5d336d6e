"""The options of `evaluate` and `ablate`: the judged data, and how much of it to use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options.common import Panel

if TYPE_CHECKING:
    from taskembed.evaluation.data import DataFiles

Data = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DATA]",
        help="A folder: corpus, queries, qrels; or pairs; or train, test; or texts; or one file.",
    ),
]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--queries",
        metavar="FILE",
        rich_help_panel=Panel.INPUT,
        help="The queries, if they are not in the folder: JSONL with id and text, or TSV.",
    ),
]
Qrels = Annotated[
    Path | None,
    typer.Option(
        "--qrels",
        metavar="FILE",
        rich_help_panel=Panel.INPUT,
        help="The judgements, if they are not in the folder: TREC qrels, or TSV.",
    ),
]
Limit = Annotated[
    int,
    typer.Option(
        "--limit",
        min=0,
        metavar="N",
        rich_help_panel=Panel.INPUT,
        help="Use only the first N queries, pairs or test texts; 0 for all.",
    ),
]


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Where judged data is, and how much of it is used."""

    data: Data = None
    queries: Queries = None
    qrels: Qrels = None
    limit: Limit = 0

    def files(self) -> DataFiles:
        """Return where the data is."""
        from taskembed.evaluation.data import DataFiles

        return DataFiles(self.data, self.queries, self.qrels, self.limit)
