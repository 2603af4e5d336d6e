"""Segments: vectors, documents, words and fields that were written together and never change."""
