"""Long documents on the command line: `index --chunk`, and what `search` shows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskembed.errors import ExitCode
from tests.cli.support import write_jsonl
from tests.conftest import Run

FILLER = "Nothing of note happened that day in the valley, and the river ran as before. "
DOCUMENTS = [
    {"id": "long", "text": FILLER * 30 + "The volcano erupted at noon. " + FILLER * 10},
    {"id": "short", "text": "The harbour froze in winter."},
    {"id": "other", "text": FILLER * 12},
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "corpus.jsonl", DOCUMENTS)


@pytest.fixture
def chunked(run: Run, corpus: Path, folder: Path) -> Path:
    made = run("index", corpus, "--task", "retrieval", "--index", folder, "--chunk", "auto")
    assert (made.code, made.err.count("note:")) == (0, 0)
    return folder


def hits(run: Run, folder: Path, *options: str) -> list[dict[str, Any]]:
    found = run("search", "volcano erupted", "--index", folder, "--json", *options)
    assert found.code == 0, found.err
    value = found.json
    assert isinstance(value, dict)
    return list(value["hits"])


def test_a_hit_has_its_best_chunk_and_where_it_is(run: Run, chunked: Path) -> None:
    found = hits(run, chunked, "--mode", "dense")
    assert sorted(hit["doc_id"] for hit in found) == ["long", "other", "short"]
    (long,) = (hit for hit in found if hit["doc_id"] == "long")
    chunk = long["chunk"]
    assert long["text"] == DOCUMENTS[0]["text"].strip()
    assert long["text"][chunk["start"] : chunk["end"]] == chunk["text"]
    assert "volcano" in chunk["text"]
    assert chunk["text"].endswith((".", "before"))
    (bare,) = hits(run, chunked, "--mode", "dense", "--no-text", "-k", "1")
    assert set(bare["chunk"]) == {"start", "end"}


def test_tables_and_tsv_show_the_chunk(run: Run, chunked: Path) -> None:
    for options in (["--format", "table"], ["--format", "tsv"]):
        out = run("search", "volcano", "--index", chunked, "--mode", "dense", *options).out
        assert len(out) < len(FILLER) * 25  # and not the 40 sentences of the document


def test_chunks_are_listed_on_request(run: Run, chunked: Path) -> None:
    found = hits(run, chunked, "--chunks", "-k", "50")
    places = [(hit["doc_id"], hit["chunk"]["start"]) for hit in found]
    assert len(set(places)) == len(places) > 3
    queries = write_jsonl(chunked.parent / "q.jsonl", [{"id": "q", "text": "volcano"}])
    many = ["--queries", str(queries), "--format", "trec"]
    refused = run("search", *many, "--index", chunked, "--chunks")
    assert refused.code == ExitCode.USAGE
    assert "--chunks may list a document twice" in refused.err


def test_info_shows_the_rule_and_later_runs_keep_it(run: Run, chunked: Path, corpus: Path) -> None:
    info = run("info", "--index", chunked).out
    assert "\nchunking: 128:25\n" in info
    again = run("index", corpus, "--index", chunked)
    assert again.out.startswith("0 added, 0 updated, 0 deleted, 3 unchanged")
    assert run("verify", "--index", chunked).code == 0
    other = run("index", corpus, "--index", chunked, "--chunk", "64")
    assert other.code == ExitCode.USAGE
    assert "--chunk 64:12: the documents of this index are cut into chunks" in other.err
    assert "--chunk 64:12 --recreate" in other.err
    wrong = run("index", corpus, "--index", chunked, "--chunk", "sentences")
    assert wrong.code == ExitCode.USAGE
    assert "--chunk sentences: expected auto" in wrong.err


def test_a_chunk_must_fit_what_the_model_reads(run: Run, corpus: Path, folder: Path) -> None:
    done = run("index", corpus, "--task", "retrieval", "--index", folder, "--chunk", "300")
    assert done.code == ExitCode.USAGE
    assert "the model reads 254 tokens of a text" in done.err
    assert not list(folder.glob("manifest-*"))
