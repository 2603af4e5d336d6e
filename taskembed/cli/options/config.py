"""The user's configuration file: names for indexes, and defaults of options.

    [indexes]
    notes = "~/notes-index"      # taskembed search "..." --index notes

    [defaults]
    threads = 4

The file is read only when an option needs its default, so `--help` does not read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskembed.errors import NotFoundError, UsageError, os_errors
from taskembed.objects import is_address

if TYPE_CHECKING:
    from taskembed.cli.options._config_tables import ConfigTables

CONFIG = "TASKEMBED_CONFIG"
HINT = "docs/environment.md shows an example"
_INDEX = "index_folder"
_NAME = re.compile(r"[\w.-]*\w[\w.-]*")
_PARAMETERS = {"as_json": "json", _INDEX: "index"}  # parameters whose keys have other names
_PATHS = ("cache",)


class Config(dict[str, Any]):
    """The defaults of one command's parameters, which typer reads by `get`."""

    def __init__(
        self,
        parameters: Iterable[str],
        environment: Mapping[str, str],
        repeated: Iterable[str] = (),
    ) -> None:
        """Prepare the defaults without reading the file.

        Args:
            parameters: the names of the parameters that may have a default in the file.
            environment: the environment variables of the process.
            repeated: the names of the parameters that take several values.
        """
        super().__init__()
        self._parameters = set(parameters)
        self._repeated = set(repeated)
        self._environment = environment

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  # of any type
        """Return the default of a parameter; None if the file does not set it.

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
        """Ignore the defaults of some parameters from now on."""
        self._parameters -= set(names)

    def index_named(self, value: Path) -> Path:
        """Return the folder of an index that is named in the file; otherwise the path unchanged.

        Raises:
            UsageError: the file is not valid.
        """
        if self._settings is None:
            return value
        return Path(self._settings.indexes.get(str(value), value))

    def place_of(self, name: str) -> str:
        """Return the name of a default in messages: "threads in /home/me/.config/..."."""
        where = self._settings.path if self._settings else ""
        return f"{_PARAMETERS.get(name, name)} in {where}"

    @cached_property
    def _settings(self) -> Settings | None:
        path = config_path(self._environment)
        return None if path is None else read_config(path)


@dataclass(frozen=True, slots=True)
class Settings:
    """The contents of a configuration file.

    Attributes:
        path: the path of the file.
        indexes: folders by name.
        defaults: the defaults of options, by the names of their keys: "threads", "index".
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
    # without a home directory, the path begins with "~", which would be a relative path
    return path if path.is_absolute() and os.access(path, os.F_OK) else None


def read_config(path: Path) -> Settings:
    """Read and check a configuration file.

    Raises:
        UsageError: the file is not valid; the message names the file, and the key or the line.
        AccessDeniedError: there is no permission to read the file.
    """
    import tomllib

    try:
        with os_errors(path):
            text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except UnicodeError as error:
        raise UsageError("the file is not UTF-8", what=str(path)) from error
    except ValueError as error:
        raise UsageError(f"the file is not TOML: {error}", what=str(path), hint=HINT) from error
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
    """Return a path that does not depend on the current directory, or an address."""
    from taskembed.verbs.milvus.addresses import collection_address, is_collection

    if is_address(text):
        return Path(text)
    if is_collection(text):
        address = collection_address(text)
        if address.is_file:
            address = replace(address, uri=str(_folder(what, address.uri)))
        return Path(str(address))
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{what} is in an unknown home directory: {text!r}") from error
    if not path.is_absolute():
        raise ValueError(f"{what} must be an absolute path, or begin with ~/: {text!r}")
    return path
