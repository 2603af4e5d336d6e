"""`taskembed delete`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from taskembed.cli._inputs.ids import read_ids
from taskembed.cli._process.stdin import confirmed
from taskembed.cli._process.stopping import Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import OutputOptions
from taskembed.cli.printing.output import message, write_done
from taskembed.cli.printing.sentences import not_in_the_index
from taskembed.english import counted
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import json_text


@with_groups
def delete_command(
    doc_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID...]",
            help="Document ids; - reads them from stdin, in the form of search --format ids.",
        ),
    ] = None,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    where: opt.Where = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            rich_help_panel=opt.Panel.INDEX,
            help="With --where, delete without asking.",
        ),
    ] = False,
    dry_run: opt.DryRun = False,
    wait: opt.Wait = 0,
    *,
    out: OutputOptions,
) -> int:
    """Delete documents from an index by id, or by a filter.

    Ids that are not in the index are listed; the exit code is then 1.

    Example:
        taskembed delete moon mars
        taskembed delete --where "year < 2000" --dry-run
    """
    if bool(doc_ids) == (where is not None):
        raise UsageError("give either ids or --where", hint="see taskembed delete --help")
    if where is not None:
        deleted = _delete_where(index_folder, where, wait, ask=not yes, dry_run=dry_run)
        missing: list[str] = []
        if deleted is None:
            message("nothing was deleted")
            return ExitCode.PARTIAL
    else:
        deleted, missing = _delete_ids(index_folder, doc_ids or [], wait, dry_run=dry_run)
    done = "nothing was deleted" if dry_run else "the documents are deleted"
    if out.as_json:
        write_done(json_text({"deleted": deleted, "missing": missing}) + "\n", done)
    elif not out.quiet:
        write_done(f"{deleted:,} {'would be ' if dry_run else ''}deleted\n", done)
    if missing and not out.as_json:
        message(not_in_the_index(missing))
    return ExitCode.PARTIAL if missing else ExitCode.OK


def _delete_ids(
    index_folder: Path, doc_ids: list[str], wait: float, *, dry_run: bool
) -> tuple[int, list[str]]:
    """Delete by id; return the number of deleted documents, and the ids not in the index."""
    from taskembed.verbs.delete import delete_documents

    doc_ids = read_ids(doc_ids)
    if dry_run:
        from taskembed.verbs.plan import plan_delete

        return plan_delete(index_folder, doc_ids)
    with Stopper() as stopper:
        return delete_documents(
            index_folder, doc_ids, wait_seconds=wait, uninterrupted=stopper.uninterrupted
        )


def _delete_where(
    index_folder: Path, where: str, wait: float, *, ask: bool, dry_run: bool
) -> int | None:
    """Delete the documents that match a filter; return their number, or None if not confirmed."""
    from taskembed.verbs.delete import count_where, delete_where

    if dry_run:
        return count_where(index_folder, where)[0]
    if ask:
        if not sys.stdin.isatty():
            raise UsageError(
                "without a terminal to confirm on, --where needs --yes",
                hint="--dry-run prints how many documents would be deleted",
            )
        passing, documents = count_where(index_folder, where)
        if not confirmed(f"delete {passing:,} of {counted(documents, 'document')}?"):
            return None
    with Stopper() as stopper:
        return delete_where(
            index_folder, where, wait_seconds=wait, uninterrupted=stopper.uninterrupted
        )
