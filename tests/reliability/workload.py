"""A run that can be killed: documents into an index, with a fake encoder, no torch anywhere.

    python -m tests.reliability.workload FOLDER STAGE [--kill-at STEP]

It prints `ACK generation documents` after each generation that is acknowledged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from taskembed.index.contents import Contents
from taskembed.index.fs import Folder
from taskembed.index.generations import read_newest
from taskembed.index.reader import Index
from taskembed.reading.documents import Document
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, Watch
from taskembed.verbs.search import search_index
from tests.fakes import HashEncoder, StepFs, kill_at

COUNT = 60
WORDS = "english"  # words are kept too
CHUNK = "16:4"  # and every fifth document has three chunks
LONG = " and so on" * 12
STAGES = ("build", "update", "recreate")
TASKS = {"recreate": "clustering"}


def documents(stage: str) -> list[Document]:
    """Return what the corpus is at a stage: an update changes, adds and drops documents."""
    numbers = range(COUNT) if stage == "build" else range(10, COUNT + 20)
    return [
        Document(
            f"d{n}",
            f"word{n} {'changed' if n % 3 == 0 and stage != 'build' else 'common'}"
            + LONG * (n % 5 == 4),
            {"n": n},
        )
        for n in numbers
    ]


def encoder(stage: str) -> HashEncoder:
    return HashEncoder(query_prompt="q: ") if stage == "recreate" else HashEncoder()


def run(folder: Path, stage: str, step: Callable[[int, str], None]) -> StepFs:
    """Run a stage; commits come every four documents, so that segments are merged too."""
    fs = AcknowledgingFs(folder, step)
    options = IndexOptions(
        commit_every=4,
        prune=stage == "update",
        recreate=stage == "recreate",
        words=WORDS,
        chunk=CHUNK,
    )
    index_corpus(documents(stage), encoder(stage), folder, options=options, watch=Watch(fs=fs))
    return fs


class AcknowledgingFs(StepFs):
    """Prints the newest generation when the folder was synced after the rename that made it."""

    def __init__(self, folder: Path, step: Callable[[int, str], None]) -> None:
        super().__init__(step)
        self._folder = folder

    def sync_folder(self, folder: Folder) -> None:
        super().sync_folder(folder)
        if self.steps[-2:] == ["rename", "sync_folder"]:
            snapshot = read_newest(self._folder)
            live = Contents.of(self._folder, snapshot).live
            count = sum(segment.live_rows for segment in live.segments)
            print("ACK", snapshot.generation, count, flush=True)


def answers(folder: Path, stage: str) -> list[list[tuple[str, str, float]]]:
    """Return what a reader is answered, to compare two indexes by."""
    queries = [f"word{n}" for n in range(0, COUNT + 20, 7)]
    with Index.open(folder) as index:
        found = search_index(queries, encoder(stage), index, k=5)
    return [[(hit.doc_id, hit.text, hit.score) for hit in hits] for hits in found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--kill-at", type=int, default=0)
    arguments = parser.parse_args()
    run(arguments.folder, arguments.stage, kill_at(arguments.kill_at))
    heavy = {"torch", "openvino", "transformers"} & set(sys.modules)
    assert not heavy, heavy


if __name__ == "__main__":
    main()
