"""`taskembed verify`."""

from __future__ import annotations

from taskembed.cli.options import common as opt
from taskembed.cli.printing.output import write
from taskembed.english import counted
from taskembed.errors import ExitCode, IndexDamagedError
from taskembed.escaping import escaped, json_text


def verify_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX, as_json: opt.AsJson = False
) -> int:
    """Check every byte of an index and list damaged files.

    Example:
        taskembed verify --index notes-index
    """
    from taskembed.index.verify import verify_index

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
            hint="restore the folder from a copy, or build the index again with --recreate",
        )
    if not as_json:
        files = counted(count, "file is as it was", "files are as they were")
        write(f"generation {snapshot.generation}: {files} written\n")
    return ExitCode.OK
