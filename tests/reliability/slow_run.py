"""A run with a slow fake encoder, to be stopped by real signals.

    python -m tests.reliability.slow_run FOLDER DOCUMENTS SECONDS_A_SLICE

It prints how many texts were encoded after each slice. Where SECONDS_A_SLICE is `-`, a slice takes
until a byte comes from stdin.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from taskembed.cli._stopping import Stopper
from taskembed.errors import StoppedError
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.vectors import Encoded
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import Watch
from tests.fakes import HashEncoder


class SlowEncoder(HashEncoder):
    """Waits before each slice."""

    def __init__(self, wait: Callable[[], object]) -> None:
        super().__init__()
        self._wait = wait

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        print(len(self.prompted), flush=True)
        self._wait()
        return super().encode(texts, prompt_type)


def main() -> int:
    folder, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    wait = partial(os.read, 0, 1) if seconds == "-" else partial(time.sleep, float(seconds))
    documents = [Document(f"d{n}", f"word{n}", {}) for n in range(count)]
    try:
        with Stopper() as stopper:
            watch = Watch(uninterrupted=stopper.uninterrupted)
            index_corpus(documents, SlowEncoder(wait), folder, watch=watch)
    except StoppedError as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
