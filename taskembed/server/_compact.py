"""Formats results as compact text, for agents that read text: the same values in fewer tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from taskembed.english import counted
from taskembed.server._answers import (
    DocumentAnswer,
    HitAnswer,
    HitsAnswer,
    IndexAnswer,
    IndexesAnswer,
    LabelAnswer,
)

_BLANK_LINES = re.compile(r"\n\s*\n")


def hits_text(answer: HitsAnswer) -> str:
    """Return the hits, with a few lines for each; the lines of documents are indented."""
    first = f"{counted(len(answer.hits), 'hit')} in {answer.index} ({answer.task})"
    lines = [first, *(_hit_text(hit) for hit in answer.hits)]
    if answer.truncated:
        lines.append(f"[more hits: offset={answer.next_offset}]")
    return "\n".join(lines)


def _hit_text(hit: HitAnswer) -> str:
    end = hit.start + len(hit.text)
    part = f"  chars {hit.start}-{end} of {hit.total_chars}" if end < hit.total_chars else ""
    text = _BLANK_LINES.sub("\n", hit.text.strip()).replace("\n", "\n  ")
    return f"- {hit.doc_id}  {hit.score:.4f}{part}{_fields(hit.metadata)}\n  {text}"


def document_text(answer: DocumentAnswer) -> str:
    """Return the part of the document after a line about it."""
    end = answer.next_offset if answer.next_offset is not None else answer.total_chars
    more = f"; the rest: offset={answer.next_offset}" if answer.truncated else ""
    about = f"{answer.doc_id} in {answer.index}{_fields(answer.metadata)}"
    part = f"chars {answer.offset}-{end} of {answer.total_chars}{more}"
    return f"{about}\n[{part}]\n{answer.text}"


def label_text(answer: LabelAnswer) -> str:
    """Return the label, the second-best label, and the nearest examples."""
    lines = [f"{answer.label}  {answer.confidence:.4f}"]
    if answer.runner_up is not None:
        lines.append(f"next: {answer.runner_up}  {answer.runner_up_confidence:.4f}")
    lines += [
        f"near: {near.doc_id}  {near.score:.4f}  {', '.join(near.labels)}"
        for near in answer.nearest
    ]
    return "\n".join(lines)


def indexes_text(answer: IndexesAnswer) -> str:
    """Return the indexes, with a line for each field."""
    lines = [_index_text(item) for item in answer.indexes]
    if answer.truncated:
        lines.append(f"[more indexes: offset={answer.next_offset}]")
    return "\n".join(lines) or "no more indexes"


def _index_text(item: IndexAnswer) -> str:
    if item.error is not None:
        return f"{item.name}: cannot be used: {item.error}"
    modes = "/".join(item.modes)
    about = f"{item.name}: task {item.task}, {counted(item.documents, 'document')}, mode {modes}"
    fields = [
        f"  {field.name}: {field.type}{', such as ' * bool(field.examples)}"
        f"{', '.join(field.examples)}"
        for field in item.fields
    ]
    more = [f"  and {item.more_fields} more fields"] if item.more_fields else []
    return "\n".join([f"{about}, model {item.model}, updated {item.updated}", *fields, *more])


def _fields(metadata: Mapping[str, Any]) -> str:
    shown = [
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in metadata.items()
        if value is not None
    ]
    return "  " + " ".join(shown) if shown else ""
