"""Updates an index from files, as `taskembed index` does.

    update = find_update(["corpus.jsonl"], "taskembed-index", Reading())
    done = update.run(SpaceRequest(task=Task.RETRIEVAL))

`find_update` reads the index's manifest and finds the files; `run` opens the model and indexes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from taskembed.encoding.settings import EngineSettings
from taskembed.extras import CODE, install_hint
from taskembed.index.chunking import OFF, PYTHON_DEFINITIONS
from taskembed.index.disk.commit import require_writable
from taskembed.index.remembered import Reading
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.definitions import TREE_SITTER_LANGUAGES
from taskembed.space import EmbeddingSpace, Task
from taskembed.verbs._indexing.id_folders import with_ids_of
from taskembed.verbs.corpus import Corpus, find_corpus
from taskembed.verbs.describe import Existing, read_existing
from taskembed.verbs.index import index_corpus
from taskembed.verbs.opening.encoders import as_made, check_request, encoder_for_update
from taskembed.verbs.options import (
    IndexOptions,
    IndexSummary,
    SpaceRequest,
    Watch,
    chunk_method,
    task_of_input,
)
from taskembed.verbs.plan import plan_index
from taskembed.verbs.protocols import Encoder
from taskembed.verbs.views import ViewRequest, requested_views
from taskembed.verbs.workers.engine import RayEngine


@dataclass(frozen=True, slots=True)
class Updated:
    """The result of a run over an index.

    Attributes:
        summary: the counts.
        space: the space of the index; with several views, of the first; None after a dry run.
        seconds: the duration of the run, after the model was opened.
        notes: sentences for people on how documents were indexed.
    """

    summary: IndexSummary
    space: EmbeddingSpace | None
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """An index, or the folder of a new one, and the files to index.

    Attributes:
        folder: the folder of the index.
        existing: the settings of the existing index.
        corpus: the files, and how they are read.
        recreate: whether the index is to be replaced.
    """

    folder: Path
    existing: Existing
    corpus: Corpus
    recreate: bool

    def run(  # noqa: PLR0913  # all but the first are optional
        self,
        request: SpaceRequest,
        options: IndexOptions | None = None,
        settings: EngineSettings | None = None,
        *,
        watch: Watch | None = None,
        max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES,
        dry_run: bool = False,
        ray: RayEngine | None = None,
    ) -> Updated:
        """Index the files; checks that need neither a model nor the documents come first.

        This update, not `request` and `options`, decides the template, the reading and `recreate`.

        Args:
            request: the requirements of the caller.
            options: how to index.
            settings: where and how the model runs.
            watch: callbacks; its `bad` is opened after the model, and its `read_share` is set here.
            max_record_bytes: a larger record is a bad record.
            dry_run: write nothing and open no model; return what the run would do.
            ray: the workers that encode; None to encode in this process.

        Raises:
            UsageError: there is no index yet, and no task was named.
            SpaceMismatchError: the index has another space; nothing was read or changed.
            ModelUnavailableError: the model cannot be loaded, or has no prompts for the task.
            IndexBusyError: another process is writing.
            BadRecordError: a record is bad, and `watch.bad` stops there.
            TaskembedError: see `errors.py`; `safe_documents` counts the documents in the index.
        """
        settings, watch = settings or EngineSettings(), watch or Watch()
        watch = replace(watch, read_share=self.corpus.meter.share)
        request = replace(request, template=str(self.corpus.template))
        options = replace(
            options or IndexOptions(), reading=self.corpus.reading, recreate=self.recreate
        )
        views = requested_views(self.folder, self.existing.part, request, recreate=self.recreate)
        self._check(views, options, settings)
        encoders: list[Encoder] = []
        if not dry_run:
            with watch.stoppable():
                require_writable(self.folder, wait_seconds=options.wait_seconds)
            encoders = self._encoders(views, settings)
        started = watch.clock()
        with watch.bad, watch.stoppable():
            documents = self.corpus.documents(watch.bad, max_record_bytes=max_record_bytes)
            if encoders:
                with self._at_work(encoders, views, settings, ray) as ready:
                    done = index_corpus(documents, ready, self.folder, options=options, watch=watch)
            else:
                folder = self.folder if self.existing.part else None
                done = plan_index(documents, folder, options=options, watch=watch)
        seconds = watch.clock() - started
        if not encoders:
            return Updated(done, None, seconds)
        notes = self._chunk_notes(options, task_of_input([one.space.task for one in encoders]))
        return Updated(done, encoders[0].space, seconds, tuple(notes))

    def _check(
        self, views: Sequence[ViewRequest], options: IndexOptions, settings: EngineSettings
    ) -> None:
        """Check that the requirements do not contradict the index."""
        for view in views:
            check_request(view.space, view.request, settings, recreate=self.recreate)
        if not self.recreate:
            self.existing.require_chunks(options)

    def _encoders(self, views: Sequence[ViewRequest], settings: EngineSettings) -> list[Encoder]:
        """Return the encoder of each view; only the first one prints notes."""
        return [
            encoder_for_update(
                view.space,
                view.request,
                settings if view is views[0] else replace(settings, notify=_ignore_note),
                recreate=self.recreate,
                made_by=view.made_by,
            )
            for view in views
        ]

    def _at_work(
        self,
        encoders: Sequence[Encoder],
        views: Sequence[ViewRequest],
        settings: EngineSettings,
        ray: RayEngine | None,
    ) -> AbstractContextManager[Encoder | Sequence[Encoder]]:
        """Return a context with the encoders of this process, or of its workers."""
        if ray is None:
            return nullcontext(encoders)
        if not self.recreate:
            settings = as_made(settings, views[0].made_by)
        return ray.spread(encoders, self.folder, settings)

    def _chunk_notes(self, options: IndexOptions, task: Task) -> Iterator[str]:
        """Yield a note if a new index of code is cut without the parsers of most languages."""
        is_new = self.recreate or self.existing.part is None
        is_cut = options.chunk not in {None, OFF}
        if is_new and is_cut and chunk_method(task) == PYTHON_DEFINITIONS:
            yield (
                "only Python files were cut at definitions, and later runs will do the same; to "
                f"do so for {TREE_SITTER_LANGUAGES}: {install_hint(CODE)}, then use --recreate"
            )


def _ignore_note(_: str) -> None:
    """Ignore a note about a further view, since the first view's encoder has printed it."""


def find_update(
    inputs: Sequence[str],
    folder: str | Path,
    asked: Reading,
    *,
    template: str | None = None,
    task: Task | None = None,
    recreate: bool = False,
) -> Update:
    """Find an index and the files to index; only the index's manifest is read.

    Args:
        inputs: files, patterns such as "notes/**/*.md", folders, or "-" for stdin.
        folder: the folder of the index, which may not exist yet.
        asked: how to read the input; a field that is None is as the index remembers.
        template: how a record's fields become its text; None for the index's, or the text field.
        task: the task of a new index; for `code`, the source files of a folder are read.
        recreate: replace the index by a new one.

    Raises:
        NotFoundError: there is no such file or folder, or nothing to read in a folder.
        BadInputError: a folder is an index, or of a kind that is not read.
        UsageError: the format of a file cannot be told from its name; two files have the same id,
            including files of earlier runs; the template has no field; or the ids of the index
            come from another field.
        IndexDamagedError: the index cannot be read, and is not to be replaced.
    """
    existing = read_existing(folder, recreate=recreate)
    corpus = find_corpus(inputs, existing, asked, template=template, task=task, recreate=recreate)
    remembered = None if recreate else corpus.reading.id_folders
    id_folders = with_ids_of(corpus.inputs, Path(folder), remembered)
    corpus = replace(corpus, reading=replace(corpus.reading, id_folders=id_folders))
    return Update(Path(folder), existing, corpus, recreate)
