"""`taskembed cache`: the compiled models of this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._command import Command, Group
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import OutputOptions
from taskembed.cli.printing.output import write
from taskembed.english import counted
from taskembed.escaping import escaped, json_text

if TYPE_CHECKING:
    from taskembed.encoding.cache import CacheEntry

app = typer.Typer(
    cls=Group,
    help="List or delete the compiled models.\n\nA deleted one is made again when it is needed.",
    rich_markup_mode=None,
)


@app.command("list", cls=Command)
def list_(cache: opt.Cache = None, as_json: opt.AsJson = False) -> int:
    """List the compiled models, newest first.

    Each has the digest of what it was made from.

    Example:
        taskembed cache list
    """
    from taskembed.encoding.cache import list_entries

    entries = list_entries(_folder(cache))
    if as_json:
        write(json_text([_entry_json(entry) for entry in entries]) + "\n")
        return 0
    for entry in entries:
        made_from = entry.made_from
        name = "cannot be read, and will be made again"
        if made_from:
            name = f"{made_from.model} + {made_from.adapter}" if made_from.adapter else ""
            name = f"{name or made_from.model} ({made_from.kind}, {made_from.engine})"
        digest = made_from.digest[:12] if made_from else "-" * 12
        write(f"{digest}  {entry.size / 2**20:9.1f} MiB  {_when(entry)}  {escaped(name)}\n")
    total = sum(entry.size for entry in entries)
    models = counted(len(entries), "compiled model")
    write(f"{models}, {total / 2**20:.1f} MiB, in {_folder(cache)}\n")
    return 0


@app.command(cls=Command)
@with_groups
def clear(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Only those of this model.")
    ] = None,
    unused: Annotated[
        int | None,
        typer.Option(
            "--unused",
            rich_help_panel=opt.Panel.INPUT,
            metavar="DAYS",
            min=0,
            help="Only those that were not used for DAYS days.",
        ),
    ] = None,
    cache: opt.Cache = None,
    *,
    out: OutputOptions,
) -> int:
    """Delete compiled models.

    No index is touched; the next command compiles again.

    Example:
        taskembed cache clear --unused 30
    """
    from taskembed.encoding.cache import delete_entries

    deleted = delete_entries(_folder(cache), model=model, unused_days=unused)
    size = sum(entry.size for entry in deleted)
    if out.as_json:
        write(json_text({"deleted": len(deleted), "bytes": size}) + "\n")
    elif not out.quiet:
        models = counted(len(deleted), "compiled model")
        write(f"{models} deleted, {size / 2**20:.1f} MiB\n")
    return 0


def _folder(cache: Path | None) -> Path:
    from taskembed.files import own_folder

    return cache or own_folder()


def _when(entry: CacheEntry) -> str:
    return datetime.fromtimestamp(entry.compiled, UTC).strftime("%Y-%m-%d %H:%M")


def _entry_json(entry: CacheEntry) -> dict[str, object]:
    from dataclasses import asdict

    made_from = asdict(entry.made_from) if entry.made_from else None
    return {
        "file": str(entry.path),
        "bytes": entry.size,
        "compiled_at": datetime.fromtimestamp(entry.compiled, UTC).isoformat(timespec="seconds"),
        "used_at": datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds"),
        "made_from": made_from,
    }
