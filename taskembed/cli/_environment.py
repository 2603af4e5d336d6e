"""Defaults from environment variables: what was typed, and what an index knows, go before them.

A variable in a profile is there for every command. So it contradicts neither an option that was
typed nor an index that has a space of its own: it is left out where it does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from taskembed.errors import TaskembedError
from taskembed.secrets import API_BASE, KEY_OF_OWN

if TYPE_CHECKING:
    from taskembed.space import EmbeddingSpace

PREFIX = "TASKEMBED_"
DEBUG = "TASKEMBED_DEBUG"
# every variable that is read; docs/environment.md says what each is for
VARIABLES = frozenset(
    {
        *("TASKEMBED_INDEX", "TASKEMBED_TASK", "TASKEMBED_MODEL"),
        *("TASKEMBED_DEVICE", "TASKEMBED_PRECISION", "TASKEMBED_THREADS"),
        *("TASKEMBED_OFFLINE", "TASKEMBED_CACHE", "TASKEMBED_QUIET", "TASKEMBED_JSON"),
        *(API_BASE, KEY_OF_OWN, DEBUG),
    }
)
# parameters from variables that an index has of its own once it is made
OF_SPACE = {"task", "model"}
TYPED, FROM_VARIABLE = "COMMANDLINE", "ENVIRONMENT"  # typer's words


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """Return the variables that look like ours and are read by nothing."""
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in VARIABLES)


def leave_out_what_does_not_fit(context: Any) -> list[str]:  # noqa: ANN401  # typer's own
    """Give the parameters from variables that do not fit their defaults again.

    Returns:
        A sentence for each that says another space than the index has.
    """
    given, variables = context.params, variables_of(context)
    if "format_" in given and context.get_parameter_source("format_").name == TYPED:
        _leave_out(context, variables.keys() & {"as_json"})
    of_index = {*OF_SPACE, "api_base"}
    space = _made(given) if variables.keys() & of_index else None
    if space is None:
        return []
    notes = [
        f"{variables[name]} is for new indexes: this one has its own {name}, {own!r}"
        for name, own in _own(space).items()
        if name in variables and _spelled(name, given[name]) != own
    ]
    kept = {"api_base"} if space.hosted else set()
    _leave_out(context, variables.keys() & (of_index - kept))
    return notes


def variables_of(context: Any) -> dict[str, str]:  # noqa: ANN401
    """Return the variable of each parameter that has its value from one."""
    return {
        parameter.name: parameter.envvar
        for parameter in context.command.params
        if (source := context.get_parameter_source(parameter.name)) and source.name == FROM_VARIABLE
    }


def with_variables(text: str, context: Any) -> str:  # noqa: ANN401
    """Return a message in which an option that nobody typed is called by its variable."""
    for option, variable in _variable_of_option(context).items():
        text = re.sub(rf"(?<![\w-]){re.escape(option)}(?![\w-])", variable, text)
    return text


def unset_variables(text: str, context: Any) -> str:  # noqa: ANN401
    """Return a hint that has variables unset, rather than options left out that nobody typed."""
    for option, variable in _variable_of_option(context).items():
        text = re.sub(rf"leave out {re.escape(option)}(?![\w-])", f"unset {variable}", text)
    return text


def _variable_of_option(context: Any) -> dict[str, str]:  # noqa: ANN401
    variables = variables_of(context)
    return {
        option: variables[parameter.name]
        for parameter in context.command.params
        if parameter.name in variables
        for option in parameter.opts
    }


def _leave_out(context: Any, names: Iterable[str]) -> None:  # noqa: ANN401
    for parameter in context.command.params:
        if parameter.name in names:
            default = parameter.get_default(context)
            context.params[parameter.name] = parameter.process_value(context, default)


def _made(given: Mapping[str, Any]) -> EmbeddingSpace | None:
    """Return the space of the index that is meant; None if there is none, or it is made again."""
    from taskembed.verbs.describe import read_existing

    folder = given.get("index_folder")
    if folder is None or given.get("recreate"):
        return None
    try:
        return read_existing(folder).space
    except TaskembedError:
        return None  # the command reports it


def _own(space: EmbeddingSpace) -> dict[str, str]:
    """Return what an index has of its own, of the parameters that variables can give."""
    return {"task": space.task.value, "model": space.model}


def _spelled(name: str, value: object) -> object:
    """Return a value as an index spells it."""
    if name == "task":
        return getattr(value, "value", value)
    from taskembed.models.catalogue import identify
    from taskembed.models.files import stored_name

    return identify(stored_name(str(value))).name
