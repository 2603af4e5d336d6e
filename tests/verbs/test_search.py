"""A searcher: what a program opens once, and what a second front beside the command line uses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.errors import BadInputError, ModelUnavailableError, SpaceMismatchError
from taskembed.index.ranking.grouping import Grouping
from taskembed.index.ranking.modes import Mode
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.reading.queries import Query
from taskembed.space import HostedModel, Task
from taskembed.vectors import Floats
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.search import search_index
from taskembed.verbs.searcher import Searcher
from tests.fakes import HashEncoder

ROOT = Path(__file__).parents[2]
TEXTS = {"moon": "moon", "moons": "moon moon water", "sea": "sea water", "salt": "salt water"}


class ShortestFirst:
    """Judges a text by its length: the shorter the better."""

    name = "shortest"

    def __init__(self) -> None:
        self.judged: list[int] = []

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        self.judged.append(len(texts))
        return np.array([1 / len(text) for text in texts], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    documents = [Document(name, text) for name, text in TEXTS.items()]
    index_corpus(documents, HashEncoder(), tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
def index(folder: Path) -> Iterator[Index]:
    with Index.open(folder) as index:
        yield index


def ids(searcher: Searcher, query: str) -> list[str]:
    return [hit.doc_id for hit in searcher.search([query])[0]]


def test_the_best_k_are_found(index: Index) -> None:
    searcher = Searcher(index, HashEncoder(), k=2)
    assert ids(searcher, "moon") == ["moon", "moons"]
    assert ids(replace(searcher, k=1), "moon") == ["moon"]
    assert ids(replace(searcher, min_score=2), "moon") == []


def test_a_reranker_judges_the_best_hits_and_orders_them_anew(index: Index) -> None:
    judge = ShortestFirst()
    searcher = Searcher(index, HashEncoder(), judge, k=1, depth=2)
    (hit,) = searcher.search(["moon moon water"])[0]
    # of the two that the vectors found, "moons" and "moon", the shorter
    assert (hit.doc_id, hit.rank, hit.rerank_score) == ("moon", 1, 0.25)
    assert judge.judged == [2]


def test_a_reranker_judges_as_many_as_are_wanted_at_least(index: Index) -> None:
    judge = ShortestFirst()
    searcher = Searcher(index, HashEncoder(), judge, k=3, depth=1)
    assert len(ids(searcher, "moon")) == 3
    assert judge.judged == [3]


def test_queries_come_in_batches_that_are_read_as_they_are_needed(index: Index) -> None:
    read: list[str] = []

    def queries() -> Iterator[Query]:
        for name, text in TEXTS.items():
            read.append(name)
            yield Query(name, text)

    batches = Searcher(index, HashEncoder(), k=1).search_batches(queries(), size=3)
    first = next(batches)
    assert read == ["moon", "moons", "sea"]
    assert [(query.query_id, [hit.doc_id for hit in hits]) for query, hits in first] == [
        ("moon", ["moon"]),
        ("moons", ["moons"]),
        ("sea", ["sea"]),
    ]
    assert [len(batch) for batch in batches] == [1]


def test_a_searcher_refuses_what_a_search_refuses(index: Index) -> None:
    with pytest.raises(SpaceMismatchError):
        Searcher(index, HashEncoder(query_prompt="other: ")).search(["moon"])
    with pytest.raises(BadInputError, match="is empty"):
        Searcher(index, HashEncoder(), ShortestFirst()).search([" "])
    with pytest.raises(ValueError, match="k is 0"):
        Searcher(index, HashEncoder(), k=0)
    with pytest.raises(ValueError, match="depth is 0"):
        Searcher(index, HashEncoder(), depth=0)


def test_a_query_may_be_encoded_without_the_template_of_the_index(index: Index) -> None:
    assert ids(Searcher(index, HashEncoder(template="{other}"), k=1), "moon") == ["moon"]


def test_a_searcher_opens_the_encoder_of_its_index(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = HashEncoder()
    monkeypatch.setattr(
        "taskembed.verbs.opening.encoders.load_encoder_of", lambda *_, **__: encoder
    )
    with Searcher.open(folder, task=Task.RETRIEVAL, k=1) as searcher:
        assert searcher.encoder is encoder
        assert ids(searcher, "sea water") == ["sea"]
    with pytest.raises(ValueError, match="is closed"):
        searcher.search(["sea"])


def test_another_task_is_refused_before_a_model_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.verbs.opening.encoders.load_encoder_of", _never)
    with pytest.raises(SpaceMismatchError, match="is for the task 'retrieval', not 'code'"):
        Searcher.open(folder, task=Task.CODE)


def test_a_reranker_that_is_nowhere_is_refused_before_the_encoder_is_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.verbs.opening.encoders.load_encoder_of", _never)
    with pytest.raises(ModelUnavailableError, match="no-such-model"):
        Searcher.open(folder, reranker=str(tmp_path / "no-such-model"))


@pytest.fixture
def with_words(tmp_path: Path) -> Path:
    documents = [Document(name, text) for name, text in TEXTS.items()]
    options = IndexOptions(words="english")
    index_corpus(documents, HashEncoder(), tmp_path / "words", options=options)
    return tmp_path / "words"


def test_a_search_by_words_needs_no_model(
    with_words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.verbs.opening.encoders.load_encoder_of", _never)
    with Searcher.open(with_words, mode=Mode.WORDS, k=1) as searcher:
        assert searcher.encoder is None
        assert ids(searcher, "the moons") == ["moon"]
        with pytest.raises(TypeError, match="expected an encoder, not NoneType"):
            replace(searcher, mode=Mode.HYBRID).search(["moon"])


def test_a_search_by_words_compares_what_is_stated_all_the_same(
    with_words: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"task": Task.CODE}, SpaceMismatchError, "is for the task 'retrieval', not 'code'"),
        ({"model": "intfloat/e5-small-v2"}, SpaceMismatchError, "not 'intfloat"),
        ({"model": str(tmp_path / "other")}, ModelUnavailableError, "other"),
    ]
    for stated, error, said in refused:
        with pytest.raises(error, match=said):
            Searcher.open(with_words, mode=Mode.WORDS, **stated)
    with Index.open(with_words) as index, pytest.raises(SpaceMismatchError):
        search_index(["moon"], HashEncoder(query_prompt="q: "), index, mode=Mode.WORDS)


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a model was loaded")


SECOND_FRONT = """
import sys
from taskembed.encoding import reranker
from taskembed.verbs import searcher as opened
from taskembed.verbs.opening import encoders
from tests.fakes import HashEncoder
from tests.verbs.test_search import ShortestFirst

encoders.load_encoder_of = lambda *_, **__: HashEncoder()
opened.Hub.description = lambda *_, **__: None
reranker.load_reranker = lambda *_, **__: ShortestFirst()
with opened.Searcher.open(sys.argv[1], reranker="shortest", k=1, depth=2) as searcher:
    (hit,) = searcher.search(["moon moon water"])[0]
    print(hit.doc_id, hit.rerank_score, searcher.reranker.name, searcher.index.space.task)
print([name for name in ("taskembed.cli", "typer", "rich", "torch") if name in sys.modules])
"""


def test_a_second_front_searches_and_reranks_without_the_command_line(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SECOND_FRONT, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.stdout, done.stderr) == ("moon 0.25 shortest retrieval\n[]\n", "")


def test_a_reranker_orders_groups_anew(tmp_path: Path) -> None:
    words = {"a1": "moon", "a2": "moon sea", "b1": "moon sea sun", "c1": "x"}
    corpus = [Document(name, text, {"site": name[0]}) for name, text in words.items()]
    index_corpus(corpus, HashEncoder(), tmp_path / "i")
    judge = ShortestFirst()
    with Index.open(tmp_path / "i") as opened:
        grouping = Grouping("site", 2)
        searcher = Searcher(opened, HashEncoder(), judge, k=2, depth=6, grouping=grouping)
        hits = searcher.search(["moon"])[0]
    assert judge.judged == [4]  # of three groups, two hits each at most
    assert [(hit.rank, hit.doc_id, hit.group) for hit in hits] == [
        (1, "c1", "c"),
        (2, "a1", "a"),
        (3, "a2", "a"),
    ]


def test_groups_with_a_minimum_score_have_ranks_without_gaps(tmp_path: Path) -> None:
    words = {"a1": "moon", "a2": "x", "b1": "moon sea", "b2": "y"}
    corpus = [Document(name, text, {"site": name[0]}) for name, text in words.items()]
    index_corpus(corpus, HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as opened:
        searcher = Searcher(opened, HashEncoder(), min_score=0.3, grouping=Grouping("site", 2))
        hits = searcher.search(["moon"])[0]
    assert [(hit.rank, hit.doc_id) for hit in hits] == [(1, "a1"), (2, "b1")]


@pytest.mark.parametrize(
    ("server", "encoded"),
    [(None, 4), (HostedModel("openai", "text-embedding-3-small"), 1)],  # a query, or more
)
def test_no_sentence_is_sent_to_a_hosted_model(
    tmp_path: Path, server: HostedModel | None, encoded: int
) -> None:
    encoder = HashEncoder(hosted=server)
    index_corpus([Document("a", "The moon. The sea.")], encoder, tmp_path / "i")
    encoder.prompted.clear()
    with Index.open(tmp_path / "i") as opened:
        (hit,) = Searcher(opened, encoder, snippets=True).search(["the sea"])[0]
    assert hit.snippet
    assert hit.snippet.text == "The sea."
    assert len(encoder.prompted) == encoded
