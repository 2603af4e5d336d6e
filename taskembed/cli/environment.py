"""Defaults from environment variables: what was typed, and what an index knows, go before them.

A variable in a profile is there for every command. So it contradicts neither an option that was
typed nor an index that has a space of its own: it is left out where it does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from taskembed.cli.searching import Format
from taskembed.errors import TaskembedError

if TYPE_CHECKING:
    from taskembed.index.reader import Part
    from taskembed.space import EmbeddingSpace

# parameters of which one excludes the others
ONE_OF = (
    {"format_", "as_json"},
    {"query", "query_file", "queries"},
    {"text_field", "template"},
    {"adapter", "no_adapter"},
)
# what an index has of its own once it is made
OF_SPACE = (
    *("task", "model", "revision", "query_prompt", "document_prompt", "instruction", "prompts"),
    *("family", "adapter", "no_adapter", "dim", "force_dim"),
    *("text_field", "template", "id_field"),
)
OF_ONE_QUERY = {Format.TABLE, Format.JSON, Format.IDS}
REMEMBERED = {  # fields of `Reading`
    "format_name": "format",
    "on_duplicate": "on_duplicate",
    "delimiter": "delimiter",
    "encoding": "encoding",
    "first_row": "columns",
    "columns": "columns",
}
TYPED, FROM_VARIABLE = "COMMANDLINE", "ENVIRONMENT"  # typer's words
# when a parameter means something beside the others
FITS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "format_": lambda given: (
        given["format_"] not in (OF_ONE_QUERY if given["queries"] else {Format.TREC})
    ),
    "header": lambda given: given["format_"] is Format.TSV,
    "first_row": lambda given: given["first_row"] is not False or given["columns"] is not None,
    "columns": lambda given: given["first_row"] is False,
    "rerank_instruction": lambda given: given["rerank"] is not None,
    "skip_bad": lambda given: given.get("queries", "") is not None,  # searching for one query
    "rejects": lambda given: given["skip_bad"] and not given["dry_run"],
    "max_bad": lambda given: given["skip_bad"],
}


def leave_out_what_does_not_fit(context: Any) -> list[str]:  # noqa: ANN401  # typer's own
    """Give the parameters from variables that do not fit their defaults again.

    Returns:
        A sentence for each that says another space than the index has.
    """
    given, variables = context.params, variables_of(context)
    for group in ONE_OF:
        if any(context.get_parameter_source(name).name == TYPED for name in group & given.keys()):
            _leave_out(context, variables.keys() & group)
    notes: list[str] = []
    of_index = {*OF_SPACE, *REMEMBERED, "api_base"}
    part = _made(given) if variables.keys() & of_index else None
    if part is not None:
        notes = [
            f"{variables[name]} is for new indexes: this one has its own {name.replace('_', ' ')}, "
            f"{own!r}"
            for name, own in _own(part.space).items()
            if name in variables and _spelled(name, given[name]) != own
        ]
        kept = {
            name for name, field in REMEMBERED.items() if getattr(part.reading, field, None) is None
        }
        kept |= {"api_base"} if part.space.hosted else set()
        _leave_out(context, variables.keys() & (of_index - kept))
    unfit = {name for name in FITS.keys() & given.keys() if not FITS[name](given)}
    _leave_out(context, variables.keys() & unfit)
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


def _made(given: Mapping[str, Any]) -> Part | None:
    """Return what the index holds that is meant; None when there is none, or it is made again."""
    from taskembed.index.reader import read_index

    folder = given.get("index_folder")
    if folder is None or given.get("recreate"):
        return None
    try:
        live = read_index(folder)[1].live
    except TaskembedError:
        return None  # the command will say it
    return None if live.is_new else live


def _own(space: EmbeddingSpace) -> dict[str, object]:
    """Return what an index has of its own, of the parameters that are comparable."""
    return {
        "task": space.task.value,
        "model": space.model,
        "query_prompt": space.query_prompt,
        "document_prompt": space.document_prompt,
        "adapter": space.document_adapter,
        "dim": space.dim,
        "template": space.template,
    }


def _spelled(name: str, value: object) -> object:
    """Return a value as an index spells it."""
    if name == "task":
        return getattr(value, "value", value)
    if name in {"model", "adapter"}:
        from taskembed.models.catalogue import canonical
        from taskembed.models.files import stored_name

        return canonical(stored_name(str(value)))
    return value
