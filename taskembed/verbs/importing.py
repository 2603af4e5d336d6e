"""Imports a file of vectors into an index, without encoding its documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.errors import (
    BadInputError,
    BadRecordError,
    ModelUnavailableError,
    SpaceMismatchError,
    TaskembedError,
)
from taskembed.index.outcomes import Found, Outcome
from taskembed.index.remembered import Reading
from taskembed.index.storage import Storage
from taskembed.index.update import open_index_writer
from taskembed.index.writer import IndexWriter
from taskembed.models.catalogue import identify
from taskembed.models.resolve import PromptOverrides, resolve
from taskembed.reading.fields import RecordFields
from taskembed.reading.template import Template
from taskembed.reading.vectors.input import VectorSource
from taskembed.reading.vectors.places import vectors_at
from taskembed.space import COSINE, DECLARED, TITLE_AND_TEXT, EmbeddingSpace, PromptType, Task
from taskembed.verbs._importing.file_spaces import space_of_file, spaces_of_views
from taskembed.verbs._importing.joined_rows import joined
from taskembed.verbs._importing.vector_rows import VectorDocument, VectorDocuments
from taskembed.verbs.options import IndexSummary, Watch, new_storage
from taskembed.verbs.protocols import Encoder
from taskembed.version import __version__

COMPARED = 20  # documents that are encoded to compare the model's vectors with the file's
_LOOKED_AT = 10 * COMPARED  # documents to choose these from, since some may have no text
LEAST_COSINE = 0.98  # between the file's and the model's vector; int8 and bf16 differ less
_PUT = 512  # documents looked up together
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


def import_vectors(
    file: str | Path | VectorSource,
    folder: str | Path,
    *,
    further: Sequence[str | Path] = (),
    declared: Encoder | EmbeddingSpace | None = None,
    options: ImportOptions | None = None,
    watch: Watch | None = None,
) -> IndexSummary:
    """Import the documents and vectors of a file into the index in `folder`.

    A file from `export_index` or `encode_documents` contains its space. Any other file needs
    `declared`. If that is an encoder, texts from all parts of the file are encoded and compared
    with their vectors; if it is a space, nothing is compared. The index records which was done.

    Args:
        file: a .parquet file; a .npy file with its ids next to it; the address of Parquet on an
            object store; or a result of `find_vectors`.
        folder: the folder of the index, which may not exist yet.
        further: for an index with several views, the files of the views after the first: with the
            same documents in the same order, and each with its space.
        declared: if the file does not contain its space, the encoder that made the vectors, or a
            space from `declared_space`.
        options: how to import.
        watch: how the run is watched, and what happens to bad rows.

    Raises:
        NotFoundError: there is no such file.
        BadInputError: the file is damaged, has no vectors, or does not contain its space.
        BadRecordError: a row is bad, and `watch.bad` stops there. Rows imported before it are
            committed.
        SpaceMismatchError: the index has another space, or the encoder returns other vectors.
        IndexBusyError: another process is writing.
        StorageError: the disk is full or fails.
    """
    options, watch = options or ImportOptions(), watch or Watch()
    encoder = None if isinstance(declared, EmbeddingSpace) else declared
    with ExitStack() as stack:
        source, *others = (
            one
            if isinstance(one, VectorSource)
            else stack.enter_context(vectors_at(one, options.vector_field))
            for one in (file, *further)
        )
        importing = _Import(source, space_of_file(source, declared), others, options, watch)
        mark: dict[str, object] = {}
        if source.space is None:
            mark = importing.compared(encoder) if encoder is not None else {"compared": 0}
        return importing.run(Path(folder), encoder, mark)


def declared_space(
    model: str,
    task: Task | str,
    dim: int,
    *,
    revision: str = "",
    stated: PromptOverrides | None = None,
    template: str = TITLE_AND_TEXT,
) -> EmbeddingSpace:
    """Return a space for vectors whose model is declared but not checked.

    It differs from the space of every encoder, so that no query is compared with such vectors.

    Args:
        model: the name of the model.
        task: the task of the vectors, or its name, such as "retrieval".
        dim: the number of dimensions.
        revision: the revision of the model.
        stated: the model's prompts, instead of the known ones.
        template: how a document's fields became its text.

    Raises:
        ValueError: there is no such task.
        UsageError: the given prompts contradict each other.
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


class _Import:
    """An import of the documents of a file, or of files of several views."""

    def __init__(
        self,
        source: VectorSource,
        space: EmbeddingSpace,
        others: Sequence[VectorSource],
        options: ImportOptions,
        watch: Watch,
    ) -> None:
        self._source = source
        self._space = space
        self._further = spaces_of_views(source, space, others)
        self._options = options
        self._watch = watch
        self._documents = self._of_file(source, space)
        views = zip(others, self._further, strict=True)
        self._views = [self._documents, *(self._of_file(other, one) for other, one in views)]

    def _of_file(self, source: VectorSource, space: EmbeddingSpace) -> VectorDocuments:
        options = self._options
        text_field = options.text_field or "text"
        template = f"{{{text_field}}}" if options.text_field else space.template
        fields = RecordFields(
            id_field=options.id_field, text_field=text_field, template=Template.parse(template)
        )
        return VectorDocuments(
            source,
            space,
            fields,
            text_field,
            normalize=options.normalize,
            on_bad=self._watch.bad,
        )

    def compared(self, encoder: Encoder) -> dict[str, object]:
        """Compare the vectors of some documents with an encoder's own.

        Returns:
            The number of compared vectors and their lowest cosine, which the index records.

        Raises:
            SpaceMismatchError: the vectors differ.
        """
        some = [item for item in self._documents.sample(_LOOKED_AT) if item.stored.text]
        if not some:
            return {"compared": 0}
        # from all parts of the file, which may have been concatenated from several files
        places = np.linspace(0, len(some) - 1, min(COMPARED, len(some))).round().astype(int)
        some = [some[place] for place in places.tolist()]
        own = encoder.encode([item.stored.text for item in some], PromptType.DOCUMENT).vectors
        given = np.concatenate([item.vectors[:1] for item in some])
        cosines = np.einsum("ij,ij->i", own, given) / (
            np.linalg.norm(own, axis=1) * np.linalg.norm(given, axis=1)
        )
        worst = int(cosines.argmin())
        if not cosines[worst] >= LEAST_COSINE:
            raise SpaceMismatchError(
                f"{some[worst].where}: the vector differs from the one that {encoder.space.model} "
                f"computes for {encoder.space.task.value}: their cosine is {cosines[worst]:.3f}",
                hint="name the model, the task and the prompts that the vectors were made with. "
                "Nothing was changed",
            )
        return {"compared": len(some), "least_cosine": round(float(cosines[worst]), 6)}

    def run(
        self, folder: Path, declared: Encoder | None, mark: Mapping[str, object]
    ) -> IndexSummary:
        """Put the documents into the index, and record whether their space was declared."""
        storage, reading, made_by = self._settings(declared)
        said = self._source.index.get("declared")
        mark = said if isinstance(said, dict) else mark
        options, watch = self._options, self._watch
        with open_index_writer(
            folder,
            self._space,
            further=self._further,
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
                    for items in batched(joined(self._views), _PUT):
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
            reason = f"the description of its index cannot be read: {error}"
            raise BadInputError(reason, what=str(self._source)) from error
        return storage, reading, found

    def _finish(
        self, writer: IndexWriter, summary: IndexSummary, made_by: dict[str, str]
    ) -> IndexSummary:
        if self._options.recreate:
            summary.deleted = writer.prune()
        summary.count(writer, rejected=self._watch.bad.count)
        with self._watch.uninterrupted():
            writer.finish(made_by, summary.to_json())
        return summary

    def _put(self, writer: IndexWriter, items: Sequence[VectorDocument]) -> None:
        found = writer.find([item.stored.doc_id for item in items])
        taken: dict[str, tuple[VectorDocument, Found | None]] = {}
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


def _is_same(writer: IndexWriter, old: Found, item: VectorDocument) -> bool:
    """Return whether the index already has the document with these vectors."""
    if replace(old.document, row=0) != item.stored:
        return False
    vectors, cuts = writer.vectors(old)
    if cuts is not None and not np.array_equal(cuts, item.cuts if item.cuts is not None else []):
        return False
    with np.errstate(over="ignore"):
        half = item.vectors.astype(np.float16).astype(np.float32)
    return np.array_equal(vectors, item.vectors) or np.array_equal(vectors, half)
