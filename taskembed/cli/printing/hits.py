"""Prints hits as a table, JSON, JSONL, TSV, ids, or a TREC run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, TextIO

from taskembed.cli.printing.output import write
from taskembed.cli.printing.table import Column, print_table
from taskembed.cli.printing.values import MetFields, cell, chosen, cut, field_cell
from taskembed.errors import UsageError
from taskembed.escaping import id_line, json_text, tsv_cell

if TYPE_CHECKING:
    from taskembed.index.ranking.fusion import Side, Sides
    from taskembed.index.ranking.hits import Hit
    from taskembed.reading.queries import Query
    from taskembed.verbs.protocols import Searchable
    from taskembed.verbs.searcher import Searcher

SIDES = ("dense", "words")  # columns of --explain


class HitFormat(Enum):
    """A format of hits."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    TSV = "tsv"
    IDS = "ids"
    TREC = "trec"


EXPLAINED = {HitFormat.TABLE, HitFormat.JSON, HitFormat.JSONL}
WITH_TEXT = {*EXPLAINED, HitFormat.TSV}
OF_ONE_QUERY = {HitFormat.TABLE, HitFormat.JSON, HitFormat.IDS}


@dataclass(slots=True)
class HitPrinter:
    """Prints hits in one format, and records which metadata fields they have.

    Attributes:
        format: the format of the hits.
        fields: metadata fields that are printed; None for all.
        with_text: whether the texts are printed.
        tag: the last column of a TREC run.
        header: whether TSV begins with the names of its columns.
        explain: whether the parts of a hybrid search's scores are printed.
        grouped: whether the group of each hit is printed.
        snippets: whether the best sentence of each hit is printed instead of its text.
    """

    format: HitFormat
    fields: Sequence[str] | None
    with_text: bool
    tag: str
    header: bool
    explain: bool = False
    grouped: bool = False
    snippets: bool = False
    _met: MetFields = field(init=False)

    def __post_init__(self) -> None:
        self._met = MetFields(self.fields or ())

    def show(self, *, grouped: bool, snippets: bool) -> None:
        """Choose whether groups and best sentences are printed.

        Raises:
            UsageError: the format cannot show a sentence, or texts are left out.
        """
        if snippets and self.format not in WITH_TEXT:
            raise UsageError("--snippet can only be printed as a table, json, jsonl or tsv")
        if snippets and not self.with_text:
            raise UsageError("--snippet and --no-text cannot be combined")
        self.grouped, self.snippets = grouped, snippets

    def print_header(self, stream: TextIO, *, many: bool, reranked: bool) -> None:
        """Print the column names of TSV, if they are requested.

        Args:
            stream: where to print.
            many: whether there are many queries.
            reranked: whether the hits have a reranker's score.
        """
        if not self.header:
            return
        names = ["query_id"] if many else []
        names += ["rank", "doc_id", "score"]
        names += [self._text_column] if self.with_text else []
        names += self.fields or ()
        names += ["rerank_score"] if reranked else []  # new columns come last
        names += ["group"] if self.grouped else []
        write("\t".join(map(tsv_cell, names)) + "\n", stream)

    def print_answer(
        self, query: str, hits: Sequence[Hit], searcher: Searcher, stream: TextIO
    ) -> None:
        """Print the hits of one query.

        Args:
            query: the text of the query.
            hits: the hits of the query, best first.
            searcher: the searcher that found them.
            stream: where to print.
        """
        reranker = searcher.reranker.name if searcher.reranker else None
        self.print_hits({"query": query}, hits, searcher.index, stream, reranker=reranker)

    def print_hits(
        self,
        asked: Mapping[str, str],
        hits: Sequence[Hit],
        index: Searchable,
        stream: TextIO,
        *,
        reranker: str | None = None,
    ) -> None:
        """Print the hits of one query or one document.

        Args:
            asked: the first fields of JSON: the query, or the id of the document.
            hits: the hits, best first.
            index: the index that was searched.
            stream: where to print.
            reranker: the name of the reranker; None for none.
        """
        if self.format is HitFormat.TABLE:
            self._meet(hits)
            self._print_table(hits, stream)
        elif self.format is HitFormat.JSON:
            self._meet(hits)
            value = {
                **asked,
                "task": index.space.task.value,
                "model": index.space.model,
                **({"reranker": reranker} if reranker else {}),
                "generation": index.generation,
                "hits": [self._json(hit) for hit in hits],
            }
            write(json_text(value) + "\n", stream)
        else:
            write("".join(self._line(hit) for hit in hits), stream)

    def print_batch(self, batch: Iterable[tuple[Query, list[Hit]]], stream: TextIO) -> None:
        """Print the hits of some queries, one per line."""
        lines = [self._line(hit, query) for query, hits in batch for hit in self._in_order(hits)]
        write("".join(lines), stream)

    def _in_order(self, hits: list[Hit]) -> list[Hit]:
        """Return hits in the order of the format: a TREC run is in the order of the scores."""
        if self.format is not HitFormat.TREC or not self.grouped:
            return hits
        ordered = sorted(hits, key=_deciding_score, reverse=True)
        return [replace(hit, rank=rank) for rank, hit in enumerate(ordered, 1)]

    def notes(self) -> Iterator[str]:
        """Yield a note if no hit has a requested metadata field."""
        yield from self._met.notes("no hit has")

    @property
    def _text_column(self) -> str:
        return "snippet" if self.snippets else "text"

    def _text(self, hit: Hit) -> str:
        if not self.snippets:
            return hit.passage
        return hit.snippet.text if hit.snippet else ""

    def _meet(self, hits: Iterable[Hit]) -> None:
        for hit in hits:
            self._met.meet(hit.metadata)

    def _line(self, hit: Hit, query: Query | None = None) -> str:
        if self.format is HitFormat.IDS:
            return id_line(hit.doc_id) + "\n"
        if self.format is HitFormat.TREC and query:
            from taskembed.reading.trec import run_line

            return run_line(query.query_id, hit.doc_id, hit.rank, _deciding_score(hit), self.tag)
        self._meet([hit])
        if self.format is HitFormat.TSV:
            return self._tsv(hit, query)
        named = {"query_id": query.query_id} if query else {}
        return json_text({**named, **self._json(hit)}) + "\n"

    def _tsv(self, hit: Hit, query: Query | None) -> str:
        cells = [query.query_id] if query else []
        cells += [str(hit.rank), hit.doc_id, f"{hit.score:.6f}"]
        cells += [self._text(hit)] if self.with_text else []
        cells += [field_cell(hit.metadata, name) for name in self.fields or ()]
        cells += [f"{hit.rerank_score:.6f}"] if hit.rerank_score is not None else []
        cells += [cell(hit.group)] if self.grouped else []
        return "\t".join(map(tsv_cell, cells)) + "\n"

    def _json(self, hit: Hit) -> dict[str, object]:
        value: dict[str, object] = {
            "rank": hit.rank,
            "doc_id": hit.doc_id,
            "score": round(hit.score, 6),
        }
        if hit.rerank_score is not None:
            value["rerank_score"] = round(hit.rerank_score, 6)
        if self.grouped:
            value["group"] = hit.group
        if self.explain and hit.sides:
            value["sides"] = {name: _side(side) for name, side in _named(hit.sides)}
        with_text = self.with_text and not self.snippets
        if self.snippets:
            value["snippet"] = asdict(hit.snippet) if hit.snippet else None
        elif with_text:
            value["text"] = hit.text
        if hit.chunk:
            place = {"start": hit.chunk.start, "end": hit.chunk.end}
            value["chunk"] = {**place, **({"text": hit.chunk.text} if with_text else {})}
        value["metadata"] = chosen(hit.metadata, self.fields, with_text=with_text)
        return value

    def _print_table(self, hits: Sequence[Hit], stream: TextIO) -> None:
        if not hits:
            write("no hits\n", stream)
            return
        reranked = hits[0].rerank_score is not None
        columns = [Column("rank", number=True), Column("score", number=True)]
        columns += [Column("rerank_score", number=True)] if reranked else []
        explained = SIDES if self.explain and hits[0].sides else ()
        columns += [Column(name) for name in explained]
        columns += [Column("group", folds=True)] if self.grouped else []
        columns += [Column(name, folds=True) for name in ("doc_id", *(self.fields or ()))]
        columns += [Column(self._text_column, folds=True)] if self.with_text else []
        print_table(columns, list(map(self._cells, hits)), stream=stream)

    def _cells(self, hit: Hit) -> list[str]:
        cells = [str(hit.rank), f"{hit.score:.4f}"]
        cells += [f"{hit.rerank_score:.4f}"] if hit.rerank_score is not None else []
        cells += [_shown(hit.sides, name) for name in SIDES if self.explain and hit.sides]
        cells += [cell(hit.group)] if self.grouped else []
        cells += [hit.doc_id]
        cells += [field_cell(hit.metadata, name) for name in self.fields or ()]
        cells += [cut(self._text(hit))] if self.with_text else []
        return cells


def _deciding_score(hit: Hit) -> float:
    """Return the score that determines the rank."""
    return hit.score if hit.rerank_score is None else hit.rerank_score


def _named(sides: Sides) -> list[tuple[str, Side | None]]:
    return [("dense", sides.dense), ("words", sides.words)]


def _side(side: Side | None) -> dict[str, object] | None:
    if side is None:
        return None
    return {"rank": side.rank, "score": round(side.score, 6), "part": round(side.part, 6)}


def _shown(sides: Sides, name: str) -> str:
    """Return the rank, the score and the contribution of a hit in one list, for people."""
    side = dict(_named(sides))[name]
    return f"#{side.rank} {side.score:.4f} +{side.part:.4f}" if side else "-"
