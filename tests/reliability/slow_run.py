"""A run with a slow fake encoder, to be stopped by real signals.

    python -m tests.reliability.slow_run FOLDER DOCUMENTS SECONDS_A_SLICE [view]

With `view`, it adds a view to an index that has these documents.
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

from taskembed.cli._process.stopping import Stopper
from taskembed.errors import StoppedError
from taskembed.index import view_parts
from taskembed.reading.document import Document
from taskembed.space import PromptType, Task
from taskembed.vectors import Encoded
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import Watch
from taskembed.verbs.views import add_view
from tests.fakes import HashEncoder


class SlowEncoder(HashEncoder):
    """Waits before each slice."""

    def __init__(self, wait: Callable[[], object], task: Task = Task.RETRIEVAL) -> None:
        super().__init__(task=task)
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
            if sys.argv[4:] == ["view"]:
                view_parts.PART_SECONDS = 0.0  # a file for each slice
                add_view(folder, SlowEncoder(wait, task=Task.SIMILARITY), watch=watch)
            else:
                index_corpus(documents, SlowEncoder(wait), folder, watch=watch)
    except StoppedError as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
