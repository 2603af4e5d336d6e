"""`taskembed search`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from taskembed.activity import doing
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import MachineOptions, OutputOptions
from taskembed.cli.options.ranking import GroupOptions, RankOptions, RerankOptions
from taskembed.cli.options.search import HitOptions, QueryOptions, Snippet
from taskembed.cli.printing.output import message, results
from taskembed.cli.printing.rejected import rejects_reported
from taskembed.cli.printing.sentences import truncation_notes
from taskembed.errors import ExitCode
from taskembed.space import PromptType

if TYPE_CHECKING:
    from taskembed.cli.printing.hits import HitPrinter
    from taskembed.reading.queries import Query
    from taskembed.verbs.opening.counting import CountingEncoder
    from taskembed.verbs.searcher import Searcher


@with_groups
def search_command(
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="[QUERY]",
            help="The query; - reads it from stdin. Put -- before a query that begins with a dash.",
        ),
    ] = None,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    task: opt.ViewOption = None,
    model: opt.PlaceOfModel = None,
    adapter: opt.PlaceOfAdapter = None,
    where: opt.Where = None,
    *,
    of_query: QueryOptions,
    of_ranking: RankOptions,
    of_groups: GroupOptions,
    of_hits: HitOptions,
    snippet: Snippet = False,
    reranker: RerankOptions,
    trust_remote_code: opt.TrustRemoteCode = False,
    api_base: opt.ApiBase = None,
    machine: MachineOptions,
    out: OutputOptions,
) -> int:
    """Search an index with its own model, task and query prompt.

    If the index has several views, --task chooses one. Otherwise, --task and --model are only
    compared with those of the index, and the search is refused if they differ, since scores between
    different spaces are meaningless. If the model or its adapter was moved, give its new folder
    with --model or --adapter. A search with --mode words needs no model.

    Example:
        taskembed search "why is the sky blue?" -k 3
        taskembed search "why is the sky blue?" --group-by topic --snippet
    """
    of_query.check(query)
    printer = _printer(of_hits, of_ranking, as_json=out.as_json, many=(many := of_query.many))
    reranker.check()
    of_groups.check()
    printer.show(grouped=of_groups.group_by is not None, snippets=snippet)
    of_hits.check_output([index_folder, of_query.queries, of_query.query_file])
    text = "" if many else of_query.text(query)  # read before a model is loaded
    settings = machine.settings(
        quiet=out.quiet, one_query=not many, trust_remote_code=trust_remote_code, api_base=api_base
    )
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.opening.counting import CountingEncoder
    from taskembed.verbs.searcher import Searcher

    bad = RejectFile(stop=not of_query.skip_bad)
    queries = of_query.read(bad)  # checks the file name before a model is loaded
    with Searcher.open(
        index_folder,
        settings,
        task=task,
        model=model,
        adapter=adapter,
        reranker=reranker.rerank,
        instruction=reranker.rerank_instruction,
        k=of_hits.k,
        depth=reranker.rerank_depth,
        min_score=of_hits.min_score,
        where=where,
        mode=of_ranking.mode,
        exact=of_hits.exact,
        grouping=of_groups.grouping(),
        chunks=of_ranking.chunks,
    ) as opened:
        counting = CountingEncoder(opened.encoder) if opened.encoder else None
        fusion = of_ranking.fused(opened.index.space.task)
        searcher = replace(opened, encoder=counting, fusion=fusion, snippets=snippet)
        with results(of_hits.output) as stream, rejects_reported(bad):
            printer.print_header(stream, many=many, reranked=reranker.rerank is not None)
            _print_answers(searcher, text if queries is None else queries, printer, stream)
        for note in () if out.quiet else _notes(searcher, counting, printer):
            message(f"note: {note}")
    return ExitCode.PARTIAL if bad.count else ExitCode.OK


def _printer(
    of_hits: HitOptions, of_ranking: RankOptions, *, as_json: bool, many: bool
) -> HitPrinter:
    printer = of_hits.printer(as_json=as_json, many=many, explain=of_ranking.explain)
    of_ranking.check(printer.format)
    return printer


def _notes(
    searcher: Searcher, counting: CountingEncoder | None, printer: HitPrinter
) -> Iterator[str]:
    if searcher.where is not None and not searcher.index.count(searcher.where):
        yield opt.NOTHING_PASSES
    yield from truncation_notes(
        counting, [PromptType.QUERY]
    )  # the sentences of snippets count as documents
    yield from printer.notes()


def _print_answers(
    searcher: Searcher, asked: str | Iterator[Query], printer: HitPrinter, stream: TextIO
) -> None:
    """Print the hits of one query, or of many as they are read."""
    if isinstance(asked, str):
        printer.print_answer(asked, searcher.search([asked])[0], searcher, stream)
        return
    with doing("", unit="queries") as step:
        for batch in searcher.search_batches(asked):
            printer.print_batch(batch, stream)
            step.done += len(batch)
