"""A collection of a Milvus server, open for searching: `search --index milvus://HOST:PORT/NAME`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn, Self

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.errors import IndexBusyError, UsageError
from taskembed.index.chunking import Chunking
from taskembed.index.ranking.grouping import Grouping
from taskembed.index.ranking.hits import Chunk, Hit
from taskembed.space import EmbeddingSpace, Task
from taskembed.vectors import FloatRows
from taskembed.verbs.milvus.addresses import collection_address
from taskembed.verbs.milvus.client import Client
from taskembed.verbs.milvus.header import CollectionHeader
from taskembed.verbs.milvus.rows import key_of, whole_text

MOST_HITS = 16_384  # for one query: the limit of Milvus
_ROWS_AT_ONCE = 2_048  # rows with texts in an answer; each may have 200 KB
_TRIES = 5
_TRY_SECONDS = 0.2
_OF_HIT = ("doc_id", "text", "metadata", "start", "end", "parts", "version")
_OF_TEXT = ("part", "parts", "start", "text", "version")
_Row = Mapping[str, Any]


class MilvusCollection:
    """A collection that `export --to milvus` wrote, open for searching by vectors.

    The server's index decides which vectors are compared, so it may miss some of the nearest.

    Args:
        client: a connection for the collection, which `close` closes.

    Raises:
        NotFoundError: there is no such collection.
        SpaceMismatchError: the collection does not say what its embedding space is.
        ServerUnavailableError: the server does not answer in time, or fails.

    Example:
        with MilvusCollection.open("milvus://localhost:19530/notes") as collection:
            hits = search_index(["why is the sky blue?"], encoder, collection, k=3)[0]
    """

    words = ""  # words are not exported

    def __init__(self, client: Client) -> None:
        self._client = client
        self.folder = str(client.address)
        properties = client.properties()
        self.header = CollectionHeader.from_properties(properties, self.folder)
        # only rows of this space, whatever another program has written beside them
        self._own = f'space == "{self.header.space_digest}"'

    @classmethod
    def open(cls, address: str | Path) -> Self:
        """Open a collection by its address: "milvus://localhost:19530/notes".

        Raises:
            UsageError: the address has another form.
            MissingLibraryError: pymilvus is not installed.
            TaskembedError: as the class.
        """
        place = collection_address(address)
        with doing("connecting to Milvus"):
            client = Client(place)
            try:
                opened = cls(client)
                client.load()
            except BaseException:
                client.close()
                raise
            return opened

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of the vectors."""
        return self.header.space

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The task of the vectors."""
        return (self.space.task,)

    @property
    def made_by(self) -> Mapping[str, str]:
        """What made the vectors: the engine, its precision, the version of taskembed."""
        return self.header.made_by

    @property
    def declared(self) -> Mapping[str, object]:
        """For vectors whose space was declared: how many were compared; otherwise empty."""
        return self.header.declared

    @property
    def chunking(self) -> Chunking | None:
        """How the documents are cut into chunks; None if each has one vector."""
        return self.header.chunking

    @property
    def generation(self) -> int:
        """The generation of the index that was exported."""
        return self.header.generation

    @cached_property
    def _rows(self) -> int:
        return self._client.count()

    def __len__(self) -> int:
        """Return the number of rows when they were first counted: of documents, or of chunks."""
        return self._rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def load(self, *, exact: bool = False) -> None:
        """Do nothing: the collection was loaded when it was opened.

        Raises:
            UsageError: `exact` is true.
        """
        if exact:
            _refuse("--exact", "Milvus searches by its own index")

    def require_words(self) -> NoReturn:
        """Refuse a search by words.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{self.folder} stores no words, so it is searched by vectors only",
            hint="--mode dense; or search the index that was exported",
        )

    def select(self, where: str) -> NoReturn:  # noqa: ARG002  # as in `Index`
        """Refuse a filter.

        Raises:
            UsageError: always.
        """
        _refuse("--where", "filters are not translated for Milvus")

    def count(self, where: str) -> NoReturn:
        """Refuse a filter, as `select`."""
        self.select(where)

    def require_group_field(self, field: str) -> NoReturn:  # noqa: ARG002  # as in `Index`
        """Refuse groups.

        Raises:
            UsageError: always.
        """
        _refuse("--group-by", "hits of Milvus are not grouped")

    def nearest(
        self,
        queries: FloatRows,
        k: int,
        *,
        exact: bool = False,
        where: str | None = None,
        grouping: Grouping | None = None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query, best first; ties are ordered by document id.

        Args:
            queries: float32[n, dim], in the space of the collection.
            k: the number of documents of each query; fewer if there are fewer.
            exact: must be false.
            where: must be None.
            grouping: must be None.

        Raises:
            UsageError: an argument is not supported, or k is above 16,384.
            IndexBusyError: an export changes the documents again and again, or did not finish.
            ServerUnavailableError: the server does not answer in time, or fails.
        """
        if where is not None:
            self.select(where)
        if grouping is not None:
            self.require_group_field(grouping.field)
        self.load(exact=exact)
        return self._found(queries, k, group_by="document" if self.chunking else None)

    def nearest_chunks(
        self, queries: FloatRows, k: int, *, exact: bool = False, where: str | None = None
    ) -> list[list[Hit]]:
        """Return the k best chunks of each query, best first; several may be of one document.

        The arguments and errors are those of `nearest`.
        """
        if where is not None:
            self.select(where)
        self.load(exact=exact)
        return self._found(queries, k, group_by=None)

    def _found(self, queries: FloatRows, k: int, *, group_by: str | None) -> list[list[Hit]]:
        if k > MOST_HITS:
            raise UsageError(f"Milvus finds at most {MOST_HITS:,} hits, not {k:,}", hint="-k 100")
        at_once = max(1, _ROWS_AT_ONCE // k)
        found: list[list[Hit]] = []
        for start in range(0, len(queries), at_once):
            found += self._block(queries[start : start + at_once], k, group_by)
        return found

    def _block(self, queries: FloatRows, k: int, group_by: str | None) -> list[list[Hit]]:
        for number in range(_TRIES):
            if number:  # an export is replacing the rows of a document
                time.sleep(_TRY_SECONDS)
            found = self._client.nearest(
                queries, k, filter_=self._own, fields=_OF_HIT, group_by=group_by
            )
            rows = [row for some in found for _, row in some]
            texts = {row["version"]: row["text"] for row in rows if row["parts"] == 1}
            texts |= self._joined([row for row in rows if row["parts"] > 1])
            if texts.keys() >= {row["version"] for row in rows}:
                return [list(self._hits(some, texts)) for some in found]
        raise IndexBusyError(
            "an export is changing the collection, or did not finish",
            what=self.folder,
            hint="search again; or if no export is running, run the last one again",
        )

    def _joined(self, rows: Iterable[_Row]) -> dict[str, str]:
        """Return the whole texts of the documents of some rows, by their versions.

        Documents that have changed since are left out.
        """
        versions = {row["version"]: row for row in rows}
        keys = [
            key_of(row["doc_id"], part) for row in versions.values() for part in range(row["parts"])
        ]
        parts: list[_Row] = []
        for some in batched(keys, _ROWS_AT_ONCE):
            listed = ", ".join(f'"{key}"' for key in some)
            parts += self._client.matching(f"key in [{listed}]", _OF_TEXT, limit=len(some))
        parts.sort(key=_version)
        found = {version: whole_text(list(some)) for version, some in groupby(parts, _version)}
        return {version: text for version, text in found.items() if text is not None}

    def _hits(self, rows: Iterable[tuple[float, _Row]], texts: Mapping[str, str]) -> Iterator[Hit]:
        ordered = sorted(rows, key=lambda row: (-row[0], row[1]["doc_id"], row[1]["start"]))
        for rank, (score, row) in enumerate(ordered, 1):
            text, start, end = texts[row["version"]], row["start"], row["end"]
            chunk = Chunk(text[start:end], start, end) if self.chunking else None
            yield Hit(rank, row["doc_id"], score, text, dict(row["metadata"]), chunk=chunk)


def _version(row: _Row) -> str:
    return str(row["version"])


def _refuse(option: str, reason: str) -> NoReturn:
    raise UsageError(
        f"{option} is not available for a Milvus collection: {reason}",
        hint="leave it out, or search the index that was exported",
    )
