"""Batch indexing and search with task-aware embeddings."""

__version__ = "0.1.0"
