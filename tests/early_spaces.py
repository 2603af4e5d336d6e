"""Spaces as early versions wrote them into manifests."""

from __future__ import annotations

# the space of an index of embed-v4.0 as early versions wrote it
HOSTED: dict[str, object] = {
    "model": "embed-v4.0",
    "revision": "",
    "weights_digest": "hosted:cohere/embed-v4.0",
    "query_adapter": "input_type=search_query",
    "document_adapter": "input_type=search_document",
    "adapter_digest": "",
    "task": "retrieval",
    "query_prompt": "",
    "document_prompt": "",
    "suffix": "",
    "pooling": "server",
    "max_length": 128000,
    "dim": 1536,
    "truncation": "none",
    "normalize": True,
    "metric": "cosine",
    "template": "{title?} {text}",
}
