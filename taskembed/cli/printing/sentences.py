"""Sentences that several commands print, with the right singular and plural."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.english import counted
from taskembed.space import PromptType

if TYPE_CHECKING:
    from taskembed.space import EmbeddingSpace
    from taskembed.verbs.opening.counting import CountingEncoder
    from taskembed.verbs.options import IndexSummary

TRUNCATED_SHARE = 0.05  # of the documents; fewer are not worth a note
SHOWN_IDS = 5  # ids that are not in the index: more do not fit on a line


def counts_of(summary: IndexSummary) -> str:
    """Return the counts of a run that wrote to an index."""
    return (
        f"{summary.added:,} added, {summary.updated:,} updated, {summary.deleted:,} deleted, "
        f"{summary.unchanged:,} unchanged, {summary.rejected:,} rejected, "
        f"{summary.truncated:,} truncated"
    )


def truncated(documents: int, of: int, space: EmbeddingSpace) -> str | None:
    """Return a note on how many documents were truncated; None when they are few."""
    if not documents or documents < of * TRUNCATED_SHARE:
        return None
    verb, rest = ("is", "its rest") if documents == 1 else ("are", "the rest of each")
    return (
        f"{documents:,} of {counted(of, 'document')} {verb} longer than {_reach(space)}; "
        f"{rest} was not embedded"
    )


def truncated_queries(queries: int, of: int, space: EmbeddingSpace) -> str | None:
    """Return a note on how many queries were truncated; None when there are none."""
    if not queries:
        return None
    if of == 1:
        return f"the query is longer than {_reach(space)}; the rest was ignored"
    verb = "is" if queries == 1 else "are"
    return (
        f"{queries:,} of {counted(of, 'query', 'queries')} {verb} longer than "
        f"{_reach(space)}; the rest was ignored"
    )


def truncation_notes(
    encoder: CountingEncoder | None, sides: Collection[PromptType] = tuple(PromptType)
) -> Iterator[str]:
    """Yield a note on truncated queries and one on truncated documents, if there are enough."""
    if encoder is None:
        return
    for side, say in ((PromptType.DOCUMENT, truncated), (PromptType.QUERY, truncated_queries)):
        note = say(encoder.truncated[side], encoder.texts[side], encoder.space)
        if note and side in sides:
            yield note


def not_in_the_index(doc_ids: Sequence[str]) -> str:
    """Return a message that lists the first few ids that an index does not have."""
    more = f" and {len(doc_ids) - SHOWN_IDS:,} more" if len(doc_ids) > SHOWN_IDS else ""
    return f"not in the index: {', '.join(map(repr, doc_ids[:SHOWN_IDS]))}{more}"


def next_step(documents: int, folder: Path, *, is_default: bool) -> str:
    """Return a line with the number of documents in an index and the command to search it.

    Args:
        documents: the number of documents.
        folder: the folder of the index.
        is_default: whether the command needs no --index.
    """
    where = "" if is_default else f" --index {shlex.quote(str(folder))}"
    return f'{folder} contains {counted(documents, "document")}: taskembed search "..."{where}'


def _reach(space: EmbeddingSpace) -> str:
    if not space.max_length:
        return f"{space.model} reads"
    return f"the {counted(space.max_length, 'token')} that {space.model} reads"
