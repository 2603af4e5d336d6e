"""`compact`, `tune`, and the options that say how an index is stored and searched."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskembed.reading.document import Document
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.conftest import Run
from tests.fakes import HashEncoder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An index of twenty documents in four segments, in the space of a fake model."""
    documents = [Document(f"d{n:02d}", f"word{n} common", {}) for n in range(20)]
    options = IndexOptions(commit_every=6)
    index_corpus(documents, HashEncoder(), tmp_path / "i", options=options)
    return tmp_path / "i"


def test_compact_says_what_it_did(run: Run, made: Path) -> None:
    assert run("delete", "d03", "--index", made).code == 0
    done = run("compact", "--index", made)
    assert (done.code, done.out) == (0, "19 documents: 4 segments before, 1 now\n")
    assert run("compact", "--index", made, "--json").json == {
        "documents": 19,
        "segments_before": 1,
        "segments": 1,
        "deleted_rows": 0,
    }
    assert run("verify", "--index", made).code == 0


def test_compact_of_nothing_is_66(run: Run, tmp_path: Path) -> None:
    done = run("compact", "--index", tmp_path / "absent")
    assert done.code == 66
    assert f"no index at {tmp_path / 'absent'}" in done.err


def test_tune_prints_the_trade_off_and_info_remembers_it(run: Run, made: Path) -> None:
    done = run("tune", "--index", made, "--sample", "5")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "5 queries of 20 documents, task retrieval"
    assert lines[1].split() == ["candidates", "recall@10", "ms", "a", "query"]
    assert [line.split()[0] for line in lines[2:]] == ["50", "100", "200", "400", "1,000", "exact"]
    assert lines[5].endswith("default")
    assert {line.split()[1] for line in lines[2:]} == {"1.0000"}  # so few are scored exactly
    info = run("info", "--index", made, "--json").json
    assert isinstance(info, dict)
    assert info["tuning"]["recall_at_10"] == 1.0
    assert info["tuning"]["documents"] == 20
    assert (info["index_type"], info["vectors"]) == ("auto", "fp32")


def test_tune_of_ten_documents_is_refused(run: Run, tmp_path: Path) -> None:
    documents = [Document(f"d{n}", "a", {}) for n in range(10)]
    index_corpus(documents, HashEncoder(), tmp_path / "i")
    done = run("tune", "--index", tmp_path / "i")
    assert done.code == 65
    assert "10 documents are too few to measure" in done.err
