"""Imports of optional libraries, which extras of this package install."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from taskembed.errors import MissingLibraryError

PACKAGE = "taskembed"
EVALUATE, TRAIN, INT8, MAP = "evaluate", "train", "int8", "map"  # names of extras in pyproject.toml
CODE, MCP, MILVUS, OBJECTS, RAY = "code", "mcp", "milvus", "objects", "ray"
MAP_LIBRARIES = ("openTSNE", "plotly")


def require_extra(module: str, extra: str) -> Any:  # noqa: ANN401  # a library's module
    """Import a library that an extra of this package installs.

    Args:
        module: the name to import: "sklearn.cluster".
        extra: the extra in pyproject.toml that installs the library.

    Raises:
        MissingLibraryError: the library is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            f"the library {error.name} is not installed", hint=install_hint(extra)
        ) from error


def require_installed(module: str, extra: str) -> None:
    """Check that a library is installed, before anything slow is done.

    Args:
        module: the name to import: "nncf".
        extra: the extra in pyproject.toml that installs the library.

    Raises:
        MissingLibraryError: the library is not installed.
    """
    if find_spec(module) is None:
        raise MissingLibraryError(
            f"the library {module} is not installed", hint=install_hint(extra)
        )


def install_hint(extra: str) -> str:
    """Return the command that installs an extra, from where this package was installed."""
    noted = _noted_by_pip()
    url = str(noted.get("url", ""))
    checkout = Path(unquote(urlsplit(url).path)) if url else Path(__file__).parents[1]
    if (checkout / "pyproject.toml").is_file():
        editable = not url or noted.get("dir_info", {}).get("editable")
        return f"{_pip()} install {'-e ' if editable else ''}{_quoted(f'{checkout}[{extra}]')}"
    kind = noted.get("vcs_info", {}).get("vcs")  # "git"
    address = f"{kind}+{url}" if kind else url
    return f"{_pip()} install {_quoted(f'{PACKAGE}[{extra}]' + (f' @ {address}' if url else ''))}"


def _noted_by_pip() -> dict[str, Any]:
    """Return pip's record of the origin of this package, if that is not a package index."""
    # https://packaging.python.org/en/latest/specifications/direct-url/
    try:
        noted = json.loads(metadata.distribution(PACKAGE).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _pip() -> str:
    """Return the command for the pip of this Python, which may not be the first on PATH."""
    own = Path(sys.executable).with_name("pip")
    return shlex.quote(str(own)) if own.exists() and shutil.which("pip") != str(own) else "pip"


def _quoted(text: str) -> str:
    """Return text in double quotes if they are enough, else quoted for the shell."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'
