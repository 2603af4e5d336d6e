"""What commands say beside their results, and of words that they cannot use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskembed.cli.printing import sentences
from taskembed.cli.printing.output import report
from taskembed.errors import BadInputError
from taskembed.reading.document import Document
from taskembed.testing import HASH_SPACE, HashEncoder
from taskembed.verbs.describe import half_built
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.cli.support import make_index
from tests.conftest import Run


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    records = [{"id": text[:6], "text": text} for text in ("word " * 400, "short", "also short")]
    return make_index(tmp_path_factory.mktemp("made"), records, cache)


# what is cut


def test_many_cut_documents_are_said_in_words() -> None:
    assert sentences.truncated(1234, 5183, HASH_SPACE) == (
        "1,234 of 5,183 documents are longer than the 32 tokens that hash reads; "
        "the rest of each was not embedded"
    )
    assert sentences.truncated(1, 1, HASH_SPACE) == (
        "1 of 1 document is longer than the 32 tokens that hash reads; its rest was not embedded"
    )
    assert sentences.truncated(4, 100, HASH_SPACE) is None
    assert sentences.truncated(5, 100, HASH_SPACE) is not None
    assert sentences.truncated(0, 0, HASH_SPACE) is None


def test_cut_documents_are_said_by_index_and_counted_by_info(run: Run, indexed: Path) -> None:
    corpus = indexed.parent / "corpus.jsonl"
    note = (
        "taskembed: note: 1 of 3 documents is longer than the 256 tokens that minilm reads; "
        "its rest was not embedded; to embed all of it, use --chunk auto --recreate\n"
    )
    assert run("index", corpus, "--index", indexed).err == note
    assert run("index", corpus, "--index", indexed, "--quiet").err == ""
    assert "\ntruncated: 1\n" in run("info", "--index", indexed).out
    value = run("info", "--index", indexed, "--json").json
    assert isinstance(value, dict)
    assert (value["documents"], value["truncated"]) == (3, 1)


def test_deleted_documents_are_not_counted_as_cut(run: Run, indexed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(indexed, tmp_path / "index"))
    run("delete", "word w", "--index", folder)
    assert "\ntruncated: 0\n" in run("info", "--index", folder).out


def test_info_tells_what_it_can_of_a_damaged_index(run: Run, indexed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(indexed, tmp_path / "index"))
    path = next(folder.glob("*.db"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = run("info", "--index", folder)
    assert (done.code, "\ntruncated: none\n" in done.out) == (0, True)
    assert "note: the truncated documents cannot be counted: the index is damaged" in done.err


def test_cut_queries_are_said(run: Run, indexed: Path, tmp_path: Path) -> None:
    long = "word " * 400
    done = run("search", long, "--index", indexed, "-k", "1")
    assert done.err == (
        "taskembed: note: the query is longer than the 256 tokens that minilm reads; "
        "the rest was ignored\n"
    )
    queries = tmp_path / "queries.jsonl"
    queries.write_text(
        "".join(json.dumps({"id": str(i), "text": t}) + "\n" for i, t in enumerate([long, "a"]))
    )
    done = run("search", "--queries", queries, "--index", indexed, "-k", "1")
    assert done.err == (
        "taskembed: note: 1 of 2 queries is longer than the 256 tokens that minilm reads; "
        "the rest was ignored\n"
    )
    assert run("search", long, "--index", indexed, "--quiet").err == ""


def test_evaluate_says_what_was_cut(run: Run, indexed: Path, tmp_path: Path) -> None:
    long = "word " * 400
    for name, lines in {
        "corpus.jsonl": [{"id": "a", "text": long}, {"id": "b", "text": "short"}],
        "queries.jsonl": [{"id": "q", "text": long}],
    }.items():
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    of_query = (
        "taskembed: note: the query is longer than the 256 tokens that minilm reads; "
        "the rest was ignored"
    )
    done = run("evaluate", tmp_path, "--task", "retrieval")
    assert done.err.splitlines()[-2:] == [
        "taskembed: note: 1 of 2 documents is longer than the 256 tokens that minilm reads; "
        "its rest was not embedded",
        of_query,
    ]
    on_index = run("evaluate", tmp_path, "--index", indexed)
    assert of_query in on_index.err.splitlines()


# what index and info say


def test_a_run_says_what_the_index_holds_and_how_to_search_it(
    run: Run, tmp_path: Path, indexed: Path
) -> None:
    assert indexed.exists()  # so the model is compiled, which would be said
    corpus = tmp_path / "c.jsonl"
    corpus.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": ""}\n')
    folder = tmp_path / "my index"
    options = ("--task", "retrieval", "--index", folder)
    assert run("index", corpus, *options).err == (
        "taskembed: note: 1 document has no text\n"
        f"taskembed: {folder} contains 2 documents: taskembed search \"...\" --index '{folder}'\n"
    )
    value = run("index", corpus, *options, "--json").json
    assert isinstance(value, dict)
    assert value["index"] == str(folder)
    assert sentences.next_step(1, Path("taskembed-index"), is_default=True) == (
        'taskembed-index contains 1 document: taskembed search "..."'
    )


def test_info_is_not_written_in_python(run: Run, indexed: Path) -> None:
    lines = run("info", "--index", indexed).out.splitlines()
    assert "being_recreated: no" in lines
    assert "  query_prompt: none" in lines
    assert "  normalize: yes" in lines
    value = run("info", "--index", indexed, "--json").json
    assert isinstance(value, dict)
    assert f"generations_kept: {', '.join(map(str, value['generations_kept']))}" in lines
    for word in ("''", "True", "False", "None", "[", "{'"):
        assert not any(f": {word}" in line for line in lines), word


def test_a_recreate_that_was_stopped_is_said_with_the_way_on(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    documents = [Document(str(number), f"text {number}", {}) for number in range(3)]
    index_corpus(documents, HashEncoder(), folder)

    def broken() -> Iterator[Document]:
        yield from documents[:2]
        raise BadInputError("cut short")

    options = IndexOptions(recreate=True, commit_every=1)
    with pytest.raises(BadInputError):
        index_corpus(broken(), HashEncoder(), folder, options=options)
    done = run("info", "--index", folder)
    assert done.err == (
        "taskembed: note: a run with --recreate was stopped after 2 documents: the same command "
        "with --recreate continues it; until then its files are kept\n"
    )
    assert "\nbeing_recreated: yes\n" in done.out
    assert half_built(1).startswith("a run with --recreate was stopped after 1 document: ")


def test_one_document_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    for safe, said in ((1, "1 document is safe"), (2_000, "2,000 documents are safe")):
        error = BadInputError("cut short")
        error.safe_documents = safe
        report(error, as_json=False)
        assert f"taskembed: {said} in the index\n" in capsys.readouterr().err
