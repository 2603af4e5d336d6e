"""The documents tell the truth: what can be checked, is."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from enum import Enum
from pathlib import Path

import pytest

import taskembed
from taskembed.cli.environment import VARIABLES
from taskembed.errors import ExitCode
from tests.conftest import Run

ROOT = Path(__file__).parent.parent


def test_the_reference_of_commands_is_what_help_says() -> None:
    text = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, 'docs'); import generate_cli; "
            "sys.stdout.write(generate_cli.reference())",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (ROOT / "docs" / "cli.md").read_text() == text, "run python docs/generate_cli.py"


def test_the_reference_has_every_command() -> None:
    from taskembed.cli.app import app

    names = {
        item.name or getattr(item.callback, "__name__", "") for item in app.registered_commands
    }
    titles = re.findall(
        r"^## taskembed (\w+)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE
    )
    assert names | {"cache"} == set(titles)


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "exit-codes.md").read_text()
    documented = {
        int(code)
        for cell in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
        for code in cell.split(",")
    }
    assert documented == {int(code) for code in ExitCode}


def test_the_newest_version_of_the_changelog_is_ours_or_unreleased() -> None:
    first = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first
    assert first[1] == "Unreleased" or first[1].startswith(taskembed.__version__)


def test_the_table_of_environment_variables_has_each() -> None:
    text = (ROOT / "docs" / "environment.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(VARIABLES)


@pytest.mark.parametrize(
    "path",
    [
        *("README.md", "docs/exit-codes.md", "docs/input.md", "docs/models.md"),
        *("docs/adapters.md", "docs/evaluation.md", "docs/training.md", "docs/python.md"),
        "docs/environment.md",
    ],
)
def test_the_commands_and_options_that_documents_name_exist(path: str) -> None:
    text = (ROOT / path).read_text()
    known = set(re.findall(r"--[\w-]+", (ROOT / "docs" / "cli.md").read_text()))
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text))
    ours = named
    assert ours <= known, sorted(ours - known)


def test_the_first_example_of_readme_gives_the_hits_that_it_shows(run: Run, tmp_path: Path) -> None:
    corpus = ROOT / "sample_data" / "corpus.jsonl"
    assert run("index", corpus, "--task", "retrieval", "--index", tmp_path / "i").code == 0
    shown = re.search(r'taskembed search "(.+?)" -k 1.*?\n({.+?})\n', _readme(), re.DOTALL)
    assert shown
    done = run("search", shown[1], "-k", "1", "--index", tmp_path / "i", "--no-text")
    assert done.lines[0]["doc_id"] in shown[2]


def test_the_example_in_python_prints_what_it_shows(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    example = re.search(r"<!-- run -->\n```python\n(.+?)```.+?```text\n(.+?)```", text, re.DOTALL)
    assert example
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "taskembed").symlink_to(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    exec(compile(example[1], "python.md", "exec"), {})  # noqa: S102  # our own example
    assert capsys.readouterr().out == example[2]


def test_every_public_name_is_described_with_its_parameters() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    shown = {
        name: re.findall(r"(?:^|,)\s*(\w+)", re.sub(r'"[^"]*"', "", arguments))
        for name, arguments in re.findall(r"^(\w+)\(([^()]*)\)$", text, re.MULTILINE)
    }
    for name in taskembed.__all__:
        assert f"`{name}" in text or name in shown, name
        value = getattr(taskembed, name)
        if name in shown:
            assert shown[name] == list(inspect.signature(value).parameters), name
        else:
            assert isinstance(value, type), name
            assert issubclass(value, Exception | Enum) or name in UNSHOWN, name


UNSHOWN = {"EmbeddingSpace", "Encoder", "Index"}  # are not made by calling them


def test_public_functions_say_what_they_take_and_raise() -> None:
    functions = [
        value for name in taskembed.__all__ if inspect.isfunction(value := getattr(taskembed, name))
    ]
    assert len(functions) > 5
    for function in functions:
        documentation = inspect.getdoc(function) or ""
        assert "Raises:" in documentation, function
        for parameter in inspect.signature(function).parameters:
            assert f"  {parameter}: " in documentation, (function, parameter)


def _readme() -> str:
    return (ROOT / "README.md").read_text()
