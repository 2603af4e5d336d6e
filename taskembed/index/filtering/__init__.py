"""Filters over the metadata of documents: their grammar, and the types of fields."""
