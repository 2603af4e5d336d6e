"""`taskembed info`, `verify`, `models` and `explain`: what is there, and what would be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli import options as opt
from taskembed.cli._groups import with_groups
from taskembed.cli.output import message, write
from taskembed.cli.stdin import read_stdin
from taskembed.cli.table import Column, print_table
from taskembed.english import counted
from taskembed.errors import IndexDamagedError, UsageError
from taskembed.escaping import escaped, json_text
from taskembed.models.catalogue import NO_LIMIT
from taskembed.space import COSINE, PromptType, Task

if TYPE_CHECKING:
    from taskembed.models.catalogue import Family, RerankerFamily
    from taskembed.models.resolve import PromptOverrides
    from taskembed.verbs.explain import Side


def info(index_folder: opt.IndexFolder = opt.DEFAULT_INDEX, as_json: opt.AsJson = False) -> int:
    """Show what an index is: its space, documents and size.

    Example:
        taskembed info --index notes-index --json
    """
    from taskembed.verbs.describe import describe_index

    description = describe_index(index_folder)
    for note in description.notes:
        message(f"note: {note}")
    value = description.to_json()
    write(json_text(value) + "\n" if as_json else _lines(value))
    return 0


def verify(index_folder: opt.IndexFolder = opt.DEFAULT_INDEX, as_json: opt.AsJson = False) -> int:
    """Read every byte of an index and list what is damaged.

    Example:
        taskembed verify --index notes-index
    """
    from taskembed.index.reader import verify_index

    snapshot, damages = verify_index(index_folder)
    count = len(snapshot.files)
    if as_json:
        bad = [{"file": damage.name, "reason": damage.reason} for damage in damages]
        value = {"generation": snapshot.generation, "files": count, "damaged": bad}
        write(json_text(value) + "\n")
    else:
        for damage in damages:
            write(f"{escaped(damage.name)}: {escaped(damage.reason)}\n")
    if damages:
        raise IndexDamagedError(
            f"the index is damaged: {index_folder}: {len(damages)} of {counted(count, 'file')}",
            hint="restore the folder from a copy, or index again with --recreate",
        )
    if not as_json:
        files = counted(count, "file is as it was", "files are as they were")
        write(f"generation {snapshot.generation}: {files} written\n")
    return 0


def models(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Show one model, or folder, with its prompts; or those with that in their name.",
        ),
    ] = None,
    task: Annotated[
        Task | None,
        typer.Option(
            "--task",
            parser=opt.parse_task,
            metavar="TASK",
            autocompletion=opt.complete_task,
            rich_help_panel=opt.Panel.MODEL,
            help="Only the models that know the prompts or adapters of a task.",
        ),
    ] = None,
    as_json: opt.AsJson = False,
) -> int:
    """List the known models and rerankers, their needs and tasks.

    Any other Hugging Face model or folder works too, with the prompts that it brings, with
    --query-prompt and --document-prompt, or with --prompts; and any cross-encoder as a reranker.

    Example:
        taskembed models --task code
    """
    from taskembed.models.catalogue import families, find_family, find_reranker, rerankers

    chosen = [family for family in families() if task is None or task in family.tasks]
    judges = list(rerankers()) if task is None else []
    family = find_family(model) if model else None
    reranker = find_reranker(model) if model else None
    if family or (reranker and reranker.name):
        described = [_family_json(family)] if family else []
        described += [_reranker_json(reranker)] if reranker and reranker.name else []
        write(json_text(described) + "\n" if as_json else _lines(described[0]))
        return 0
    if model is not None:
        chosen = [item for item in chosen if _is_like(model, item)]
        judges = [item for item in judges if _is_like(model, item)]
    if model is not None and not chosen and not judges:
        from taskembed.verbs.explain import describe_folder

        brought = describe_folder(model)
        write(json_text([brought]) + "\n" if as_json else _lines(brought))
    elif as_json:
        write(json_text([*map(_family_json, chosen), *map(_reranker_json, judges)]) + "\n")
    else:
        _print_models(chosen, judges)
    return 0


@with_groups
def explain(
    text: Annotated[
        str,
        typer.Argument(
            metavar="[TEXT]", help="What to encode, or an example; - reads it from stdin."
        ),
    ] = "the text",
    *,
    model: opt.ModelOptions,
    index_folder: Annotated[
        Path | None,
        typer.Option(
            "--index",
            metavar="DIR",
            rich_help_panel=opt.Panel.INDEX,
            help="Explain the space of that index.",
        ),
    ] = None,
    no_adapter: opt.NoAdapter = False,
    as_json: opt.AsJson = False,
) -> int:
    """Show exactly what would be encoded for a text, and why.

    It shows the string with its prompt, the tokens, and where the prompt comes from.

    No weights are loaded, and nothing is downloaded.

    Example:
        taskembed explain "a cat" --task retrieval --model intfloat/e5-small-v2
    """
    from taskembed.verbs.explain import explain_index, explain_model

    stated = model.stated(no_adapter=no_adapter)
    if text == "-":
        text = read_stdin("the text is").removesuffix("\n")
    if index_folder is not None:
        moved_to = _moved_to(index_folder, model, stated)
        explained = explain_index(index_folder, text, moved_to=moved_to)
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


def _moved_to(folder: Path, model: opt.ModelOptions, stated: PromptOverrides) -> Path | None:
    """Return where the model of an index is said to be now; None for where it was.

    Raises:
        SpaceMismatchError: the index is for another task or model.
        UsageError: something was said that it has of its own.
    """
    from taskembed.index.reader import read_index
    from taskembed.models.resolve import PromptOverrides
    from taskembed.verbs.encoders import find_moved, require_task

    if stated != PromptOverrides() or model.revision is not None:
        raise UsageError(
            "an index has its own revision, prompts and adapter", hint="leave them out"
        )
    space = read_index(folder)[1].live.space
    require_task(folder, space, model.task)
    return find_moved(space, model.model)


def _side_text(prompt_type: PromptType, side: Side) -> str:
    lines = [
        f"{prompt_type.value}:",
        f"  prompt: {repr(side.prompt) if side.prompt else 'none'}",
        f"  from: {escaped(side.source)}",
    ]
    lines += [f"  adapter: {escaped(side.adapter)}"] if side.adapter else []
    lines.append(f"  encoded: {side.encoded!r}")
    if side.tokens is not None:
        limit = f" of {side.max_length}" if side.max_length < NO_LIMIT else ""
        cut = f" (cut to {side.max_length})" if side.truncated else limit
        lines.append(f"  tokens: {len(side.tokens)}{cut}")
        lines.append(f"    {escaped(' '.join(side.tokens))}")
    return "\n".join(lines) + "\n"


def _family_json(family: Family) -> dict[str, object]:
    tasks = {}
    for task, prompts in family.tasks.items():
        values = {name: value for name, value in asdict(prompts).items() if value}
        values.setdefault("query_prompt", prompts.query_prompt)
        values.setdefault("document_prompt", prompts.document_prompt)
        tasks[task.value] = values
    return {
        "family": family.name,
        "models": dict(family.models),
        "aliases": dict(family.aliases),
        "licence": family.licence,
        "commercial_use": family.commercial,
        "needs": _needs(family),
        "max_length": family.max_length,
        "metric": family.metric or COSINE,
        "truncation": family.truncation,
        "truncated_dims": list(family.truncated_dims),
        "suffix": family.suffix,
        "takes_instruction": bool(family.template),
        "source": family.source,
        "note": family.note,
        "tasks": tasks,
    }


def _reranker_json(family: RerankerFamily) -> dict[str, object]:
    return {
        "reranker": family.name,
        "models": list(family.models),
        "licence": family.licence,
        "commercial_use": family.commercial,
        "instruction": family.instruction,
        "source": family.source,
        "note": family.note,
    }


def _needs(family: Family) -> str:
    """Return what the family's models need beside their files."""
    if family.hosted:
        from taskembed.encoding.vendors import SERVERS

        return SERVERS[family.server].key
    if family.remote_code and any(prompts.has_adapter for prompts in family.tasks.values()):
        return "(refused)"  # its adapters are inside its code: see encoding/load.py
    return "--trust-remote-code" if family.remote_code else ""


def _is_like(part: str, family: Family | RerankerFamily) -> bool:
    """Whether the name of the family, or of one of its models, has that in it."""
    return any(part.lower() in name.lower() for name in (family.name, *family.models))


def _print_models(chosen: Sequence[Family], judges: Sequence[RerankerFamily]) -> None:
    rows = [
        (
            *(model, str(dim), _tokens(family), _licence(family), _needs(family)),
            " ".join(task.value for task in family.tasks),
        )
        for family in chosen
        for model, dim in family.models.items()
    ]
    if rows:
        numbers = [Column(name, number=True) for name in ("dim", "tokens")]
        others = [("licence", 1), ("needs", 2), ("tasks", 3)]
        print_table(
            [Column("model"), *numbers, *(Column(name, leave_out=n) for name, n in others)], rows
        )
    judging = [
        (model, _licence(family), family.note) for family in judges for model in family.models
    ]
    if rows and judging:
        write("\n")
    if judging:
        columns = [Column("reranker"), Column("licence", leave_out=1), Column("note", leave_out=2)]
        print_table(columns, judging)


def _tokens(family: Family) -> str:
    return str(family.max_length) if family.max_length < NO_LIMIT else "any"


def _licence(family: Family | RerankerFamily) -> str:
    return family.licence + ("" if family.commercial else " (not for commercial use)")


def _lines(value: dict[str, object], indent: str = "") -> str:
    lines = []
    for name, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(f"{indent}{name}:\n{_lines(item, indent + '  ')}")
        else:
            lines.append(f"{indent}{name}: {escaped(_shown(item))}\n")
    return "".join(lines)


def _shown(item: object) -> str:
    """Return a value for people, who may not know how Python spells it."""
    match item:
        case bool():
            return "yes" if item else "no"
        case int():
            return f"{item:,}"
        case None | "" | [] | {}:
            return "none"
        case str() if item.strip() != item:
            return json_text(item)  # in quotes: a prompt's last space can be seen
        case list():
            return ", ".join(map(_shown, item))
    return str(item)
