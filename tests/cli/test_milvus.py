"""`export --to milvus` and `search --index milvus:...`: what they print, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import DOCUMENTS, make_index
from tests.conftest import Run

slow = pytest.mark.slow  # the library takes a second to load


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    return make_index(tmp_path, DOCUMENTS, cache, "--quiet")


@pytest.fixture
def target(tmp_path: Path) -> tuple[str, ...]:
    return ("--to", "milvus", str(tmp_path / "m.db"), "--collection", "notes")


@slow
def test_an_index_is_exported_and_searched(
    run: Run, folder: Path, tmp_path: Path, target: tuple[str, ...]
) -> None:
    address = f"milvus:{tmp_path}/m.db/notes"
    done = run("export", "--index", folder, *target)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"4 documents at {address}: 4 of 4 rows sent, ")
    again = run("export", "--index", folder, *target, "--json").json
    assert again == {
        "address": address,
        "documents": 4,
        "rows": 4,
        "rows_sent": 0,
        "bytes_sent": 0,
        "rows_deleted": 0,
        "dim": 384,
        "task": "retrieval",
    }
    fewer = run("export", "--index", folder, *target, "--where", "topic = 'food'")
    assert fewer.out == (
        f"2 documents at {address}: 0 of 2 rows sent, 0 bytes, 2 old rows deleted\n"
    )
    none = run("export", "--index", folder, *target, "--where", "topic = 'none'")
    assert (none.code, none.err.splitlines()[0]) == (
        65,
        f"taskembed: error: {address}: there are no documents to export: every row of the "
        "collection would be deleted",
    )
    run("export", "--index", folder, *target, "--quiet")
    for options in (("-k", "3"), ("--format", "tsv"), ("--json", "--fields", "year")):
        mine = run("search", "sea", "--index", folder, "--mode", "dense", *options)
        found = run("search", "sea", "--index", address, *options)
        assert (found.code, found.out, found.err) == (0, mine.out, mine.err)


@slow
def test_the_guard_refuses(run: Run, folder: Path, tmp_path: Path, target: tuple[str, ...]) -> None:
    address = f"milvus:{tmp_path}/m.db/notes"
    assert run("export", "--index", folder, *target, "-q").code == 0
    other = ("--index", tmp_path / "other")
    assert run("index", tmp_path / "corpus.jsonl", *other, "--task", "clustering", "-q").code == 0
    done = run("export", *other, *target)
    assert done.code == 78
    lines = done.err.splitlines()
    assert lines[0] == (
        f"taskembed: error: {address}: this is not the embedding space of the collection"
    )
    assert "  task: the collection has 'retrieval', not 'clustering'" in lines
    assert run("search", "x", "--index", address, "--task", "clustering").code == 78
    assert run("search", "x", "--index", address, "--where", "year > 1").code == 2
    absent = run("search", "x", "--index", f"{address}s")
    assert (absent.code, "there is no such collection" in absent.err) == (66, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no output is named"),
        (("http://h",), "a collection needs --to"),
        (("--collection", "n", "-o", "v.npy"), "a collection needs --to"),
        (("--recreate", "-o", "v.npy"), "a collection needs --to"),
        (("--to", "milvus", "--collection", "n"), "--to needs the URI of the server"),
        (("--to", "milvus", "http://h"), "--to needs --collection"),
        (("--to", "milvus", "x.db", "--collection", "n", "-o", "v.npy"), "use either --output or"),
        (("--to", "milvus", "x.db", "--collection", "n", "--dtype", "float16"), "float32 only"),
        (("--to", "milvus", "x.db", "--collection", "a-b"), "is not a name of a collection"),
        (("--to", "milvus", "http://a:b@h", "--collection", "n"), "a password does not belong"),
        (("--to", "milvus", "h:1", "--collection", "n"), "neither the URI of a Milvus server nor"),
        (("--to", "other", "h:1", "--collection", "n"), "'other' is not one of 'milvus'"),
    ],
)
def test_usage(run: Run, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run("export", "--index", folder, *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize(
    "command",
    [
        ("info",),
        ("index", "corpus.jsonl"),
        ("export", "-o", "v.npy"),
        ("similar", "a"),
        ("publish", "s3://b/k"),
        ("delete", "a"),
        ("mcp",),
    ],
)
def test_only_search_reads_a_collection(run: Run, command: tuple[str, ...]) -> None:
    index = () if command == ("mcp",) else ("--index",)
    done = run(*command, *index, "milvus://h:1/notes")
    assert (done.code, done.out) == (2, "")
    assert f"only `search` reads a Milvus collection, not `{command[0]}`" in done.err


def test_an_address_without_a_collection(run: Run) -> None:
    done = run("search", "x", "--index", "milvus://localhost:19530")
    assert (done.code, "it names no collection" in done.err) == (2, True)


def test_offline_is_offline(run: Run) -> None:
    done = run("search", "x", "--index", "milvus://127.0.0.1:1/notes", "--offline")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "taskembed: error: milvus://127.0.0.1:1/notes: it is on a server, and the network is not "
        "to be used",
    )


def test_names_of_the_configuration_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    monkeypatch.setenv("TASKEMBED_CONFIG", str(config))
    config.write_text(
        '[indexes]\nfar = "milvus://127.0.0.1:1/notes"\nnear = "milvus:~/absent.db/notes"\n'
    )
    assert "no such Milvus Lite database" in run("search", "x", "--index", "near").err
    assert "milvus://127.0.0.1:1/notes" in run("info", "--index", "far").err
    config.write_text('[indexes]\nnear = "milvus:notes.db/notes"\n')
    assert "must be an absolute path" in run("search", "x", "--index", "near").err
