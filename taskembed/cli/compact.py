"""`taskembed compact`."""

from __future__ import annotations

from taskembed.cli._process.stopping import Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import LongOutputOptions
from taskembed.cli.printing.output import write_done
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text

_DONE = "the index is compacted"


@with_groups
def compact_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    wait: opt.Wait = 0,
    *,
    out: LongOutputOptions,
) -> int:
    """Merge an index into one segment and drop deleted documents.

    Nothing is encoded. Disk space for a second copy of the index is needed. `taskembed index`
    merges segments automatically; compact an index after many deletions, or to convert it to the
    newest format.

    Example:
        taskembed compact --index notes-index
    """
    from taskembed.verbs.compact import compact_index

    with Stopper() as stopper:
        done = compact_index(index_folder, wait_seconds=wait, uninterrupted=stopper.uninterrupted)
    if out.as_json:
        value = {
            "documents": done.documents,
            "segments_before": done.segments_before,
            "segments": done.segments,
            "deleted_rows": done.deleted_rows,
        }
        write_done(json_text(value) + "\n", _DONE)
    elif not out.quiet:
        before = counted(done.segments_before, "segment")
        counts = f"{counted(done.documents, 'document')}: {before} before, {done.segments} now"
        write_done(f"{counts}\n", _DONE)
    return ExitCode.OK
