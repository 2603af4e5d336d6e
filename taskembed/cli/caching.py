"""`taskembed cache`: the compiled models of this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli import options as opt
from taskembed.cli._groups import with_groups
from taskembed.cli.command import Command, Group
from taskembed.cli.output import write
from taskembed.english import counted
from taskembed.errors import NotFoundError, os_errors
from taskembed.escaping import escaped, json_text

if TYPE_CHECKING:
    from taskembed.encoding.cache import CacheEntry

SECONDS_A_DAY = 86_400

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
    entries = _entries(cache)
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
        str | None, typer.Argument(metavar="[MODEL]", help="Only those of that model.")
    ] = None,
    unused: Annotated[
        int | None,
        typer.Option(
            "--unused",
            rich_help_panel=opt.Panel.INPUT,
            metavar="DAYS",
            min=0,
            help="Only those that were not used for so long.",
        ),
    ] = None,
    cache: opt.Cache = None,
    *,
    out: opt.OutputOptions,
) -> int:
    """Delete compiled models.

    No index is touched; the next command compiles again.

    Example:
        taskembed cache clear --unused 30
    """
    chosen = [
        entry
        for entry in _entries(cache)
        if model is None or (entry.made_from and entry.made_from.model == model)
    ]
    if model is not None and not chosen:
        raise NotFoundError(
            f"there is no compiled model of {model!r}", hint="`taskembed cache list` lists them"
        )
    if unused is not None:
        last = datetime.now(UTC).timestamp() - unused * SECONDS_A_DAY
        chosen = [entry for entry in chosen if entry.used <= last]
    for entry in chosen:
        _delete(entry.path)
    if model is None and unused is None:
        for path in _leftovers(_folder(cache)):
            _delete(path)
    size = sum(entry.size for entry in chosen)
    if out.as_json:
        write(json_text({"deleted": len(chosen), "bytes": size}) + "\n")
    elif not out.quiet:
        models = counted(len(chosen), "compiled model")
        write(f"{models} deleted, {size / 2**20:.1f} MiB\n")
    return 0


def _delete(path: Path) -> None:
    with os_errors(path):
        path.unlink(missing_ok=True)


def _leftovers(folder: Path) -> list[Path]:
    """Return the other files of a cache: what is remembered of models, what a kill left behind."""
    remembered = [path for name in ("checked", "digests") for path in (folder / name).glob("*")]
    return sorted([*remembered, *folder.glob("*/.tmp-*")])


def _folder(cache: Path | None) -> Path:
    from taskembed.files import own_folder

    return cache or own_folder()


def _entries(cache: Path | None) -> list[CacheEntry]:
    from taskembed.encoding.cache import list_entries

    return list_entries(_folder(cache))


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
