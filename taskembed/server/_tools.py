"""The tools, as functions: each answers one request from an index, in bounded memory.

The protocol is `serve`'s business: these functions raise errors of this package, whose hints are
for an agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import NotFoundError, SpaceMismatchError, TaskembedError, UsageError
from taskembed.escaping import id_of_line
from taskembed.index.filtering.filters import FIELDS_HINT
from taskembed.index.ranking.hits import Hit
from taskembed.index.ranking.modes import Mode
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.server._answers import (
    DEFAULT_BYTES,
    METADATA_BYTES,
    MOST_BYTES,
    NAME_CHARACTERS,
    DocumentAnswer,
    ExampleAnswer,
    FieldAnswer,
    HitAnswer,
    HitsAnswer,
    IndexAnswer,
    IndexesAnswer,
    LabelAnswer,
    bounded_metadata,
    cut_text,
    raw_part,
    shown_id,
    shown_text,
    size_of,
)
from taskembed.server.indexes import SHOWN_NAME, Held, ServedIndexes
from taskembed.space import Task
from taskembed.verbs.classify import require_classification
from taskembed.verbs.encoders import require_task
from taskembed.verbs.search import require_mode
from taskembed.verbs.searcher import Searcher
from taskembed.verbs.similar import (
    has_same_sides,
    require_similarity,
    similar_documents,
    similar_texts,
)
from taskembed.verbs.snippets import add_snippets

DEFAULT_K, MOST_K = 10, 50
MOST_OFFSET = 150  # hits that a search leaves out at most, for those that follow
HIT_CHARACTERS, MOST_HIT_CHARACTERS = 300, 4_000  # of the text of a hit
PAGE_CHARACTERS, MOST_PAGE_CHARACTERS = 6_000, 30_000  # of the text of a document
SHOWN_FIELDS = 30  # of an index
_AROUND_A_HIT = 600  # bytes of names, numbers and an id
_FIELD_EXAMPLES, _EXAMPLE_CHARACTERS = 2, 40
_LABEL_CHARACTERS = 200
_SHOWN_LABELS = 5  # of an example


@dataclass(frozen=True, slots=True)
class Tools:
    """What agents can ask of the indexes.

    Attributes:
        indexes: that are served.
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
        """Return the documents that answer a query best.

        Args:
            query: a text.
            task: the task that the index is expected to be for; None for any.
            index: the name of the index; None if there is one, or one for the task.
            k: hits.
            where: a filter; None for all documents.
            mode: by vectors, by words, or both; None for both if the index keeps words.
            max_chars: characters of each text.
            offset: hits to leave out: those of the answers before.

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
            return _hits_answer(held, query, hits, max_chars, offset)

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
        """Return the documents that are most like one of the index, or like a text.

        Args:
            doc_id: the id of a document of the index.
            text: a text; either this or `doc_id` is given.
            index: the name of the index; None if there is one, or one for the task similarity.
            k: hits.
            where: a filter; None for all documents.
            max_chars: characters of each text.
            offset: hits to leave out: those of the answers before.

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
                return _hits_answer(held, text, hits[offset:], max_chars, offset)
            document = _document(held, doc_id or "")
            encoder = None if has_same_sides(held.index.space) else held.encoder()
            found = similar_documents(
                [document.doc_id], held.index, encoder=encoder, k=most, where=where
            )
            hits = found.get(document.doc_id, [])[offset:]
            return _hits_answer(held, document.text, hits, max_chars, offset)

    def classify(self, text: str, *, index: str | None = None) -> LabelAnswer:
        """Return the label of a text, and the labelled documents that are nearest to it.

        Args:
            text: to label.
            index: the name of the index; None if there is one, or one for classification.

        Raises:
            TaskembedError: as `taskembed classify`.
        """
        if not text.strip():
            raise UsageError("the text is empty")
        with self.indexes.chosen(index, Task.CLASSIFICATION).held() as held:
            require_classification(held.index)
            ((_, found),) = held.classifier().classify([Document("text", text)])
        return LabelAnswer(
            index=held.name,
            label=cut_text(found.best, _LABEL_CHARACTERS),
            confidence=_rounded(found.confidence),
            runner_up=found.runner_up and cut_text(found.runner_up, _LABEL_CHARACTERS),
            runner_up_confidence=_rounded(found.runner_up_confidence),
            nearest=[
                ExampleAnswer(
                    doc_id=shown_id(near.doc_id),
                    score=_rounded(near.score),
                    labels=[cut_text(name, _LABEL_CHARACTERS) for name in near.labels][
                        :_SHOWN_LABELS
                    ],
                )
                for near in found.nearest
            ],
        )

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
            doc_id: as hits have it.
            index: the name of the index; None if there is only one.
            offset: where the part begins, in characters.
            max_chars: of the part.

        Raises:
            NotFoundError: the index has no such document.
            UsageError: the text ends before the offset.
        """
        with self.indexes.chosen(index).held() as held:
            document = _document(held, doc_id)
        if offset > len(document.text):
            raise UsageError(
                f"the text of {doc_id[:SHOWN_NAME]!r} has {len(document.text):,} characters, so "
                f"none is at offset {offset:,}",
                hint="offset is next_offset of the answer before, or 0",
            )
        return _page(held.name, document, offset, max_chars)

    def list_indexes(self, *, offset: int = 0) -> IndexesAnswer:
        """Return the indexes, with their tasks, sizes and fields.

        Args:
            offset: indexes to leave out: those of the answers before.
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
                return _index_answer(held)
        except TaskembedError as error:
            return IndexAnswer(
                name=name,
                task="",
                model="",
                documents=0,
                modes=[],
                updated="",
                fields=[],
                more_fields=0,
                error=shown_text(error.message),
            )

    def _require_task(self, held: Held, task: Task | None) -> None:
        try:
            require_task(Path(held.name), held.index.space, task)
        except SpaceMismatchError as error:
            fitting = [item.name for item in self.indexes.by_name.values() if item.task is task]
            other = f"index={fitting[0]!r} is for that task; or " if fitting else ""
            error.hint = f"{other}leave out task, or give {held.index.space.task.value!r}"
            raise


def _index_answer(held: Held) -> IndexAnswer:
    index = held.index
    fields = index.describe_fields()
    named = [item for item in fields if len(item.name) <= NAME_CHARACTERS][:SHOWN_FIELDS]
    return IndexAnswer(
        name=held.name,
        task=index.space.task.value,
        model=index.space.model,
        documents=len(index),
        modes=[mode.value for mode in Mode] if index.words else [Mode.DENSE.value],
        updated=index.contents.committed_at,
        fields=[
            FieldAnswer(
                name=shown_text(item.name),
                type=item.type,
                examples=[
                    cut_text(value, _EXAMPLE_CHARACTERS)
                    for value in item.examples[:_FIELD_EXAMPLES]
                ],
            )
            for item in named
        ],
        more_fields=len(fields) - len(named),
    )


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
    r"""Return a document by its id, or by its id as hits show it: with \u for what is unseen."""
    wanted = dict.fromkeys((doc_id, id_of_line(doc_id)))
    found = held.index.find(wanted)
    for name in wanted:
        if name in found:
            return found[name]
    raise NotFoundError(
        f"no document {doc_id[:SHOWN_NAME]!r} in {held.name}",
        hint="doc_id is that of a hit in the same index",
    )


def _hits_answer(
    held: Held, query: str, hits: Sequence[Hit], max_chars: int, offset: int
) -> HitsAnswer:
    """Return as many of the hits as have room; the first one always has."""
    answer = HitsAnswer(
        index=held.name, task=held.index.space.task.value, hits=[], truncated=True, next_offset=9999
    )
    left = room = _room(max_chars, HIT_CHARACTERS)
    left -= size_of(answer)
    for hit in _with_places(query, hits, max_chars, room // max_chars + 1, held.index.words):
        shown = _hit_answer(hit, max_chars, left)
        size = size_of(shown) + 1
        if size > left and answer.hits:
            break
        left -= size
        answer.hits.append(shown)
    more = len(answer.hits) < len(hits)
    following = offset + len(answer.hits) if more else None
    return answer.model_copy(update={"truncated": more, "next_offset": following})


def _with_places(
    query: str, hits: Sequence[Hit], max_chars: int, most: int, words: str
) -> list[Hit]:
    """Return hits; the first long ones with their best sentence by words, which will be shown.

    Args:
        query: a text.
        hits: of the query.
        max_chars: characters of a hit that is not long.
        most: long hits that have room in an answer.
        words: the name of the tokenizer of words.
    """
    long = [hit for hit in hits if len(hit.passage) > max_chars][:most]
    found = iter(add_snippets([query], [long], tokenizer=words)[0] if long else [])
    return [next(found, hit) if len(hit.passage) > max_chars else hit for hit in hits]


def _hit_answer(hit: Hit, max_chars: int, room: int) -> HitAnswer:
    begin = _beginning(hit, max_chars)
    left = room - METADATA_BYTES - _AROUND_A_HIT
    part = raw_part(hit.text, begin, max_chars, max(left, max_chars))
    return HitAnswer(
        doc_id=shown_id(hit.doc_id),
        score=_rounded(hit.score),
        text=shown_text(part),
        start=begin,
        total_chars=len(hit.text),
        metadata=bounded_metadata(hit.metadata, METADATA_BYTES, text=hit.text, part=part),
    )


def _page(name: str, document: Document, offset: int, max_chars: int) -> DocumentAnswer:
    """Return a part of a document; the first one has the metadata."""
    room = _room(max_chars, PAGE_CHARACTERS)
    of_fields = room // 4
    part = raw_part(document.text, offset, max_chars, room - of_fields - _AROUND_A_HIT)
    fields = bounded_metadata(document.metadata, of_fields, text=document.text, part=part)
    end = offset + len(part)
    more = end < len(document.text)
    return DocumentAnswer(
        index=name,
        doc_id=shown_id(document.doc_id),
        text=shown_text(part),
        offset=offset,
        total_chars=len(document.text),
        metadata=fields if offset == 0 else {},
        truncated=more,
        next_offset=end if more else None,
    )


def _beginning(hit: Hit, max_chars: int) -> int:
    """Return where the shown part of a hit begins: at its start, its chunk, or its best sentence.

    A quarter of the room is for what comes before the sentence.
    """
    if len(hit.text) <= max_chars:
        return 0
    first = hit.chunk.start if hit.chunk else 0
    if hit.snippet is None:
        return first
    last = max(first, first + len(hit.passage) - max_chars)
    begin = min(max(first, hit.snippet.start - max_chars // 4), last)
    if begin == first:
        return first
    space = hit.text.find(" ", begin, hit.snippet.start)
    return begin if space < 0 else space + 1


def _room(max_chars: int, usual: int) -> int:
    """Return the bytes of an answer: more than the default only where more characters are asked."""
    return min(MOST_BYTES, DEFAULT_BYTES * max(max_chars, usual) // usual)


def _rounded(score: float) -> float:
    return round(score, 4)
