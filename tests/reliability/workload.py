"""A run that can be killed: documents into an index, with a fake encoder, no torch anywhere.

    python -m tests.reliability.workload FOLDER STAGE [--kill-at STEP]

It prints `ACK generation documents` after each generation that is acknowledged.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from taskembed.index import view_parts, views
from taskembed.index.contents import Contents, read_index
from taskembed.index.disk.fs import Folder, Fs
from taskembed.index.disk.generations import read_newest
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, Watch
from taskembed.verbs.search import search_index
from taskembed.verbs.views import add_view
from tests.fakes import HashEncoder, StepFs, kill_at

COUNT = 60
WORDS = "english"  # words are kept too
CHUNK = "16:4"  # and every fifth document has three chunks
LONG = " and so on" * 12
FORMAT_1 = Path(__file__).parent.parent / "data" / "format-1" / "index"  # of 30 documents
STAGES = ("build", "update", "recreate", "convert")  # the last is of an index of format 1
# the same with two views; the last removes the second one, and adds it again
VIEW_STAGES = ("build-2", "update-2", "recreate-2", "views")


def documents(stage: str) -> list[Document]:
    """Return what the corpus is at a stage: an update changes, adds and drops documents."""
    if stage == "convert":  # most are stored as they are; one is changed, six are new, two dropped
        return [
            Document(f"d{n:02d}", f"word{n} common", {"n": n, "even": n % 2 == 0})
            for n in range(2, 34)
        ]
    is_built = "build" in stage or stage == "views"
    numbers = range(COUNT) if is_built else range(10, COUNT + 20)
    return [
        Document(
            f"d{n}",
            f"word{n} {'changed' if n % 3 == 0 and not is_built else 'common'}"
            + LONG * (n % 5 == 4),
            {"n": n},
        )
        for n in numbers
    ]


def before(stage: str) -> str:
    """Return the stage that makes the index on which another stage runs; "" for none."""
    name, _, count = stage.partition("-")
    if name in {"build", "format_1"}:
        return ""
    if name == "convert":
        return "format_1"
    return "build-2" if count or stage == "views" else "build"


def encoders(stage: str) -> list[HashEncoder]:
    """Return an encoder for each view; the vectors of the second have another size."""
    first = HashEncoder(query_prompt="q: ") if "recreate" in stage else HashEncoder()
    second = HashEncoder(task=Task.SIMILARITY, dim=12, document_prompt="")
    return [first, second] if stage in VIEW_STAGES else [first]


def run(folder: Path, stage: str, step: Callable[[int, str], None]) -> StepFs:
    """Run a stage; commits come every four documents, so that segments are merged too."""
    fs = AcknowledgingFs(folder, step)
    run_on(fs, folder, stage, commit_every=4)
    return fs


def run_on(fs: Fs, folder: Path, stage: str, *, commit_every: int) -> None:
    """Run a stage on a file system."""
    if stage == "format_1":
        shutil.copytree(FORMAT_1, folder, dirs_exist_ok=True)
        return
    if stage == "views":
        view_parts.PART_ROWS = 8  # of more than 60 texts: several files
        second = encoders(stage)[1]
        if Task.SIMILARITY in read_index(folder)[1].live.tasks:
            views.drop_view(folder, Task.SIMILARITY, fs=fs)
        add_view(folder, second, watch=Watch(fs=fs))
        return
    options = IndexOptions(
        commit_every,
        prune="update" in stage or stage == "convert",
        recreate="recreate" in stage,
        words=None if stage == "convert" else WORDS,
        chunk=None if stage == "convert" else CHUNK,
    )
    index_corpus(documents(stage), encoders(stage), folder, options=options, watch=Watch(fs=fs))


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
    """Return what a reader is answered by each view, to compare two indexes by."""
    queries = [f"word{n}" for n in range(0, COUNT + 20, 7)]
    found = []
    for encoder in encoders(stage):
        with Index.open(folder, task=encoder.space.task) as index:
            found += search_index(queries, encoder, index, k=5)
    return [[(hit.doc_id, hit.text, hit.score) for hit in hits] for hits in found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("stage", choices=(*STAGES, *VIEW_STAGES))
    parser.add_argument("--kill-at", type=int, default=0)
    arguments = parser.parse_args()
    run(arguments.folder, arguments.stage, kill_at(arguments.kill_at))
    heavy = {"torch", "openvino", "transformers"} & set(sys.modules)
    assert not heavy, heavy


if __name__ == "__main__":
    main()
