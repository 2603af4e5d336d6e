"""What every command does: help, completion, errors as JSON, bugs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run


def test_errors_are_json_when_json_is_asked_for(run: Run, tmp_path: Path) -> None:
    done = run("search", "x", "--index", tmp_path / "nowhere", "--json")
    assert json.loads(done.err) == {
        "error": f"no index at {tmp_path / 'nowhere'}",
        "exit_code": 66,
        "hint": "create one: taskembed index CORPUS --task retrieval --index "
        f"{tmp_path / 'nowhere'}",
        "safe_documents": None,
    }


def test_help_version_and_no_command(run: Run) -> None:
    from taskembed import __version__

    assert run("--version").out == run("-V").out == f"taskembed {__version__}\n"
    assert run("--help").out.startswith("Usage: taskembed ")
    assert run().code == 2
    assert run("index").code == 2
    assert run("nonsense").err.startswith("taskembed: error: no such command 'nonsense'")
    assert run("help", "nonsense").err == run("nonsense").err
    assert run("help") == run("--help")
    assert run("help", "cache", "clear") == run("cache", "clear", "--help")


@pytest.mark.slow
def test_the_shell_completes_commands_options_and_tasks() -> None:
    def completed(words: str) -> list[str]:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "taskembed")],
            env={
                **os.environ,
                "_TASKEMBED_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split(" ")) - 1),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert completed("taskembed se") == ["search"]
    assert completed("taskembed index --task c") == ["classification", "clustering", "code"]
    assert "--recreate" in completed("taskembed index --rec")


def test_a_bug_is_one_line_and_never_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("taskembed.verbs.describe.read_index", broken)
    done = run("info")
    assert done.code == 70
    assert done.err == (
        "taskembed: error: this is a bug: ZeroDivisionError: division by zero\n"
        "taskembed: hint: please report it, with the traceback that TASKEMBED_DEBUG=1 "
        "prints. Committed documents are safe\n"
    )
