"""`taskembed explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._process.stdin import read_stdin
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import ModelOptions
from taskembed.cli.printing.output import write
from taskembed.errors import UsageError
from taskembed.escaping import escaped, json_text
from taskembed.models.lengths import NO_LIMIT
from taskembed.space import PromptType

if TYPE_CHECKING:
    from taskembed.verbs.explain import ExplainedSide


@with_groups
def explain_command(
    text: Annotated[
        str,
        typer.Argument(metavar="[TEXT]", help="The text to encode; - reads it from stdin."),
    ] = "the text",
    *,
    model: ModelOptions,
    index_folder: Annotated[
        Path | None,
        typer.Option(
            "--index",
            metavar="DIR",
            rich_help_panel=opt.Panel.INDEX,
            help="Explain the space of this index.",
        ),
    ] = None,
    no_adapter: opt.NoAdapter = False,
    as_json: opt.AsJson = False,
) -> int:
    """Show exactly what would be encoded for a text, and why.

    The output contains the string with its prompt, the tokens, and the source of the prompt.
    No weights are loaded, and nothing is downloaded.

    Example:
        taskembed explain "a cat" --task retrieval --model intfloat/e5-small-v2
    """
    from taskembed.models.resolve import PromptOverrides
    from taskembed.verbs.explain import explain_index, explain_model

    stated = model.stated(no_adapter=no_adapter)
    if text == "-":
        text = read_stdin("the text is").removesuffix("\n")
    if index_folder is not None:
        if stated != PromptOverrides() or model.revision is not None:
            raise UsageError(
                "an index has its own revision, prompts and adapter", hint="leave them out"
            )
        explained = explain_index(index_folder, text, task=model.task, model=model.model)
    else:
        explained = explain_model(
            model.model or "minilm",
            model.required_task(),
            text,
            revision=model.revision,
            stated=stated,
        )
    if as_json:
        write(json_text(explained.to_json()) + "\n")
        return 0
    write(f"model: {escaped(explained.model)}\ntask: {explained.task.value}\n")
    for prompt_type in PromptType:
        write(_side_text(prompt_type, explained.sides[prompt_type]))
    for note in explained.notes:
        write(f"note: {escaped(note)}\n")
    return 0


def _side_text(prompt_type: PromptType, side: ExplainedSide) -> str:
    lines = [
        f"{prompt_type.value}:",
        f"  prompt: {repr(side.prompt) if side.prompt else 'none'}",
        f"  from: {escaped(side.source)}",
    ]
    lines += [f"  adapter: {escaped(side.adapter)}"] if side.adapter else []
    lines += [f"  told to the server: {escaped(side.request)}"] if side.request else []
    lines.append(f"  encoded: {side.encoded!r}")
    if side.tokens is not None:
        limit = f" of {side.max_length}" if side.max_length < NO_LIMIT else ""
        cut = f" (cut to {side.max_length})" if side.truncated else limit
        lines.append(f"  tokens: {len(side.tokens)}{cut}")
        lines.append(f"    {escaped(' '.join(side.tokens))}")
    return "\n".join(lines) + "\n"
