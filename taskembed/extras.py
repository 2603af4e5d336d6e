"""Libraries that not every installation has: they are imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from taskembed.errors import ModelUnavailableError


def needed(module: str, extra: str) -> Any:  # noqa: ANN401  # a library's module
    """Import a library that an extra of this package installs.

    Args:
        module: its name to import: "sklearn.cluster".
        extra: of pyproject.toml, that brings it.

    Raises:
        ModelUnavailableError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModelUnavailableError(
            f"the library {error.name} is not installed", hint=install_hint(extra)
        ) from error


def install_hint(extra: str) -> str:
    """Return what to type to install an extra, from a checkout or from the package index."""
    return f'in a checkout: pip install ".[{extra}]"; elsewhere: pip install "taskembed[{extra}]"'
