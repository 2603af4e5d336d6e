"""The implementation of the tools: each answers one request from an index, in bounded memory.

The functions raise this package's errors, with hints for an agent; `serve` converts these for the
protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import NotFoundError, SpaceMismatchError, TaskembedError, UsageError
from taskembed.escaping import id_of_line
from taskembed.index.filtering.filters import FIELDS_HINT
from taskembed.index.ranking.modes import Mode
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.server._answers import (
    DEFAULT_BYTES,
    DocumentAnswer,
    HitsAnswer,
    IndexAnswer,
    IndexesAnswer,
    LabelAnswer,
    size_of,
)
from taskembed.server._limits import DEFAULT_K, HIT_CHARACTERS, PAGE_CHARACTERS
from taskembed.server._showing import (
    absent_answer,
    document_answer,
    hits_answer,
    index_answer,
    label_answer,
)
from taskembed.server.indexes import SHOWN_NAME, Held, ServedIndexes
from taskembed.space import Task
from taskembed.verbs.classify import require_classification
from taskembed.verbs.opening.encoders import require_task
from taskembed.verbs.search import require_mode
from taskembed.verbs.searcher import Searcher
from taskembed.verbs.similar import (
    has_same_sides,
    require_similarity,
    similar_documents,
    similar_texts,
)


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that agents can call.

    Attributes:
        indexes: the served indexes.
    """

    indexes: ServedIndexes

    def search(  # noqa: PLR0913  # the arguments of the tool
        self,
        query: str,
        *,
        task: Task | None = None,
        index: str | None = None,
        k: int = DEFAULT_K,
        where: str | None = None,
        mode: Mode | None = None,
        max_chars: int = HIT_CHARACTERS,
        offset: int = 0,
    ) -> HitsAnswer:
        """Return the documents that best match a query.

        Args:
            query: the text of the query.
            task: the task that the index must be for; None for any task.
            index: the name of the index; None if there is only one, or only one for the task.
            k: the number of hits.
            where: a filter; None for all documents.
            mode: by vectors, by words, or both; None for both if the index stores words.
            max_chars: the most characters of each text.
            offset: the number of hits to skip: those of earlier results.

        Raises:
            TaskembedError: as `taskembed search`; SpaceMismatchError if the index is for another
                task.
        """
        with self.indexes.chosen(index, task).held() as held:
            self._require_task(held, task)
            by = _mode_of(held.index, mode)
            _require_filter(held.index, where)
            encoder = held.encoder() if by is not Mode.WORDS else None
            searcher = Searcher(held.index, encoder, k=k + offset, where=where, mode=by)
            hits = searcher.search([query])[0][offset:]
            return hits_answer(held, query, hits, max_chars, offset)

    def similar(  # noqa: PLR0913  # the arguments of the tool
        self,
        *,
        doc_id: str | None = None,
        text: str | None = None,
        index: str | None = None,
        k: int = DEFAULT_K,
        where: str | None = None,
        max_chars: int = HIT_CHARACTERS,
        offset: int = 0,
    ) -> HitsAnswer:
        """Return the documents most similar to one in the index, or to a text.

        Args:
            doc_id: the id of a document of the index.
            text: a text; either this or `doc_id` is given.
            index: the name of the index; None if there is only one, or only one for similarity.
            k: the number of hits.
            where: a filter; None for all documents.
            max_chars: the most characters of each text.
            offset: the number of hits to skip: those of earlier results.

        Raises:
            TaskembedError: as `taskembed similar`.
        """
        if (doc_id is None) == (text is None):
            raise UsageError("give either doc_id or text")
        with self.indexes.chosen(index, Task.SIMILARITY).held() as held:
            require_similarity(held.index)
            _require_filter(held.index, where)
            most = k + offset
            if text is not None:
                hits = similar_texts([text], held.encoder(), held.index, k=most, where=where)[0]
                return hits_answer(held, text, hits[offset:], max_chars, offset)
            document = _document(held, doc_id or "")
            encoder = None if has_same_sides(held.index.space) else held.encoder()
            found = similar_documents(
                [document.doc_id], held.index, encoder=encoder, k=most, where=where
            )
            hits = found.get(document.doc_id, [])[offset:]
            return hits_answer(held, document.text, hits, max_chars, offset)

    def classify(self, text: str, *, index: str | None = None) -> LabelAnswer:
        """Return the label of a text, and the labelled documents nearest to it.

        Args:
            text: the text to label.
            index: the name of the index; None if there is only one, or only one for
                classification.

        Raises:
            TaskembedError: as `taskembed classify`.
        """
        if not text.strip():
            raise UsageError("the text is empty")
        with self.indexes.chosen(index, Task.CLASSIFICATION).held() as held:
            require_classification(held.index)
            ((_, found),) = held.classifier().classify([Document("text", text)])
        return label_answer(held.name, found)

    def get(
        self,
        doc_id: str,
        *,
        index: str | None = None,
        offset: int = 0,
        max_chars: int = PAGE_CHARACTERS,
    ) -> DocumentAnswer:
        """Return a document, or a part of its text.

        Args:
            doc_id: the id in the form shown in hits.
            index: the name of the index; None if there is only one.
            offset: where the part begins, in characters.
            max_chars: the most characters of the part.

        Raises:
            NotFoundError: the index has no such document.
            UsageError: the text ends before the offset.
        """
        with self.indexes.chosen(index).held() as held:
            document = _document(held, doc_id)
        if offset > len(document.text):
            raise UsageError(
                f"the text of {doc_id[:SHOWN_NAME]!r} has only {len(document.text):,} characters, "
                f"so offset {offset:,} is too large",
                hint="use next_offset of the previous result, or 0, as offset",
            )
        return document_answer(held.name, document, offset, max_chars)

    def list_indexes(self, *, offset: int = 0) -> IndexesAnswer:
        """Return the indexes, with their tasks, sizes and fields.

        Args:
            offset: the number of indexes to skip: those of earlier results.
        """
        names = list(self.indexes.by_name)[offset:]
        shown: list[IndexAnswer] = []
        left = DEFAULT_BYTES
        for name in names:
            item = self._described(name)
            left -= size_of(item)
            if left < 0 and shown:
                break
            shown.append(item)
        more = len(shown) < len(names)
        return IndexesAnswer(
            indexes=shown, truncated=more, next_offset=offset + len(shown) if more else None
        )

    def _described(self, name: str) -> IndexAnswer:
        try:
            with self.indexes.by_name[name].held() as held:
                return index_answer(held)
        except TaskembedError as error:
            return absent_answer(name, error)

    def _require_task(self, held: Held, task: Task | None) -> None:
        try:
            require_task(Path(held.name), held.index.space, task)
        except SpaceMismatchError as error:
            fitting = [item.name for item in self.indexes.by_name.values() if item.task is task]
            other = f"index={fitting[0]!r} is for that task; or " if fitting else ""
            error.hint = f"{other}leave out task, or give {held.index.space.task.value!r}"
            raise


def _mode_of(index: Index, mode: Mode | None) -> Mode:
    try:
        return require_mode(index, mode)
    except UsageError as error:
        error.hint = "leave out mode"
        raise


def _require_filter(index: Index, where: str | None) -> None:
    if where is None:
        return
    try:
        index.select(where)
    except UsageError as error:
        if error.hint == FIELDS_HINT:
            error.hint = "the tool `indexes` lists the fields"
        raise


def _document(held: Held, doc_id: str) -> Document:
    r"""Return a document by its id, or by its id as shown in hits: with \u escapes."""
    wanted = dict.fromkeys((doc_id, id_of_line(doc_id)))
    found = held.index.find(wanted)
    for name in wanted:
        if name in found:
            return found[name]
    raise NotFoundError(
        f"no document {doc_id[:SHOWN_NAME]!r} in {held.name}",
        hint="use the doc_id of a hit in the same index",
    )
