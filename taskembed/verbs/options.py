"""Options and results of the verbs: the requested space, how to index, the counts of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from taskembed.activity import Step
from taskembed.arguments import require_positive
from taskembed.index.chunking import (
    DEFINITIONS,
    PYTHON_DEFINITIONS,
    SENTENCES,
    Chunking,
    ChunkRequest,
)
from taskembed.index.disk.fs import Fs
from taskembed.index.outcomes import Outcome
from taskembed.index.remembered import Reading
from taskembed.index.storage import IndexType, Storage, VectorType
from taskembed.index.word_tokens import DEFAULT_LANGUAGE, require_language, tokenizer_name
from taskembed.models.resolve import PromptOverrides
from taskembed.reading.rejects import RejectFile
from taskembed.reading.template import Template
from taskembed.space import Task
from taskembed.verbs.defaults import COMMIT_EVERY, PRUNE_LIMIT, OnDuplicate

if TYPE_CHECKING:
    from taskembed.index.writer import IndexWriter

WORD_TASKS = frozenset({Task.RETRIEVAL, Task.CODE})  # tasks whose new indexes store words


@dataclass(frozen=True, slots=True)
class SpaceRequest:
    """The embedding space that a caller requests; fields that are None are taken from the index.

    Attributes:
        model: "minilm", a folder, a Hugging Face id, or the name of a hosted model; for a model
            that was moved, its new folder.
        task: the task of the vectors; a name such as "retrieval" is accepted too.
        revision: a branch, tag or commit of a Hugging Face repository.
        stated: prompts, an instruction, an adapter, a family, instead of the known ones.
        dim: the length of the vectors, if shorter than the model's own.
        force_dim: allow a length that the model was not trained for.
        template: how documents' fields become their texts.
        further: for an index with several views, the tasks of the views after the first.

    Raises:
        ValueError: there is no such task, or `dim` is below 1.
        UsageError: the template has no field.
    """

    model: str | None = None
    task: Task | None = None
    revision: str | None = None
    stated: PromptOverrides = field(default_factory=PromptOverrides)
    dim: int | None = None
    force_dim: bool = False
    template: str | None = None
    further: tuple[Task, ...] = ()

    def __post_init__(self) -> None:
        if self.task is not None:
            object.__setattr__(self, "task", Task(self.task))
        object.__setattr__(self, "further", tuple(map(Task, self.further)))
        if self.dim is not None:
            require_positive(self.dim, "dim")
        if self.template is not None:
            object.__setattr__(self, "template", str(Template.parse(self.template)))


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How to index.

    Attributes:
        commit_every: documents between commits; a kill loses at most these, or a minute of work.
        on_duplicate: which of two documents with the same id is kept.
        prune: delete the documents that are not in this run's input.
        prune_limit: the largest share that `prune` may delete, in percent; more is an error.
        recreate: replace the index by a new one.
        fail_on_truncate: a document that the model cannot read whole is a bad record.
        wait_seconds: how long to wait for another process that writes to the index.
        reading: how the input is read, which the index remembers; None to keep what it remembers.
        index_type: how new segments are searched; None for the index's setting.
        vectors: how the numbers of new vectors are stored; None for the index's setting.
        chunk: how documents are cut into chunks: "auto" for half of what the model reads; "128" or
            "128:25" for the tokens of a chunk and of its overlap with the next; "off" for no
            chunks; None for the index's rule.
        words: the language of the words stored for hybrid search, "none" for no stems; "" to
            store no words; None for the index's setting, which is English for a new index for
            retrieval or code, and no words for other tasks.

    Raises:
        ValueError: a number is out of its bounds, or `on_duplicate` is not an `OnDuplicate`.
        TypeError: `commit_every` is not an integer.
        UsageError: `chunk` is none of these.
    """

    commit_every: int = COMMIT_EVERY
    on_duplicate: OnDuplicate = OnDuplicate.LAST
    prune: bool = False
    prune_limit: float = PRUNE_LIMIT
    recreate: bool = False
    fail_on_truncate: bool = False
    wait_seconds: float = 0
    reading: Reading | None = None
    index_type: IndexType | None = None
    vectors: VectorType | None = None
    words: str | None = None
    chunk: str | None = None

    def __post_init__(self) -> None:
        require_positive(self.commit_every, "commit_every")
        if not 0 <= self.prune_limit <= 100:  # noqa: PLR2004  # per cent
            raise ValueError(
                f"prune_limit is {self.prune_limit}; it must be a percentage, from 0 to 100"
            )
        if not self.wait_seconds >= 0:
            raise ValueError(f"wait_seconds is {self.wait_seconds}; it must be at least 0")
        # a name, such as "first", is accepted too
        object.__setattr__(self, "on_duplicate", OnDuplicate(self.on_duplicate))
        if self.index_type is not None:
            object.__setattr__(self, "index_type", IndexType(self.index_type))
        if self.vectors is not None:
            object.__setattr__(self, "vectors", VectorType(self.vectors))
        if self.words:
            require_language(self.words)
        if self.chunk is not None:
            ChunkRequest.parse(self.chunk)

    def storage(self, before: Storage, max_length: int = 0, task: Task | None = None) -> Storage:
        """Return how new segments are stored.

        Args:
            before: how the existing segments are stored.
            max_length: the number of tokens that the model reads.
            task: the task of the index; documents of code are cut at definitions.
        """
        words = before.words if self.words is None else self.words
        if self.words:
            words = tokenizer_name(self.words)
        return Storage(
            self.index_type or before.index_type,
            self.vectors or before.vectors,
            words,
            self._chunks(before.chunks, max_length, task),
        )

    def _chunks(
        self, before: Chunking | None, max_length: int, task: Task | None
    ) -> Chunking | None:
        """Return the rule by which documents are cut; an existing index keeps its method."""
        method = before.method if before and not self.recreate else chunk_method(task)
        if self.chunk is not None:
            return ChunkRequest.parse(self.chunk).rule(max_length, method)
        return replace(before, method=method) if before else None


def task_of_input(tasks: Sequence[Task]) -> Task:
    """Return the task that decides how an index's input is read and cut: code, if it is a task."""
    return Task.CODE if Task.CODE in tasks else tasks[0]


def chunk_method(task: Task | None) -> str:
    """Return the method by which a new index cuts documents, using the installed parsers."""
    if task is not Task.CODE:
        return SENTENCES
    from taskembed.reading.definitions import has_tree_sitter  # other commands start without it

    return DEFINITIONS if has_tree_sitter() else PYTHON_DEFINITIONS


def new_storage(*tasks: Task) -> Storage:
    """Return how the segments of a new index are stored by default.

    Args:
        tasks: the tasks of the index's views.
    """
    words = tokenizer_name(DEFAULT_LANGUAGE) if WORD_TASKS.intersection(tasks) else ""
    return Storage(words=words)


@dataclass
class IndexSummary:
    """The counts of a run; `added` to `unchanged` count documents of the index, not records."""

    added: int = 0  # documents that are new
    updated: int = 0  # documents whose text or metadata changed
    deleted: int = 0  # documents that `prune` deleted
    unchanged: int = 0  # documents that did not change
    rejected: int = 0  # bad records
    truncated: int = 0  # documents of this run, unchanged ones too
    duplicates: int = 0  # records with the id of an earlier record
    empty: int = 0  # records without any text
    without_id: int = 0  # records whose id is the sha256 of their text
    encoded: int = 0  # texts encoded by the model
    documents: int = 0  # in the index after the run
    pruned: bool = True  # False when `prune` was skipped, since records were rejected

    def count(self, writer: IndexWriter, *, rejected: int) -> None:
        """Read the counts of a run from its writer, before the run finishes.

        Args:
            writer: the writer of the run.
            rejected: the number of bad records.
        """
        tally = writer.tally()
        self.added = tally[Outcome.ADDED]
        self.updated = tally[Outcome.UPDATED]
        self.unchanged = tally[Outcome.UNCHANGED]
        self.rejected = rejected
        self.documents = len(writer)

    def to_json(self) -> dict[str, int | bool]:
        """Return the summary as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Watch:
    """Callbacks of a run; each has a default that does nothing.

    Attributes:
        bad: receives each bad record, including those that cannot be read; raises to stop the run.
        on_progress: called with the number of documents processed so far: encoded, or unchanged.
        read_share: returns the share of the input that was read, 0 to 1; None when unknown.
        stoppable: returns a context in which a signal may stop the run, which can be continued.
        uninterrupted: returns a context in which no signal raises an exception.
        clock: returns seconds; only differences are used.
        fs: the file system; tests inject faults there.
    """

    bad: RejectFile = field(default_factory=RejectFile)
    on_progress: Callable[[int], None] = lambda _: None
    read_share: Callable[[], float | None] = lambda: None
    stoppable: Callable[[], AbstractContextManager[object]] = nullcontext
    uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext
    clock: Callable[[], float] = time.monotonic
    fs: Fs = field(default_factory=Fs)

    def report_progress(self, step: Step, *, done: int, ahead: int) -> None:
        """Report the number of processed documents, and their share of the input.

        Args:
            step: the step whose progress is reported.
            done: the number of processed documents.
            ahead: the number of documents that were read but not processed yet.
        """
        share = self.read_share()
        step.done = done
        step.share = None if share is None else share * done / max(1, done + ahead)
        self.on_progress(done)
