"""`taskembed search`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from taskembed.activity import doing
from taskembed.cli import options as opt
from taskembed.cli._groups import with_groups
from taskembed.cli.output import STDOUT, message, require_output, results, write
from taskembed.cli.rejected import said_after
from taskembed.cli.stdin import read_stdin
from taskembed.cli.table import Column, print_table
from taskembed.cli.words import truncation_notes
from taskembed.errors import BadInputError, ExitCode, UsageError, os_errors
from taskembed.escaping import id_line, json_text, tsv_cell

if TYPE_CHECKING:
    from taskembed.index.reader import Hit
    from taskembed.reading.queries import Query
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.counting import CountingEncoder
    from taskembed.verbs.search import Searcher

SNIPPET_CHARACTERS = 200  # in the table; a data format never cuts
SHOWN_FIELDS = 10


class Format(Enum):
    """How hits are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    TSV = "tsv"
    IDS = "ids"
    TREC = "trec"


@dataclass(slots=True)
class Shown:
    """What of a hit is printed.

    Attributes:
        format: of the lines.
        fields: of the metadata; None for all.
        with_text: the text too.
        tag: of a TREC run.
        header: TSV begins with the names of its columns.
        met: the fields that the hits have, as far as they are printed.
        any_hit: whether there was one.
    """

    format: Format
    fields: Sequence[str] | None
    with_text: bool
    tag: str
    header: bool = False
    met: dict[str, None] = field(default_factory=dict)
    any_hit: bool = False

    def meet(self, hits: Iterable[Hit]) -> None:
        """Remember which fields hits have."""
        for hit in hits:
            self.any_hit = True
            self.met.update(dict.fromkeys(hit.metadata))

    def first_line(self, *, many: bool, reranked: bool) -> str:
        """Return the names of the columns of TSV, if they are wanted; new ones come last."""
        if not self.header:
            return ""
        names = ["query_id"] if many else []
        names += ["rank", "doc_id", "score"]
        names += ["text"] if self.with_text else []
        names += self.fields or ()
        names += ["rerank_score"] if reranked else []
        return "\t".join(map(tsv_cell, names)) + "\n"


@with_groups
def search(
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="[QUERY]",
            help="What to search for; - reads it from stdin. After -- it may begin with a dash.",
        ),
    ] = None,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    k: Annotated[
        int,
        typer.Option(
            "-k",
            "--top-k",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.OUTPUT,
            help="How many hits.",
        ),
    ] = 10,
    task: opt.TaskOption = None,
    model: opt.ModelOption = None,
    adapter: opt.AdapterOption = None,
    query_file: Annotated[
        Path | None,
        typer.Option(
            "--query-file",
            metavar="FILE",
            rich_help_panel=opt.Panel.INPUT,
            help="Read the one query from a file; - is stdin.",
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            "--queries",
            metavar="FILE",
            rich_help_panel=opt.Panel.INPUT,
            help="Many queries: JSONL with id and text, or TSV; - is stdin.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            rich_help_panel=opt.Panel.INPUT,
            help="With --queries, go on without those that cannot be used, and exit with 1.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Write results there rather than to stdout; the file appears when it is whole.",
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format",
            rich_help_panel=opt.Panel.OUTPUT,
            help="trec is for --queries.  [default: table on a terminal, jsonl elsewhere]",
        ),
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            "--fields",
            metavar="NAMES",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Metadata to print, separated by commas.  [default: all in JSON, none elsewhere]",
        ),
    ] = None,
    header: Annotated[
        bool,
        typer.Option(
            "--header",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Begin TSV with the names of its columns.",
        ),
    ] = False,
    no_text: Annotated[
        bool,
        typer.Option("--no-text", rich_help_panel=opt.Panel.OUTPUT, help="Leave the texts out."),
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="SCORE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Leave out hits below that score: a cosine, unless the index has `metric: dot`.",
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank",
            metavar="MODEL",
            rich_help_panel=opt.Panel.RERANKER,
            help="Judge the best hits again with a reranker: a Hugging Face id, or a folder.",
        ),
    ] = None,
    rerank_depth: Annotated[
        int,
        typer.Option(
            "--rerank-depth",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.RERANKER,
            help="How many hits the reranker judges.",
        ),
    ] = 50,
    rerank_instruction: Annotated[
        str | None,
        typer.Option(
            "--rerank-instruction",
            metavar="TEXT",
            rich_help_panel=opt.Panel.RERANKER,
            help="What a document must do for a query, for a reranker that is told it.",
        ),
    ] = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    api_base: opt.ApiBase = None,
    tag: Annotated[
        str,
        typer.Option(
            "--tag",
            metavar="TAG",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Last column of a TREC run.",
        ),
    ] = "taskembed",
    *,
    machine: opt.MachineOptions,
    out: opt.OutputOptions,
) -> int:
    """Search an index with its own model, task and query prompt.

    --task and --model only assert: when the index is of another space, nothing is searched, since
    scores between spaces mean nothing. A model or adapter that was moved is found by --model FOLDER
    or --adapter FOLDER: it is taken when it is what the index was made with.

    Example:
        taskembed search "why is the sky blue?" -k 3
    """
    many = queries is not None
    if (query is not None) + (query_file is not None) + many != 1:
        raise UsageError(
            "give one query, --query-file, or --queries", hint="taskembed search --help"
        )
    format_ = _format(format_, as_json=out.as_json, many=many, to_file=output is not None)
    _require_together("--skip-bad", "--queries", skip_bad <= many)
    _require_together("--rerank-instruction", "--rerank", rerank_instruction is None or rerank)
    _require_together("--header", "--format tsv", not header or format_ is Format.TSV)
    if str(output) not in STDOUT:
        require_output("--output", output, [index_folder, queries, query_file])
    text = None if many else _one_query(query, query_file)  # before a model is loaded for it
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.counting import CountingEncoder
    from taskembed.verbs.search import Searcher

    bad = RejectFile(stop=not skip_bad)
    shown = Shown(format_, _names(fields), not no_text, tag, header=header)
    settings = machine.settings(
        quiet=out.quiet,
        one_query=not many,
        trust_remote_code=trust_remote_code,
        api_base=api_base,
    )
    with Searcher.open(
        index_folder,
        settings,
        task=task,
        model=model,
        adapter=adapter,
        reranker=rerank,
        instruction=rerank_instruction,
        k=k,
        depth=rerank_depth,
        min_score=min_score,
    ) as opened:
        counting = CountingEncoder(opened.encoder)
        searcher = replace(opened, encoder=counting)
        with results(output) as stream, said_after(bad):
            write(shown.first_line(many=many, reranked=rerank is not None), stream)
            if queries is not None:
                _search_many(searcher, queries, shown, stream, bad)
            elif text is not None:
                _search_one(searcher, text, shown, stream)
    if not out.quiet:
        _say_after(shown, counting)
    return ExitCode.PARTIAL if bad.count else ExitCode.OK


def _require_together(option: str, other: str, fits: object) -> None:
    """Refuse an option that says nothing without another."""
    if not fits:
        raise UsageError(f"{option} goes with {other}")


def _names(fields: str | None) -> list[str] | None:
    if fields is None:
        return None
    return [name for name in map(str.strip, fields.split(",")) if name]


def _format(wanted: Format | None, *, as_json: bool, many: bool, to_file: bool) -> Format:
    if as_json and wanted not in {None, Format.JSON, Format.JSONL}:
        raise UsageError("--json and --format say different things")
    if as_json and not many:
        return wanted or Format.JSON
    if wanted is Format.TREC and not many:
        raise UsageError("--format trec is for --queries")
    if many and wanted in {Format.TABLE, Format.JSON, Format.IDS}:
        raise UsageError("--queries prints jsonl, tsv or trec")
    if wanted:
        return wanted
    return Format.TABLE if sys.stdout.isatty() and not (many or to_file) else Format.JSONL


def _one_query(query: str | None, query_file: Path | None) -> str:
    if "-" in {query, str(query_file)}:
        text = read_stdin("the query is")
    elif query_file is not None:
        text = _text_in(query_file)
    else:
        text = query or ""
    if not text.strip():
        raise BadInputError("the query is empty")
    return text.strip()


def _text_in(path: Path) -> str:
    try:
        with os_errors(path):
            return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: the query is not UTF-8") from error


def _search_one(searcher: Searcher, text: str, shown: Shown, stream: TextIO) -> None:
    hits, index = searcher.search([text])[0], searcher.index
    if shown.format in {Format.TABLE, Format.JSON}:
        shown.meet(hits)
    if shown.format is Format.TABLE:
        _print_table(hits, shown, stream)
    elif shown.format is Format.JSON:
        value = {
            "query": text,
            "task": index.space.task.value,
            "model": index.space.model,
            **({"reranker": searcher.reranker.name} if searcher.reranker else {}),
            "generation": index.generation,
            "hits": [_hit_json(hit, shown) for hit in hits],
        }
        write(json_text(value) + "\n", stream)
    else:
        write("".join(_line(hit, shown) for hit in hits), stream)


def _search_many(
    searcher: Searcher, path: str, shown: Shown, stream: TextIO, bad: RejectFile
) -> None:
    from taskembed.reading.queries import read_queries

    with doing("", unit="queries") as step:
        for batch in searcher.search_batches(read_queries(path, bad)):
            lines = [_line(hit, shown, query) for query, hits in batch for hit in hits]
            write("".join(lines), stream)
            step.done += len(batch)


def _line(hit: Hit, shown: Shown, query: Query | None = None) -> str:
    if shown.format is Format.IDS:
        return id_line(hit.doc_id) + "\n"
    if shown.format is Format.TREC and query:
        from taskembed.reading.trec import run_line

        return run_line(query.query_id, hit.doc_id, hit.rank, _best_score(hit), shown.tag)
    shown.meet([hit])
    if shown.format is Format.TSV:
        cells = [query.query_id] if query else []
        cells += [str(hit.rank), hit.doc_id, f"{hit.score:.6f}"]
        cells += [hit.text] if shown.with_text else []
        cells += [_text_of(hit.metadata.get(name)) for name in shown.fields or ()]
        cells += [f"{hit.rerank_score:.6f}"] if hit.rerank_score is not None else []
        return "\t".join(map(tsv_cell, cells)) + "\n"
    named = {"query_id": query.query_id} if query else {}
    return json_text({**named, **_hit_json(hit, shown)}) + "\n"


def _say_after(shown: Shown, encoder: CountingEncoder) -> None:
    """Say which of the fields that were asked for no hit has, and which queries were cut."""
    for note in truncation_notes(encoder):
        message(f"note: {note}")
    unknown = [name for name in shown.fields or () if name not in shown.met]
    if unknown and shown.any_hit:
        there = ", ".join(list(shown.met)[:SHOWN_FIELDS]) or "none"
        more = ", ..." if len(shown.met) > SHOWN_FIELDS else ""
        message(f"note: no hit has the field {', '.join(unknown)}; there are: {there}{more}")


def _best_score(hit: Hit) -> float:
    """Return what the rank of a hit goes by."""
    return hit.score if hit.rerank_score is None else hit.rerank_score


def _hit_json(hit: Hit, shown: Shown) -> dict[str, object]:
    value: dict[str, object] = {
        "rank": hit.rank,
        "doc_id": hit.doc_id,
        "score": round(hit.score, 6),
    }
    if hit.rerank_score is not None:
        value["rerank_score"] = round(hit.rerank_score, 6)
    if shown.with_text:
        value["text"] = hit.text
    metadata = hit.metadata
    if shown.fields is not None:
        metadata = {name: metadata[name] for name in shown.fields if name in metadata}
    elif not shown.with_text:  # as it was before a title was put before it
        metadata = {name: value for name, value in metadata.items() if name != "text"}
    value["metadata"] = dict(metadata)
    return value


def _print_table(hits: Sequence[Hit], shown: Shown, stream: TextIO) -> None:
    if not hits:
        write("no hits\n", stream)
        return
    reranked = hits[0].rerank_score is not None
    columns = [Column("rank", number=True), Column("score", number=True)]
    columns += [Column("rerank_score", number=True)] if reranked else []
    columns += [Column(name, folds=True) for name in ("doc_id", *(shown.fields or ()))]
    columns += [Column("text", folds=True)] if shown.with_text else []
    rows = []
    for hit in hits:
        cells = [str(hit.rank), f"{hit.score:.4f}"]
        cells += [f"{hit.rerank_score:.4f}"] if reranked else []
        cells += [hit.doc_id]
        cells += [_text_of(hit.metadata.get(name)) for name in shown.fields or ()]
        cells += [_snippet(hit.text)] if shown.with_text else []
        rows.append(cells)
    print_table(columns, rows, stream=stream)


def _snippet(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SNIPPET_CHARACTERS else flat[: SNIPPET_CHARACTERS - 1] + "…"


def _text_of(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)
