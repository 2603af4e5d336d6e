"""The reader of an index: opens one generation, and searches it until it is closed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from taskembed.activity import doing
from taskembed.errors import UsageError
from taskembed.index._index_documents import IndexDocuments
from taskembed.index.kinds.flat import prepare
from taskembed.index.ranking.fusion import Fusion
from taskembed.index.ranking.grouping import Grouping
from taskembed.index.ranking.hits import Hit
from taskembed.index.ranking.nearest import candidates_for
from taskembed.index.ranking.searches import RankedSearch
from taskembed.index.word_tokens import WordTokenizer
from taskembed.vectors import FloatRows

# So many vectors are loaded in two threads, in three quarters of the time. With fewer, the second
# thread would delay the engine, which starts meanwhile.
MANY_VECTORS = 3_000_000


class Index(IndexDocuments):
    """One generation of an index, open for searching and for reading its documents.

    An open index takes no lock and writes nothing, so it works on a read-only folder and while a
    writer runs. Everything that is read is checked; vectors are read when they are searched.

    Example:
        with Index.open("taskembed-index") as index:
            print(len(index), index.space.task)
            print("moon" in index, index.get("moon"))
            for document in index:
                print(document.doc_id, document.text)
    """

    @cached_property
    def _loaded(self) -> set[bool]:
        """The values of `exact` for which all segments are loaded."""
        return set()

    @cached_property
    def _search(self) -> RankedSearch:
        return RankedSearch(self._segments, self._selector)

    def load(self, *, exact: bool = False) -> None:
        """Read and check the vectors now, rather than at the first search.

        Args:
            exact: read every vector, and not only the codes of segments that have codes.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: a file is damaged.
        """
        self._require_open()
        if exact in self._loaded:
            return
        with doing("reading the index"):
            prepare()
            many = sum(segment.info.vector_rows for segment in self._segments) >= MANY_VECTORS
            threads = ThreadPoolExecutor(2 if many else 1, "loading")
            try:
                for _ in threads.map(lambda segment: segment.load(exact=exact), self._segments):
                    pass
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
        self._loaded.add(exact)

    def candidates(self, k: int) -> int:
        """Return how many vectors are scored for a query of k hits, where codes choose them."""
        return candidates_for(k)

    def require_words(self) -> None:
        """Check that the index can be searched by words; one without documents always can.

        Raises:
            UsageError: the index stores no words.
        """
        if not self.words and len(self):
            raise UsageError(
                f"{self.folder} stores no words, so it cannot be searched by words",
                hint="add them with `taskembed index CORPUS --words`; nothing is encoded again",
            )

    def require_group_field(self, field: str) -> None:
        """Check that hits can be grouped by a field.

        Raises:
            UsageError: no document has the field, or it is always a list or an object.
            ValueError: the index is closed.
            IndexDamagedError: a file is damaged.
        """
        self._require_open()
        self._search.groups_by(field)

    def nearest(
        self,
        queries: FloatRows,
        k: int,
        *,
        exact: bool = False,
        candidates: int | None = None,
        where: str | None = None,
        grouping: Grouping | None = None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query, best first; ties are ordered by document id.

        The vectors are not checked here: `verbs.search.search_index` checks that they live in the
        space of the index.

        Args:
            queries: float32[n, dim], in the space of the index.
            k: the number of documents of each query; fewer if the index has fewer.
            exact: score every vector, and not only those that codes choose.
            candidates: how many vectors are scored for a query, in all segments that have codes;
                None for the default.
            where: a filter: only documents that match it; None for all.
            grouping: return the best documents of the k best groups; None for no groups.

        Returns:
            A list of hits for each query; the hits of a group are together.

        Raises:
            UsageError: `where` is not a filter, or names a field that the index does not have; or
                there is no such field to group by.
            ValueError: the index is closed.
            IndexDamagedError: a file is damaged.
        """
        self.load(exact=exact)
        return self._search.nearest(
            queries, k, exact=exact, candidates=candidates, where=where, grouping=grouping
        )

    def nearest_whole(
        self, queries: FloatRows, k: int, *, exact: bool = False, where: str | None = None
    ) -> list[list[Hit]]:
        """Return the k documents that are nearest as a whole, best first; ties by document id.

        It is like `nearest`, but a document that was cut into chunks is scored by the mean of its
        vectors, as `vectors_of` returns it. The chunk in a hit is the one most like the query.

        Args:
            queries: float32[n, dim], in the space of the index; for documents, their means.
            k: the number of documents of each query; fewer if the index has fewer.
            exact: score every document, and not only those with one of the best chunks.
            where: a filter: only documents that match it; None for all.

        Raises:
            UsageError: `where` is not a filter, or names a field that the index does not have.
            ValueError: the index is closed.
            IndexDamagedError: a file is damaged.
        """
        self.load(exact=exact)
        return self._search.nearest_whole(queries, k, exact=exact, where=where)

    def nearest_chunks(
        self,
        queries: FloatRows,
        k: int,
        *,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """Return the k best chunks of each query, best first; several may be of one document.

        Equal scores are ordered by document id, then by their place in the text. The arguments are
        those of `nearest`.

        Raises:
            UsageError: `where` is not a filter, or names a field that the index does not have.
            ValueError: the index is closed, or its documents are not cut into chunks.
            IndexDamagedError: a file is damaged.
        """
        self.load(exact=exact)
        if self.chunking is None and len(self):
            raise ValueError(f"the documents of the index {self.folder} are not cut into chunks")
        return self._search.nearest_chunks(queries, k, exact=exact, where=where)

    def by_words(
        self,
        texts: Sequence[str],
        k: int,
        *,
        where: str | None = None,
        grouping: Grouping | None = None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query by BM25, best first; ties by document id.

        Args:
            texts: the queries.
            k: the number of documents; fewer if fewer documents have any of a query's words.
            where: a filter: only documents that match it; None for all.
            grouping: return the best documents of the k best groups; None for no groups.

        Raises:
            UsageError: `where` is not a filter, or names a field that the index does not have; or
                hits cannot be grouped by the field of `grouping`.
            ValueError: the index is closed, or stores no words.
            IndexDamagedError: a file is damaged.
        """
        tokenizer = self._tokenizer()
        return self._search.by_words(texts, k, tokenizer, where=where, grouping=grouping)

    def hybrid(  # noqa: PLR0913  # all but the first four are optional and named
        self,
        queries: FloatRows,
        texts: Sequence[str],
        k: int,
        fusion: Fusion,
        *,
        exact: bool = False,
        where: str | None = None,
        grouping: Grouping | None = None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query by vectors and words; ties by document id.

        Args:
            queries: float32[n, dim], in the space of the index.
            texts: the same queries as strings.
            k: the number of documents; fewer if the index has fewer.
            fusion: how the two lists become one.
            exact: score every vector, and not only those that codes choose.
            where: a filter: only documents that match it; None for all.
            grouping: return the best documents of the k best groups; None for no groups.

        Raises:
            UsageError: `where` is not a filter, or names a field that the index does not have; or
                hits cannot be grouped by the field of `grouping`.
            ValueError: the index is closed, or stores no words.
            IndexDamagedError: a file is damaged.
        """
        self.load(exact=exact)
        return self._search.hybrid(
            queries,
            texts,
            k,
            fusion,
            self._tokenizer(),
            exact=exact,
            where=where,
            grouping=grouping,
        )

    def _tokenizer(self) -> WordTokenizer:
        self._require_open()
        if not self.words and len(self):
            raise ValueError(f"the index {self.folder} stores no words")
        return WordTokenizer.of(self.words) if self.words else WordTokenizer()
