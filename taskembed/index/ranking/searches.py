"""Ranked searches over the segments of an index: by vectors, by words, by both, or in groups."""

from __future__ import annotations

from collections.abc import Sequence

from taskembed.index._segments.segment import Segment
from taskembed.index.ranking._answers import ChunksOf, as_hits, read_chunks, read_scored
from taskembed.index.ranking._best import Best
from taskembed.index.ranking._whole import are_cut, whole_documents
from taskembed.index.ranking.fusion import Fusion, Sides, best_by_words, fuse, listed
from taskembed.index.ranking.grouping import (
    Grouping,
    Groups,
    Ranking,
    best_groups,
    best_in_groups,
    first_depth,
    require_group_field,
)
from taskembed.index.ranking.hits import Hit
from taskembed.index.ranking.nearest import nearest_rows
from taskembed.index.ranking.selection import Selector
from taskembed.index.word_tokens import WordTokenizer
from taskembed.vectors import Flags, FloatRows


class RankedSearch:
    """Searches the segments of an index; the methods of `Index` with the same names document them.

    Args:
        segments: the open segments.
        selector: finds the rows that match a filter.
    """

    def __init__(self, segments: Sequence[Segment], selector: Selector) -> None:
        self._segments = segments
        self._selector = selector
        self._groups: Groups | None = None  # the groups by the field that was used last

    def nearest(
        self,
        queries: FloatRows,
        k: int,
        *,
        exact: bool,
        candidates: int | None,
        where: str | None,
        grouping: Grouping | None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query, float32[n, dim], by their vectors."""
        searched = self._selector.searched(where)

        def rank(numbers: Sequence[int], depth: int) -> Best:
            some = queries[list(numbers)]
            return nearest_rows(searched, some, depth, exact=exact, candidates=candidates)

        if grouping is None:
            return self._hits(rank(range(len(queries)), k), len(queries), k, queries=queries)
        depth = first_depth(k, grouping.per_group)
        ranking = Ranking(len(queries), lambda *some: (rank(*some), None), depth)
        return self._grouped(ranking, k, grouping, where, queries)

    def nearest_whole(
        self, queries: FloatRows, k: int, *, exact: bool, where: str | None
    ) -> list[list[Hit]]:
        """Return the k best documents of each query, float32[n, dim], by the means of chunks."""
        searched = self._selector.searched(where)
        if are_cut(self._segments):
            passing = [~gone for gone in self._selector.hidden(where)]
            searched = whole_documents(self._segments, passing)
        best = nearest_rows(searched, queries, k, exact=exact)
        return self._hits(best, len(queries), k, queries=queries)

    def nearest_chunks(
        self, queries: FloatRows, k: int, *, exact: bool, where: str | None
    ) -> list[list[Hit]]:
        """Return the k best chunks of each query, float32[n, dim], by their vectors."""
        hidden = self._selector.hidden(where)
        searched = [
            ChunksOf(segment, ~gone) for segment, gone in zip(self._segments, hidden, strict=True)
        ]
        best = nearest_rows(searched, queries, k, exact=exact)
        return as_hits(self._segments, read_chunks(self._segments, best, len(queries), k))

    def by_words(
        self,
        texts: Sequence[str],
        k: int,
        tokenizer: WordTokenizer,
        *,
        where: str | None,
        grouping: Grouping | None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query by BM25."""
        words = [tokenizer.words(text) for text in texts]
        hidden = self._selector.hidden(where)

        def rank(numbers: Sequence[int], depth: int) -> Best:
            return self._best_by_words([words[number] for number in numbers], depth, hidden)

        if grouping is None:
            return self._hits(rank(range(len(texts)), k), len(texts), k)
        depth = first_depth(k, grouping.per_group)
        ranking = Ranking(len(texts), lambda *some: (rank(*some), None), depth)
        return self._grouped(ranking, k, grouping, where)

    def hybrid(  # noqa: PLR0913  # arguments of both searches
        self,
        queries: FloatRows,
        texts: Sequence[str],
        k: int,
        fusion: Fusion,
        tokenizer: WordTokenizer,
        *,
        exact: bool,
        where: str | None,
        grouping: Grouping | None,
    ) -> list[list[Hit]]:
        """Return the k best documents by the vectors, float32[n, dim], and words of n queries."""
        searched = self._selector.searched(where)
        words = [tokenizer.words(text) for text in texts]
        weights = [fusion.weight(text, len(some)) for text, some in zip(texts, words, strict=True)]
        hidden = self._selector.hidden(where)

        def rank(numbers: Sequence[int], depth: int, most: int) -> tuple[Best, list[Sides]]:
            some = queries[list(numbers)]
            dense = nearest_rows(searched, some, depth, exact=exact)
            by_words = self._best_by_words([words[number] for number in numbers], depth, hidden)
            return fuse(dense, by_words, [weights[n] for n in numbers], most, fusion.method)

        if grouping is None:
            best, sides = rank(range(len(texts)), fusion.depth or listed(k), k)
            return self._hits(best, len(texts), k, sides=sides, queries=queries)
        ranking = Ranking(
            len(texts),
            lambda numbers, depth: rank(numbers, depth, 2 * depth),  # all of both lists
            listed(k * grouping.per_group),
        )
        return self._grouped(ranking, k, grouping, where, queries)

    def groups_by(self, field: str) -> Groups:
        """Return the groups by a field; the groups of the field used last are cached.

        Raises:
            UsageError: no document has the field, or it is a list or an object in all that do.
        """
        name = require_group_field(field, self._selector.fields())
        groups = self._groups
        if groups is None or str(groups.field) != str(name):
            self._groups = groups = Groups(self._segments, name)
        return groups

    def _best_by_words(
        self, queries: Sequence[Sequence[str]], k: int, hidden: Sequence[Flags]
    ) -> Best:
        postings = [segment.postings() for segment in self._segments]
        return best_by_words(postings, hidden, queries, k)

    def _hits(
        self,
        best: Best,
        count: int,
        k: int,
        *,
        sides: Sequence[Sides] | None = None,
        queries: FloatRows | None = None,
    ) -> list[list[Hit]]:
        found = read_scored(self._segments, best, count, k, sides)
        return as_hits(self._segments, found, queries=queries)

    def _grouped(
        self,
        ranking: Ranking,
        k: int,
        grouping: Grouping,
        where: str | None,
        queries: FloatRows | None = None,
    ) -> list[list[Hit]]:
        """Return the hits of the k best groups of each query; each document is read once."""
        groups = self.groups_by(grouping.field)
        hidden = self._selector.hidden(where)
        found = best_groups(ranking, groups, hidden, k=k, per_group=grouping.per_group)
        documents = [
            segment.documents(
                member.row for members in found for member in members if member.segment == number
            )
            for number, segment in enumerate(self._segments)
        ]
        chosen = [
            best_in_groups(
                [(item.group, item.scored(documents[item.segment])) for item in members],
                k,
                grouping.per_group,
            )
            for members in found
        ]
        return as_hits(self._segments, chosen, queries=queries, field=groups.field)
