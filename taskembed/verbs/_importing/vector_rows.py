"""Turns the rows of a file of vectors into documents with vectors, and checks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import orjson

from taskembed.errors import BadRecordError
from taskembed.guard import NORM_TOLERANCE
from taskembed.index.documents import StoredDocument
from taskembed.index.stored_metadata import metadata_json
from taskembed.reading.document import Document
from taskembed.reading.documents import document_of, require_storable
from taskembed.reading.fields import ID_FIELDS, RecordFields
from taskembed.reading.streams import OnBad
from taskembed.reading.vectors.input import VectorRecord, VectorSource
from taskembed.space import EmbeddingSpace
from taskembed.vectors import FloatRows, Rows


class VectorDocument(NamedTuple):
    """A document with its vectors: one, or one for each chunk."""

    stored: StoredDocument
    where: str
    vectors: FloatRows  # float32[n, dim]
    cuts: Rows | None  # int64[n, 2]


class VectorDocuments:
    """The documents of a file of vectors.

    Args:
        source: the file.
        space: the space of the vectors.
        fields: the columns of the id and the text.
        text_field: the column of the text; without this column, texts are empty.
        normalize: divide vectors by their lengths.
        on_bad: receives the bad rows.
    """

    def __init__(
        self,
        source: VectorSource,
        space: EmbeddingSpace,
        fields: RecordFields,
        text_field: str,
        *,
        normalize: bool,
        on_bad: OnBad,
    ) -> None:
        self._source = source
        self._space = space
        self._fields = fields
        self._text_field = text_field
        self._normalize = normalize
        self._on_bad = on_bad

    def items(self) -> Iterator[VectorDocument]:
        """Yield the documents, in order; bad ones are reported."""
        records = self._source.records(self._on_bad)
        return (
            self._whole(records) if self._source.is_chunked else self._single(records, self._on_bad)
        )

    def sample(self, count: int) -> Iterator[VectorDocument]:
        """Yield about `count` documents from all parts of the file; bad ones are left out."""
        return self._single(self._source.sample(count), on_bad=lambda _: None)

    def _single(self, records: Iterator[VectorRecord], on_bad: OnBad) -> Iterator[VectorDocument]:
        for row in records:
            try:
                document, truncated = self._document(row)
                vectors = self._checked(row)
            except ValueError as error:
                on_bad(BadRecordError(row.where, str(error), hint=_hint(error)))
                continue
            yield VectorDocument(_stored(document, truncated=truncated), row.where, vectors, None)

    def _whole(self, records: Iterator[VectorRecord]) -> Iterator[VectorDocument]:
        """Yield documents whose chunks are rows; the first row of each has the whole text."""
        rows: list[VectorRecord] = []
        for row in records:
            if rows and row.record.get("document") is not None:
                yield from self._of_chunks(rows)
                rows = []
            rows.append(row)
        if rows:
            yield from self._of_chunks(rows)

    def _of_chunks(self, rows: Sequence[VectorRecord]) -> Iterator[VectorDocument]:
        first = rows[0]
        row = first
        try:
            text = first.record.get("document")
            document, truncated = self._document(
                first._replace(record={**first.record, "text": text})
            )
            cuts, vectors = [], []
            for row in rows:
                begin, end = row.record.get("start"), row.record.get("end")
                if row.record.get("doc_id") != document.doc_id:
                    raise ValueError("the chunk does not belong to the document before it")  # noqa: TRY301
                if (
                    not isinstance(begin, int)
                    or not isinstance(end, int)
                    or not (0 <= begin <= end <= len(document.text))
                ):
                    raise ValueError("the chunk is not within the text of the document")  # noqa: TRY301
                cuts.append((begin, end))
                vectors.append(self._checked(row))
        except ValueError as error:
            self._on_bad(BadRecordError(row.where, str(error), hint=_hint(error)))
            return
        places = np.array(cuts, np.int64).reshape(-1, 2)
        stored = _stored(document, truncated=truncated)
        yield VectorDocument(stored, first.where, np.concatenate(vectors), places)

    def _document(self, row: VectorRecord) -> tuple[Document, bool]:
        if row.reason:
            raise ValueError(row.reason)
        record = row.record
        if self._source.space is not None and "metadata" in self._source.columns:
            try:
                metadata = orjson.loads(str(record.get("metadata")))
            except ValueError as error:
                raise ValueError(f"the metadata is not JSON: {error}") from error
            doc_id, text = record.get("doc_id"), record.get("text")
            if not isinstance(metadata, dict) or not isinstance(doc_id, str):
                raise ValueError("the row has no id, or its metadata is not an object")
            if not isinstance(text, str):
                raise ValueError("the row has no text")
            document = Document(doc_id, text, metadata, row.where)
        else:
            if self._text_field not in self._source.columns:
                record = {**record, self._text_field: ""}
            document = document_of(record, self._fields, row.where, ID_FIELDS)
        require_storable(document)
        return document, bool(record.get("truncated")) and self._source.space is not None

    def _checked(self, row: VectorRecord) -> FloatRows:
        """Return a vector as float32[1, dim].

        Raises:
            ValueError: the vector cannot be compared with others of the space.
        """
        if row.reason:
            raise ValueError(row.reason)
        vector: FloatRows = np.asarray(row.vector, np.float32)
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not np.isfinite(vector).all():
            raise ValueError("the vector has a number that is not finite")
        if not self._space.normalize:
            return vector[np.newaxis]
        if not length:
            raise ValueError("all numbers of the vector are 0")
        if self._normalize:
            return np.asarray(vector / length, np.float32)[np.newaxis]
        if abs(length - 1) >= NORM_TOLERANCE:
            raise _LengthError(f"the vector has the length {length:.4g}, not 1")
        return vector[np.newaxis]


class _LengthError(ValueError):
    """A vector does not have unit length."""


def _hint(error: ValueError) -> str | None:
    return "--normalize divides each vector by its length" if type(error) is _LengthError else None


def _stored(document: Document, *, truncated: bool) -> StoredDocument:
    metadata = metadata_json(document.metadata)
    return StoredDocument(0, document.doc_id, document.text, metadata, truncated)
