"""A run of indexing in a process of its own, to be killed, starved and watched.

    python -m tests.crash.worker FOLDER COUNT [--workload NAME] [--kill-at STEP]

It prints "READY" when everything is imported, "ACK GENERATION DOCUMENTS" after each commit that is
on the disk, and "DONE STEPS" at the end. What it does depends on its arguments only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from pathlib import Path

from taskembed.corpus import Document
from taskembed.errors import TaskembedError
from taskembed.index import Contents
from taskembed.pipeline import IndexOptions, IndexSummary, Watch, index_corpus
from taskembed.space import Task
from taskembed.store import read_newest
from tests.fakes import SPACE, HashEncoder, StepFs, kill_at

OTHER_SPACE = replace(SPACE, task=Task.CLUSTERING, query_prompt="", document_prompt="")
WORDS = ["red", "green", "blue", "apple", "pear", "plum", "sea", "sky", "sand", "stone", "tree"]
QUERIES = ["red apple", "blue sea", "stone newer", "document 7"]


class Workload(Enum):
    """What a run does; all but BUILD begin with the index that BUILD made."""

    BUILD = "build"
    UPDATE = "update"  # every second document has a new text, and every third is gone
    MERGE = "merge"  # as many documents again, in so many commits that segments are merged
    RECREATE = "recreate"  # the same documents, in another space


class AckFs(StepFs):
    """Says which generation is on the disk as soon as it is."""

    def __init__(
        self, step: Callable[[int, str], None], acknowledge: Callable[[Path], None]
    ) -> None:
        super().__init__(step)
        self._acknowledge = acknowledge
        self._renamed = False

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._renamed = True

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        if self._renamed:
            self._renamed = False
            self._acknowledge(path)


def no_step(_number: int, _name: str) -> None:
    """Let every call pass."""


def corpus(count: int, workload: Workload) -> list[Document]:
    """Return the documents that the index holds after that workload."""
    total = count * 2 if workload is Workload.MERGE else count
    kept = [n for n in range(total) if workload is not Workload.UPDATE or n % 3]
    return [
        Document(f"d{n:05d}", _text(n, newer=workload is Workload.UPDATE and n % 2 == 0), {"n": n})
        for n in kept
    ]


def _text(number: int, *, newer: bool) -> str:
    words = [WORDS[number % 11], WORDS[number // 11 % 11], WORDS[number * 7 % 11]]
    return " ".join([*words, f"document {number}", *(["newer"] * newer)])


def encoder_of(workload: Workload) -> HashEncoder:
    """Return the encoder whose space the index is of after that workload."""
    return HashEncoder(OTHER_SPACE if workload is Workload.RECREATE else SPACE)


def run(
    folder: Path,
    count: int,
    workload: Workload,
    *,
    fs: StepFs | None = None,
    commit_every: int = 50,
) -> IndexSummary:
    """Do what the process does, in this one."""
    options = IndexOptions(
        commit_every=max(1, count // 8) if workload is Workload.MERGE else commit_every,
        prune=workload is Workload.UPDATE,
        recreate=workload is Workload.RECREATE,
    )
    watch = Watch(fs=fs or StepFs(no_step))
    return index_corpus(
        corpus(count, workload), encoder_of(workload), folder, options=options, watch=watch
    )


def documents_in(folder: Path) -> tuple[int, int]:
    """Return the newest generation and how many documents it answers from."""
    snapshot = read_newest(folder)
    contents = Contents.of(folder, snapshot)
    return snapshot.generation, sum(info.live_rows for info in contents.live.segments)


def _acknowledge(folder: Path) -> None:
    generation, documents = documents_in(folder)
    print(f"ACK {generation} {documents}", flush=True)


def main() -> int:
    """Run, and say how far it came."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--workload", type=Workload, default=Workload.BUILD)
    parser.add_argument("--kill-at", type=int, default=0)
    parser.add_argument("--commit-every", type=int, default=50)
    arguments = parser.parse_args()
    heavy = {"torch", "openvino", "transformers", "sentence_transformers"} & sys.modules.keys()
    if heavy:
        raise RuntimeError(f"the store needs none of {sorted(heavy)}")
    print("READY", flush=True)
    fs = AckFs(kill_at(arguments.kill_at), _acknowledge)
    try:
        run(
            arguments.folder,
            arguments.count,
            arguments.workload,
            fs=fs,
            commit_every=arguments.commit_every,
        )
    except TaskembedError as error:
        print(f"{error.message}; {error.safe_documents} safe", file=sys.stderr, flush=True)
        return int(error.exit_code)
    print(f"DONE {len(fs.steps)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
