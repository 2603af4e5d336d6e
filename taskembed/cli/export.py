"""`taskembed export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._process.stopping import NOTHING_WRITTEN, Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.collection import CollectionOptions
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import LongOutputOptions
from taskembed.cli.options.vectors import Numbers, NumbersOption, OptionalVectorFile
from taskembed.cli.printing.output import STDOUT, message, require_other_log, write, write_done
from taskembed.cli.printing.vectors import require_vector_output, vector_output
from taskembed.english import counted
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import json_text

if TYPE_CHECKING:
    from taskembed.index.reader import Index

_DONE = "the collection is up to date"


@with_groups
def export_command(
    uri: Annotated[
        str | None,
        typer.Argument(
            metavar="[URI]",
            help="With --to milvus, the server: http://HOST:19530, or https://...; or FILE.db, a "
            "database of Milvus Lite on this machine.",
        ),
    ] = None,
    output: OptionalVectorFile = None,
    *,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    task: opt.ViewOption = None,
    where: opt.Where = None,
    dtype: NumbersOption = Numbers.FLOAT32,
    of_collection: CollectionOptions,
    out: LongOutputOptions,
) -> int:
    """Write documents and vectors to a file, or to a Milvus server.

    No model is loaded. `taskembed import` can build an index from the file that returns the same
    hits. If the index has several views, the first is exported, or that of --task.

    A collection is updated: only what has changed is sent. `taskembed search --index
    milvus://HOST:19530/COLLECTION` searches it. Needs the extra milvus.

    Example:
        taskembed export -o vectors.parquet
        taskembed export --where "year >= 2020" -o recent.parquet
        taskembed export --to milvus http://localhost:19530 --collection notes
    """
    server = of_collection.server(uri, has_output=output is not None)
    if output is not None:
        require_vector_output(output, [index_folder])
        require_other_log(opt.LOG_FILE, out.log_file, [output])
    elif dtype is not Numbers.FLOAT32:
        raise UsageError("a collection stores float32 only", hint="leave out --dtype")
    from taskembed.index.reader import Index
    from taskembed.verbs.opening.encoders import require_task

    with Index.open(index_folder, task=task) as index:
        require_task(index.folder, index.space, task, views=index.tasks)
        if output is not None:
            documents = _to_file(index, output, where, dtype, out)
        else:
            documents = _to_collection(index, server, of_collection, where, out)
    if where is not None and not documents and not out.quiet:
        message(f"note: {opt.NOTHING_PASSES}")
    return ExitCode.OK


def _to_file(
    index: Index, output: Path, where: str | None, dtype: Numbers, out: LongOutputOptions
) -> int:
    """Write a file, and return the number of documents."""
    from taskembed.verbs.export import export_index

    with Stopper(NOTHING_WRITTEN), vector_output(output) as place:
        documents = export_index(index, place, where=where, dtype=dtype.dtype)
    dim, task = index.space.dim, index.space.task
    of_view = f" for {task}" if len(index.tasks) > 1 else ""
    counts = f"{counted(documents, 'document')}, vectors of {dim:,} numbers{of_view}"
    value = {"output": str(output), "documents": documents, "dim": dim, "task": task.value}
    if out.as_json and str(output) not in STDOUT:
        write(json_text(value) + "\n")
    elif not out.quiet:
        if str(output) in STDOUT:  # the vectors are written to stdout
            message(counts)
        else:
            write(f"{counts}\n")
    return documents


def _to_collection(
    index: Index,
    server: str,
    of_collection: CollectionOptions,
    where: str | None,
    out: LongOutputOptions,
) -> int:
    """Update a collection, and return the number of documents."""
    from taskembed.verbs.milvus.export import export_to_milvus

    name = of_collection.collection or ""
    with Stopper():
        done = export_to_milvus(index, server, name, where=where, recreate=of_collection.recreate)
    if out.as_json:
        space = {"dim": index.space.dim, "task": index.space.task.value}
        write_done(json_text(asdict(done) | space) + "\n", _DONE)
    elif not out.quiet:
        sent = f"{done.rows_sent:,} of {counted(done.rows, 'row')} sent, {done.bytes_sent:,} bytes"
        deleted = f", {counted(done.rows_deleted, 'old row')} deleted" * bool(done.rows_deleted)
        at = f"{counted(done.documents, 'document')} at {done.address}"
        write_done(f"{at}: {sent}{deleted}\n", _DONE)
    return done.documents
