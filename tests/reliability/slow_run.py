"""A run with a slow fake encoder, to be stopped by real signals.

    python -m tests.reliability.slow_run FOLDER DOCUMENTS SECONDS_A_SLICE

It prints how many texts were encoded after each slice.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from taskembed.cli._stopping import Stopper
from taskembed.errors import StoppedError
from taskembed.reading.documents import Document
from taskembed.space import PromptType
from taskembed.vectors import Encoded
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import Watch
from tests.fakes import HashEncoder


class SlowEncoder(HashEncoder):
    """Sleeps before each slice."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        print(len(self.prompted), flush=True)
        time.sleep(self._seconds)
        return super().encode(texts, prompt_type)


def main() -> int:
    folder, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    documents = [Document(f"d{n}", f"word{n}", {}) for n in range(count)]
    try:
        with Stopper() as stopper:
            watch = Watch(uninterrupted=stopper.uninterrupted)
            index_corpus(documents, SlowEncoder(seconds), folder, watch=watch)
    except StoppedError as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
