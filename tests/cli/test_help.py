"""Help that a person can read: headings, the terminal's width, summaries, examples."""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import Any

import pytest
from typer.main import get_command

from taskembed.cli.app import application
from tests.conftest import Run

GROUPS = {"", "cache"}


@cache  # it takes 60 ms
def commands() -> dict[str, Any]:
    every: dict[str, Any] = {"": get_command(application())}
    for group in sorted(GROUPS):
        prefix = f"{group} " if group else ""
        every |= {f"{prefix}{name}": item for name, item in every[group].commands.items()}
    return every


COMMANDS = sorted(commands())


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_terminal(
    name: str, width: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run(*name.split(), "--help").out.splitlines()
    examples = [line for line in lines if line.startswith("      taskembed")]
    assert max(len(line) for line in lines if line not in examples) <= width
    if width >= 80:
        assert [line for line in examples if len(line) > width] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_as_wide_as_the_terminal_but_never_too_wide_to_read(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        return run(*name.split(), "--help").out

    assert shown(300) == shown(120)
    assert shown(120).split() == shown(60).split()


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_a_summary_is_one_line_of_80_columns_and_not_cut(
    group: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(*group.split(), "--help").out.splitlines()
    members = commands()[group].commands
    assert len(members) > 1
    for name, command in members.items():
        first = command.help.splitlines()[0].removesuffix(".")
        assert f"  {name:10}  {first}" in lines


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - GROUPS))
def test_every_command_has_an_example_that_is_understood(name: str, run: Run) -> None:
    found = re.search(
        r"^  Example:\n((?:      .*\n)+)", run(*name.split(), "--help").out, re.MULTILINE
    )
    assert found, name
    for line in found[1].splitlines():
        words = shlex.split(line)
        assert words[: len(name.split()) + 1] == ["taskembed", *name.split()]
        context = commands()[name].make_context(name, words[len(name.split()) + 1 :])
        assert context.args == []


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - GROUPS))
def test_every_option_but_help_has_a_heading(name: str, run: Run) -> None:
    help_text = run(*name.split(), "--help").out
    general = help_text.split("\nGeneral:\n")[1].strip()
    assert general == "-h, --help                  Show this message and exit."


def test_the_first_option_of_a_model_is_its_task(run: Run) -> None:
    assert "\nIndex:\n  --task TASK" in run("index", "--help").out
    for name in ("evaluate", "ablate", "explain"):
        assert "\nModel:\n  --task TASK" in run(name, "--help").out, name


def test_a_default_is_not_broken_into_two_lines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "  [default: 50]" in run("search", "--help").out
    assert "[default: taskembed-index]" in run("info", "--help").out
