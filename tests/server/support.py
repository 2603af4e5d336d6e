"""Indexes that the tests of the server serve: small, by a fake encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from taskembed.index.reader import Index
from taskembed.index.remembered import Reading
from taskembed.reading.document import Document
from taskembed.server._tools import Tools
from taskembed.server.indexes import EncoderOf, ServedIndexes
from taskembed.space import Task
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.fakes import HashEncoder

TEXTS = {
    "moon": "the moon orbits the earth",
    "moons": "the moon orbits the earth slowly",
    "sea": "sea water is salt water",
    "bread": "flour yeast",
}
DOCUMENTS = [
    Document(name, text, {"topic": "sky" if "moon" in text else "kitchen", "size": len(text)})
    for name, text in TEXTS.items()
]


def encoder_of(index: Index) -> HashEncoder:
    return HashEncoder(index.space)


def encoder_for(task: Task) -> HashEncoder:
    if task in {Task.RETRIEVAL, Task.CODE}:
        return HashEncoder(task=task)
    return HashEncoder(task=task, query_prompt="", document_prompt="")


def make(
    folder: Path,
    task: Task = Task.RETRIEVAL,
    documents: Sequence[Document] = DOCUMENTS,
    *,
    words: bool = False,
) -> Path:
    options = IndexOptions(
        words="english" if words else "",
        recreate=folder.exists(),
        reading=Reading(label_field="topic") if task is Task.CLASSIFICATION else Reading(),
    )
    index_corpus(documents, encoder_for(task), folder, options=options)
    return folder


OPENED: list[ServedIndexes] = []  # closed after each test


def serving(folders: Mapping[str, Path], load: EncoderOf = encoder_of) -> ServedIndexes:
    OPENED.append(ServedIndexes.of(folders, load))
    return OPENED[-1]


def tools_for(folder: Path, task: Task = Task.RETRIEVAL, *, words: bool = False) -> Tools:
    return Tools(serving({"notes": make(folder / "index", task, words=words)}))


def tools_of(folder: Path, *documents: Document, words: bool = False) -> Tools:
    return Tools(serving({"notes": make(folder / "index", documents=documents, words=words)}))
