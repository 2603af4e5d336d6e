"""`taskembed export`."""

from __future__ import annotations

from taskembed.cli._process.stopping import NOTHING_WRITTEN, Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import OutputOptions
from taskembed.cli.options.vectors import Numbers, NumbersOption, VectorFile
from taskembed.cli.printing.output import STDOUT, message, write
from taskembed.cli.printing.vectors import require_vector_output, vector_output
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text


@with_groups
def export_command(
    output: VectorFile,
    *,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    task: opt.ViewOption = None,
    where: opt.Where = None,
    dtype: NumbersOption = Numbers.FLOAT32,
    out: OutputOptions,
) -> int:
    """Write an index's documents and vectors to a file.

    No model is loaded. `taskembed import` can build an index from the file that returns the same
    hits. If the index has several views, the first is exported, or that of --task.

    Example:
        taskembed export -o vectors.parquet
        taskembed export --where "year >= 2020" -o recent.parquet
    """
    require_vector_output(output, [index_folder])
    from taskembed.index.reader import Index
    from taskembed.verbs.export import export_index
    from taskembed.verbs.opening.encoders import require_task

    with Index.open(index_folder, task=task) as index:
        require_task(index.folder, index.space, task, views=index.tasks)
        with Stopper(NOTHING_WRITTEN), vector_output(output) as place:
            documents = export_index(index, place, where=where, dtype=dtype.dtype)
        dim, exported, views = index.space.dim, index.space.task, len(index.tasks)
    if where is not None and not documents and not out.quiet:
        message(f"note: {opt.NOTHING_PASSES}")
    of_view = f" for {exported}" if views > 1 else ""
    counts = f"{counted(documents, 'document')}, vectors of {dim:,} numbers{of_view}"
    value = {"output": str(output), "documents": documents, "dim": dim, "task": exported.value}
    if out.as_json and str(output) not in STDOUT:
        write(json_text(value) + "\n")
    elif not out.quiet:
        if str(output) in STDOUT:  # the vectors are written to stdout
            message(counts)
        else:
            write(f"{counts}\n")
    return ExitCode.OK
