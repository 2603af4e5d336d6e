"""`--log-file`: messages and progress are appended to a file, each line with the time."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from taskembed.activity import Step
from taskembed.cli.printing.log import LOG, LogFile
from taskembed.cli.printing.progress import Display
from tests.conftest import Run

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 ", re.MULTILINE)


def lines(path: Path) -> list[str]:
    text = path.read_text()
    found = text.splitlines()
    assert len(TIME.findall(text)) == len(found)
    return [TIME.sub("", line) for line in found]


def test_messages_and_the_counts_are_appended(
    run: Run, four_documents: Path, folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "index.log"
    arguments = ("index", four_documents, "--index", folder, "--log-file", log)
    first = run(*arguments, "--task", "retrieval")
    assert run(*arguments, "--quiet").err == ""
    assert lines(log) == [
        "4 added, 0 updated, 0 deleted, 0 unchanged, 0 rejected, 0 truncated",
        first.err.removeprefix("taskembed: ").rstrip("\n"),
        "0 added, 0 updated, 0 deleted, 4 unchanged, 0 rejected, 0 truncated",
    ]


def test_errors_are_logged_a_line_each_as_json_too(run: Run, tmp_path: Path, indexed: Path) -> None:
    log = tmp_path / "index.log"
    arguments = ("index", tmp_path / "lost.jsonl", "--index", indexed, "--log-file", log)
    run(*arguments)
    run(*arguments, "--json")
    error = f"error: no such file or folder: {tmp_path}/lost.jsonl"
    assert lines(log) == [error, "hint: check the path", error]


def test_control_characters_do_not_reach_the_log(tmp_path: Path) -> None:
    log = LogFile()
    log.open(tmp_path / "log")
    log.write("a\x1b[31m\nb\udcff")
    log.close()
    log.write("after the end")
    assert lines(tmp_path / "log") == ["a\\x1b[31m", "b\\udcff"]


def test_progress_is_logged_every_minute_whatever_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Step("writing the index")
    for number, (is_terminal, is_quiet) in enumerate(
        [(True, False), (False, False), (False, True)]
    ):
        LOG.open(tmp_path / str(number))
        display = Display([step], is_terminal=is_terminal, is_quiet=is_quiet)
        for now in range(130):
            display.tick(now)
        display = Display([], is_terminal=is_terminal, is_quiet=is_quiet)
        display.tick(131)
        LOG.close()
        expected = ["writing the index, 60 s", "writing the index, 2 min"]
        assert lines(tmp_path / str(number)) == expected
        assert bool(capsys.readouterr().err) is not is_quiet


def test_a_log_that_cannot_be_written_is_an_error_before_any_work(
    run: Run, four_documents: Path, folder: Path, tmp_path: Path
) -> None:
    before = four_documents.read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = ("index", four_documents, "--task", "retrieval", "--index", folder, "--log-file")
    for path, code, reason in (
        (tmp_path / "no" / "log", 66, "No such file or directory"),
        (tmp_path, 74, "Is a directory"),
        (pipe, 74, "No such device or address"),
        (four_documents, 2, f"--log-file would overwrite the input: {four_documents}"),
        (folder / "log", 2, f"--log-file would overwrite the input: {folder / 'log'}"),
    ):
        done = run(*arguments, path)
        assert (done.code, done.out) == (code, ""), path
        assert reason in done.err
        assert not folder.exists()
    assert four_documents.read_bytes() == before


def test_a_log_may_be_in_the_folder_that_is_indexed_but_not_be_one_of_its_files(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("text")
    arguments = ("index", notes, "--task", "retrieval", "--index", folder, "--log-file")
    assert run(*arguments, notes / "index.log").code == 0
    done = run(*arguments, notes / "a.md")
    assert (done.code, (notes / "a.md").read_text()) == (2, "text")


def test_a_full_disk_under_the_log_is_said_once_and_the_run_continues(
    run: Run, four_documents: Path, folder: Path
) -> None:
    done = run(
        *("index", four_documents, "--task", "retrieval", "--index", folder),
        *("--log-file", "/dev/full"),
    )
    assert done.code == 0
    note = f"note: the log file can no longer be written: {os.strerror(errno.ENOSPC)}"
    assert done.err.count(note) == 1
