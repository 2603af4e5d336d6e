from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import BadRecordError, NotFoundError, StoppedError, TextTooLongError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.reading.rejects import RejectFile
from taskembed.space import PromptType
from taskembed.vectors import Encoded, Rows
from taskembed.verbs._indexing import intake
from taskembed.verbs.defaults import OnDuplicate
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, Watch
from taskembed.verbs.search import search_index
from tests.fakes import SLICE, HashEncoder


def documents(*texts: str, first: int = 0) -> list[Document]:
    return [
        Document(f"d{number}", text, {"n": number}, f"corpus:{number + 1}")
        for number, text in enumerate(texts, start=first)
    ]


def ids(folder: Path) -> list[str]:
    with Index.open(folder) as index:
        hits = search_index(["anything"], HashEncoder(), index, k=100)[0]
        return sorted(hit.doc_id for hit in hits)


def test_documents_and_queries_take_their_own_prompts(tmp_path: Path) -> None:
    encoder = HashEncoder()
    index_corpus(documents("one"), encoder, tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        search_index(["one"], encoder, index)
    assert encoder.prompted == ["passage: one", "query: one"]


def test_what_is_there_is_not_encoded_again(tmp_path: Path) -> None:
    index_corpus(documents("one", "two"), HashEncoder(), tmp_path / "i")
    encoder = HashEncoder()
    summary = index_corpus(documents("one", "two", "three"), encoder, tmp_path / "i")
    assert encoder.prompted == ["passage: three"]
    assert (summary.added, summary.unchanged, summary.documents) == (1, 2, 3)


def test_changed_metadata_keeps_the_vector_and_needs_no_model(tmp_path: Path) -> None:
    index_corpus(documents("one", "two"), HashEncoder(), tmp_path / "i")
    encoder = HashEncoder()
    changed = [Document("d0", "one", {"n": 7}), documents("one", "two")[1]]
    summary = index_corpus(changed, encoder, tmp_path / "i")
    assert encoder.prompted == []
    assert (summary.updated, summary.unchanged, summary.encoded) == (1, 1, 0)
    with Index.open(tmp_path / "i") as index:
        hit = search_index(["one"], HashEncoder(), index, k=1)[0][0]
    assert (hit.doc_id, hit.metadata) == ("d0", {"n": 7})


def test_changed_text_replaces_the_document(tmp_path: Path) -> None:
    index_corpus(documents("one", "two"), HashEncoder(), tmp_path / "i")
    summary = index_corpus(documents("one", "other"), HashEncoder(), tmp_path / "i")
    assert (summary.added, summary.updated, summary.unchanged) == (0, 1, 1)
    with Index.open(tmp_path / "i") as index:
        assert len(index) == 2
        assert search_index(["other"], HashEncoder(), index, k=1)[0][0].text == "other"


def test_prune_deletes_what_the_input_no_longer_has(tmp_path: Path) -> None:
    index_corpus(documents("one", "two", "three"), HashEncoder(), tmp_path / "i")
    summary = index_corpus(
        documents("two", first=1),
        HashEncoder(),
        tmp_path / "i",
        options=IndexOptions(prune=True, prune_limit=67),
    )
    assert (summary.deleted, summary.unchanged, summary.documents) == (2, 1, 1)
    assert ids(tmp_path / "i") == ["d1"]


def test_counts_add_up_whatever_the_commits_are(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(30)]
    for every in (1, 7, 30):
        folder = tmp_path / str(every)
        options = IndexOptions(commit_every=every)
        summary = index_corpus(documents(*texts), HashEncoder(), folder, options=options)
        assert (summary.added, summary.documents) == (30, 30)
        again = index_corpus(documents(*texts), HashEncoder(), folder, options=options)
        assert (again.unchanged, again.encoded) == (30, 0)
        assert len(ids(folder)) == 30


def test_commits_come_after_so_many_documents_and_merge_by_and_by(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(40)]
    options = IndexOptions(commit_every=4)
    index_corpus(documents(*texts), HashEncoder(), tmp_path / "i", options=options)
    with Index.open(tmp_path / "i") as index:
        rows = [segment.rows for segment in index.contents.live.segments]
    # eight segments of four documents become one of 32, and two more follow
    assert rows == [32, 4, 4]


@pytest.mark.parametrize(
    ("policy", "expected"), [(OnDuplicate.LAST, "second"), (OnDuplicate.FIRST, "first")]
)
@pytest.mark.parametrize("commit_every", [1, 100])
def test_one_of_two_documents_with_an_id_stays(
    tmp_path: Path, policy: OnDuplicate, expected: str, commit_every: int
) -> None:
    twice = [Document("a", "first", {}), Document("b", "else", {}), Document("a", "second", {})]
    options = IndexOptions(on_duplicate=policy, commit_every=commit_every)
    summary = index_corpus(twice, HashEncoder(), tmp_path / "i", options=options)
    assert (summary.added, summary.updated, summary.duplicates) == (2, 0, 1)
    with Index.open(tmp_path / "i") as index:
        assert len(index) == 2
        texts = {hit.text for hit in search_index(["x"], HashEncoder(), index)[0]}
    assert texts == {expected, "else"}


def test_a_nightly_run_over_duplicates_encodes_nothing(tmp_path: Path) -> None:
    twice = [Document("a", "first", {}), Document("a", "second", {})]
    index_corpus(twice, HashEncoder(), tmp_path / "i")
    encoder = HashEncoder()
    summary = index_corpus(twice, encoder, tmp_path / "i")
    assert encoder.prompted == []
    assert (summary.unchanged, summary.updated, summary.duplicates) == (1, 0, 1)


def test_two_documents_with_an_id_can_be_an_error(tmp_path: Path) -> None:
    twice = [Document("a", "x", {}, "f:1"), Document("a", "y", {}, "f:2")]
    with pytest.raises(BadRecordError, match=r"^f:2: duplicate id 'a'$"):
        index_corpus(
            twice,
            HashEncoder(),
            tmp_path / "i",
            options=IndexOptions(on_duplicate=OnDuplicate.ERROR),
        )


def test_truncated_documents_are_counted_once_each(tmp_path: Path) -> None:
    long = Document("a", "word " * 40, {})
    for _ in range(2):
        summary = index_corpus([long, long], HashEncoder(), tmp_path / "i")
        assert (summary.truncated, summary.duplicates) == (1, 1)


class Clock:
    """Says what it is set to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class SlowEncoder(HashEncoder):
    """Takes so many seconds of a clock for each slice, and stops at one when it is told to."""

    def __init__(self, clock: Clock, seconds: float, stop_at: int | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self._slices_left = stop_at

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        if self._slices_left == 0:
            raise StoppedError("stopped by SIGTERM", signal_number=15)
        if self._slices_left is not None:
            self._slices_left -= 1
        self._clock.now += self._seconds
        return super().encode(texts, prompt_type)


def committed(folder: Path) -> int:
    try:
        with Index.open(folder) as index:
            return len(index)
    except NotFoundError:
        return 0


@pytest.mark.parametrize("seconds", [0.5, 1, 10, 50])
def test_a_minute_of_work_is_never_lost_however_slow_the_model_is(
    tmp_path: Path, seconds: float
) -> None:
    clock = Clock()
    lost: list[float] = []

    class WatchedEncoder(SlowEncoder):
        def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
            done = len(self.prompted) - committed(tmp_path / "i")  # before this slice
            lost.append(done / SLICE * seconds)
            return super().encode(texts, prompt_type)

    texts = [f"text {number}" for number in range(SLICE * 40)]
    watch = Watch(clock=clock)
    index_corpus(documents(*texts), WatchedEncoder(clock, seconds), tmp_path / "i", watch=watch)
    assert len(lost) == 40
    assert max(lost) < 60
    # at the beginning less: nobody kills a run after four seconds for ever
    assert max(lost[: int(4 // seconds) + 1]) <= 2 + seconds
    assert committed(tmp_path / "i") == len(texts)


def test_a_stopped_run_keeps_every_slice_that_was_done(tmp_path: Path) -> None:
    texts = [f"text {number}" * (number % 5 + 1) for number in range(SLICE * 5)]
    for stopped in range(1, 5):
        encoder = SlowEncoder(Clock(), 0.1, stop_at=1)
        with pytest.raises(StoppedError) as caught:
            index_corpus(documents(*texts), encoder, tmp_path / "i")
        assert caught.value.safe_documents == SLICE * stopped
        assert committed(tmp_path / "i") == SLICE * stopped
    summary = index_corpus(documents(*texts), HashEncoder(), tmp_path / "i")
    assert (summary.encoded, summary.documents) == (SLICE, SLICE * 5)
    with Index.open(tmp_path / "i") as index:
        for hit in index.nearest(HashEncoder().encode(texts[:1], PromptType.DOCUMENT).vectors, 50):
            assert {item.doc_id: item.text for item in hit} == {
                f"d{number}": text for number, text in enumerate(texts)
            }


def test_changes_are_right_when_a_commit_falls_between_two_slices(tmp_path: Path) -> None:
    old = [f"old {number}" for number in range(SLICE * 6)]
    index_corpus(documents(*old), HashEncoder(), tmp_path / "i")
    new = [f"new {number}" for number in range(SLICE * 6)]
    clock = Clock()
    # each document twice: the first of them is not committed yet, or was, when the second comes
    twice = [*documents(*new), *documents(*reversed(new))]
    summary = index_corpus(
        twice,
        SlowEncoder(clock, 7),
        tmp_path / "i",
        options=IndexOptions(commit_every=SLICE * 4),
        watch=Watch(clock=clock),
    )
    assert (summary.updated, summary.added, summary.documents) == (SLICE * 6, 0, SLICE * 6)
    with Index.open(tmp_path / "i") as index:
        query = HashEncoder().encode(["x"], PromptType.QUERY).vectors
        hits = index.nearest(query, 100)[0]
    assert {hit.doc_id: hit.text for hit in hits} == {
        f"d{number}": text for number, text in enumerate(reversed(new))
    }


def test_progress_is_what_was_encoded_or_was_there(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(SLICE * 3)]
    seen: list[int] = []
    index_corpus(
        documents(*texts), HashEncoder(), tmp_path / "i", watch=Watch(on_progress=seen.append)
    )
    assert seen == [0, SLICE, SLICE * 2, SLICE * 3]  # read; then slice by slice
    del seen[:]
    index_corpus(
        documents(*texts), HashEncoder(), tmp_path / "i", watch=Watch(on_progress=seen.append)
    )
    assert seen == [SLICE * 3]


def test_no_more_than_commit_every_documents_are_lost(tmp_path: Path) -> None:
    most: list[int] = []

    class WatchedEncoder(HashEncoder):
        def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
            most.append(len(self.prompted) - committed(tmp_path / "i"))
            return super().encode(texts, prompt_type)

    texts = [f"text {number}" for number in range(200)]
    options = IndexOptions(commit_every=20)
    index_corpus(documents(*texts), WatchedEncoder(), tmp_path / "i", options=options)
    assert max(most) <= 20


def test_metadata_counts_in_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "WINDOW_BYTES", 2**20)
    at_once: list[int] = []

    class CountingEncoder(HashEncoder):
        def encode_slices(
            self, texts: Sequence[str], prompt_type: PromptType
        ) -> Iterator[tuple[Rows, Encoded]]:
            at_once.append(len(texts))
            return super().encode_slices(texts, prompt_type)

    note = "x" * 2**18
    many = [Document(f"d{number}", "word", {"note": note}) for number in range(12)]
    index_corpus(many, CountingEncoder(), tmp_path / "i")
    assert at_once == [4, 4, 4]


def test_a_document_that_is_too_long_takes_no_other_with_it(tmp_path: Path) -> None:
    some = [Document("short", "one", {}, "f:1"), Document("long", "w " * 40, {}, "f:2")]
    with pytest.raises(
        BadRecordError, match=r"^f:2: the text is longer than the 32 tokens"
    ) as caught:
        index_corpus(
            some, HashEncoder(), tmp_path / "i", options=IndexOptions(fail_on_truncate=True)
        )
    assert caught.value.safe_documents == 1


class ChokingEncoder(HashEncoder):
    """Cannot encode "endless" texts, and finds that after it has encoded others."""

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        yield from super().encode_slices(texts[:2], prompt_type)
        if endless := [row for row, text in enumerate(texts) if text == "endless"]:
            raise TextTooLongError(texts, endless)
        for rows, encoded in super().encode_slices(texts[2:], prompt_type):
            yield rows + 2, encoded


def test_what_cannot_be_tokenised_is_a_bad_record_and_the_others_are_encoded(
    tmp_path: Path,
) -> None:
    some = documents("one", "two", "endless", "four", "endless", "six", "seven")
    bad: list[BadRecordError] = []
    with RejectFile(stop=False) as reject:
        encoder = ChokingEncoder()
        summary = index_corpus(some, encoder, tmp_path / "i", watch=Watch(bad=reject))
        bad += reject.first
    assert [error.source for error in bad] == ["corpus:3", "corpus:5"]
    assert bad[0].reason.startswith("the text has 7 characters, which would have to be tokenised")
    assert (summary.added, summary.rejected, summary.encoded) == (5, 2, 5)
    assert ids(tmp_path / "i") == ["d0", "d1", "d3", "d5", "d6"]
    assert len(encoder.prompted) == 5  # none twice


def test_what_cannot_be_tokenised_stops_a_run_and_what_was_encoded_is_kept(tmp_path: Path) -> None:
    some = documents("one", "two", "endless", "four")
    with pytest.raises(BadRecordError, match=r"^corpus:3: the text has 7 characters") as caught:
        index_corpus(some, ChokingEncoder(), tmp_path / "i")
    assert caught.value.safe_documents == 2


def test_an_error_keeps_what_was_encoded_and_says_how_much(tmp_path: Path) -> None:
    def breaking() -> Iterator[Document]:
        yield from documents(*[f"text {number}" for number in range(20)])
        raise BadRecordError("f:21", "bad")

    with pytest.raises(BadRecordError) as caught:
        index_corpus(
            breaking(), HashEncoder(), tmp_path / "i", options=IndexOptions(commit_every=10)
        )
    assert caught.value.safe_documents == 20
    assert len(ids(tmp_path / "i")) == 20


def test_the_order_of_the_input_is_the_order_of_the_rows(tmp_path: Path) -> None:
    texts = ["a " * (number * 7 % 13 + 1) for number in range(30)]
    index_corpus(documents(*texts), HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        assert len(index.contents.live.segments) == 1
        assert index.sample(30)[0] == [f"d{number}" for number in range(30)]


def test_delete_names_what_is_not_there(tmp_path: Path) -> None:
    index_corpus(documents("one", "two"), HashEncoder(), tmp_path / "i")
    assert delete_documents(tmp_path / "i", ["d0", "x", "d0"]) == (1, ["x"])
    assert ids(tmp_path / "i") == ["d1"]


def test_scores_are_the_cosines(tmp_path: Path) -> None:
    encoder = HashEncoder()
    texts = ["red apple", "green apple", "blue sea"]
    index_corpus(documents(*texts), encoder, tmp_path / "i")
    query = encoder.encode(["apple"], PromptType.QUERY).vectors[0]
    rows = encoder.encode(texts, PromptType.DOCUMENT).vectors
    expected = {f"d{number}": float(np.dot(row, query)) for number, row in enumerate(rows)}
    with Index.open(tmp_path / "i") as index:
        hits = search_index(["apple"], encoder, index, mode="dense")[0]
    assert {hit.doc_id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-6)
    assert [hit.rank for hit in hits] == [1, 2, 3]


def test_one_string_is_no_list_of_queries(tmp_path: Path) -> None:
    index_corpus(documents("one"), HashEncoder(), tmp_path / "ix")
    with Index.open(tmp_path / "ix") as index, pytest.raises(TypeError, match="list of texts"):
        search_index("hello", HashEncoder(), index)


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_hit_cannot_be_asked_for(tmp_path: Path, k: int) -> None:
    index_corpus(documents("one"), HashEncoder(), tmp_path / "ix")
    with Index.open(tmp_path / "ix") as index, pytest.raises(ValueError, match="at least 1"):
        search_index(["hello"], HashEncoder(), index, k=k)
