"""What commands say beside their results, and of words that they cannot use."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from taskembed.cli import _words
from taskembed.cli._output import report
from taskembed.cli._progress import Display
from taskembed.cli.main import main
from taskembed.encoding import fake
from taskembed.encoding.fake import FakeEngine
from taskembed.encoding.tokens import Batch, load_tokenizer
from taskembed.errors import BadInputError
from taskembed.reading.documents import Document
from taskembed.testing import HASH_SPACE, HashEncoder, fake_models
from taskembed.vectors import FloatRows
from taskembed.verbs.describe import half_built
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.conftest import Run


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("made")
    corpus = folder / "corpus.jsonl"
    texts = ["word " * 400, "short", "also short"]
    corpus.write_text("".join(json.dumps({"id": text[:6], "text": text}) + "\n" for text in texts))
    options = ["--task", "retrieval", "--index", str(folder / "index"), "--cache", str(cache)]
    with fake_models():
        assert main(["index", str(corpus), *options]) == 0
    return folder / "index"


# what is cut


def test_many_cut_documents_are_said_in_words() -> None:
    assert _words.truncated(1234, 5183, HASH_SPACE) == (
        "1,234 of 5,183 documents are longer than the 32 tokens that hash reads; "
        "the rest of each was not embedded"
    )
    assert _words.truncated(1, 1, HASH_SPACE) == (
        "1 of 1 document is longer than the 32 tokens that hash reads; its rest was not embedded"
    )
    assert _words.truncated(4, 100, HASH_SPACE) is None
    assert _words.truncated(5, 100, HASH_SPACE) is not None
    assert _words.truncated(0, 0, HASH_SPACE) is None


def test_cut_documents_are_said_by_index_and_counted_by_info(run: Run, indexed: Path) -> None:
    corpus = indexed.parent / "corpus.jsonl"
    note = (
        "taskembed: note: 1 of 3 documents is longer than the 256 tokens that minilm reads; "
        "its rest was not embedded\n"
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
        "its rest was not searched for\n"
    )
    queries = tmp_path / "queries.jsonl"
    queries.write_text(
        "".join(json.dumps({"id": str(i), "text": t}) + "\n" for i, t in enumerate([long, "a"]))
    )
    done = run("search", "--queries", queries, "--index", indexed, "-k", "1")
    assert done.err == (
        "taskembed: note: 1 of 2 queries is longer than the 256 tokens that minilm reads; "
        "what is beyond that was not searched for\n"
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
        "its rest was not searched for"
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
        f"taskembed: {folder} holds 2 documents: taskembed search \"...\" --index '{folder}'\n"
    )
    value = run("index", corpus, *options, "--json").json
    assert isinstance(value, dict)
    assert value["index"] == str(folder)
    assert _words.next_step(1, Path("taskembed-index")) == (
        'taskembed-index holds 1 document: taskembed search "..."'
    )


def test_info_is_not_written_in_python(run: Run, indexed: Path) -> None:
    lines = run("info", "--index", indexed).out.splitlines()
    assert "being_recreated: no" in lines
    assert "  query_prompt: none" in lines
    assert "  normalize: yes" in lines
    assert "generations_kept: 0, 1" in lines
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


# words that cannot be used


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-k", "abc"), "--top-k: 'abc' is not a whole number"),
        (("-k", "1.5"), "--top-k: '1.5' is not a whole number"),
        (("-k", "0"), "--top-k: '0' is less than 1"),
        (("--min-score", "x"), "--min-score: 'x' is not a number"),
        (("--device", "x"), "--device: 'x' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
    ],
)
def test_a_value_is_refused_in_our_words(run: Run, arguments: tuple[str, str], said: str) -> None:
    assert run("search", "x", *arguments).err == (
        f"taskembed: error: {said}\ntaskembed: hint: --help shows what there is\n"
    )


def test_a_variable_is_named_when_it_is_the_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKEMBED_THREADS", "ten")
    done = run("search", "x")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "taskembed: error: TASKEMBED_THREADS: 'ten' is not a whole number",
    )


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["operating", "system"], 'put the query in quotes: taskembed search "operating system"'),
        (["a", "-k", "3", "$b"], "put the query in quotes: taskembed search 'a $b'"),
        (["-foo"], 'a query that begins with a dash goes after --: taskembed search -- "-foo"'),
        (["-king"], 'a query that begins with a dash goes after --: taskembed search -- "-king"'),
        (["x", "--nonsense"], "--help shows what there is"),
        (["x", "--tag", "-zoo", "-z"], "--help shows what there is"),  # a value is no query
        (["-z", "--", "-zoo"], "--help shows what there is"),
    ],
)
def test_a_query_that_the_shell_took_apart_is_recognised(
    run: Run, arguments: list[str], hint: str
) -> None:
    done = run("search", *arguments)
    assert done.code == 2
    assert done.err.endswith(f"taskembed: hint: {hint}\n")


def test_a_query_is_read_before_a_model_is_loaded_for_it(run: Run, indexed: Path) -> None:
    words = ("search", "--query-file", indexed / "none", "--index", indexed)
    done = run(*words, "--rerank", "no-such-reranker")
    assert (done.code, done.out) == (66, "")
    assert done.err.startswith(f"taskembed: error: {indexed / 'none'}: No such file or directory\n")


# what takes long


@pytest.fixture
def everything_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show every step at every tick, and go on with a step only after some ticks."""
    for name, seconds in (("TICK", 0.002), ("LONG", 0), ("LINE_EVERY", 0)):
        monkeypatch.setattr(f"taskembed.cli._progress.{name}_SECONDS", seconds)
    ticks = 0
    tick = Display.tick

    def counted(display: Display, now: float) -> None:
        nonlocal ticks
        tick(display, now)
        ticks += 1

    def wait() -> None:
        begin, deadline = ticks, time.monotonic() + 30
        is_shown = any(thread.name == "progress" for thread in threading.enumerate())
        while is_shown and ticks < begin + 3:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    run = FakeEngine.run

    def run_slowly(
        engine: FakeEngine, batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, FloatRows]]:
        wait()
        yield from run(engine, batches)

    def load_slowly(text: str) -> Tokenizer:
        wait()
        return load_tokenizer(text)

    monkeypatch.setattr(Display, "tick", counted)
    monkeypatch.setattr(FakeEngine, "run", run_slowly)
    monkeypatch.setattr(fake, "_tokenizer", load_slowly)


@pytest.mark.usefixtures("everything_is_long")
def test_what_takes_long_is_shown(run: Run, indexed: Path, tmp_path: Path) -> None:
    corpus = indexed.parent / "corpus.jsonl"
    done = run("index", corpus, "--task", "retrieval", "--index", tmp_path / "new")
    assert "documents, 0 % of the input" in done.err
    assert "loading the model minilm" in done.err
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "q", "text": "a word"}\n')
    done = run("search", "--queries", queries, "--index", indexed, "--format", "tsv")
    assert "0 queries" in done.err
    assert "loading the model minilm" in done.err
    assert run("verify", "--index", indexed).out.startswith("generation")
    quiet = run("search", "--queries", queries, "--index", indexed, "--format", "tsv", "-q")
    assert (quiet.out, quiet.err) == (done.out, "")
