"""What takes long is shown by the commands that it is a part of."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from taskembed.cli.printing.progress import Display
from taskembed.encoding import fake
from taskembed.encoding._batches import Batch
from taskembed.encoding.fake import FakeEngine
from taskembed.encoding.tokens import load_tokenizer
from taskembed.vectors import FloatRows
from tests.cli.support import make_index
from tests.conftest import Run


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    records = [{"id": text[:6], "text": text} for text in ("word " * 400, "short", "also short")]
    return make_index(tmp_path_factory.mktemp("made"), records, cache)


@pytest.fixture
def everything_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show every step at every tick, and go on with a step only after some ticks."""
    for name, seconds in (("TICK", 0.002), ("LONG", 0), ("LINE_EVERY", 0)):
        monkeypatch.setattr(f"taskembed.cli.printing.progress.{name}_SECONDS", seconds)
    ticks = 0
    tick = Display.tick

    def counted(display: Display, now: float) -> None:
        nonlocal ticks
        tick(display, now)
        ticks += 1

    def wait() -> None:
        begin, deadline = ticks, time.monotonic() + 30
        is_shown = any(thread.name == "progress" for thread in threading.enumerate())
        while is_shown and ticks < begin + 3:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    run = FakeEngine.run

    def run_slowly(
        engine: FakeEngine, batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, FloatRows]]:
        wait()
        yield from run(engine, batches)

    def load_slowly(text: str) -> Tokenizer:
        wait()
        return load_tokenizer(text)

    monkeypatch.setattr(Display, "tick", counted)
    monkeypatch.setattr(FakeEngine, "run", run_slowly)
    monkeypatch.setattr(fake, "_tokenizer", load_slowly)


@pytest.mark.usefixtures("everything_is_long")
def test_what_takes_long_is_shown(run: Run, indexed: Path, tmp_path: Path) -> None:
    corpus = indexed.parent / "corpus.jsonl"
    done = run("index", corpus, "--task", "retrieval", "--index", tmp_path / "new")
    assert "documents, 0 % of the input" in done.err
    assert "loading the model minilm" in done.err
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "q", "text": "a word"}\n')
    done = run("search", "--queries", queries, "--index", indexed, "--format", "tsv")
    assert "0 queries" in done.err
    assert "loading the model minilm" in done.err
    assert run("verify", "--index", indexed).out.startswith("generation")
    quiet = run("search", "--queries", queries, "--index", indexed, "--format", "tsv", "-q")
    assert (quiet.out, quiet.err) == (done.out, "")
