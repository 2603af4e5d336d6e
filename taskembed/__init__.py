"""Batch indexing and search with task-aware embeddings.

    from taskembed import Index, Task, index_corpus, load_encoder, search_index

    encoder = load_encoder("minilm", Task.RETRIEVAL)
    index_corpus(documents, encoder, "my-index")
    with Index.open("my-index") as index:
        hits = search_index(["why is the sky blue?"], encoder, index, k=3)[0]

Each public name is imported when it is first used, so `import taskembed` takes no time.
docs/python.md documents the names.
"""

from __future__ import annotations

from taskembed.version import __version__ as __version__

TYPE_CHECKING = False  # recognised by type checkers; importing typing would take 5 ms
if TYPE_CHECKING:
    from taskembed.encoding.load import load_encoder, load_encoder_of
    from taskembed.encoding.reranker import load_reranker
    from taskembed.encoding.settings import EngineSettings
    from taskembed.errors import (
        AccessDeniedError,
        BadInputError,
        BadRecordError,
        BadVectorError,
        ExitCode,
        IndexBusyError,
        IndexDamagedError,
        MissingLibraryError,
        ModelUnavailableError,
        NewerFormatError,
        NotFoundError,
        ServerUnavailableError,
        SpaceMismatchError,
        StoppedError,
        StorageError,
        TaskembedError,
        TextTooLongError,
        UsageError,
    )
    from taskembed.index.ranking.fusion import Fusion
    from taskembed.index.ranking.grouping import Grouping
    from taskembed.index.ranking.hits import Chunk, Hit, Snippet
    from taskembed.index.reader import Index
    from taskembed.models.resolve import PromptOverrides
    from taskembed.reading.document import Document
    from taskembed.reading.queries import Query
    from taskembed.reading.rejects import RejectFile
    from taskembed.space import EmbeddingSpace, PromptType, Task
    from taskembed.vectors import Encoded
    from taskembed.verbs.classify import Classifier, NearestExample, Prediction
    from taskembed.verbs.cluster import (
        assign_documents,
        assignments,
        cluster_index,
    )
    from taskembed.verbs.clustering.cluster_map import ClusterMap, map_of
    from taskembed.verbs.clustering.clusters import Assignment, Cluster, Clustering
    from taskembed.verbs.clustering.clusters_file import load_clusters, save_clusters
    from taskembed.verbs.clustering.map_page import write_map
    from taskembed.verbs.dedup import Duplicates, delete_duplicates, find_duplicates, kept_documents
    from taskembed.verbs.deduplicating.duplicates import Duplicate, Keep
    from taskembed.verbs.deduplicating.match import match_documents
    from taskembed.verbs.deduplicating.pairs import sample_pairs
    from taskembed.verbs.defaults import HeadName, OnDuplicate
    from taskembed.verbs.delete import delete_documents
    from taskembed.verbs.describe import IndexDescription, describe_index
    from taskembed.verbs.documents import count_documents, get_documents, list_documents
    from taskembed.verbs.encode import EncodeOptions, EncodeSummary, encode_documents
    from taskembed.verbs.export import export_index
    from taskembed.verbs.importing import ImportOptions, declared_space, import_vectors
    from taskembed.verbs.index import index_corpus
    from taskembed.verbs.milvus.collection import MilvusCollection
    from taskembed.verbs.milvus.export import MilvusExport, export_to_milvus
    from taskembed.verbs.opening.encoders import encoder_for_search, encoder_for_update
    from taskembed.verbs.options import IndexOptions, IndexSummary, SpaceRequest, Watch
    from taskembed.verbs.protocols import Encoder
    from taskembed.verbs.publish import Publication, publish_index
    from taskembed.verbs.publishing.copies import Fetched
    from taskembed.verbs.publishing.fetch import fetch_index
    from taskembed.verbs.search import rerank_hits, search_index
    from taskembed.verbs.searcher import Searcher
    from taskembed.verbs.similar import similar_documents, similar_texts
    from taskembed.verbs.snippets import add_snippets
    from taskembed.verbs.views import add_view, drop_view


__all__ = [
    "AccessDeniedError",
    "Assignment",
    "BadInputError",
    "BadRecordError",
    "BadVectorError",
    "Chunk",
    "Classifier",
    "Cluster",
    "ClusterMap",
    "Clustering",
    "Document",
    "Duplicate",
    "Duplicates",
    "EmbeddingSpace",
    "EncodeOptions",
    "EncodeSummary",
    "Encoded",
    "Encoder",
    "EngineSettings",
    "ExitCode",
    "Fetched",
    "Fusion",
    "Grouping",
    "HeadName",
    "Hit",
    "ImportOptions",
    "Index",
    "IndexBusyError",
    "IndexDamagedError",
    "IndexDescription",
    "IndexOptions",
    "IndexSummary",
    "Keep",
    "MilvusCollection",
    "MilvusExport",
    "MissingLibraryError",
    "ModelUnavailableError",
    "NearestExample",
    "NewerFormatError",
    "NotFoundError",
    "OnDuplicate",
    "Prediction",
    "PromptOverrides",
    "PromptType",
    "Publication",
    "Query",
    "RejectFile",
    "Searcher",
    "ServerUnavailableError",
    "Snippet",
    "SpaceMismatchError",
    "SpaceRequest",
    "StoppedError",
    "StorageError",
    "Task",
    "TaskembedError",
    "TextTooLongError",
    "UsageError",
    "Watch",
    "add_snippets",
    "add_view",
    "assign_documents",
    "assignments",
    "cluster_index",
    "count_documents",
    "declared_space",
    "delete_documents",
    "delete_duplicates",
    "describe_index",
    "drop_view",
    "encode_documents",
    "encoder_for_search",
    "encoder_for_update",
    "export_index",
    "export_to_milvus",
    "fetch_index",
    "find_duplicates",
    "get_documents",
    "import_vectors",
    "index_corpus",
    "kept_documents",
    "list_documents",
    "load_clusters",
    "load_encoder",
    "load_encoder_of",
    "load_reranker",
    "map_of",
    "match_documents",
    "publish_index",
    "rerank_hits",
    "sample_pairs",
    "save_clusters",
    "search_index",
    "similar_documents",
    "similar_texts",
    "write_map",
]

_HOMES = {
    "AccessDeniedError": "errors",
    "Assignment": "verbs.clustering.clusters",
    "BadInputError": "errors",
    "BadRecordError": "errors",
    "BadVectorError": "errors",
    "Chunk": "index.ranking.hits",
    "Classifier": "verbs.classify",
    "Cluster": "verbs.clustering.clusters",
    "ClusterMap": "verbs.clustering.cluster_map",
    "Clustering": "verbs.clustering.clusters",
    "Document": "reading.document",
    "Duplicate": "verbs.deduplicating.duplicates",
    "Duplicates": "verbs.dedup",
    "EmbeddingSpace": "space",
    "EncodeOptions": "verbs.encode",
    "EncodeSummary": "verbs.encode",
    "Encoded": "vectors",
    "Encoder": "verbs.protocols",
    "EngineSettings": "encoding.settings",
    "ExitCode": "errors",
    "Fetched": "verbs.publishing.copies",
    "Fusion": "index.ranking.fusion",
    "Grouping": "index.ranking.grouping",
    "HeadName": "verbs.defaults",
    "Hit": "index.ranking.hits",
    "ImportOptions": "verbs.importing",
    "Index": "index.reader",
    "IndexBusyError": "errors",
    "IndexDamagedError": "errors",
    "IndexDescription": "verbs.describe",
    "IndexOptions": "verbs.options",
    "IndexSummary": "verbs.options",
    "Keep": "verbs.deduplicating.duplicates",
    "MilvusCollection": "verbs.milvus.collection",
    "MilvusExport": "verbs.milvus.export",
    "MissingLibraryError": "errors",
    "ModelUnavailableError": "errors",
    "NearestExample": "verbs.classify",
    "NewerFormatError": "errors",
    "NotFoundError": "errors",
    "OnDuplicate": "verbs.defaults",
    "Prediction": "verbs.classify",
    "PromptOverrides": "models.resolve",
    "PromptType": "space",
    "Publication": "verbs.publish",
    "Query": "reading.queries",
    "RejectFile": "reading.rejects",
    "Searcher": "verbs.searcher",
    "Snippet": "index.ranking.hits",
    "SpaceMismatchError": "errors",
    "SpaceRequest": "verbs.options",
    "StoppedError": "errors",
    "ServerUnavailableError": "errors",
    "StorageError": "errors",
    "Task": "space",
    "TaskembedError": "errors",
    "TextTooLongError": "errors",
    "UsageError": "errors",
    "Watch": "verbs.options",
    "add_snippets": "verbs.snippets",
    "add_view": "verbs.views",
    "assign_documents": "verbs.cluster",
    "assignments": "verbs.cluster",
    "cluster_index": "verbs.cluster",
    "count_documents": "verbs.documents",
    "declared_space": "verbs.importing",
    "delete_documents": "verbs.delete",
    "delete_duplicates": "verbs.dedup",
    "describe_index": "verbs.describe",
    "drop_view": "verbs.views",
    "encode_documents": "verbs.encode",
    "encoder_for_search": "verbs.opening.encoders",
    "encoder_for_update": "verbs.opening.encoders",
    "export_index": "verbs.export",
    "export_to_milvus": "verbs.milvus.export",
    "fetch_index": "verbs.publishing.fetch",
    "find_duplicates": "verbs.dedup",
    "get_documents": "verbs.documents",
    "import_vectors": "verbs.importing",
    "index_corpus": "verbs.index",
    "kept_documents": "verbs.dedup",
    "list_documents": "verbs.documents",
    "load_clusters": "verbs.clustering.clusters_file",
    "load_encoder": "encoding.load",
    "load_encoder_of": "encoding.load",
    "load_reranker": "encoding.reranker",
    "map_of": "verbs.clustering.cluster_map",
    "match_documents": "verbs.deduplicating.match",
    "publish_index": "verbs.publish",
    "rerank_hits": "verbs.search",
    "sample_pairs": "verbs.deduplicating.pairs",
    "save_clusters": "verbs.clustering.clusters_file",
    "search_index": "verbs.search",
    "similar_documents": "verbs.similar",
    "similar_texts": "verbs.similar",
    "write_map": "verbs.clustering.map_page",
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
