"""Batch indexing and search with task-aware embeddings.

    from taskembed import Index, Task, index_corpus, load_encoder, search_index

    encoder = load_encoder("minilm", Task.RETRIEVAL)
    index_corpus(documents, encoder, "my-index")
    with Index.open("my-index") as index:
        hits = search_index(["why is the sky blue?"], encoder, index, k=3)[0]

Every name below is imported when it is first used: `import taskembed` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskembed.corpus import Document
    from taskembed.encoder import load_encoder
    from taskembed.index import Hit, Index
    from taskembed.pipeline import index_corpus, search_index
    from taskembed.space import EmbeddingSpace, Task

__version__ = "0.1.0"

__all__ = [
    "Document",
    "EmbeddingSpace",
    "Hit",
    "Index",
    "Task",
    "index_corpus",
    "load_encoder",
    "search_index",
]

_HOMES = {
    "Document": "corpus",
    "EmbeddingSpace": "space",
    "Hit": "index",
    "Index": "index",
    "Task": "space",
    "index_corpus": "pipeline",
    "load_encoder": "encoder",
    "search_index": "pipeline",
}


def __getattr__(name: str) -> object:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'taskembed' has no attribute {name!r}") from None
    return getattr(import_module(f"taskembed.{home}"), name)
