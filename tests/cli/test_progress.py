"""What is said of what takes long: when, how often, and how far it is."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskembed.activity import Step, counted_texts, doing, looking_on
from taskembed.cli.printing.output import STATUS, message
from taskembed.cli.printing.progress import Display, duration, shown_progress
from taskembed.cli.train import shown_in
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.reading.document import Document
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.meter import Meter
from taskembed.reading.streams import Input, stop_at_first
from taskembed.space import PromptType
from taskembed.vectors import Encoded, Rows, gathered
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import Watch
from taskembed.verbs.plan import plan_index
from tests.fakes import HashEncoder


@pytest.fixture(autouse=True)
def nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    STATUS.draw("")
    capsys.readouterr()


def in_a_log(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was said, with the time of day as TIME."""
    said = capsys.readouterr().err.splitlines()
    return [re.sub(r"^taskembed: \d\d:\d\d:\d\d ", "TIME ", line) for line in said]


def test_a_log_gets_a_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    step = Step("", unit="documents", share=0.0)
    display = Display([step], is_terminal=False)
    for now in range(0, 60, 2):
        step.done, step.share = now * 10, now / 240
        display.tick(now)
    assert in_a_log(capsys) == []
    step.done, step.share, step.commits = 600, 0.25, 1
    display.tick(60)
    display.tick(90)
    assert in_a_log(capsys) == [
        "TIME 600 documents, 25 % of the input, 10 a second, 3 min left, 1 commit",
    ]
    step.done, step.share, step.commits = 1200, 0.75, 3
    display.tick(120)  # 600 more within the last 30 seconds, and half of the input
    assert in_a_log(capsys) == [
        "TIME 1,200 documents, 75 % of the input, 20 a second, 15 s left, 3 commits"
    ]


def test_what_is_done_for_it_just_now_is_said_too(capsys: pytest.CaptureFixture[str]) -> None:
    queries = Step("", unit="queries", done=256)
    texts = Step("encoding", unit="texts", total=200)
    display = Display([queries, texts], is_terminal=False)
    display.tick(0)
    queries.done, texts.done = 512, 50
    display.tick(64)
    assert in_a_log(capsys) == [
        "TIME 512 queries, 4.0 a second, 64 s; encoding 50 of 200 texts, 0.8 a second, 3 min left"
    ]


def test_a_wait_for_others_is_said_after_two_seconds_and_then_with_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = [Step("waiting for example.org", waits_for_others=True)]
    display = Display(steps, is_terminal=False)
    display.tick(0)
    display.tick(1.9)
    assert in_a_log(capsys) == []
    display.tick(2)
    steps[0] = Step("waiting for example.org", waits_for_others=True)  # the next answer
    for now in range(3, 62):
        display.tick(now)
    assert in_a_log(capsys) == ["TIME waiting for example.org, 2 s"]
    display.tick(62)
    assert in_a_log(capsys) == ["TIME waiting for example.org, 59 s"]


def test_a_terminal_shows_it_after_two_seconds_and_it_is_gone_before_a_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = Step("", unit="documents")
    display = Display([step], is_terminal=True)
    display.tick(0)
    display.tick(1.9)
    assert capsys.readouterr().err == ""
    step.done, step.share = 30, 0.5
    display.tick(3)
    line = "[##########..........] 30 documents, 50 % of the input, 10 a second, 3 s"
    assert capsys.readouterr().err == f"\r{line}"
    message("done")
    erased = f"\r{' ' * len(line)}\r"
    assert capsys.readouterr().err == f"{erased}taskembed: done\n"
    display.tick(4)
    step.done, step.share = 31, None
    display.tick(5)
    shorter = "31 documents, 6.2 a second, 5 s"
    assert capsys.readouterr().err.endswith(f"\r{shorter}{' ' * (len(line) + 1 - len(shorter))}")
    display = Display([], is_terminal=True)
    display.tick(6)
    display.tick(7)
    assert capsys.readouterr().err == f"\r{' ' * len(shorter)}\r"


def test_a_library_that_draws_its_own_bar_is_not_drawn_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = [Step("evaluating"), Step("downloading the model a/b", shows_itself=True)]
    on_terminal, in_log = (Display(steps, is_terminal=kind) for kind in (True, False))
    for now in (0, 61):
        on_terminal.tick(now)
        in_log.tick(now)
    assert in_a_log(capsys) == ["TIME evaluating, 61 s; downloading the model a/b, 61 s"]


def test_a_long_line_keeps_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display([Step("waiting for " + "x" * 200)], is_terminal=True)
    display.tick(0)
    display.tick(61)
    line = capsys.readouterr().err.removeprefix("\r")
    assert len(line) == 79
    assert line.endswith("xxxxx, 61 s")
    assert "…" in line
    display = Display([Step("waiting for " + "漢字" * 50)], is_terminal=True)
    display.tick(0)
    display.tick(61)
    line = capsys.readouterr().err.rpartition("\r")[2]
    assert len(line) + line.count("漢") + line.count("字") <= 79
    assert line.endswith("漢字, 61 s")
    message("done")


def test_nothing_is_shown_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=True), doing("") as step:
        assert step.done == 0
    assert capsys.readouterr().err == ""


def test_durations_are_said_as_people_say_them() -> None:
    said = [duration(seconds) for seconds in (0.4, 119, 120, 3600, 7_500)]
    assert said == ["0 s", "119 s", "2 min", "1 h 0 min", "2 h 5 min"]


def test_steps_are_there_while_they_last_whoever_ends_first() -> None:
    with looking_on() as steps:
        slices = counted_texts([([0, 1], "a"), ([2], "b")], 3)
        with doing("outer") as outer:
            assert next(slices) == ([0, 1], "a")
            assert [(step.what, step.done, step.total) for step in steps] == [
                ("outer", 0, None),
                ("encoding", 2, 3),
            ]
            assert list(slices) == [([2], "b")]
            assert steps == [outer]
        assert steps == []


def test_documents_that_are_only_read_are_shown_too() -> None:
    shares = iter([0.25, 1.0])
    seen: list[tuple[int, float | None]] = []

    def documents() -> Iterator[Document]:
        for doc_id in ("a", "b"):
            yield Document(doc_id, "text")
            seen.append((steps[0].done, steps[0].share))

    with looking_on() as steps:
        plan_index(documents(), None, watch=Watch(read_share=lambda: next(shares)))
    assert seen == [(1, 0.25), (2, 1.0)]


def test_a_training_says_its_loss_its_steps_and_each_dev_score(
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = Step("preparing the training")
    display, update = Display([step], is_terminal=False), shown_in(step)
    display.tick(0)
    progress: Any = SimpleNamespace  # as the trainer has it, which imports torch
    update(progress(step=10, steps=100, loss=0.51, dev=None, best=None))
    display.tick(10)
    update(progress(step=30, steps=100, loss=0.42, dev=None, best=None))
    update(progress(step=30, steps=100, loss=None, dev=0.8, best=0.8))
    display.tick(60)
    assert in_a_log(capsys) == [
        "TIME step 30 of 100: dev score 0.8000",
        "TIME training, loss 0.4200: 30 of 100 steps, 0.4 a second, 3 min left",
    ]


@pytest.mark.usefixtures("models")
def test_an_encoder_counts_its_texts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(settings=EngineSettings(cache=cache, device="cpu", threads=1))
    seen: list[tuple[str, int, int | None]] = []

    def look(slices: Iterable[tuple[Rows, Encoded]], count: int, dim: int) -> Encoded:
        def watched() -> Iterator[tuple[Rows, Encoded]]:
            for one in slices:
                seen.append((steps[-1].what, steps[-1].done, steps[-1].total))
                yield one

        return gathered(watched(), count, dim)

    monkeypatch.setattr("taskembed.encoding._local.gathered", look)
    with looking_on() as steps:
        encoder.encode(["one", "two", "three"], PromptType.QUERY)
        assert seen[-1] == ("encoding", 3, 3)
        encoder.encode(["one"], PromptType.QUERY)
        assert steps == []


# how much of the input


def shares_of(paths: list[Path], format_name: str | None = None) -> list[float | None]:
    """Return how much was read after each document."""
    meter = Meter.of(paths)
    found = find_inputs([str(path) for path in paths], format_name=format_name)
    read = read_corpus(
        [replace(item, meter=meter) for item in found], RecordFields(), on_bad=stop_at_first
    )
    return [meter.share() for _ in read]


def test_the_share_is_that_of_the_bytes_of_all_files(tmp_path: Path) -> None:
    line = '{"id": "%05d", "text": "word"}\n'
    size = len(line % 0)
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text("".join(line % number for number in range(3)))
    second.write_text(line % 3)
    shares = shares_of([first, second])
    assert shares == [size / (4 * size), 2 / 4, 3 / 4, 1.0]


def test_the_share_of_packed_files_is_of_what_is_on_the_disk(tmp_path: Path) -> None:
    draw = Random(0)
    packed = tmp_path / "a.jsonl.gz"
    with gzip.open(packed, "wt") as stream:
        for number in range(4_000):
            stream.write(f'{{"id": "{number}", "text": "{draw.random()} {draw.random()}"}}\n')
    shares = [share or 0 for share in shares_of([packed])]
    assert shares == sorted(shares)
    assert 0.3 < shares[2_000] < 0.7
    assert shares[-1] == 1


def test_the_share_of_parquet_is_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"id": ["a", "b", "c", "d"], "text": ["x"] * 4}), path, row_group_size=2
    )
    shares = [share or 0 for share in shares_of([path])]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_nobody_knows_how_much_of_a_pipe_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'{"id": "a", "text": "word"}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line)))
    meter = Meter.of([None])
    read = read_corpus(
        [Input(None, "jsonl", None, meter=meter)], RecordFields(), on_bad=stop_at_first
    )
    assert [(document.doc_id, meter.share()) for document in read] == [("a", None)]


def test_a_document_counts_when_it_is_encoded_not_when_it_is_read(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    lines = [f'{{"id": "{number:03}", "text": "text {number:03}"}}\n' for number in range(128)]
    corpus.write_text("".join(lines))
    seen: list[tuple[int, float | None]] = []
    with looking_on() as steps:
        watch = Watch(
            on_progress=lambda _: seen.append((steps[0].done, steps[0].share)),
            read_share=lambda: 1.0,
        )
        documents = read_corpus(find_inputs([str(corpus)]), RecordFields(), on_bad=stop_at_first)
        index_corpus(documents, HashEncoder(), tmp_path / "i", watch=watch)
    done = [count for count, _ in seen]
    assert done == sorted(done)
    assert len(done) > 2
    assert [share for _, share in seen] == [count / 128 for count in done]
    assert done[-1] == 128
