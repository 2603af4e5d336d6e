"""Importing a file of vectors into an index, without encoding its documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.errors import (
    BadInputError,
    BadRecordError,
    ModelUnavailableError,
    SpaceMismatchError,
    TaskembedError,
)
from taskembed.guard import NORM_TOLERANCE
from taskembed.index.documents import StoredDocument
from taskembed.index.outcomes import Found, Outcome
from taskembed.index.remembered import Reading
from taskembed.index.storage import Storage
from taskembed.index.stored_metadata import metadata_json
from taskembed.index.update import open_index_writer
from taskembed.index.writer import IndexWriter
from taskembed.models.catalogue import identify
from taskembed.models.resolve import PromptOverrides, resolve
from taskembed.reading.documents import Document, document_of, require_storable
from taskembed.reading.fields import ID_FIELDS, RecordFields
from taskembed.reading.template import Template
from taskembed.reading.vector_input import VectorRecord, VectorSource, find_vectors
from taskembed.space import COSINE, DECLARED, TITLE_AND_TEXT, EmbeddingSpace, PromptType, Task
from taskembed.vectors import FloatRows, Rows
from taskembed.verbs.options import IndexSummary, Watch, new_storage
from taskembed.verbs.protocols import Encoder
from taskembed.version import __version__

COMPARED = 20  # documents that a model encodes to see whether their vectors are its own
LEAST_COSINE = 0.98  # of a vector and the model's own: int8 and bf16 differ less
_PUT = 512  # documents that are looked up together
_COMMIT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file of vectors is imported.

    Attributes:
        id_field: the column of the ids; None for id, _id or doc_id.
        text_field: the column of the texts; None for "text".
        vector_field: the column of the vectors; None for vector, embedding or embeddings.
        normalize: divide vectors by their lengths.
        recreate: replace the index by a new one.
        wait_seconds: how long to wait for another process that writes to the index.
    """

    id_field: str | None = None
    text_field: str | None = None
    vector_field: str | None = None
    normalize: bool = False
    recreate: bool = False
    wait_seconds: float = 0


class _Item(NamedTuple):
    """A document with its vectors: one, or one for each chunk."""

    stored: StoredDocument
    where: str
    vectors: FloatRows  # float32[n, dim]
    cuts: Rows | None  # int64[n, 2]


def import_vectors(
    file: str | Path,
    folder: str | Path,
    *,
    declared: Encoder | EmbeddingSpace | None = None,
    options: ImportOptions | None = None,
    watch: Watch | None = None,
) -> IndexSummary:
    """Make the index in `folder` hold the documents of a file, with the vectors that it has.

    A file of `export_index` or `encode_documents` says its space. Any other needs `declared`. With
    an encoder, the first documents that have texts are encoded, and the vectors must be its own;
    with a space, nothing is compared. The index remembers which of the two was done.

    Args:
        file: a .parquet file, or .npy with its ids beside it.
        folder: where the index is, or will be.
        declared: the encoder that made the vectors, or a space from `declared_space`, if the file
            does not say their space.
        options: how to import.
        watch: how the run is watched, and what happens to bad rows.

    Raises:
        NotFoundError: there is no such file.
        BadInputError: it is damaged, has no vectors, or does not say its space.
        BadRecordError: a row is bad, and `watch.bad` stops there. What was imported before it is
            committed.
        SpaceMismatchError: the index is of another space, or the vectors are not the encoder's.
        IndexBusyError: another process is writing.
        StorageError: the disk is full or fails.
    """
    options, watch = options or ImportOptions(), watch or Watch()
    source = find_vectors(Path(file), options.vector_field)
    encoder = None if isinstance(declared, EmbeddingSpace) else declared
    reading = _Reading(source, _space(source, declared), options, watch)
    mark: dict[str, object] = {}
    if source.space is None:
        mark = reading.compared(encoder) if encoder is not None else {"compared": 0}
    return reading.run(Path(folder), encoder, mark)


def declared_space(
    model: str,
    task: Task | str,
    dim: int,
    *,
    revision: str = "",
    stated: PromptOverrides | None = None,
    template: str = TITLE_AND_TEXT,
) -> EmbeddingSpace:
    """Return the space of vectors that are said to be of a model, which nobody looks at.

    It is equal to no space of an encoder, so that no query is compared with such vectors.

    Args:
        model: the name of the model.
        task: what the vectors are for; a name will do: "retrieval".
        dim: numbers in a vector.
        revision: of the model.
        stated: its prompts, instead of the known ones.
        template: how a document's fields became its text.

    Raises:
        ValueError: there is no such task.
        UsageError: what is stated contradicts itself.
    """
    stated, task = stated or PromptOverrides(), Task(task)
    known = identify(model)
    query, document = stated.query_prompt or "", stated.document_prompt or ""
    with suppress(ModelUnavailableError):  # its prompts are not known
        spec = resolve(known, task, stated)
        query, document = spec.prompt(PromptType.QUERY), spec.prompt(PromptType.DOCUMENT)
    return EmbeddingSpace(
        model=known.name,
        revision=revision,
        weights_digest=f"{DECLARED}{known.name}@{revision}",
        query_adapter="",
        document_adapter="",
        adapter_digest="",
        task=task,
        query_prompt=query,
        document_prompt=document,
        suffix="",
        pooling="",
        max_length=0,
        dim=dim,
        truncation="none",
        normalize=True,
        metric=COSINE,
        template=template,
    )


def _space(source: VectorSource, declared: Encoder | EmbeddingSpace | None) -> EmbeddingSpace:
    named = declared if declared is None or isinstance(declared, EmbeddingSpace) else declared.space
    space = source.space or named
    if space is None:
        raise BadInputError(
            "it does not say which embedding space its vectors are of",
            what=str(source.path),
            hint="--task TASK --model MODEL: those that the vectors were made with",
        )
    if source.dim != space.dim:
        raise BadInputError(
            f"its vectors have {source.dim:,} numbers, and those of {space.model} {space.dim:,}",
            what=str(source.path),
        )
    return space


class _Reading:
    """A file whose rows become documents with vectors."""

    def __init__(
        self, source: VectorSource, space: EmbeddingSpace, options: ImportOptions, watch: Watch
    ) -> None:
        self._source = source
        self._space = space
        self._options = options
        self._watch = watch
        text_field = options.text_field or "text"
        self._text_field = text_field
        template = f"{{{text_field}}}" if options.text_field else space.template
        self._fields = RecordFields(
            id_field=options.id_field, text_field=text_field, template=Template.parse(template)
        )

    # --- rows ---

    def items(self) -> Iterator[_Item]:
        """Yield the documents, in order; bad ones are reported."""
        records = self._source.records(self._watch.bad)
        return self._whole(records) if self._source.is_chunked else self._single(records)

    def _single(self, records: Iterator[VectorRecord]) -> Iterator[_Item]:
        for row in records:
            try:
                document, truncated = self._document(row)
                vectors = self._checked(row)
            except ValueError as error:
                self._watch.bad(BadRecordError(row.where, str(error), hint=_hint(error)))
                continue
            yield _Item(_stored(document, truncated=truncated), row.where, vectors, None)

    def _whole(self, records: Iterator[VectorRecord]) -> Iterator[_Item]:
        """Yield documents of which each chunk is a row: the first has the whole text."""
        rows: list[VectorRecord] = []
        for row in records:
            if rows and row.record.get("document") is not None:
                yield from self._of_chunks(rows)
                rows = []
            rows.append(row)
        if rows:
            yield from self._of_chunks(rows)

    def _of_chunks(self, rows: Sequence[VectorRecord]) -> Iterator[_Item]:
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
            self._watch.bad(BadRecordError(row.where, str(error), hint=_hint(error)))
            return
        places = np.array(cuts, np.int64).reshape(-1, 2)
        stored = _stored(document, truncated=truncated)
        yield _Item(stored, first.where, np.concatenate(vectors), places)

    def _document(self, row: VectorRecord) -> tuple[Document, bool]:
        if row.reason:
            raise ValueError(row.reason)
        record = row.record
        if self._source.space is not None and "metadata" in self._source.columns:
            try:
                metadata = orjson.loads(str(record.get("metadata")))
            except ValueError as error:
                raise ValueError(f"its metadata is not JSON: {error}") from error
            doc_id, text = record.get("doc_id"), record.get("text")
            if not isinstance(metadata, dict) or not isinstance(doc_id, str):
                raise ValueError("it has no id, or its metadata is not an object")
            if not isinstance(text, str):
                raise ValueError("it has no text")
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
            ValueError: it cannot be compared with others of the space.
        """
        if row.reason:
            raise ValueError(row.reason)
        vector: FloatRows = np.asarray(row.vector, np.float32)
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not np.isfinite(vector).all():
            raise ValueError("its vector has a number that is not finite")
        if not self._space.normalize:
            return vector[np.newaxis]
        if not length:
            raise ValueError("all numbers of its vector are 0")
        if self._options.normalize:
            return np.asarray(vector / length, np.float32)[np.newaxis]
        if abs(length - 1) >= NORM_TOLERANCE:
            raise _LengthError(f"its vector has the length {length:.4g}, not 1")
        return vector[np.newaxis]

    # --- the space ---

    def compared(self, encoder: Encoder) -> dict[str, object]:
        """Compare the vectors of the first documents with an encoder's own.

        Returns:
            How many were compared, and the least cosine, for the index to remember.

        Raises:
            SpaceMismatchError: they differ.
        """
        some = list(islice((item for item in self.items() if item.stored.text), COMPARED))
        if not some:
            return {"compared": 0}
        own = encoder.encode([item.stored.text for item in some], PromptType.DOCUMENT).vectors
        given = np.concatenate([item.vectors[:1] for item in some])
        cosines = np.einsum("ij,ij->i", own, given) / (
            np.linalg.norm(own, axis=1) * np.linalg.norm(given, axis=1)
        )
        worst = int(cosines.argmin())
        if not cosines[worst] >= LEAST_COSINE:
            raise SpaceMismatchError(
                f"{some[worst].where}: the vector is not the one that {encoder.space.model} makes "
                f"of the text for {encoder.space.task.value}: their cosine is {cosines[worst]:.3f}",
                hint="name the model, the task and the prompts that the vectors were made with. "
                "Nothing was changed",
            )
        return {"compared": len(some), "least_cosine": round(float(cosines[worst]), 6)}

    # --- the index ---

    def run(
        self, folder: Path, declared: Encoder | None, mark: Mapping[str, object]
    ) -> IndexSummary:
        """Put the documents into the index, and the mark of declared vectors."""
        storage, reading, made_by = self._settings(declared)
        said = self._source.index.get("declared")
        mark = said if isinstance(said, dict) else mark
        options, watch = self._options, self._watch
        with open_index_writer(
            folder,
            self._space,
            recreate=options.recreate,
            reading=reading,
            storage=lambda before: replace(before, chunks=storage.chunks),
            new_storage=storage,
            wait_seconds=options.wait_seconds,
            fs=watch.fs,
        ) as writer:
            summary = IndexSummary()
            if mark:
                writer.declare(mark)
            try:
                with doing("", unit="documents") as step:
                    for items in batched(self.items(), _PUT):
                        self._put(writer, items)
                        step.done += len(items)
                        if writer.uncommitted_bytes >= _COMMIT_BYTES:
                            with watch.uninterrupted():
                                writer.commit(made_by)
                with doing("writing the index"):
                    return self._finish(writer, summary, made_by)
            except TaskembedError as error:
                if not writer.has_failed:
                    with suppress(BadRecordError), watch.uninterrupted():
                        writer.commit(made_by)
                error.safe_documents = writer.committed_documents
                raise

    def _settings(self, declared: Encoder | None) -> tuple[Storage, Reading | None, dict[str, str]]:
        """Return how a new index is stored, how its input was read, and what made its vectors."""
        said = self._source.index
        made_by = dict(declared.made_by) if declared else {"engine": "imported"}
        made_by.setdefault("taskembed", __version__)
        if not said:
            return new_storage(self._space.task), None, made_by
        try:
            storage = Storage.from_json(said.get("storage"))
            reading = Reading.from_json(said["reading"]) if "reading" in said else None
            found = said.get("made_by")
            if not isinstance(found, dict) or not all(
                isinstance(value, str) for value in found.values()
            ):
                raise ValueError("made_by is not an object of texts")  # noqa: TRY301
        except (ValueError, TypeError) as error:
            reason = f"what it says of its index cannot be read: {error}"
            raise BadInputError(reason, what=str(self._source.path)) from error
        return storage, reading, found

    def _finish(
        self, writer: IndexWriter, summary: IndexSummary, made_by: dict[str, str]
    ) -> IndexSummary:
        if self._options.recreate:
            summary.deleted = writer.prune()
        tally = writer.tally()
        summary.added = tally[Outcome.ADDED]
        summary.updated = tally[Outcome.UPDATED]
        summary.unchanged = tally[Outcome.UNCHANGED]
        summary.rejected = self._watch.bad.count
        summary.documents = len(writer)
        with self._watch.uninterrupted():
            writer.finish(made_by, summary.to_json())
        return summary

    def _put(self, writer: IndexWriter, items: Sequence[_Item]) -> None:
        found = writer.find([item.stored.doc_id for item in items])
        taken: dict[str, tuple[_Item, Found | None]] = {}
        for item in items:
            doc_id = item.stored.doc_id
            old = found.get(doc_id)
            if doc_id in taken or (old and old.outcome is not Outcome.UNSEEN):
                self._watch.bad(BadRecordError(item.where, f"duplicate id {doc_id!r}"))
            elif old and _is_same(writer, old, item):
                writer.mark(old, Outcome.UNCHANGED)
                found[doc_id] = Found(old.document, old.segment, Outcome.UNCHANGED)
            else:
                taken[doc_id] = (item, old)
        if taken:
            chosen = [item for item, _ in taken.values()]
            writer.put(
                [item.stored for item in chosen],
                np.concatenate([item.vectors for item in chosen]),
                replaced=[old for _, old in taken.values()],
                outcomes=[Outcome.UPDATED if old else Outcome.ADDED for _, old in taken.values()],
                cuts=[item.cuts for item in chosen if item.cuts is not None]
                if self._source.is_chunked
                else None,
            )


class _LengthError(ValueError):
    """A vector has not the length 1."""


def _hint(error: ValueError) -> str | None:
    return "--normalize divides each vector by its length" if type(error) is _LengthError else None


def _stored(document: Document, *, truncated: bool) -> StoredDocument:
    metadata = metadata_json(document.metadata)
    return StoredDocument(0, document.doc_id, document.text, metadata, truncated)


def _is_same(writer: IndexWriter, old: Found, item: _Item) -> bool:
    """Return whether the index has a document with these vectors already."""
    if replace(old.document, row=0) != item.stored:
        return False
    vectors, cuts = writer.vectors(old)
    if cuts is not None and not np.array_equal(cuts, item.cuts if item.cuts is not None else []):
        return False
    with np.errstate(over="ignore"):
        half = item.vectors.astype(np.float16).astype(np.float32)
    return np.array_equal(vectors, item.vectors) or np.array_equal(vectors, half)
