"""What a Python program may get wrong is refused where it is said, and in words."""

# ruff: noqa: ANN401  # arguments that are wrong on purpose
from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.corpus import Document, RecordFields, RejectFile, read_corpus
from taskembed.encoder import load_encoder
from taskembed.errors import BadRecordError, UsageError
from taskembed.index import Hit, Index
from taskembed.pipeline import (
    IndexOptions,
    OnDuplicate,
    Watch,
    delete_documents,
    index_corpus,
    rerank_hits,
    search_index,
)
from taskembed.plan import plan_index
from taskembed.records import find_inputs
from taskembed.runtime import EngineSettings
from taskembed.space import PromptType, Task
from tests.fakes import SPACE, HashEncoder

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
        (("a", b"one"), r"^the text of document 'a' is no text but bytes$"),
        (("a", None), r"^the text of document 'a' is no text but NoneType$"),
        (("a", "one", [("n", 1)]), r"^the metadata of document 'a' is no mapping but list$"),
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
    with pytest.raises(BadRecordError, match=r"^document 'a': the id 'a' stands twice"):
        index_corpus(twice, HashEncoder(), tmp_path / "i", options=options)


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queries", "error", "said"),
    [
        ("hello", TypeError, r"^queries is a list of texts: \['hello'\] for one$"),
        (b"hello", TypeError, r"^queries is a list of texts: \[b'hello'\] for one$"),
        (["a", 7], TypeError, r"^queries\[1\] is 7; it must be a text$"),
        (["a", None], TypeError, r"^queries\[1\] is None; it must be a text$"),
        (["\udcff"], ValueError, r"^queries\[0\] is not UTF-8: '\\udcff'$"),
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
        ("abc", r"^doc_ids is a list of texts: \['abc'\] for one$"),
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
    "wrong", [{"precision": "int8"}, {"device": "gpu"}, {"threads": 0}], ids=str
)
def test_settings_of_an_engine_are_known(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        EngineSettings(**wrong)


@pytest.mark.parametrize(
    ("load", "error"),
    [
        (lambda: load_encoder("minilm", "search"), ValueError),
        (lambda: load_encoder("minilm", dim=0), ValueError),
        (lambda: load_encoder("minilm", template="text"), UsageError),
    ],
)
def test_an_encoder_is_asked_for_in_words_that_are_known(
    load: Callable[[], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        load()


def test_the_bundled_model_by_names(cache: Path) -> None:
    settings = EngineSettings(cache=cache, device="cpu", threads=1)
    encoder = load_encoder("minilm", "sts", settings=settings)
    assert encoder.space.task is Task.SIMILARITY
    by_name = encoder.encode(["one", "two"], "query").vectors
    assert (by_name == encoder.encode(["one", "two"], PromptType.QUERY).vectors).all()
    with pytest.raises(TypeError, match="texts is a list of texts"):
        encoder.encode("one", PromptType.QUERY)
    with pytest.raises(ValueError, match="not a side of a task"):
        encoder.encode(["one"], "passage")
