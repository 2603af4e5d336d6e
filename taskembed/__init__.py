"""Batch indexing and search with task-aware embeddings.

    from taskembed import Index, Task, index_corpus, load_encoder, search_index

    encoder = load_encoder("minilm", Task.RETRIEVAL)
    index_corpus(documents, encoder, "my-index")
    with Index.open("my-index") as index:
        hits = search_index(["why is the sky blue?"], encoder, index, k=3)[0]

Every name below is imported when it is first used: `import taskembed` costs nothing.
docs/python.md describes them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; importing typing takes 5 ms
if TYPE_CHECKING:
    from taskembed.corpus import Document, RejectFile
    from taskembed.deletion import delete_documents
    from taskembed.encoder import load_encoder, load_encoder_of
    from taskembed.errors import (
        AccessDeniedError,
        BadInputError,
        BadRecordError,
        BadVectorError,
        ExitCode,
        IndexBusyError,
        IndexDamagedError,
        ModelUnavailableError,
        NewerFormatError,
        NotFoundError,
        SpaceMismatchError,
        StoppedError,
        StorageError,
        TaskembedError,
        UsageError,
    )
    from taskembed.index import Hit, Index
    from taskembed.models import Stated
    from taskembed.pipeline import index_corpus
    from taskembed.protocols import Encoder
    from taskembed.reranker import load_reranker
    from taskembed.runs import IndexOptions, IndexSummary, OnDuplicate, Watch
    from taskembed.runtime import EngineSettings
    from taskembed.searching import rerank_hits, search_index
    from taskembed.space import EmbeddingSpace, PromptType, Task
    from taskembed.vectors import Encoded

__version__ = "0.1.0"

__all__ = [
    "AccessDeniedError",
    "BadInputError",
    "BadRecordError",
    "BadVectorError",
    "Document",
    "EmbeddingSpace",
    "Encoded",
    "Encoder",
    "EngineSettings",
    "ExitCode",
    "Hit",
    "Index",
    "IndexBusyError",
    "IndexDamagedError",
    "IndexOptions",
    "IndexSummary",
    "ModelUnavailableError",
    "NewerFormatError",
    "NotFoundError",
    "OnDuplicate",
    "PromptType",
    "RejectFile",
    "SpaceMismatchError",
    "Stated",
    "StoppedError",
    "StorageError",
    "Task",
    "TaskembedError",
    "UsageError",
    "Watch",
    "delete_documents",
    "index_corpus",
    "load_encoder",
    "load_encoder_of",
    "load_reranker",
    "rerank_hits",
    "search_index",
]

_HOMES = {
    "AccessDeniedError": "errors",
    "BadInputError": "errors",
    "BadRecordError": "errors",
    "BadVectorError": "errors",
    "Document": "corpus",
    "EmbeddingSpace": "space",
    "Encoded": "vectors",
    "Encoder": "protocols",
    "EngineSettings": "runtime",
    "ExitCode": "errors",
    "Hit": "index",
    "Index": "index",
    "IndexBusyError": "errors",
    "IndexDamagedError": "errors",
    "IndexOptions": "runs",
    "IndexSummary": "runs",
    "ModelUnavailableError": "errors",
    "NewerFormatError": "errors",
    "NotFoundError": "errors",
    "OnDuplicate": "runs",
    "PromptType": "space",
    "RejectFile": "corpus",
    "SpaceMismatchError": "errors",
    "Stated": "models",
    "StoppedError": "errors",
    "StorageError": "errors",
    "Task": "space",
    "TaskembedError": "errors",
    "UsageError": "errors",
    "Watch": "runs",
    "delete_documents": "deletion",
    "index_corpus": "pipeline",
    "load_encoder": "encoder",
    "load_encoder_of": "encoder",
    "load_reranker": "reranker",
    "rerank_hits": "searching",
    "search_index": "searching",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'taskembed' has no attribute {name!r}") from None
    return getattr(import_module(f"taskembed.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
