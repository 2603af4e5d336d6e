"""The documents tell the truth: what can be checked, is."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from enum import Enum
from pathlib import Path

import pytest

import taskembed
from taskembed.cli.options.environment import VARIABLES
from taskembed.errors import ExitCode
from tests.conftest import Run
from tests.sessions import play

ROOT = Path(__file__).parents[1]


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
    from taskembed.cli.app import application

    names = {
        item.name or getattr(item.callback, "__name__", "")
        for item in application().registered_commands
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


PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[a-z]*/README.md")], key=str
)
HAND_WRITTEN = [
    path
    for path in PAGES
    if path.name != "cli.md" and path.parent.name not in {"adr", "benchmarks"}
]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=_name)
def test_the_commands_and_options_that_documents_name_exist(path: Path) -> None:
    known = set(re.findall(r"--[\w-]+", (ROOT / "docs" / "cli.md").read_text()))
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", path.read_text()))
    assert named <= known, sorted(named - known)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_link_leads_somewhere(path: Path) -> None:
    lost = [link for link in re.findall(r"\]\(([^)\s]+)\)", _prose(path)) if not _leads(path, link)]
    assert lost == []


def _leads(page: Path, link: str) -> bool:
    if link.startswith(("https://", "http://")):
        return True
    name, _, heading = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return target.exists() and (not heading or heading in _headings(target))


def _headings(page: Path) -> set[str]:
    """Return what can follow a # in a link to a page, made from its headings as GitHub does."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_map_lists_every_page() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    listed = set(re.findall(r"\]\(([^)]+)\)", text))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    without = {path for path in pages - listed if not path.startswith("adr/")} - {"README.md"}
    assert without == set()


def test_the_readme_is_short() -> None:
    assert len(_readme().splitlines()) <= 120


def test_the_table_in_the_readme_has_every_command() -> None:
    rows = re.findall(r"^\| `taskembed (\w+)", _readme(), re.MULTILINE)
    titles = re.findall(
        r"^## taskembed (\w+)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE
    )
    assert rows == titles


@pytest.fixture
def sample_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder with the sample data the current one."""
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.real_models
@pytest.mark.usefixtures("sample_data")
def test_the_session_in_the_readme_shows_what_a_terminal_shows(run: Run) -> None:
    assert play(ROOT / "README.md", run) == 4


@pytest.mark.slow
@pytest.mark.real_models
@pytest.mark.timeout(300)  # compiles a model for each of three tasks
@pytest.mark.usefixtures("sample_data")
@pytest.mark.parametrize(
    ("page", "steps"),
    [
        ("tutorial", 17),
        ("how-to/evaluate", 4),
        ("how-to/find-similar-documents", 4),
        ("how-to/classify-texts", 4),
        ("how-to/move-vectors", 5),
        ("how-to/index-a-folder", 22),
    ],
)
def test_the_sessions_in_the_docs_show_what_a_terminal_shows(
    run: Run, page: str, steps: int
) -> None:
    assert play(ROOT / "docs" / f"{page}.md", run) == steps


EXAMPLE = re.compile(r"<!-- run -->\n```python\n(.+?)```.+?```text\n(.+?)```", re.DOTALL)


@pytest.mark.slow
@pytest.mark.real_models
def test_the_example_in_python_prints_what_it_shows(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code, shown), _ = EXAMPLE.findall((ROOT / "docs" / "python.md").read_text())
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "taskembed").symlink_to(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "python.md", "exec"), {})  # noqa: S102  # our own example
    assert capsys.readouterr().out == shown


def test_the_example_of_tests_prints_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    _, (code, shown) = EXAMPLE.findall((ROOT / "docs" / "python.md").read_text())
    exec(compile(code, "python.md", "exec"), {})  # noqa: S102  # our own example
    assert capsys.readouterr().out == shown


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


UNSHOWN = {  # are not made by calling them
    *("Classifier", "EmbeddingSpace", "Encoder", "Index", "IndexDescription", "MilvusCollection"),
}


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
