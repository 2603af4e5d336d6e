"""`taskembed cache`: lists and deletes compiled models and copies of published indexes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._base.command import Command, Group
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import OutputOptions
from taskembed.cli.printing.output import write
from taskembed.english import counted
from taskembed.escaping import escaped, json_text

if TYPE_CHECKING:
    from taskembed.encoding.cache import CacheEntry
    from taskembed.verbs.publishing.copies import CachedIndex

app = typer.Typer(
    cls=Group,
    help="List or delete compiled models, and copies of published indexes.\n\n"
    "A deleted entry is compiled or fetched again when it is needed.",
    rich_markup_mode=None,
)


@app.command("list", cls=Command)
def list_(cache: opt.Cache = None, as_json: opt.AsJson = False) -> int:
    """List compiled models, and copies of published indexes.

    The newest are listed first. The digest identifies the files that a model was compiled from.

    Example:
        taskembed cache list
    """
    from taskembed.encoding.cache import list_entries
    from taskembed.verbs.publishing.copies import list_copies

    entries, copies = list_entries(_folder(cache)), list_copies(_folder(cache))
    if as_json:
        values = [*map(_entry_json, entries), *map(_copy_json, copies)]
        write(json_text(values) + "\n")
        return 0
    for entry in entries:
        made_from = entry.made_from
        name = "cannot be read, and will be compiled again"
        if made_from:
            name = f"{made_from.model} + {made_from.adapter}" if made_from.adapter else ""
            name = f"{name or made_from.model} ({made_from.kind}, {made_from.engine})"
        digest = made_from.digest[:12] if made_from else "-" * 12
        write(f"{digest}  {entry.size / 2**20:9.1f} MiB  {_when(entry)}  {escaped(name)}\n")
    for cached in copies:
        name = f"{cached.copy.address} (generation {cached.copy.generation})"
        when = f"{cached.copy.fetched_at:%Y-%m-%d %H:%M}"
        write(f"{'index':12}  {cached.size / 2**20:9.1f} MiB  {when}  {escaped(name)}\n")
    total = sum(entry.size for entry in entries) + sum(copy.size for copy in copies)
    write(f"{_counted(entries, copies)}, {total / 2**20:.1f} MiB, in {_folder(cache)}\n")
    return 0


def _counted(models: Sequence[object], copies: Sequence[object]) -> str:
    of_models = counted(len(models), "compiled model")
    of_copies = counted(len(copies), "copy of an index", "copies of indexes")
    return f"{of_models}, {of_copies}" if copies else of_models


@app.command(cls=Command)
@with_groups
def clear(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="Delete only this model, or the copy of this address."
        ),
    ] = None,
    unused: Annotated[
        int | None,
        typer.Option(
            "--unused",
            rich_help_panel=opt.Panel.INPUT,
            metavar="DAYS",
            min=0,
            help="Delete only entries that were not used for DAYS days.",
        ),
    ] = None,
    cache: opt.Cache = None,
    *,
    out: OutputOptions,
) -> int:
    """Delete compiled models, and copies of published indexes.

    Indexes in folders are not changed. A later command compiles or fetches entries again.

    Example:
        taskembed cache clear --unused 30
    """
    from taskembed.encoding.cache import SECONDS_A_DAY, delete_entries
    from taskembed.objects import is_address
    from taskembed.verbs.publishing.copies import delete_copies

    folder = _folder(cache)
    models: list[CacheEntry] = []
    copies: list[CachedIndex] = []
    if model is None or is_address(model):
        before = None if unused is None else time.time() - unused * SECONDS_A_DAY
        copies = delete_copies(folder, address=model, unused_before=before)
    if model is None or not is_address(model):
        models = delete_entries(folder, model=model, unused_days=unused)
    size = sum(entry.size for entry in models) + sum(copy.size for copy in copies)
    if out.as_json:
        value = {"deleted": len(models), "copies_deleted": len(copies), "bytes": size}
        write(json_text(value) + "\n")
    elif not out.quiet:
        write(f"{_counted(models, copies)} deleted, {size / 2**20:.1f} MiB\n")
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


def _copy_json(cached: CachedIndex) -> dict[str, object]:
    return {
        "folder": str(cached.copy.folder),
        "bytes": cached.size,
        "address": cached.copy.address,
        "generation": cached.copy.generation,
        "fetched_at": cached.copy.fetched_at.isoformat(timespec="seconds"),
        "used_at": datetime.fromtimestamp(cached.used, UTC).isoformat(timespec="seconds"),
    }
