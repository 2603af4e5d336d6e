"""`taskembed count`."""

from __future__ import annotations

from taskembed.cli.options import common as opt
from taskembed.cli.printing.output import write
from taskembed.errors import ExitCode
from taskembed.escaping import json_text


def count_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    where: opt.Where = None,
    as_json: opt.AsJson = False,
) -> int:
    """Print the number of documents, or of those that match a filter.

    Example:
        taskembed count --where "year >= 2020"
    """
    from taskembed.verbs.documents import count_documents

    count = count_documents(index_folder, where=where)
    write(json_text({"count": count}) + "\n" if as_json else f"{count}\n")
    return ExitCode.OK
