"""Environment variables are defaults: what was typed, and what an index has, go before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskembed.cli.options.environment import VARIABLES
from tests.conftest import Run


@pytest.fixture
def index(run: Run, corpus: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    assert run("index", corpus, "--task", "retrieval", "--index", folder).code == 0
    return folder


@pytest.mark.parametrize(
    "variables",
    [{"TASK": "code", "MODEL": "some/model"}, {"API_BASE": "http://127.0.0.1:9"}],
)
def test_what_does_not_fit_a_search_is_left_out(
    variables: dict[str, str], run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"TASKEMBED_{name}", value)
    done = run("search", "fox", "--index", index, "--json")
    assert (done.code, done.err) == (0, "")
    assert isinstance(done.json, dict)
    assert done.json["hits"][0]["doc_id"] == "a"


def test_a_format_that_was_typed_goes_before_json_of_a_variable(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_JSON", "1")
    assert run("search", "fox", "-k", "1", "--index", index, "--format", "ids").out == "a\n"


def test_the_space_of_variables_is_for_new_indexes(
    run: Run, corpus: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_TASK", "sts")
    monkeypatch.setenv("TASKEMBED_MODEL", "intfloat/e5-small-v2")
    done = run("index", corpus, "--index", index)
    assert done.code == 0, done.err
    assert "2 unchanged" in done.out
    assert done.err.splitlines() == [
        "taskembed: note: TASKEMBED_TASK applies only to new indexes: this index has the task "
        "'retrieval'",
        "taskembed: note: TASKEMBED_MODEL applies only to new indexes: this index has the model "
        "'minilm'",
    ]
    assert run("index", corpus, "--index", index, "-q").err == ""
    assert run("index", corpus, "--index", index, "--dry-run").code == 0
    assert run("explain", "fox", "--index", index).code == 0
    monkeypatch.delenv("TASKEMBED_MODEL")
    new = tmp_path / "new"
    assert run("index", corpus, "--index", new).code == 0
    assert "task: similarity" in run("info", "--index", new).out


@pytest.mark.parametrize(
    "name", ["RECREATE", "PRUNE", "TRUST_REMOTE_CODE", "QUERY_PROMPT", "FORMAT", "MODLE"]
)
def test_a_variable_that_nothing_reads_gets_a_note(
    name: str, run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TASKEMBED_{name}", "1")
    done = run("info", "--index", index)
    assert (done.code, done.err) == (
        0,
        f"taskembed: note: TASKEMBED_{name} has no effect; `taskembed --help` lists the "
        "variables\n",
    )
    monkeypatch.setenv("TASKEMBED_QUIET", "1")
    assert run("search", "fox", "--index", index).err == ""


def test_the_variables_are_those_of_the_options() -> None:
    from typer.main import get_command

    from taskembed.cli.app import application

    commands: Any = get_command(application())
    groups = [commands, *commands.commands.values()]
    every = [command for group in groups for command in getattr(group, "commands", {}).values()]
    read = {parameter.envvar for command in every for parameter in command.params}
    assert read - {None} | {"TASKEMBED_API_KEY", "TASKEMBED_CONFIG", "TASKEMBED_DEBUG"} == VARIABLES


def test_what_was_typed_is_still_held_against_the_index(
    run: Run, corpus: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_TASK", "retrieval")
    assert run("search", "fox", "--task", "code", "--index", index).code == 78
    assert run("index", corpus, "--task", "code", "--index", index).code == 78


def test_an_option_that_nobody_typed_is_called_by_its_variable(
    run: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_API_BASE", "ftp://x")
    make = ("index", corpus, "--task", "retrieval", "--model", "m", "--index", tmp_path / "new")
    done = run(*make, "--query-prompt", "", "--document-prompt", "")
    assert done.code == 2
    assert done.err.startswith(
        "taskembed: error: TASKEMBED_API_BASE 'ftp://x': not an http or https address\n"
    )


def test_a_variable_is_to_be_unset_rather_than_left_out(
    run: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_API_BASE", "http://127.0.0.1:9/v1")
    make = ("index", corpus, "--task", "retrieval", "--model", "minilm")
    done = run(*make, "--index", tmp_path / "new")
    assert done.code == 69
    assert "hint: unset TASKEMBED_API_BASE to run it on this machine" in done.err
    monkeypatch.delenv("TASKEMBED_API_BASE")
    done = run(*make, "--api-base", "http://127.0.0.1:9/v1", "--index", tmp_path / "new")
    assert "hint: leave out --api-base to run it on this machine" in done.err
