"""Index one input with a model that takes no memory, and say how it went.

    python -m tests.reliability.measured_run INPUT INDEX FORMAT

prints a line of JSON: `peak` (MiB of memory, at most), `seconds`, `documents`, `rejected`, `error`.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from taskembed.errors import TaskembedError
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.rejects import RejectFile
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import Encoded, Rows
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import Watch
from tests.fakes import HashEncoder

DIM = 384
SLICE = 32


class PrefixEncoder:
    """Encodes the first words of a text, so that what is measured is not the model."""

    def __init__(self) -> None:
        self._encoder = HashEncoder(dim=DIM)

    @property
    def space(self) -> EmbeddingSpace:
        return self._encoder.space

    @property
    def made_by(self) -> Mapping[str, str]:
        return {}

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        self._encoder.prompted.clear()
        return self._encoder.encode([text[:100] for text in texts], prompt_type)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        for start in range(0, len(texts), SLICE):
            rows = np.arange(start, min(start + SLICE, len(texts)))
            yield rows, self.encode([texts[row] for row in rows.tolist()], prompt_type)


def peak_mebibytes() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


def main(source: str, index: str, format_name: str) -> None:
    started = time.monotonic()
    bad = RejectFile(stop=False)
    documents, error = 0, ""
    try:
        inputs = find_inputs([source], format_name=format_name)
        corpus = read_corpus(inputs, RecordFields(), on_bad=bad)
        documents = index_corpus(corpus, PrefixEncoder(), index, watch=Watch(bad=bad)).documents
    except TaskembedError as failure:
        error = f"{int(failure.exit_code)}: {failure.message}"
    said = {
        "peak": peak_mebibytes(),
        "seconds": round(time.monotonic() - started, 1),
        "documents": documents,
        "rejected": bad.count,
        "reasons": sorted({item.reason for item in bad.first}),
        "error": error,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
