"""Runs of `taskembed index` one after another: what is remembered, refused, and left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.conftest import Run
from tests.fakes import HashEncoder

PAGES = [{"url": f"u{n}", "body": f"page {n} of the book"} for n in range(4)]


def write(path: Path, *records: Mapping[str, object]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def stored_ids(folder: Path) -> list[str]:
    with Index.open(folder) as index:
        return [document.doc_id for document in index]


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    return write(tmp_path / "pages.jsonl", *PAGES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def made(run: Run, pages: Path, folder: Path) -> Path:
    words = ("--task", "retrieval", "--id-field", "url", "--text-field", "body")
    done = run("index", pages, *words, "--index", folder)
    assert done.code == 0, done.err
    return folder


def test_the_second_run_needs_no_options(run: Run, pages: Path, made: Path) -> None:
    again = run("index", pages, "--index", made, "--json")
    assert again.code == 0, again.err
    assert isinstance(again.json, dict)
    assert (again.json["unchanged"], again.json["documents"]) == (4, 4)
    assert stored_ids(made) == ["u0", "u1", "u2", "u3"]
    shown = run("info", "--index", made).out
    assert "reading:\n  id_field: url\n" in shown


def test_another_id_field_is_refused_but_not_for_a_new_index(
    run: Run, tmp_path: Path, made: Path
) -> None:
    keyed = write(tmp_path / "k.jsonl", *({**page, "key": page["url"] + "k"} for page in PAGES))
    refused = run("index", keyed, "--id-field", "key", "--index", made)
    assert refused.code == 2
    assert refused.err.startswith(
        "taskembed: error: --id-field key: the ids of this index come from the field "
        "'url', so every document would be added a second time\n"
    )
    assert stored_ids(made) == ["u0", "u1", "u2", "u3"]
    anew = run("index", keyed, "--id-field", "key", "--index", made, "--recreate")
    assert anew.code == 0, anew.err
    assert stored_ids(made) == ["u0k", "u1k", "u2k", "u3k"]
    assert run("index", keyed, "--index", made).out.startswith("0 added")


@pytest.mark.parametrize("skip", [[], ["--skip-bad"]])
def test_a_field_that_no_record_has_is_named(
    run: Run, pages: Path, folder: Path, skip: list[str]
) -> None:
    words = ("--task", "retrieval", "--text-field", "body", "--index", folder, *skip)
    done = run("index", pages, "--id-field", "ulr", *words)
    assert done.code == 65
    assert f'{pages}:1: there is no field "ulr"; the fields are: url, body\n' in done.err
    done = run(
        "index", pages, "--task", "retrieval", "--template", "{bdoy}", "--index", folder, *skip
    )
    assert done.code == 65
    assert f'{pages}:1: there is no field "bdoy"; the fields are: url, body\n' in done.err
    assert [path.name for path in folder.iterdir()] == ["LOCK"]


def test_a_record_without_the_named_id_is_a_bad_one(run: Run, tmp_path: Path, made: Path) -> None:
    more = write(tmp_path / "more.jsonl", {"url": "u9", "body": "x"}, {"url": None, "body": "y"})
    done = run("index", more, "--index", made)
    assert done.code == 65
    assert f'{more}:2: the field "url" is null\n' in done.err
    assert run("index", more, "--index", made, "--skip-bad").code == 1
    assert stored_ids(made) == ["u0", "u1", "u2", "u3", "u9"]


def test_records_without_ids_are_refused_where_the_others_have_some(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    named = write(tmp_path / "named.jsonl", *({"id": f"d{n}", "text": f"t {n}"} for n in range(3)))
    assert run("index", named, "--task", "retrieval", "--index", folder).code == 0
    nameless = write(tmp_path / "nameless.jsonl", *({"text": f"t {n}"} for n in range(3)))
    done = run("index", nameless, "--index", folder)
    assert done.code == 65
    assert "the records have no ids, but the documents of the index have ids" in done.err
    assert stored_ids(folder) == ["d0", "d1", "d2"]
    # an index of records without ids takes more of them
    other = folder.with_name("other")
    assert run("index", nameless, "--task", "retrieval", "--index", other).code == 0
    more = write(tmp_path / "more.jsonl", {"text": "more"})
    assert run("index", more, "--index", other).code == 0
    assert len(stored_ids(other)) == 4


def test_records_without_an_id_are_counted_and_can_be_named_anew(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    table = tmp_path / "a.csv"
    table.write_text("ID,text\n7,one\n8,two\n")
    done = run("index", table, "--task", "retrieval", "--index", folder)
    assert (
        "taskembed: note: 2 records had no id: the sha256 of the text is used; "
        "if the id is in another field, use --id-field NAME --recreate\n"
    ) in done.err
    assert run("index", table, "--id-field", "ID", "--recreate", "--index", folder).code == 0
    assert stored_ids(folder) == ["7", "8"]


def test_a_first_run_that_fails_leaves_nothing_in_the_way_and_says_which_field_to_take(
    run: Run, pages: Path, folder: Path
) -> None:
    done = run("index", pages, "--task", "retrieval", "--index", folder)
    assert done.code == 65
    assert "taskembed: hint: --text-field body\n" in done.err
    words = ("--text-field", "body", "--id-field", "url", "--index", folder)
    assert run("index", pages, "--task", "similarity", *words).code == 0
    assert stored_ids(folder) == ["u0", "u1", "u2", "u3"]


def test_an_index_that_does_not_say_how_it_was_read_is_taken_as_before(tmp_path: Path) -> None:
    options = IndexOptions(words="")
    index_corpus([Document("a", "one", {})], HashEncoder(), tmp_path / "i", options=options)
    with Index.open(tmp_path / "i") as index:
        assert index.contents.live.reading is None
        assert set(index.contents.to_json()) == {*("live", "building", "committed_at", "last_run")}


def test_prune_stops_where_an_input_was_cut_short(run: Run, pages: Path, made: Path) -> None:
    write(pages, *PAGES[:1])
    done = run("index", pages, "--index", made, "--prune")
    assert done.code == 65
    assert "error: --prune would delete 3 of 4 documents, 75 %: more than --prune-limit 20\n" in (
        done.err
    )
    assert (
        "hint: nothing was deleted; if the input is complete, use --prune-limit 75, or --yes\n"
        in (done.err)
    )
    assert len(stored_ids(made)) == 4
    assert run("index", pages, "--index", made, "--prune", "--dry-run").code == 65
    assert run("index", pages, "--index", made, "--prune", "--prune-limit", "74").code == 65
    assert run("index", pages, "--index", made, "--prune", "--yes").code == 0
    assert stored_ids(made) == ["u0"]


def test_a_dry_run_says_what_the_run_does_and_writes_nothing(
    run: Run, tmp_path: Path, pages: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[dict[str, object]] = [
        {**PAGES[0], "n": 1},
        {**PAGES[1], "body": "other"},
        {"url": "new", "body": "x"},
    ]
    write(pages, *changed, changed[2], PAGES[2])
    words = ("index", pages, "--index", made, "--prune", "--prune-limit", "25", "--json")
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    (made / "LOCK").chmod(0o444)
    with monkeypatch.context() as patch:
        patch.setattr("taskembed.encoding.load.load_encoder", None)
        patch.setattr("taskembed.encoding.load.load_encoder_of", None)
        planned = run(*words, "--dry-run")
        new = run("index", pages, "--task", "code", "--index", tmp_path / "no", "--dry-run")
        gone = run("delete", "u0", "x", "u0", "--index", made, "--dry-run")
    assert (planned.code, new.code, gone.code) == (0, 65, 1), new.err
    assert gone.out == "1 would be deleted\n"
    assert not (tmp_path / "no").exists()
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    done = run(*words)
    assert isinstance(planned.json, dict)
    assert isinstance(done.json, dict)
    assert {**planned.json, "seconds": 0} == {**done.json, "seconds": 0}
    counts = ("added", "updated", "unchanged", "deleted", "duplicates", "encoded", "documents")
    assert [done.json[name] for name in counts] == [1, 2, 1, 1, 1, 2, 4]


def test_a_dry_run_is_refused_as_the_run_is(run: Run, pages: Path, made: Path) -> None:
    assert run("index", pages, "--index", made, "--task", "code", "--dry-run").code == 78
    new = made.with_name("new")
    assert run("index", pages, "--index", new, "--dry-run").code == 2
    words = ("--skip-bad", "--rejects", made.with_name("r"), "--dry-run")
    assert run("index", pages, "--index", made, *words).code == 2


def test_skip_bad_says_the_first_reasons(run: Run, tmp_path: Path, made: Path) -> None:
    many = write(tmp_path / "many.jsonl", PAGES[0], *({"url": f"b{n}"} for n in range(8)))
    done = run("index", many, "--index", made, "--skip-bad")
    assert done.code == 1
    said = [line for line in done.err.splitlines() if "rejected: " in line]
    reason = 'there is no field "body"; the fields are: url'
    assert said == [
        *(f"taskembed: rejected: {many}:{line}: {reason}" for line in range(2, 7)),
        "taskembed: rejected: 3 more; --rejects FILE keeps them all, with the reasons",
    ]


def test_a_recreation_that_was_stopped_is_mentioned(
    run: Run, tmp_path: Path, pages: Path, made: Path
) -> None:
    broken = write(tmp_path / "broken.jsonl", PAGES[0], {"url": "bad"})
    assert run("index", broken, "--index", made, "--recreate", "--commit-every", "1").code == 65
    done = run("index", pages, "--index", made)
    assert done.code == 0
    assert "note: a run with --recreate was stopped after 1 document: the same" in done.err
    assert "recreate" in run("info", "--index", made).out
    assert run("index", pages, "--index", made, "--recreate").code == 0
    assert "note: a run with --recreate" not in run("index", pages, "--index", made).err


def test_an_unchanged_run_finds_a_file_of_another_size(run: Run, pages: Path, made: Path) -> None:
    (vectors,) = made.glob("seg-*.faiss")
    vectors.write_bytes(vectors.read_bytes()[:-1])
    done = run("index", pages, "--index", made)
    assert done.code == 76
    assert f"{vectors}: it has" in done.err


def test_one_bad_query_does_not_stop_a_batch_that_may_skip_it(
    run: Run, tmp_path: Path, made: Path
) -> None:
    queries = tmp_path / "q.tsv"
    queries.write_text("id\ttext\n1\tpage 1 of the book\n2\t\n1\tpage 2\n3\tpage 3 of the book\n")
    words = ("search", "--queries", queries, "--index", made, "--format", "tsv", "-k", "1")
    stopped = run(*words)
    assert (stopped.code, stopped.err) == (
        65,
        f"taskembed: error: {queries}:3: the query is empty\n",
    )
    done = run(*words, "--skip-bad")
    assert [line.split("\t")[:3] for line in done.out.splitlines()] == [
        ["1", "1", "u1"],
        ["3", "1", "u3"],
    ]
    assert (done.code, done.err) == (
        1,
        f"taskembed: rejected: {queries}:3: the query is empty\n"
        f"taskembed: rejected: {queries}:4: duplicate id '1'\n",
    )
    refused = run("search", "page", "--index", made, "--skip-bad")
    assert (refused.code, refused.err) == (
        2,
        "taskembed: error: --skip-bad requires --queries\n",
    )
