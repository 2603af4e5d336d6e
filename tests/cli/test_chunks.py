"""Long documents on the command line: `index --chunk`, and what `search` shows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskembed.errors import ExitCode
from taskembed.reading import definitions
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
    assert "the model reads only 254 tokens of a text" in done.err
    assert not list(folder.glob("manifest-*"))


VALUES = "".join(f"  const value{number} = {number} * 3;\n" for number in range(13))
SCRIPT = "".join(f"function {name}() {{\n{VALUES}}}\n" for name in ("freeze", "erupt", "melt"))
PROGRAM = "".join(
    f"def {name}():\n" + "".join(f"    value{number} = {number} * 3\n" for number in range(13))
    for name in ("freeze", "erupt", "melt")
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    (made / "script.js").write_text(SCRIPT)
    (made / "program.py").write_text(PROGRAM)
    return made


def starts(run: Run, folder: Path) -> dict[str, list[str]]:
    """The first word of each chunk of each document."""
    options = ["--index", str(folder), "--json", "--mode", "dense", "--chunks", "-k", "50"]
    found = run("search", "erupt", *options)
    chunks: dict[str, list[str]] = {}
    assert isinstance(found.json, dict)
    for hit in sorted(found.json["hits"], key=lambda hit: int(hit["chunk"]["start"])):
        chunks.setdefault(hit["doc_id"], []).append(hit["chunk"]["text"].split("()")[0])
    return chunks


def test_source_code_is_cut_at_its_definitions(run: Run, project: Path, folder: Path) -> None:
    made = run("index", project, "--task", "code", "--index", folder, "--chunk", "128")
    assert (made.code, "note:" in made.err) == (0, False), made.err
    assert starts(run, folder) == {
        "program.py": ["def freeze", "def erupt", "def melt"],
        "script.js": ["function freeze", "function erupt", "function melt"],
    }
    assert "\ncut_at: definitions-1 (ast, tree-sitter)\n" in run("info", "--index", folder).out


def test_parsers_of_an_index_are_remembered_and_needed_again(
    run: Run, project: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = ("index", project, "--index", folder)
    with monkeypatch.context() as without:
        without.setattr(definitions, "TREE_SITTER", "no_such_library")
        made = run(*index, "--task", "code", "--chunk", "128")
        assert "note: only Python files were cut at definitions" in made.err
        assert "[code]" in made.err
    # the parsers are there now, and the index is cut as it was before
    (project / "other.js").write_text(SCRIPT + "// again\n")
    again = run(*index, "--chunk", "128")
    assert again.out.startswith("1 added, 0 updated, 0 deleted, 2 unchanged")
    assert "note:" not in again.err
    found = starts(run, folder)
    assert found["program.py"] == ["def freeze", "def erupt", "def melt"]
    assert found["other.js"][1] == found["script.js"][1] != "function erupt"
    assert run(*index, "--recreate").code == 0
    assert starts(run, folder)["other.js"][1] == "function erupt"
    monkeypatch.setattr(definitions, "TREE_SITTER", "no_such_library")
    refused = run(*index)
    assert refused.code == ExitCode.MODEL_UNAVAILABLE
    assert "are cut at definitions by tree-sitter, which is not installed" in refused.err
    assert "--chunk 128:25 --recreate" in refused.err
    assert run("search", "erupt", "--index", folder).code == 0


def test_an_index_of_prose_is_cut_at_sentences(run: Run, chunked: Path) -> None:
    assert "\ncut_at: sentences-1\n" in run("info", "--index", chunked).out


@pytest.mark.parametrize(("options", "figure"), [((), "0.6309"), (("--chunk", "16:0"), "1.0000")])
def test_evaluate_ranks_the_documents_of_an_index_by_their_best_chunks(
    run: Run, corpus: Path, folder: Path, tmp_path: Path, options: tuple[str, ...], figure: str
) -> None:
    """Truncated, the end of "long" is not read, and it comes second: 1 / log2(3) is 0.6309."""
    write_jsonl(corpus, [DOCUMENTS[0], {"id": "decoy", "text": "At noon the harbour froze."}])
    queries = write_jsonl(
        tmp_path / "queries.jsonl", [{"id": "q", "text": "The volcano erupted at noon."}]
    )
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\tlong\t1\n")
    run("index", corpus, "--task", "retrieval", "--index", folder, "--no-words", *options)
    files = ("--queries", queries, "--qrels", tmp_path / "qrels.tsv")
    done = run("evaluate", "--index", folder, *files)
    assert done.out.splitlines()[0] == f"nDCG@10  {figure}", done.err


def test_tune_measures_an_index_with_chunks(run: Run, tmp_path: Path, folder: Path) -> None:
    records: list[dict[str, object]] = [
        {"id": f"{number}", "text": f"Number {number}. {FILLER * 12}"} for number in range(12)
    ]
    corpus = write_jsonl(tmp_path / "many.jsonl", records)
    run("index", corpus, "--task", "retrieval", "--index", folder, "--chunk", "64")
    done = run("tune", "--index", folder, "--sample", "3")
    assert (done.code, done.out.splitlines()[0]) == (0, "3 queries of 12 documents, task retrieval")
    assert {line.split()[1] for line in done.out.splitlines()[2:]} == {"1.0000"}
