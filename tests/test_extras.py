"""What to type to install what is missing, from where the package came."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from taskembed.errors import MissingLibraryError
from taskembed.extras import install_hint, require_extra


class Installed:
    """A package as an installer left it."""

    def __init__(self, noted: object) -> None:
        self._text = json.dumps(noted) if noted else None

    def read_text(self, name: str) -> str | None:
        return self._text if name == "direct_url.json" else None


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "my checkout"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")
    return folder


@pytest.fixture(autouse=True)
def _pip_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))


def hint_of(noted: object, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(metadata, "distribution", lambda _: Installed(noted))
    monkeypatch.setattr("taskembed.extras.__file__", "/usr/lib/site-packages/taskembed/extras.py")
    return install_hint("train")


@pytest.mark.parametrize(
    ("noted", "what"),
    [
        (None, '"taskembed[train]"'),
        ([], '"taskembed[train]"'),
        (
            {"url": "https://host/t.git", "vcs_info": {"vcs": "git", "commit_id": "a"}},
            '"taskembed[train] @ git+https://host/t.git"',
        ),
        (
            {"url": "file:///a/taskembed-1-py3-none-any.whl", "archive_info": {}},
            '"taskembed[train] @ file:///a/taskembed-1-py3-none-any.whl"',
        ),
    ],
)
def test_an_extra_comes_from_where_the_package_came(
    noted: Any,  # noqa: ANN401  # JSON
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert hint_of(noted, monkeypatch) == f"pip install {what}"


def test_a_checkout_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = checkout.as_uri()
    assert url.endswith("my%20checkout")
    said = hint_of({"url": url, "dir_info": {}}, monkeypatch)
    assert said == f'pip install "{checkout}[train]"'
    said = hint_of({"url": url, "dir_info": {"editable": True}}, monkeypatch)
    assert said == f'pip install -e "{checkout}[train]"'


def test_a_checkout_that_nobody_installed_is_named_too(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr("taskembed.extras.__file__", str(checkout / "taskembed" / "extras.py"))
    assert install_hint("train") == f'pip install -e "{checkout}[train]"'


def test_the_pip_of_this_python_is_named_when_another_would_be_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\n")
    pip.chmod(0o755)
    assert hint_of(None, monkeypatch) == f'{pip} install "taskembed[train]"'
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hint_of(None, monkeypatch) == 'pip install "taskembed[train]"'


def test_a_library_that_is_not_installed_is_named() -> None:
    with pytest.raises(MissingLibraryError) as refusal:
        require_extra("no_such_library", "evaluate")
    assert refusal.value.message == "the library no_such_library is not installed"
    assert refusal.value.hint == install_hint("evaluate")
