"""A run of `taskembed index` in which nothing has changed, start-up subtracted.

    python benchmarks/update.py [--count 200000]

The index is made with a fake encoder, since such a run needs no model: the second run has an
encoder that fails when it is used.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from common import machine

from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.rejects import RejectFile
from taskembed.space import PromptType
from taskembed.testing import HashEncoder
from taskembed.vectors import Encoded
from taskembed.verbs.index import index_corpus


class IdleEncoder(HashEncoder):
    def encode(self, texts, prompt_type: PromptType) -> Encoded:
        raise AssertionError("nothing has changed, so nothing is to be encoded")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200_000)
    count = parser.parse_args().count
    print(machine())
    words = [f"word{number}" for number in range(5000)]
    chosen = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        corpus, index = Path(name) / "corpus.jsonl", Path(name) / "index"
        with corpus.open("w") as stream:
            for number in range(count):
                text = " ".join(chosen.choices(words, k=35))
                record = {"id": f"doc-{number}", "text": text, "year": number % 100}
                stream.write(json.dumps(record) + "\n")
        print(f"{count:,} documents of {corpus.stat().st_size // count} bytes")
        for encoder in (HashEncoder(), IdleEncoder(), IdleEncoder()):
            documents = read_corpus(find_inputs([str(corpus)]), RecordFields(), on_bad=RejectFile())
            started = time.perf_counter()
            summary = index_corpus(documents, encoder, index)
            seconds = time.perf_counter() - started
            kind = "unchanged" if summary.unchanged else "added"
            print(f"{kind}: {count / seconds:,.0f} documents a second")
    print(machine())


if __name__ == "__main__":
    main()
