"""What a Python program may get wrong is refused where it is said, and in words."""

# ruff: noqa: ANN401  # arguments that are wrong on purpose
from __future__ import annotations

import datetime
import json
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from taskembed.encoding.load import load_encoder, load_encoder_of
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import (
    BadInputError,
    BadRecordError,
    BadVectorError,
    UsageError,
)
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.rejects import RejectFile
from taskembed.space import PromptType, Task
from taskembed.vectors import Encoded, Rows
from taskembed.verbs.defaults import OnDuplicate
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, Watch
from taskembed.verbs.plan import plan_index
from taskembed.verbs.search import rerank_hits, search_index
from tests.fakes import SLICE, SPACE, HashEncoder

ANY: Any = None  # what a program without types may pass
WIDE: Any = np.int64(3)


def metadata_of(folder: Path) -> dict[str, object]:
    with Index.open(folder) as index:
        return dict(search_index(["x"], HashEncoder(), index)[0][0].metadata)


# --- documents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((1, "one"), r"^the id of a document is 1; it must be a text: '1'$"),
        ((None, "one"), r"^the id of a document is None; it must be a text"),
        (("a", b"one"), r"^the text of document 'a' is not a text but bytes$"),
        (("a", None), r"^the text of document 'a' is not a text but NoneType$"),
        (("a", "one", [("n", 1)]), r"^the metadata of document 'a' is not a mapping but list$"),
    ],
    ids=repr,
)
def test_a_document_is_made_of_texts_and_a_mapping(wrong: tuple[Any, ...], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Document(*wrong)


BAD_IDS = ["", "a\nb", "a\0b", "\x1b[2J", "a" * 4097, "\u00e9" * 2049, "a\x85"]


@pytest.mark.parametrize("doc_id", BAD_IDS, ids=ascii)
def test_an_id_that_the_reader_refuses_is_refused_of_a_program_too(
    tmp_path: Path, doc_id: str
) -> None:
    line = json.dumps({"id": doc_id, "text": "one"})
    (tmp_path / "c.jsonl").write_text(line + "\n")
    read = RejectFile(stop=False)
    inputs = find_inputs([str(tmp_path / "c.jsonl")])
    assert list(read_corpus(inputs, RecordFields(), on_bad=read)) == []
    given = RejectFile(stop=False)
    some = [Document("fine", "one"), Document(doc_id, "one")]
    for planned in (True, False):
        given.count = 0
        watch = Watch(bad=given)
        if planned:
            summary = plan_index(some, None, watch=watch)
        else:
            summary = index_corpus(some, HashEncoder(), tmp_path / "i", watch=watch)
        assert (summary.added, summary.rejected, given.count) == (1, 1, 1)
    assert given.first[0].reason.removeprefix("the id ") == read.first[0].reason.removeprefix(
        'the id in "id" '
    )
    assert given.first[0].source == f"document {doc_id!r}"


def test_a_text_that_is_not_utf8_is_a_bad_record(tmp_path: Path) -> None:
    with pytest.raises(BadRecordError, match=r"^document 'a': the text is not UTF-8: 'x\\ud800'$"):
        index_corpus([Document("a", "x\ud800")], HashEncoder(), tmp_path / "i")


def test_metadata_is_what_json_can_hold(tmp_path: Path) -> None:
    metadata = {
        "day": datetime.date(2026, 1, 2),
        "count": np.int64(3),
        "share": np.float32(0.5),
        "missing": float("nan"),
        "pair": (1, 2),
    }
    index_corpus([Document("a", "one", metadata)], HashEncoder(), tmp_path / "i")
    expected = {"day": "2026-01-02", "count": 3, "share": 0.5, "missing": None, "pair": [1, 2]}
    assert metadata_of(tmp_path / "i") == expected


@pytest.mark.parametrize(
    "wrong", [{"tags": {"a"}}, {"tags": 2**70}, {"tags": {1: 2}}, {"tags": "\ud800"}], ids=ascii
)
def test_other_metadata_is_refused_by_the_name_of_its_field(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    said = r"^document 'b': the metadata field 'tags' cannot be JSON: "
    some = [Document("a", "one"), Document("b", "two", {"fine": 1, **wrong})]
    with pytest.raises(BadRecordError, match=said):
        index_corpus(some, HashEncoder(), tmp_path / "i")


@pytest.mark.parametrize("wrong", ["corpus.jsonl", [("a", "one")], [{"id": "a", "text": "one"}]])
def test_what_is_no_document_is_refused(tmp_path: Path, wrong: Any) -> None:
    said = r"^documents are taskembed\.Document, not "
    with pytest.raises(TypeError, match=said):
        index_corpus(wrong, HashEncoder(), tmp_path / "i")
    with pytest.raises(TypeError, match=said):
        plan_index(wrong, None)


def test_errors_name_a_document_without_a_place_by_its_id(tmp_path: Path) -> None:
    twice = [Document("a", "x"), Document("a", "y")]
    options = IndexOptions(on_duplicate=OnDuplicate.ERROR)
    with pytest.raises(BadRecordError, match=r"^document 'a': duplicate id 'a'"):
        index_corpus(twice, HashEncoder(), tmp_path / "i", options=options)


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queries", "error", "said"),
    [
        ("hello", TypeError, r"^queries must be a list of texts: \['hello'\] for one text$"),
        (b"hello", TypeError, r"^queries must be a list of texts: \[b'hello'\] for one text$"),
        (["a", 7], TypeError, r"^queries\[1\] is 7; it must be a text$"),
        (["a", None], TypeError, r"^queries\[1\] is None; it must be a text$"),
        (["\udcff"], BadInputError, r"^queries\[0\] is not UTF-8: '\\udcff'$"),
        (["a", ""], BadInputError, r"^queries\[1\] is empty$"),
        ([" \n"], BadInputError, r"^queries\[0\] is empty$"),
    ],
    ids=ascii,
)
def test_queries_are_texts(
    tmp_path: Path,
    queries: Any,
    error: type[Exception],
    said: str,
) -> None:
    index_corpus([Document("a", "one")], HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index, pytest.raises(error, match=said):
        search_index(queries, HashEncoder(), index)


def test_queries_may_be_any_iterable_and_none_at_all(tmp_path: Path) -> None:
    index_corpus([Document("a", "one")], HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        assert search_index([], HashEncoder(), index) == []
        hits = search_index((text for text in ("one", "two")), HashEncoder(), index, k=WIDE)
    assert [[hit.doc_id for hit in some] for some in hits] == [["a"], ["a"]]


HIT = Hit(1, "a", 0.5, "one", {})


class Halves:
    def scores(self, query: str, texts: object) -> Any:
        return np.full(1, 0.5, np.float32)


@pytest.mark.parametrize(
    ("k", "error", "said"),
    [
        (0, ValueError, r"^k is 0; it must be at least 1$"),
        (-1, ValueError, r"^k is -1; it must be at least 1$"),
        (2.5, TypeError, r"^k is 2\.5; it must be a whole number$"),
        ("3", TypeError, r"^k is '3'; it must be a whole number$"),
        (None, TypeError, r"^k is None; it must be a whole number$"),
    ],
)
def test_k_is_a_whole_number_of_at_least_one(
    tmp_path: Path,
    k: Any,
    error: type[Exception],
    said: str,
) -> None:
    index_corpus([Document("a", "one")], HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index, pytest.raises(error, match=said):
        search_index(["one"], HashEncoder(), index, k=k)
    with pytest.raises(error, match=said):
        rerank_hits("one", [HIT], Halves(), k=k)


def test_no_hits_need_no_reranker() -> None:
    assert rerank_hits("one", [], ANY, k=3) == []


@pytest.mark.parametrize(
    ("doc_ids", "said"),
    [
        ("abc", r"^doc_ids must be a list of texts: \['abc'\] for one text$"),
        ([1], r"^doc_ids\[0\] is 1; it must be a text$"),
    ],
)
def test_ids_to_delete_are_texts(tmp_path: Path, doc_ids: Any, said: str) -> None:
    index_corpus([Document(name, "one") for name in "abc1"], HashEncoder(), tmp_path / "i")
    with pytest.raises(TypeError, match=said):
        delete_documents(tmp_path / "i", doc_ids)
    with pytest.raises(UsageError, match="is not UTF-8, so no index has it"):
        delete_documents(tmp_path / "i", ["a", "\udcff"])
    with Index.open(tmp_path / "i") as index:
        assert len(index) == 4
    assert delete_documents(tmp_path / "i", (name for name in "ab")) == (2, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"commit_every": 0},
        {"prune_limit": -1},
        {"prune_limit": 101},
        {"prune_limit": float("nan")},
        {"wait_seconds": -1},
        {"on_duplicate": "frist"},
    ],
    ids=str,
)
def test_options_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        IndexOptions(**wrong)


def test_names_do_for_enums(tmp_path: Path) -> None:
    named: Any = "first"
    assert IndexOptions(on_duplicate=named).on_duplicate is OnDuplicate.FIRST
    assert SPACE.prompt("query") == "query: "
    assert SPACE.prompt("document") == "passage: "
    with pytest.raises(ValueError, match=r"^'passage' is not a side of a task; the sides are "):
        SPACE.prompt("passage")
    assert f"{Task.CODE} {PromptType.QUERY}" == "code query"


@pytest.mark.parametrize(
    "wrong", [{"precision": "int4"}, {"device": "gpu"}, {"threads": 0}], ids=str
)
def test_settings_of_an_engine_are_known(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        EngineSettings(**wrong)


@pytest.mark.parametrize(
    ("load", "error"),
    [
        (lambda: load_encoder("minilm", "search"), ValueError),
        (lambda: load_encoder("minilm", dim=0), ValueError),
    ],
)
def test_an_encoder_is_asked_for_in_words_that_are_known(
    load: Callable[[], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        load()


@pytest.mark.usefixtures("models")
def test_the_bundled_model_by_names(cache: Path) -> None:
    settings = EngineSettings(cache=cache, device="cpu")
    encoder = load_encoder("minilm", "retrieval", settings=settings)
    assert encoder.space.task is Task.RETRIEVAL
    by_name = encoder.encode(["one", "two"], "query").vectors
    assert (by_name == encoder.encode(["one", "two"], PromptType.QUERY).vectors).all()
    with pytest.raises(TypeError, match="texts must be a list of texts"):
        encoder.encode("one", PromptType.QUERY)
    with pytest.raises(ValueError, match="not a side of a task"):
        encoder.encode(["one"], "passage")


def test_a_name_is_no_encoder_and_a_folder_no_index(tmp_path: Path) -> None:
    name: Any = "minilm"
    folder: Any = tmp_path / "i"
    with pytest.raises(TypeError, match=r"^expected an encoder, not str: use load_encoder\("):
        index_corpus([Document("a", "one")], name, folder)
    index_corpus([Document("a", "one")], HashEncoder(), folder)
    with pytest.raises(TypeError, match=r"^expected Index, not PosixPath: use Index\.open\("):
        search_index(["a"], HashEncoder(), folder)
    with Index.open(folder) as index:
        with pytest.raises(TypeError, match=r"^expected an encoder, not str"):
            search_index(["a"], name, index)
        wrong: Any = index
        with pytest.raises(
            TypeError, match=r"^expected EmbeddingSpace, not Index: use index\.space$"
        ):
            load_encoder_of(wrong)


# --- errors of other code ------------------------------------------------------------------------


class BrokenEncoder(HashEncoder):
    """Breaks after so many slices, as an accelerator does that is out of memory."""

    def __init__(self, slices: int) -> None:
        super().__init__()
        self._left = slices

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        if not self._left:
            raise RuntimeError("out of memory")
        self._left -= 1
        return super().encode(texts, prompt_type)


def test_what_was_encoded_is_kept_when_other_code_breaks(tmp_path: Path) -> None:
    def breaking() -> Iterator[Document]:
        yield from (Document(f"d{n}", f"text {n}") for n in range(50))
        raise KeyError("a row without a text")

    options = IndexOptions(commit_every=20)
    with pytest.raises(KeyError, match="a row without a text"):
        index_corpus(breaking(), HashEncoder(), tmp_path / "i", options=options)
    with Index.open(tmp_path / "i") as index:
        assert len(index) == 40  # two windows; the third was not full
    some = [Document(f"d{n}", f"text {n}") for n in range(50)]
    with pytest.raises(RuntimeError, match="out of memory"):
        index_corpus(some, BrokenEncoder(1), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        assert len(index) == 40 + SLICE
        assert sorted(document.text for document in index) == sorted(
            f"text {document.doc_id[1:]}" for document in index
        )


class OwnEncoder:
    """What a program may bring: the rows of its only slice are `rows`."""

    made_by: ClassVar[dict[str, str]] = {"engine": "own"}

    def __init__(self, rows: list[int]) -> None:
        self.space = SPACE
        self._rows = np.array(rows, np.int64)

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        return HashEncoder().encode(texts, prompt_type)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        yield self._rows, self.encode([texts[row % 3] for row in self._rows], prompt_type)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([0, 2], r"^document 'b': the encoder returned no vector$"),
        ([0, 1, 1], r"^document 'b': the encoder returned two vectors$"),
        ([0, 1, 3], r"^the encoder returned a vector for text 3, which is not there$"),
        ([0, -1, 1], r"^the encoder returned a vector for text -1, which is not there$"),
        ([], r"^document 'a': the encoder returned no vector$"),
    ],
    ids=str,
)
def test_an_encoder_gives_each_text_once(tmp_path: Path, rows: list[int], said: str) -> None:
    some = [Document(name, f"text {name}") for name in "abc"]
    with pytest.raises(BadVectorError, match=said):
        index_corpus(some, OwnEncoder(rows), tmp_path / "i")
    summary = index_corpus(some, OwnEncoder([2, 0, 1]), tmp_path / "i2")
    assert (summary.added, summary.documents) == (3, 3)
    with Index.open(tmp_path / "i2") as index:
        hits = search_index(["text b"], OwnEncoder([]), index, k=1)[0]
    assert hits[0].doc_id == "b"


# --- an index as a collection of documents -------------------------------------------------------


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """An index of several segments, with documents that were changed and deleted since."""
    some = [Document(f"d{n * 7 % 40:02d}", f"text {n * 7 % 40}", {"n": n}) for n in range(40)]
    options = IndexOptions(commit_every=10)
    index_corpus(some, HashEncoder(), tmp_path / "i", options=options)
    index_corpus(
        [Document("d05", "changed"), Document("\u00e4", "x")], HashEncoder(), tmp_path / "i"
    )
    delete_documents(tmp_path / "i", ["d00", "d17", "d39"])
    return tmp_path / "i"


def test_the_documents_of_an_index_come_in_the_order_of_their_ids(several: Path) -> None:
    names = [f"d{n:02d}" for n in range(40) if n not in {0, 17, 39}]
    with Index.open(several) as index:
        assert len(index.contents.live.segments) > 2
        documents = list(index)
        assert [document.doc_id for document in documents] == [*names, "\u00e4"]
        assert len(index) == len(documents) == 38
        by_id = {document.doc_id: document for document in index}
    assert by_id["d05"] == Document("d05", "changed", {})
    assert by_id["d06"] == Document("d06", "text 6", {"n": 18})  # 18 * 7 = 126 = 3 * 40 + 6
    # what was read can be indexed again, and nothing changes
    summary = index_corpus(documents, HashEncoder(), several)
    assert (summary.unchanged, summary.documents) == (38, 38)


def test_a_document_is_found_by_its_id(several: Path) -> None:
    with Index.open(several) as index:
        assert index.get("d05") == Document("d05", "changed", {})
        assert index.get("d06") == Document("d06", "text 6", {"n": 18})
        for absent in ("d00", "d17", "D05", "", "d05\0", "\udcff"):
            assert index.get(absent) is None
            assert absent not in index
        assert "d05" in index
        number: Any = 5
        with pytest.raises(TypeError, match=r"^doc_id is 5; it must be a text$"):
            index.get(number)
        with pytest.raises(TypeError, match=r"^doc_id is 5; it must be a text$"):
            _ = number in index


def test_documents_are_read_one_after_another(tmp_path: Path) -> None:
    index_corpus(
        (Document(f"d{n}", f"{n} " + "x" * 100_000) for n in range(100)),
        HashEncoder(),
        tmp_path / "i",
    )
    with Index.open(tmp_path / "i") as index:
        tracemalloc.start()
        count = sum(len(document.text) > 100_000 for document in index)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 100
    assert most < 2_000_000


def test_two_may_read_at_once(several: Path) -> None:
    with Index.open(several) as index:
        pairs = zip(index, index, strict=True)
        assert all(one == other and one == index.get(one.doc_id) for one, other in pairs)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: [document.doc_id for document in index], range(8)))
        assert found == [found[0]] * 8


def test_a_closed_index_says_that_it_is_closed(several: Path) -> None:
    query = HashEncoder().encode(["x"], PromptType.QUERY).vectors
    asked: list[Callable[[Index], object]] = [
        lambda index: index.get("d05"),
        lambda index: "d05" in index,
        list,
        lambda index: index.load(),
        lambda index: index.nearest(query, 3),
        lambda index: search_index(["x"], HashEncoder(), index),
        lambda index: index.__enter__(),
    ]
    for loaded in (True, False):
        index = Index.open(several)
        if loaded:
            index.nearest(query, 3)
        reading = iter(index)
        next(reading)
        index.close()
        index.close()  # does nothing
        with pytest.raises(ValueError, match=r"^the index .+ is closed$"):
            next(reading)
        for ask in asked:
            with pytest.raises(ValueError, match=r"^the index .+ is closed$"):
                ask(index)
        assert len(index) == 38  # that is known without a file


def test_documents_hits_and_an_index_can_be_printed_and_put_into_sets(several: Path) -> None:
    with Index.open(several) as index:
        assert len(set(index)) == 38
        assert len(set(search_index(["x"], HashEncoder(), index)[0])) == 10
        folder, generation = index.folder, index.generation
        assert repr(index) == (
            f"<Index {folder}: 38 documents for retrieval, generation {generation}>"
        )
    assert repr(index) == f"<Index {folder}: 38 documents for retrieval, closed>"
