"""Inputs at addresses: which commands take them, and what is refused."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest

from tests.cli.support import DOCUMENTS, make_index, start
from tests.conftest import Run
from tests.stores import Bucket
from tests.web import Answer, Web

LINES = "".join(json.dumps(document) + "\n" for document in DOCUMENTS).encode()


def test_a_corpus_queries_and_texts_are_read_from_a_server(
    run: Run, web: Web, indexed: Path
) -> None:
    index = ("--index", indexed)
    web.files |= {"/c.jsonl": LINES, "/q.tsv": b"q1\tthe moon\n", "/q.txt": b"the moon\n"}
    done = run("index", f"{web.address}/c.jsonl", *index, "--json").json
    assert isinstance(done, dict)
    assert (done["unchanged"], done["documents"]) == (4, 4)
    local = run("search", "the moon", *index, "--format", "ids").out
    assert run("search", "--query-file", f"{web.address}/q.txt", *index, "--format", "ids").out == (
        local
    )
    many = run("search", "--queries", f"{web.address}/q.tsv", *index, "--format", "tsv")
    assert (many.code, many.out.split("\t")[0]) == (0, "q1")


def test_texts_and_ids_for_similar_documents(
    run: Run, web: Web, tmp_path: Path, cache: Path
) -> None:
    folder = make_index(tmp_path, DOCUMENTS, cache, "--quiet", "--task", "similarity")
    web.files |= {"/ids.txt": b"moon\n", "/x.jsonl": LINES, "/latin.txt": b"\xe9"}
    index = ("--index", folder)
    many = run("similar", "--ids", f"{web.address}/ids.txt", *index, "--format", "jsonl", "-k", "1")
    assert many.code == 0
    assert json.loads(many.out.splitlines()[0])["query_id"] == "moon"
    done = run("similar", "--file", f"{web.address}/latin.txt?sig=0123456789", *index)
    assert (done.code, done.err.splitlines()[0]) == (
        65,
        f"taskembed: error: {web.address}/latin.txt?***: the text is not UTF-8",
    )
    found = run("dedup", f"{web.address}/x.jsonl", "--against", folder, "--json").json
    assert isinstance(found, dict)
    assert found["exact"] == 4


def test_vectors_are_imported_from_an_address(
    run: Run, web: Web, indexed: Path, tmp_path: Path
) -> None:
    assert run("export", "-o", tmp_path / "v.parquet", "--index", indexed).code == 0
    web.files["/v.parquet"] = (tmp_path / "v.parquet").read_bytes()
    copy = ("--index", tmp_path / "copy")
    done = run("import", f"{web.address}/v.parquet?sig=0123456789", *copy)
    assert (done.code, done.out.split(",")[0]) == (0, "4 added")
    done = run("import", f"{web.address}/v.npy?sig=0123456789", *copy)
    assert (done.code, done.err) == (
        2,
        f"taskembed: error: {web.address}/v.npy?***: only Parquet is read from an address\n",
    )
    web.files["/v.parquet"] = LINES
    done = run("import", f"{web.address}/v.parquet", *copy)
    assert done.code == 65
    assert f"error: {web.address}/v.parquet:" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "x", "-o", "https://me:pass@host/a?sig=1"), "--output needs"),
        (("index", "a.jsonl", "--skip-bad", "--rejects", "https://me:pass@host/a?sig=1"), "--rej"),
        (("evaluate", "https://me:pass@host/a?sig=1"), "it must be a file of this machine"),
        (("train", "https://me:pass@host/a?sig=1"), "it must be a file of this machine"),
    ],
)
def test_an_address_in_the_place_of_a_file_is_refused(
    run: Run, arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert f"error: https://***@host/a?***: {said}" in done.err
    assert "hint: use a file, and copy it" in done.err


def test_nothing_is_asked_for_without_the_network(
    run: Run, web: Web, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("index", f"{web.address}/c.jsonl", "--index", indexed, "--offline")
    assert done.code == 2
    assert done.err == (
        f"taskembed: error: {web.address}/c.jsonl: it is at an address, and the network is not to "
        "be used\ntaskembed: hint: leave out --offline, or copy it to this machine\n"
    )
    monkeypatch.setenv("TASKEMBED_OFFLINE", "1")
    done = run("search", "--queries", f"{web.address}/q.tsv", "--index", indexed)
    assert "hint: unset TASKEMBED_OFFLINE, or copy it to this machine" in done.err
    assert web.asked == []


def test_a_text_that_looks_like_an_address_is_a_text(run: Run, indexed: Path) -> None:
    assert run("search", "https://example.com/", "--index", indexed, "--offline").code == 0


def test_what_a_server_refuses_is_said_with_its_exit_code(
    run: Run, web: Web, indexed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    web.files["/c.jsonl"] = LINES
    for status, code, said in [
        (403, 77, "the server does not permit it"),
        (401, 77, "the server does not permit it"),
        (404, 66, "no such file or folder"),
    ]:
        web.answers.extend([Answer(status=status)] * 3)
        done = run("index", f"{web.address}/c.jsonl?sig=0123456789", "--index", indexed)
        web.answers.clear()
        assert (done.code, said in done.err) == (code, True), done.err
        assert "0123456789" not in done.out + done.err + str(capfd.readouterr())


@pytest.mark.slow
def test_a_corpus_in_a_bucket(run: Run, bucket: Bucket, tmp_path: Path) -> None:
    bucket.write("docs/lang=en/a.jsonl", LINES)
    folder = tmp_path / "new"
    done = run("index", f"{bucket.address}/docs", "--task", "retrieval", "--index", folder)
    assert (done.code, done.out.split(",")[0]) == (0, "4 added")
    done = run("list", "--index", folder, "--where", "lang = 'en'", "--format", "ids")
    assert len(done.out.splitlines()) == 4
    bucket.delete("docs/lang=en/a.jsonl")
    done = run("index", f"{bucket.address}/docs", "--index", folder)
    assert done.code == 66


def test_a_fetch_is_stopped_by_a_signal(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/index"
        process = start("search", "moon", "--index", address, cache=cache)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err.splitlines() == [
        "taskembed: error: stopped by SIGTERM",
        "taskembed: hint: what was fetched is kept: run the same command again to continue",
    ]
