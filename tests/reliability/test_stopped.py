"""Runs that are stopped by real signals get on, every time."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskembed.errors import NotFoundError
from taskembed.index.reader import Index
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.space import PromptType, Task
from taskembed.verbs.index import index_corpus
from taskembed.verbs.views import add_view
from tests.fakes import SLICE, HashEncoder


def start(folder: Path, count: int, seconds: float | str, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.reliability.slow_run", folder, count, seconds, *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, words)), stdin=pipe, stdout=pipe, text=True)


def committed(folder: Path) -> int:
    try:
        with Index.open(folder) as index:
            return len(index)
    except NotFoundError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_loses_no_slice_and_ends_the_run_at_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "index"
    with start(folder, 1000, "-") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("...")
        process.stdin.flush()
        done = [int(process.stdout.readline()) for _ in range(4)][-1]
        process.send_signal(number)  # while a slice is being encoded, which has no end
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == ""  # no other slice was begun
    assert done == 3 * SLICE
    assert committed(folder) in {done, done + SLICE}  # the slice that was being encoded may be done


@pytest.mark.slow
def test_a_loop_of_runs_that_are_killed_ends(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    before = -1
    for _ in range(4):
        count = committed(folder)
        assert count > before, "a run got nowhere"
        before = count
        with start(folder, SLICE * 24, 0.5) as process:
            assert process.stdout
            for line in process.stdout:
                if int(line) >= SLICE * 6:  # three seconds of encoding
                    process.kill()
                    break
    assert committed(folder) >= SLICE * 4 * 4


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.crash)])
@pytest.mark.timeout(600)
def test_a_view_is_added_though_its_runs_are_killed_at_random_moments(
    tmp_path: Path, kills: int
) -> None:
    folder, count = tmp_path / "index", SLICE * 5 * (kills + 10)  # no run gets to its end
    chosen = random.Random(kills)
    index_corpus([Document(f"d{n}", f"word{n}") for n in range(count)], HashEncoder(), folder)
    encoded = 0
    for _ in range(kills):
        encoded += encoded_until_killed(folder, count, chosen.uniform(0, 0.1))
        assert verify_index(folder)[1] == []
        with Index.open(folder) as index:
            assert (len(index), index.tasks) == (count, (Task.RETRIEVAL,))
    last = HashEncoder(task=Task.SIMILARITY)
    add_view(folder, last)
    encoded += len(last.prompted)
    print(f"{kills} kills, {count} texts, {encoded} encoded")
    assert count <= encoded <= count + kills * SLICE
    with Index.open(folder, task=Task.SIMILARITY) as index:
        documents, vectors = index.vectors_of([f"d{n}" for n in range(count)])
    texts = [document.text for document in documents]
    assert vectors == pytest.approx(last.encode(texts, PromptType.DOCUMENT).vectors)
    assert not list(folder.glob("part-*"))


def encoded_until_killed(folder: Path, count: int, seconds: float) -> int:
    """Kill a run that adds a view; return how many texts it encoded, at most.

    The last slice that it began is counted, though it may be lost.
    """
    with start(folder, count, 0.02, "view") as process:
        assert process.stdout
        begun = [process.stdout.readline()]  # the first slice is about to be encoded
        time.sleep(seconds)
        process.kill()
        begun += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return int(begun[-1]) + SLICE
