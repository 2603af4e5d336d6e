"""Functions that several benchmarks use."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from taskembed.reading.document import Document
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.rejects import RejectFile


def machine() -> str:
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, load {load}"


def read(paths: list[str], count: int) -> list[Document]:
    """Return `count` documents, as many from each file as there are files."""
    share = -(-count // len(paths))
    documents: list[Document] = []
    for path in paths:
        stream = read_corpus(find_inputs([path]), RecordFields(), on_bad=RejectFile())
        documents += [document for document, _ in zip(stream, range(share), strict=False)]
    return documents[:count]


def write_jsonl(documents: list[Document], path: Path) -> None:
    import json

    with path.open("w", encoding="utf-8") as stream:
        for number, document in enumerate(documents):
            record = {"id": f"{number:06}", "text": document.text}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
