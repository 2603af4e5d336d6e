"""Reads data with judgements, on which a task is evaluated.

    retrieval, code    corpus, queries, judgements (qrels): BEIR's folder, or separate files
    similarity         pairs: sentence1, sentence2, score
    classification     train and test: text, label
    clustering         texts: text, label

A folder has files with these names and any ending of a corpus: corpus.jsonl.gz.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskembed.english import counted
from taskembed.errors import BadInputError, BadRecordError, NotFoundError, UsageError
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.document import Document
from taskembed.reading.documents import read_corpus
from taskembed.reading.examples import Example, ExampleKind, read_examples
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.queries import Query, read_queries
from taskembed.reading.streams import stop_at_first
from taskembed.reading.trec import Judgements, read_judgements
from taskembed.space import SYMMETRIC_TASKS, Task

_STEMS = (
    "corpus",
    "queries",
    "qrels",
    "pairs",
    "train",
    "test",
    "texts",
)  # names in a folder of data
_SAME_IDS = "check that the ids are the same in both files"
_RESULTS = {".run", ".png", ".svg", ".pdf"}  # endings of results, which may be in the same folder


@dataclass(frozen=True, slots=True)
class Ranking:
    """Data for retrieval and code.

    Attributes:
        documents: the corpus; None if an index has it.
        queries: the judged queries, in the order of their file.
        judgements: query -> document -> relevance.
    """

    documents: Sequence[Document] | None
    queries: Sequence[Query]
    judgements: Judgements


@dataclass(frozen=True, slots=True)
class Pairs:
    """Data for similarity."""

    examples: Sequence[Example]  # scored pairs


@dataclass(frozen=True, slots=True)
class Classes:
    """Data for classification."""

    train: Sequence[Example]  # labelled texts to train on
    test: Sequence[Example]  # labelled texts to test on


@dataclass(frozen=True, slots=True)
class Clusters:
    """Data for clustering."""

    examples: Sequence[Example]  # labelled texts


Judged = Ranking | Pairs | Classes | Clusters


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of judged data.

    Attributes:
        data: a folder; a corpus; or the one file for similarity or clustering. None if an index has
            the corpus.
        queries: file of queries, if it is not in the folder.
        qrels: file of judgements, if it is not in the folder.
        limit: use only the first `limit` queries, pairs, or texts to test on; 0 for all.
    """

    data: Path | None
    queries: Path | None = None
    qrels: Path | None = None
    limit: int = 0

    def paths(self) -> list[Path]:
        """Return all files that the data may be read from, which must not be overwritten."""
        given = [place for place in (self.data, self.queries, self.qrels) if place is not None]
        folders = [place / inner for place in given for inner in ("", "qrels", "queries")]
        inside = [
            found for place in folders for stem in _STEMS for found in data_files(place, stem)
        ]
        return [place for place in given if not place.is_dir()] + inside


def read_judged(
    task: Task,
    files: DataFiles,
    *,
    notify: Callable[[str], None] = lambda _: None,
) -> Judged:
    """Read the data of a task.

    Args:
        task: the task.
        files: where the data is.
        notify: called with a sentence about data that is left out.

    Raises:
        NotFoundError: a file does not exist.
        UsageError: a file of the data is missing.
        BadInputError: a file cannot be used; the message names the file and the line.
    """
    if task not in SYMMETRIC_TASKS:
        return _ranking(files, with_corpus=True, notify=notify)
    if files.data is None:
        raise UsageError(
            f"the data for {task.value} is missing", hint="taskembed evaluate DATA --task TASK"
        )
    if task is Task.SIMILARITY:
        return Pairs(_first(_examples(files.data, "pairs", ExampleKind.SCORED), files.limit))
    if task is Task.CLUSTERING:
        texts = _examples(files.data, "texts", ExampleKind.LABELLED)
        _require_labels(files.data, texts)
        if files.limit:
            _require_labels(f"{files.data}, the first {files.limit:,}", texts[: files.limit])
        return Clusters(_first(texts, files.limit))
    if not files.data.is_dir():
        raise UsageError(
            f"{files.data} is not a folder: classification needs a file to train on and another "
            "to test on",
            hint="name a folder with train.jsonl and test.jsonl",
        )
    train = _examples(files.data, "train", ExampleKind.LABELLED)
    _require_labels(files.data, train)
    test = _first(_examples(files.data, "test", ExampleKind.LABELLED), files.limit)
    if unknown := {item.label for item in test} - {item.label for item in train}:
        raise BadInputError(
            f"no training text has the label {min(unknown)!r}", what=str(files.data)
        )
    return Classes(train, test)


def read_ranking(folder: Path) -> Ranking:
    """Read the corpus, the queries and the judgements in a folder.

    Raises:
        NotFoundError: there is no corpus.
        UsageError: queries or judgements are missing.
        BadInputError: a file cannot be used.
    """
    return _ranking(DataFiles(folder), with_corpus=True, notify=lambda _: None)


def read_judged_queries(
    files: DataFiles, *, notify: Callable[[str], None] = lambda _: None
) -> Ranking:
    """Read queries and judgements, for an index that has the documents.

    Args:
        files: where the queries and judgements are.
        notify: called with a sentence about data that is left out.

    Raises:
        NotFoundError: a file does not exist.
        UsageError: queries or judgements are missing.
        BadInputError: a file cannot be used.
    """
    return _ranking(files, with_corpus=False, notify=notify)


def is_ranking(folder: Path) -> bool:
    """Return whether a folder has judgements of queries."""
    return _ranking_in(folder, "qrels") is not None


def _require_labels(place: Path | str, examples: Sequence[Example]) -> None:
    if len({example.label for example in examples}) < 2:  # noqa: PLR2004  # nothing to tell apart
        raise BadInputError("all texts have the same label", what=str(place))


def _first(examples: Sequence[Example], limit: int) -> Sequence[Example]:
    return examples[:limit] if limit else examples


def _examples(place: Path, stem: str, kind: ExampleKind) -> Sequence[Example]:
    path = _in_folder(place, stem) if place.is_dir() else place
    if path is None:
        raise NotFoundError(
            f"there is no {stem} file in {place}", hint=f"name it {stem}.jsonl, for example"
        )
    return read_examples(path, kind)[1]


def _in_folder(folder: Path, stem: str) -> Path | None:
    """Return the file in a folder with a name, without its ending; None if there is none."""
    inner = folder / stem
    found = data_files(inner.parent, inner.name)
    if len(found) > 1:
        raise UsageError(
            f"{folder} has both {found[0].name} and {found[1].name}", hint="remove one"
        )
    return found[0] if found else None


def data_files(folder: Path, stem: str) -> list[Path]:
    """Return the files in a folder with this name and any ending, sorted, without results."""
    found = (path for path in folder.glob(f"{stem}.*") if path.suffix not in _RESULTS)
    return sorted(path for path in found if path.is_file())


def _ranking(files: DataFiles, *, with_corpus: bool, notify: Callable[[str], None]) -> Ranking:
    queries = _ranking_file("queries", files.queries, files.data)
    qrels = _ranking_file("qrels", files.qrels, files.data)
    judgements = read_judgements(qrels)
    documents = _documents(files.data) if with_corpus else None
    if documents is not None:
        _require_judged(documents, judgements, qrels, notify)
    judged = [query for query in read_queries(str(queries)) if query.query_id in judgements]
    if not judged:
        raise BadInputError(
            f"{qrels} judges no query of {queries}",
            hint=_SAME_IDS,
        )
    if lost := len(judgements) - len(judged):
        missing = counted(lost, "judged query is", "judged queries are")
        notify(f"note: {missing} not in {queries}, and left out")
    judged = judged[: files.limit] if files.limit else judged
    return Ranking(
        documents, judged, {query.query_id: judgements[query.query_id] for query in judged}
    )


def _require_judged(
    documents: Sequence[Document],
    judgements: Judgements,
    qrels: Path,
    notify: Callable[[str], None],
) -> None:
    judged = {name for found in judgements.values() for name in found}
    lost = judged - {document.doc_id for document in documents}
    if lost == judged:
        raise BadInputError(
            f"{qrels} judges no document of the corpus",
            hint=_SAME_IDS,
        )
    if lost:
        missing = counted(len(lost), "judged document is", "judged documents are")
        notify(f"note: {missing} not in the corpus")


def _ranking_file(what: str, given: Path | None, folder: Path | None) -> Path:
    if given is not None:
        return given
    found = _ranking_in(folder, what) if folder is not None and folder.is_dir() else None
    if found is not None:
        return found
    raise UsageError(
        f"the {what} are missing", hint=f"use --{what} FILE, or a folder that has them"
    )


def _ranking_in(folder: Path, what: str) -> Path | None:
    """Return the file of queries or judgements in a folder; None if there is none."""
    return _in_folder(folder, what) or _in_folder(folder, f"{what}/test")  # the second as in BEIR


def _documents(place: Path | None) -> list[Document]:
    path = _in_folder(place, "corpus") if place is not None and place.is_dir() else place
    if path is None:
        raise UsageError("the corpus is missing", hint="name it, or use --index")
    stream = read_corpus(
        find_inputs([str(path)]),
        RecordFields(),
        on_bad=stop_at_first,
        max_record_bytes=DEFAULT_MAX_RECORD_BYTES,
    )
    documents: dict[str, Document] = {}
    for document in stream:
        if document.doc_id in documents:
            raise BadRecordError(document.source, f"duplicate id {document.doc_id!r}")
        documents[document.doc_id] = document
    return list(documents.values())
