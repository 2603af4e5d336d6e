"""`taskembed index` of CSV and TSV that do not look as they should: refused with what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_index_runs import stored_ids
from tests.conftest import Run

NEW = ("--task", "retrieval", "--dry-run")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own: the one of the checkout may have an index."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "reason", "hint"),
    [
        ("a.csv", b"id;text\n1;b\n", '2: there is no field "text"; the fields are: id;text', "';'"),
        ("a.csv", b"id;text\n1;b, c\n", "2: it has 2 cells, and the header has 1", "';'"),
        ("a.tsv", b"id,text\n1,b\n", '2: there is no field "text"; the fields are: id,text', ","),
        ("a.csv", b"id\ttext\n1\tb\n", '2: there is no field "text"; the fields are:', r"'\t'"),
    ],
)
def test_another_delimiter_is_named(
    run: Run, tmp_path: Path, name: str, content: bytes, reason: str, hint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    done = run("index", path, *NEW)
    assert done.code == 65
    assert f"error: {path}:{reason}" in done.err
    assert done.err.endswith(f"hint: --delimiter {hint}\n")
    delimiter = hint.strip("'")
    assert run("index", path, *NEW, "--delimiter", delimiter).out.startswith("1 added")


@pytest.mark.parametrize(
    ("encoding", "hint"),
    [
        ("latin-1", "cp1252 (of Windows) or latin-1"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le, or utf-16-be"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_another_encoding_is_named(
    run: Run, tmp_path: Path, name: str, encoding: str, hint: str
) -> None:
    path = tmp_path / name
    tab = "," if name == "a.csv" else "\t"
    path.write_bytes(f"id{tab}text\n1{tab}caf\xe9\n".encode(encoding))
    done = run("index", path, *NEW)
    assert done.code == 65
    assert done.err.endswith(f"hint: --encoding {hint}\n")
    assert run("index", path, *NEW, "--encoding", encoding).out.startswith("1 added")


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_json_in_a_table_is_named(run: Run, corpus: Path, kind: str) -> None:
    done = run("index", corpus, *NEW, "--format", kind)
    assert done.code == 65
    assert done.err.endswith("hint: the rows look like JSON: --format jsonl\n")


def test_an_encoding_that_is_wrong_is_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n1,a\n")
    done = run("index", path, *NEW, "--encoding", "utf-16")
    assert done.code == 65
    assert f"error: {path}: it is not encoded in utf-16: " in done.err
    assert done.err.endswith("hint: another --encoding\n")


@pytest.mark.parametrize("skip", [(), ("--skip-bad",)])
def test_upper_case_names_of_columns_are_hinted_at(
    run: Run, tmp_path: Path, skip: tuple[str, ...]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ID,TEXT\n1,a\n2,b\n")
    done = run("index", path, *NEW, *skip)
    assert (done.code, done.err) == (
        65,
        f'taskembed: error: {path}:2: there is no field "text"; the fields are: ID, TEXT\n'
        "taskembed: hint: --id-field ID --text-field TEXT\n",
    )
    words = ("--id-field", "ID", "--text-field", "TEXT")
    assert run("index", path, *NEW, *words).out.startswith("2 added")


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ("0\tThe presence of communication amid scientific minds", ""),
        ("d1\tthe moon", "--text-field 'the moon'; "),
    ],
)
def test_a_file_without_names_of_columns_is_read(
    run: Run, tmp_path: Path, row: str, hint: str
) -> None:
    path, folder = tmp_path / "collection.tsv", tmp_path / "index"
    path.write_text(f"{row}\nb\tthe sun\n")
    refused = run("index", path, *NEW)
    assert refused.code == 65
    wanted = "if the first row is data: --no-header --columns id,text"
    assert refused.err.endswith(f"hint: {hint}{wanted}\n")
    words = ("--no-header", "--columns", "id,text", "--task", "retrieval", "--index", folder)
    done = run("index", path, *words)
    assert done.code == 0, done.err
    assert stored_ids(folder) == sorted([row.partition("\t")[0], "b"])
    # the next run needs not be told again; and may be told otherwise
    assert run("index", path, "--index", folder).out.startswith("0 added, 0 updated")
    path.write_text("id\ttext\nb\tthe sun\n")
    named = run("index", path, "--index", folder)
    assert named.code == 65
    assert f"error: {path}:1: the first row repeats the names of the columns\n" in named.err
    assert named.err.endswith("hint: --header instead of --no-header and --columns\n")
    assert run("index", path, "--index", folder, "--header").out.startswith("0 added, 0 updated")
    assert run("index", path, "--index", folder).code == 0


@pytest.mark.parametrize(
    ("words", "reason", "hint"),
    [
        (["--no-header"], "--no-header needs the column names", "for example --columns id,text"),
        (
            ["--columns", "id,text"],
            "--columns requires --no-header",
            "if the first row contains the column names, use --id-field and --text-field "
            "to choose columns",
        ),
        (
            ["--no-header", "--columns", "id,id"],
            "--columns 'id,id': each column needs a name of its own",
            "for example --columns id,text",
        ),
        (
            ["--delimiter", ";;"],
            "--delimiter ';;' is not a single character that can separate cells",
            r"for example ';' or '\t'",
        ),
        (
            ["--encoding", "klingon"],
            "--encoding 'klingon' is unknown",
            "for example latin-1, cp1252 or utf-16",
        ),
    ],
)
def test_words_that_no_file_can_be_read_by_are_refused(
    run: Run, tmp_path: Path, words: list[str], reason: str, hint: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,a\n")
    done = run("index", path, *NEW, *words)
    assert (done.code, done.err) == (
        2,
        f"taskembed: error: {reason}\ntaskembed: hint: {hint}\n",
    )


@pytest.mark.parametrize("fault", [b"id\tid\n", b"id\ttext\xff\n", b"id\tTEXT\n"])
def test_a_header_with_a_fault_stops_the_run_though_bad_records_are_skipped(
    run: Run, tmp_path: Path, fault: bytes
) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(fault + b"1\ta\n2\tb\n")
    done = run("index", path, *NEW, "--skip-bad")
    assert done.code == 65
    assert f"error: {path}:" in done.err
