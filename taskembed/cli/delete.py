"""`taskembed delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from taskembed.cli import _options as opt
from taskembed.cli._groups import with_groups
from taskembed.cli._output import message, write
from taskembed.cli._stdin import read_stdin
from taskembed.cli._stopping import Stopper
from taskembed.errors import ExitCode
from taskembed.escaping import id_of_line, json_text

SHOWN_IDS = 5  # ids that are not in the index: more do not fit on a line


@with_groups
def delete_command(
    doc_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Document ids; - reads them from stdin, as search --format ids prints them.",
        ),
    ],
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    dry_run: opt.DryRun = False,
    wait: opt.Wait = 0,
    *,
    out: opt.OutputOptions,
) -> int:
    """Delete documents from an index by id.

    Ids that are not in the index are listed; the exit code is then 1.

    Example:
        taskembed delete moon mars
    """
    from taskembed.verbs.delete import delete_documents

    if doc_ids == ["-"]:
        lines = read_stdin("the ids are").split("\n")  # an id has no \r, but maybe only spaces
        doc_ids = [id_of_line(line.rstrip("\r")) for line in lines if line.rstrip("\r")]
    if dry_run:
        from taskembed.verbs.plan import plan_delete

        deleted, missing = plan_delete(index_folder, doc_ids)
    else:
        with Stopper() as stopper:
            deleted, missing = delete_documents(
                index_folder, doc_ids, wait_seconds=wait, uninterrupted=stopper.uninterrupted
            )
    if out.as_json:
        write(json_text({"deleted": deleted, "missing": missing}) + "\n")
    elif not out.quiet:
        write(f"{deleted:,} {'would be ' if dry_run else ''}deleted\n")
    if missing and not out.as_json:
        more = f" and {len(missing) - SHOWN_IDS:,} more" if len(missing) > SHOWN_IDS else ""
        message(f"not in the index: {', '.join(map(repr, missing[:SHOWN_IDS]))}{more}")
    return ExitCode.PARTIAL if missing else ExitCode.OK
