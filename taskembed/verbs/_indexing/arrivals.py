"""Counts the documents that a run reads, and decides what happens to repeated ids.

A run and a dry run share this, so that their counts agree.
"""

from __future__ import annotations

from taskembed.errors import BadRecordError
from taskembed.reading.document import Document
from taskembed.reading.streams import OnBad
from taskembed.verbs.defaults import OnDuplicate
from taskembed.verbs.options import IndexSummary


class Arrivals:
    """Counts the documents of a run in its summary, and decides about repeated ids.

    Args:
        on_duplicate: which of two documents with the same id is kept.
        on_bad: receives a document with a repeated id, if that is an error.
        summary: the summary of the run.
    """

    def __init__(self, on_duplicate: OnDuplicate, on_bad: OnBad, summary: IndexSummary) -> None:
        self._on_duplicate = on_duplicate
        self._on_bad = on_bad
        self._summary = summary

    def admits(self, document: Document, *, is_repeated: bool) -> bool:
        """Count a document; return whether the run processes it.

        Args:
            document: the document as it was read.
            is_repeated: whether an earlier document of the run has the same id.
        """
        if is_repeated:
            self._summary.duplicates += 1
            if self._on_duplicate is OnDuplicate.FIRST:
                return False
            if self._on_duplicate is OnDuplicate.ERROR:
                reason = f"duplicate id {document.doc_id!r}"
                self._on_bad(BadRecordError(document.where, reason, raw=document.text))
                return False
        self._summary.empty += not document.text
        self._summary.without_id += document.id_is_made
        return True
