"""An index whose documents are cut into chunks: a document is as near as its best chunk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import IndexDamagedError, NewerFormatError, UsageError
from taskembed.guard import require_good_vectors
from taskembed.index._segments.chunks import (
    ChunksDamageError,
    ChunkTable,
    joined,
    mean_vectors,
    nearest_documents,
)
from taskembed.index._segments.vectors import Found
from taskembed.index.chunking import Chunking, ChunkRequest
from taskembed.index.contents import read_index
from taskembed.index.disk import manifests
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.index.update import open_index_writer
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.vectors import Encoded, Flags, FloatRows
from taskembed.verbs.compact import compact_index
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.describe import describe_index
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, IndexSummary
from taskembed.verbs.search import rerank_hits, search_index
from taskembed.verbs.searcher import Searcher
from tests.fakes import HashEncoder

CHUNK = "16:4"


def document(number: int, words: int = 50, salt: str = "") -> Document:
    generator = random.Random(f"{number} {salt}")
    text = " ".join(f"w{generator.randint(0, 60)}" for _ in range(words))
    return Document(f"d{number:03d}", text, {"n": number})


CORPUS = [document(number, words=1 + number * 7 % 90) for number in range(40)]


def index(
    folder: Path,
    documents: list[Document] = CORPUS,
    encoder: HashEncoder | None = None,
    **given: object,
) -> IndexSummary:
    options = IndexOptions(**{"chunk": CHUNK, **given})  # type: ignore[arg-type]  # each has its type
    return index_corpus(documents, encoder or HashEncoder(), folder, options=options)


def expected(documents: list[Document], query: str, k: int) -> list[tuple[str, float, int]]:
    """Return id, score and begin of the best chunk of the k best documents, by scoring all."""
    encoder = HashEncoder()
    wanted = encoder.encode([query], PromptType.QUERY).vectors[0]
    found = []
    for item in documents:
        best = max(
            (
                float(
                    encoder.encode([item.text[begin:end]], PromptType.DOCUMENT).vectors[0] @ wanted
                ),
                -begin,
            )
            for begin, end in cuts_of(item.text)
        )
        found.append((-best[0], item.doc_id, -best[1]))
    return [(doc_id, -score, begin) for score, doc_id, begin in sorted(found)[:k]]


def cuts_of(text: str) -> list[tuple[int, int]]:
    from taskembed.reading.chunks import find_chunks

    offsets = HashEncoder().document_tokens().offsets
    return list(find_chunks(text, offsets, tokens=16, overlap=4))


def require_answers(folder: Path, documents: list[Document], **how: object) -> None:
    queries = ["w1 w2 w3", "w17", "w40 w5 w40"]
    with Index.open(folder) as opened:
        assert len(opened) == len(documents)
        for k in (1, 7, len(documents) + 5):
            answers = search_index(queries, HashEncoder(), opened, k=k, mode="dense", **how)  # type: ignore[arg-type]
            for query, hits in zip(queries, answers, strict=True):
                right = expected(documents, query, k)
                assert [hit.doc_id for hit in hits] == [doc_id for doc_id, _, _ in right]
                assert [hit.score for hit in hits] == pytest.approx(
                    [score for _, score, _ in right], abs=1e-5
                )
                assert all(is_chunk_of(hit) for hit in hits)


def is_chunk_of(hit: Hit) -> bool:
    chunk = hit.chunk
    return (
        chunk is not None
        and (chunk.start, chunk.end) in cuts_of(hit.text)
        and chunk.text == hit.text[chunk.start : chunk.end] == hit.passage
    )


def test_a_document_is_as_near_as_its_best_chunk(tmp_path: Path) -> None:
    summary = index(tmp_path)
    assert (summary.added, summary.truncated) == (40, 0)  # though 32 words are read of a text
    assert summary.encoded == sum(len(cuts_of(item.text)) for item in CORPUS)
    require_answers(tmp_path, CORPUS)
    require_answers(tmp_path, CORPUS, exact=True)
    described = describe_index(tmp_path)
    assert (described.chunking, described.chunks) == (CHUNK, summary.encoded)
    assert verify_index(tmp_path)[1] == []


def test_each_chunk_has_the_prompt_of_documents(tmp_path: Path) -> None:
    encoder = HashEncoder()
    index(tmp_path, CORPUS[:5], encoder)
    wanted = [item.text[begin:end] for item in CORPUS[:5] for begin, end in cuts_of(item.text)]
    assert sorted(encoder.prompted) == sorted(f"passage: {text}" for text in wanted)


def test_chunks_live_and_die_with_their_document(tmp_path: Path) -> None:
    index(tmp_path, CORPUS[:30], commit_every=4)
    changed = [document(3, 70, "new"), document(4, 1, "new"), *CORPUS[5:40]]
    summary = index(tmp_path, changed, commit_every=4, prune=True, chunk=None, prune_limit=100)
    assert (summary.added, summary.updated, summary.deleted, summary.unchanged) == (10, 2, 3, 25)
    new = [*changed[:2], *CORPUS[30:40]]
    assert summary.encoded == sum(len(cuts_of(item.text)) for item in new)
    require_answers(tmp_path, changed)
    delete_documents(tmp_path, ["d010", "d020"])
    left = [item for item in changed if item.doc_id not in {"d010", "d020"}]
    require_answers(tmp_path, left)
    assert compact_index(tmp_path).segments == 1
    require_answers(tmp_path, left)
    assert verify_index(tmp_path)[1] == []


def test_a_document_with_other_metadata_keeps_its_vectors(tmp_path: Path) -> None:
    index(tmp_path)
    other = [Document(item.doc_id, item.text, {"n": -1}) for item in CORPUS]
    summary = index(tmp_path, other)
    assert (summary.updated, summary.encoded) == (40, 0)
    require_answers(tmp_path, other)


def sentences(*numbers: int) -> str:
    """Return sentences of 15 words, so that each is a chunk of its own with "16:0"."""
    return " ".join(" ".join([f"S{number}", *["word"] * 13, "end."]) for number in numbers)


def stored_vectors(folder: Path, doc_id: str) -> dict[str, bytes]:
    """Return the bytes of the vector of each chunk of a document, by the chunk's first word."""
    with open_index_writer(folder, HashEncoder().space) as writer:
        found = writer.find([doc_id])[doc_id]
        vectors, cuts = writer.vectors(found)
    assert cuts is not None
    firsts = [found.document.text[begin:].split()[0] for begin, _ in cuts.tolist()]
    return {first: row.tobytes() for first, row in zip(firsts, vectors, strict=True)}


def encoded_anew(
    folder: Path, text: str, encoder: HashEncoder | None = None, **given: object
) -> list[str]:
    """Index a document as "a"; return the first words of the texts that are encoded, sorted."""
    encoder = encoder or HashEncoder()
    encoder.prompted = []
    index(folder, [Document("a", text)], encoder, chunk="16:0", **given)
    return sorted(text.removeprefix("passage: ").split()[0] for text in encoder.prompted)


class OtherEncoder(HashEncoder):
    """An encoder of the same space whose numbers differ, as those of another engine do a little."""

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        done = super().encode(texts, prompt_type)
        return Encoded(-done.vectors, done.truncated)


@pytest.mark.parametrize("vectors", ["fp32", "fp16"])
def test_unchanged_chunks_are_not_encoded_again(tmp_path: Path, vectors: str) -> None:
    assert encoded_anew(tmp_path, sentences(1, 2, 3, 4), vectors=vectors) == [
        "S1",
        "S2",
        "S3",
        "S4",
    ]
    before = stored_vectors(tmp_path, "a")
    assert encoded_anew(tmp_path, sentences(5, 1, 2, 6, 4), OtherEncoder()) == ["S5", "S6"]
    after = stored_vectors(tmp_path, "a")
    assert list(after) == ["S5", "S1", "S2", "S6", "S4"]
    assert {name: after[name] for name in ("S1", "S2", "S4")} == {
        name: before[name] for name in ("S1", "S2", "S4")
    }
    fresh = tmp_path / "fresh"
    encoded_anew(fresh, sentences(5, 6), OtherEncoder(), vectors=vectors)
    assert {name: after[name] for name in ("S5", "S6")} == stored_vectors(fresh, "a")
    assert verify_index(tmp_path)[1] == []


def test_a_document_of_the_same_chunks_needs_no_encoder(tmp_path: Path) -> None:
    encoded_anew(tmp_path, sentences(1, 2, 3))
    before = stored_vectors(tmp_path, "a")
    assert encoded_anew(tmp_path, sentences(3, 1), OtherEncoder()) == []
    after = stored_vectors(tmp_path, "a")
    assert (list(after), after["S1"]) == (["S3", "S1"], before["S1"])
    assert encoded_anew(tmp_path, sentences(1, 1, 1) + "  ") == []
    with Index.open(tmp_path) as opened:
        assert opened.vectors_of(["a"])[0][0].text == sentences(1, 1, 1) + "  "


def test_unchanged_chunks_are_found_between_commits_and_in_one_run(tmp_path: Path) -> None:
    texts = [sentences(number, 50, number + 100) for number in range(9)]
    index(tmp_path, [Document(f"d{n}", text) for n, text in enumerate(texts)], chunk="16:0")
    encoder = HashEncoder()
    changed = [Document(f"d{n}", f"{text} {sentences(60)}") for n, text in enumerate(texts)]
    again = [Document(item.doc_id, f"{item.text} {sentences(70)}") for item in changed]
    summary = index(tmp_path, [*changed, *again], encoder, chunk="16:0", commit_every=1)
    assert summary.encoded == len(encoder.prompted) == 18
    assert {text.split()[1] for text in encoder.prompted} == {"S60", "S70"}
    assert list(stored_vectors(tmp_path, "d3")) == ["S3", "S50", "S103", "S60", "S70"]


def test_a_document_with_a_truncated_chunk_is_encoded_whole(tmp_path: Path) -> None:
    class Truncating(HashEncoder):
        def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
            done = super().encode(texts, prompt_type)
            return Encoded(done.vectors, np.array(["S2" in text for text in texts]))

    encoded_anew(tmp_path, sentences(1, 2), Truncating())
    assert encoded_anew(tmp_path, sentences(1, 3), Truncating()) == ["S1", "S3"]
    assert encoded_anew(tmp_path, sentences(1, 4), Truncating()) == ["S4"]


def test_codes_choose_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskembed.index.ranking.nearest.LEAST_CANDIDATES", 40)
    index(tmp_path, index_type="rabitq", vectors="fp16")
    with Index.open(tmp_path) as opened:
        hits = search_index(["w1 w2 w3"], HashEncoder(), opened, k=5, mode="dense")[0]
    assert [hit.doc_id for hit in hits] == [found[0] for found in expected(CORPUS, "w1 w2 w3", 5)]
    index(tmp_path, [*CORPUS, *(document(number) for number in range(40, 60))], commit_every=5)
    compact_index(tmp_path)
    assert verify_index(tmp_path)[1] == []


def test_filters_and_words_are_of_whole_documents(tmp_path: Path) -> None:
    index(tmp_path, words="english")
    some = [item for item in CORPUS if item.metadata["n"] in {1, 5, 39}]
    with Index.open(tmp_path) as opened:
        hits = search_index(
            ["w17"], HashEncoder(), opened, k=9, mode="dense", where="n in (1, 5, 39)"
        )
        assert [hit.doc_id for hit in hits[0]] == [found[0] for found in expected(some, "w17", 9)]
        words = search_index(["w17"], None, opened, k=40, mode="words")[0]
        having = {item.doc_id for item in CORPUS if "w17" in item.text.split()}
        assert {hit.doc_id for hit in words[: len(having)]} == having
        assert all(hit.chunk is None for hit in words)
        hybrid = search_index(["w17"], HashEncoder(), opened, k=40)[0]
        assert sorted(hit.doc_id for hit in hybrid) == sorted(item.doc_id for item in CORPUS)
        assert all(hit.sides and is_chunk_of(hit) for hit in hybrid)


def test_chunks_can_be_ranked_instead_of_documents(tmp_path: Path) -> None:
    index(tmp_path, commit_every=9)
    encoder = HashEncoder()
    wanted = encoder.encode(["w1 w2"], PromptType.QUERY).vectors[0]
    every = [
        (
            -float(encoder.encode([item.text[begin:end]], PromptType.DOCUMENT).vectors[0] @ wanted),
            item.doc_id,
            begin,
        )
        for item in CORPUS
        for begin, end in cuts_of(item.text)
    ]
    with Index.open(tmp_path) as opened:
        hits = search_index(["w1 w2"], encoder, opened, k=len(every) + 1, chunks=True)[0]
        assert len(hits) == len(every)
        assert [hit.score for hit in hits] == pytest.approx(
            [-found[0] for found in sorted(every)], abs=1e-5
        )
        assert {(hit.doc_id, hit.chunk.start) for hit in hits if hit.chunk} == {
            found[1:] for found in every
        }
        assert all(map(is_chunk_of, hits))
        few = search_index(["w1 w2"], encoder, opened, k=3, chunks=True, where="n = 12")[0]
        assert [hit.doc_id for hit in few] == ["d012"] * 3
        with pytest.raises(UsageError, match="ranked by vectors"):
            search_index(["w1"], encoder, opened, mode="words", chunks=True)


def test_a_reranker_reads_the_chunk(tmp_path: Path) -> None:
    index(tmp_path)
    read: list[str] = []

    class Scorer:
        def scores(
            self, query: str, texts: list[str]
        ) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
            read.extend(texts)
            return np.zeros(len(texts), np.float32)

    with Index.open(tmp_path) as opened:
        hits = search_index(["w9"], HashEncoder(), opened, k=3)[0]
        rerank_hits("w9", hits, Scorer(), k=3)  # type: ignore[arg-type]  # a list is a sequence
    assert read == [hit.passage for hit in hits]


def test_a_document_of_an_index_stands_for_itself_by_the_mean_of_its_chunks(tmp_path: Path) -> None:
    index(tmp_path)
    with Index.open(tmp_path) as opened:
        documents, vectors = opened.vectors_of(["d012", "d000"])
    encoder = HashEncoder()
    require_good_vectors(vectors, encoder.space, ["d012", "d000"])
    text = documents[0].text
    parts = encoder.encode([text[a:b] for a, b in cuts_of(text)], PromptType.DOCUMENT).vectors
    mean = parts.mean(axis=0)
    assert vectors[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


# the rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [("auto", "128:25"), ("64", "64:12"), ("64:0", "64:0"), ("64:32", "64:32")],
)
def test_what_can_be_asked_for(text: str, rule: str) -> None:
    assert str(ChunkRequest.parse(text).rule(256)) == rule


@pytest.mark.parametrize("text", ["", "x", "64:", "15", "64:33", "-64", "64:-1", "1e3", "٦٤"])
def test_what_cannot_be_asked_for(text: str) -> None:
    with pytest.raises(UsageError, match=f"--chunk {text}"):
        ChunkRequest.parse(text)


def test_another_rule_is_refused_with_what_to_type(tmp_path: Path) -> None:
    index(tmp_path)
    with pytest.raises(UsageError, match="are cut into chunks: --chunk 16:4") as caught:
        index(tmp_path, chunk="20:4")
    assert "--chunk 20:4 --recreate" in str(caught.value.hint)
    with pytest.raises(UsageError, match="--chunk off: "):
        index(tmp_path, chunk="off")
    assert index(tmp_path, chunk="16:4").unchanged == 40


def test_an_index_without_chunks_is_not_given_them_half_way(tmp_path: Path) -> None:
    index(tmp_path, chunk=None)
    with pytest.raises(UsageError, match="are not cut into chunks"):
        index(tmp_path)
    with Index.open(tmp_path) as opened, pytest.raises(UsageError, match="not cut") as caught:
        search_index(["w1"], HashEncoder(), opened, chunks=True)
    assert "--chunk auto --recreate" in str(caught.value.hint)


def test_recreating_keeps_the_rule_or_takes_another(tmp_path: Path) -> None:
    index(tmp_path)
    index(tmp_path, chunk=None, recreate=True)
    assert describe_index(tmp_path).chunking == CHUNK
    index(tmp_path, chunk="20:0", recreate=True)
    assert describe_index(tmp_path).chunking == "20:0"
    index(tmp_path, chunk="off", recreate=True)
    assert (describe_index(tmp_path).chunking, describe_index(tmp_path).chunks) == ("", 0)
    with Index.open(tmp_path) as opened:
        assert search_index(["w1"], HashEncoder(), opened)[0][0].chunk is None


def test_a_chunk_longer_than_the_model_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model reads only 32 tokens") as caught:
        index(tmp_path, chunk="40")
    assert caught.value.hint == "use --chunk 16"
    assert not list(tmp_path.glob("manifest-*"))


def test_an_encoder_that_does_not_tell_its_tokens_is_refused(tmp_path: Path) -> None:
    class Hosted(HashEncoder):
        document_tokens = None  # type: ignore[assignment]  # as if it had none

    with pytest.raises(UsageError, match="not available for a hosted model"):
        index(tmp_path, encoder=Hosted())


def test_too_many_chunks_make_a_bad_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.options import Watch

    monkeypatch.setattr("taskembed.verbs._indexing.cutting.MOST_CHUNKS", 3)
    bad = RejectFile(stop=False)
    short, long = document(1, 10), document(2, 90)
    options = IndexOptions(chunk=CHUNK)
    summary = index_corpus(
        [long, short], HashEncoder(), tmp_path, options=options, watch=Watch(bad)
    )
    assert (summary.added, summary.rejected) == (1, 1)


# the files


def test_an_index_without_chunks_is_written_as_before(tmp_path: Path) -> None:
    index(tmp_path, chunk=None)
    manifest = max(tmp_path.glob("manifest-*.json")).read_text()
    assert "chunk" not in manifest
    assert not list(tmp_path.glob("*.chunks"))


def test_a_reader_that_does_not_know_chunks_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(tmp_path)
    monkeypatch.setattr(manifests, "KNOWN_FEATURES", frozenset({"rabitq"}))
    with pytest.raises(NewerFormatError, match="feature 'chunks' is unknown"):
        read_index(tmp_path)


def test_damaged_chunks_are_refused_and_named(tmp_path: Path) -> None:
    index(tmp_path)
    (path,) = tmp_path.glob("*.chunks")
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)
    with pytest.raises(IndexDamagedError, match=r"\.chunks: .*does not match"):
        Index.open(tmp_path)
    assert [damage.name for damage in verify_index(tmp_path)[1]] == [path.name]


TABLE = ChunkTable.of([np.array([[0, 3], [2, 5]]), np.array([[0, 0]]), np.array([[1, 4]])])


def test_a_table_comes_back(tmp_path: Path) -> None:
    data = TABLE.to_bytes()
    assert len(data) == 4 * 12
    again = ChunkTable.from_bytes(data, vectors=4, documents=3)
    assert again.rows.tolist() == [0, 0, 1, 2]
    assert again.cuts.tolist() == [[0, 3], [2, 5], [0, 0], [1, 4]]
    assert again.firsts.tolist() == [0, 2, 3, 4]
    assert again.vectors_of(0).tolist() == [0, 1]
    kept = again.kept(np.array([True, False, True]))
    assert (kept.rows.tolist(), kept.documents) == ([0, 0, 1], 2)
    both = joined([kept, again])
    assert (both.rows.tolist(), both.documents) == ([0, 0, 1, 2, 2, 3, 4], 5)


@pytest.mark.parametrize(
    "entries",
    [
        [[0, 0, 3], [0, 2, 5], [1, 0, 0]],  # the last document has none
        [[1, 0, 3], [0, 2, 5], [1, 0, 0], [2, 1, 4]],  # not in order
        [[0, 0, 3], [0, 2, 5], [2, 1, 4], [2, 1, 4]],  # one is left out
        [[0, 3, 0], [0, 2, 5], [1, 0, 0], [2, 1, 4]],  # ends before it begins
        [[0, 0, 3], [0, 2, 5], [1, 0, 0], [3, 1, 4]],  # no such document
    ],
)
def test_a_table_of_something_else_is_refused(entries: list[list[int]]) -> None:
    data = np.array(entries, "<u4").tobytes()
    with pytest.raises(ChunksDamageError):
        ChunkTable.from_bytes(data, vectors=4, documents=3)


def test_chunks_beyond_a_text_are_found() -> None:
    TABLE.require_within([(0, "12345"), (1, ""), (2, "1234")])
    with pytest.raises(ChunksDamageError, match="row 2"):
        TABLE.require_within([(0, "12345"), (2, "123")])


# many chunks of few documents


def test_k_documents_come_back_however_many_chunks_one_has() -> None:
    counts = [500, 300, 1, 1, 2, 1]
    table = ChunkTable.of([np.zeros((count, 2), np.int64) for count in counts])
    scores = 10 - table.rows.astype(np.float32)  # the first document is nearest with all chunks
    asked: list[int] = []

    def search(queries: FloatRows, k: int, alive: Flags | None) -> Found:
        asked.append(k)
        order = np.argsort(-scores, kind="stable")
        order = order[alive[order]] if alive is not None else order
        return np.tile(scores[order[:k]], (len(queries), 1)), np.tile(order[:k], (len(queries), 1))

    queries = np.zeros((2, 4), np.float32)
    found, rows = nearest_documents(table, search, queries, 4, None)
    assert rows.tolist() == [[0, 1, 2, 3]] * 2
    assert found.tolist() == [[10, 9, 8, 7]] * 2
    assert max(asked) < 500
    alive = np.array([True, False, True, False, True, True])
    assert nearest_documents(table, search, queries, 9, alive)[1].tolist() == [[0, 2, 4, 5]] * 2
    assert nearest_documents(table, search, queries, 0, None)[1].shape == (2, 0)


def test_the_mean_of_opposite_chunks_is_one_of_them() -> None:
    table = ChunkTable.of([np.zeros((2, 2), np.int64)])
    vectors = np.array([[1, 0], [-1, 0]], np.float32)
    mean = mean_vectors(table, np.array([0]), lambda rows: vectors[rows])
    assert mean.tolist() == [[1, 0]]


def test_a_searcher_ranks_chunks(tmp_path: Path) -> None:
    index(tmp_path)
    with Searcher(Index.open(tmp_path), HashEncoder(), k=2, chunks=True) as searcher:
        assert all(hit.chunk for hit in searcher.search(["w1"])[0])


def test_a_rule_of_another_method_is_read_but_not_added_to(tmp_path: Path) -> None:
    from taskembed.index.chunking import require_same_rule

    other = Chunking(16, 4, "sentences-9")
    with pytest.raises(UsageError, match="by sentences-9, which this version does not know"):
        require_same_rule(other, other)
