"""The user's configuration file: names for indexes, and defaults of the options with variables.

    [indexes]
    notes = "~/notes-index"      # taskembed search "..." --index notes

    [defaults]
    threads = 4

Nothing is read before an option needs its default: `--help` is as fast as without a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskembed.errors import NotFoundError, UsageError, os_errors
from taskembed.objects import is_address

if TYPE_CHECKING:
    from taskembed.cli.options._config_tables import ConfigTables

CONFIG = "TASKEMBED_CONFIG"
HINT = "docs/environment.md shows such a file"
_INDEX = "index_folder"
_NAME = re.compile(r"[\w.-]*\w[\w.-]*")
_PARAMETERS = {"as_json": "json", _INDEX: "index"}  # keys with other names than their parameters
_PATHS = ("cache",)


class Config(dict[str, Any]):
    """The defaults of one command's parameters, as typer asks for them: by name, with `get`."""

    def __init__(
        self,
        parameters: Iterable[str],
        environment: Mapping[str, str],
        repeated: Iterable[str] = (),
    ) -> None:
        """Make the defaults; nothing is read.

        Args:
            parameters: the names of the parameters that may have a default here.
            environment: the variables of the process.
            repeated: the names of the parameters that take several values.
        """
        super().__init__()
        self._parameters = set(parameters)
        self._repeated = set(repeated)
        self._environment = environment

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  # of any type
        """Return the default of a parameter; None if the file does not say.

        Raises:
            UsageError: the file is not valid.
        """
        if name not in self._parameters or self._settings is None:
            return default
        value = self._settings.defaults.get(_PARAMETERS.get(name, name))
        if value is None:
            return default
        return [value] if name in self._repeated else value

    def forget(self, names: Iterable[str]) -> None:
        """Have no default for some parameters from now on."""
        self._parameters -= set(names)

    def index_named(self, value: Path) -> Path:
        """Return the folder of an index that a name of the file stands for; else the path as it is.

        Raises:
            UsageError: the file is not valid.
        """
        if self._settings is None:
            return value
        return Path(self._settings.indexes.get(str(value), value))

    def place_of(self, name: str) -> str:
        """Return what a message calls a default: 'threads in /home/me/.config/..."."""
        where = self._settings.path if self._settings else ""
        return f"{_PARAMETERS.get(name, name)} in {where}"

    @cached_property
    def _settings(self) -> Settings | None:
        path = config_path(self._environment)
        return None if path is None else read_config(path)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a configuration file says.

    Attributes:
        path: of the file.
        indexes: folders by name.
        defaults: of options, by the names of their variables in lower case: "threads", "index".
    """

    path: Path
    indexes: Mapping[str, Path] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)


def config_path(environment: Mapping[str, str]) -> Path | None:
    """Return the path of the configuration file; None if there is none.

    Raises:
        NotFoundError: the variable names a file that does not exist.
    """
    named = environment.get(CONFIG)
    if named == "":
        return None
    if named is not None:
        if not Path(named).exists():
            raise NotFoundError("no such file", what=f"{CONFIG}: {named}", hint=f"unset {CONFIG}")
        return Path(named)
    from platformdirs import user_config_path  # 0.01 s

    path = user_config_path("taskembed") / "config.toml"
    # without a home, the path begins with "~", which might be a folder of anybody's
    return path if path.is_absolute() and os.access(path, os.F_OK) else None


def read_config(path: Path) -> Settings:
    """Read and check a configuration file.

    Raises:
        UsageError: it is not valid; the message names the file, and the key or the line.
        AccessDeniedError: it may not be read.
    """
    import tomllib

    try:
        with os_errors(path):
            text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except UnicodeError as error:
        raise UsageError("it is not UTF-8", what=str(path)) from error
    except ValueError as error:
        raise UsageError(f"it is not TOML: {error}", what=str(path), hint=HINT) from error
    try:
        return _settings_of(path, raw)
    except ValueError as error:
        raise UsageError(str(error), what=str(path), hint=HINT) from error


def _settings_of(path: Path, raw: Mapping[str, object]) -> Settings:
    from taskembed.cli.options._config_tables import ConfigTables
    from taskembed.strict import checked

    tables = checked(ConfigTables, raw)
    indexes = {name: _folder(f'indexes: "{name}"', text) for name, text in tables.indexes.items()}
    for name in indexes:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"indexes: {name!r} is not a name: use letters, digits, '.', '-' and '_'"
            )
    return Settings(path, indexes, _defaults_of(tables, indexes))


def _defaults_of(tables: ConfigTables, indexes: Mapping[str, Path]) -> dict[str, object]:
    defaults = tables.defaults.given()
    for name in _PATHS:
        if name in defaults:
            defaults[name] = str(_folder(f'defaults: "{name}"', str(defaults[name])))
    if "index" in defaults and defaults["index"] not in indexes:
        what = 'defaults: "index", which is not a name of [indexes],'
        defaults["index"] = str(_folder(what, str(defaults["index"])))
    return defaults


def _folder(what: str, text: str) -> Path:
    """Return a path, which must not depend on the current folder, or an address."""
    if is_address(text):
        return Path(text)
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{what} is in a home that is not known: {text!r}") from error
    if not path.is_absolute():
        raise ValueError(f"{what} must be an absolute path, or begin with ~/: {text!r}")
    return path
