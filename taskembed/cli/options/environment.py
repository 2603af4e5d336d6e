"""Environment variables and the configuration file as defaults of options.

A variable in a shell profile, or a line of the file, applies to every command. So it is ignored
if it contradicts an option on the command line, or an existing index, which has its own space.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskembed.cli.options.config import CONFIG
from taskembed.errors import TaskembedError
from taskembed.secrets import API_BASE, KEY_OF_OWN

if TYPE_CHECKING:
    from taskembed.index.contents import Part

PREFIX = "TASKEMBED_"
DEBUG = "TASKEMBED_DEBUG"
# all variables that are read; docs/environment.md describes them
VARIABLES = frozenset(
    {
        *("TASKEMBED_INDEX", "TASKEMBED_TASK", "TASKEMBED_MODEL"),
        *("TASKEMBED_DEVICE", "TASKEMBED_PRECISION", "TASKEMBED_THREADS"),
        *("TASKEMBED_OFFLINE", "TASKEMBED_CACHE", "TASKEMBED_QUIET", "TASKEMBED_JSON"),
        *(API_BASE, KEY_OF_OWN, DEBUG, CONFIG),
    }
)
# parameters that have a variable, but are determined by an existing index
OF_SPACE = {"task", "model"}
# typer's names for where a value comes from
TYPED, FROM_VARIABLE, FROM_CONFIG = "COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP"


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """Return the variables that begin with TASKEMBED_ and are not read, sorted."""
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in VARIABLES)


def reset_unfit_variables(context: Any) -> list[str]:  # noqa: ANN401  # typer's own
    """Reset parameters to their defaults if their variables contradict options or the index.

    Returns:
        A note for each variable that differs from the space of the index.
    """
    given, variables = context.params, variables_of(context)
    if "format_" in given and context.get_parameter_source("format_").name == TYPED:
        _reset(context, variables.keys() & {"as_json"})
    of_index = {*OF_SPACE, "api_base"}
    part = _part_of_index(given) if variables.keys() & of_index else None
    if part is None:
        return []
    notes = [
        f"{variables[name]} applies only to new indexes: this index has the {name} {own!r}"
        for name, own in _determined_by(part).items()
        if name in variables and _in_index_form(name, given[name]) != own
    ]
    kept = {"api_base"} if part.space.hosted else set()
    _reset(context, variables.keys() & (of_index - kept))
    return notes


def with_variable(parameters: Iterable[Any]) -> list[str]:
    """Return the names of the parameters that have a variable, and thus a key in the file."""
    return [parameter.name for parameter in parameters if parameter.envvar]


def variables_of(context: Any) -> dict[str, str]:  # noqa: ANN401
    """Return parameter -> variable, for each parameter whose value comes from a variable.

    For a value from the configuration file, key and file are returned: "task in config.toml".
    """
    found: dict[str, str] = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        if source and source.name == FROM_VARIABLE:
            found[parameter.name] = parameter.envvar
        elif source and source.name == FROM_CONFIG:
            found[parameter.name] = context.default_map.place_of(parameter.name)
    return found


def with_variables(text: str, context: Any) -> str:  # noqa: ANN401
    """Return a message that names the variable instead of the option whose default it is."""
    for option, variable in _variable_of_option(context).items():
        found = rf"(?<![\w-]){re.escape(option)}(?![\w-])"
        text = re.sub(found, variable.replace("\\", r"\\"), text)
    return text


def unset_variables(text: str, context: Any) -> str:  # noqa: ANN401
    """Return a hint in which "unset VARIABLE" replaces the advice to leave out an option."""
    for option, variable in _variable_of_option(context).items():
        unset = f"unset {variable}" if variable.startswith(PREFIX) else f"remove {variable}"
        found = rf"leave out {re.escape(option)}(?![\w-])"
        text = re.sub(found, unset.replace("\\", r"\\"), text)
    return text


def _variable_of_option(context: Any) -> dict[str, str]:  # noqa: ANN401
    variables = variables_of(context)
    return {
        option: variables[parameter.name]
        for parameter in context.command.params
        if parameter.name in variables
        for option in parameter.opts
    }


def _reset(context: Any, names: Collection[str]) -> None:  # noqa: ANN401
    context.default_map.forget(names)
    for parameter in context.command.params:
        if parameter.name in names:
            default = parameter.get_default(context)
            context.params[parameter.name] = parameter.process_value(context, default)


def _part_of_index(given: Mapping[str, Any]) -> Part | None:
    """Return the contents of the index; None if there is none, or if it is to be recreated."""
    from taskembed.verbs.describe import read_existing

    folder = given.get("index_folder")
    if folder is None or given.get("recreate"):
        return None
    try:
        return read_existing(folder).part
    except TaskembedError:
        return None  # the command reports it


def _determined_by(part: Part) -> dict[str, str]:
    """Return parameter -> value, for the parameters that an index determines."""
    return {"task": ", ".join(task.value for task in part.tasks), "model": part.space.model}


def _in_index_form(name: str, value: object) -> object:
    """Return a parameter's value in the form in which an index stores it."""
    if name == "task":
        tasks: Sequence[object] = value if isinstance(value, list | tuple) else [value]
        return ", ".join(str(getattr(task, "value", task)) for task in tasks)
    from taskembed.models.catalogue import identify
    from taskembed.models.files import stored_name

    return identify(stored_name(str(value))).name
