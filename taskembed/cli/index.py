"""`taskembed index`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._process.stopping import Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import (
    LongOutputOptions,
    MachineOptions,
    OutputOptions,
    ViewsModelOptions,
)
from taskembed.cli.options.index import RunOptions, SpaceOptions, StoreOptions
from taskembed.cli.options.input import BadRecordOptions, InputOptions
from taskembed.cli.options.views import ViewOptions
from taskembed.cli.options.workers import WorkerOptions
from taskembed.cli.printing.output import (
    log,
    message,
    require_other_log,
    require_output,
    write_done,
)
from taskembed.cli.printing.rejected import rejects_reported
from taskembed.cli.printing.sentences import counts_of, next_step, truncated
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.space import EmbeddingSpace
    from taskembed.verbs.options import IndexOptions, IndexSummary
    from taskembed.verbs.update import Updated

REJECTS_HINT = "; --rejects FILE keeps them all, with the reasons"


@with_groups
def index_command(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="JSONL, Parquet, CSV, TSV, text, HTML (also .gz, .zst), source code, folders, "
            "'patterns/*.md', addresses such as s3://bucket/docs, or - for stdin.",
        ),
    ] = None,
    *,
    model: ViewsModelOptions,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    of_space: SpaceOptions,
    of_input: InputOptions,
    run: RunOptions,
    of_views: ViewOptions,
    store: StoreOptions,
    of_bad: BadRecordOptions,
    machine: MachineOptions,
    workers: WorkerOptions,
    out: LongOutputOptions,
) -> int:
    """Encode documents into an index; run again to resume or update.

    The first run creates the index and stores its embedding space: model, task and prompts. Later
    runs need no options: they use those of the index, and encode only new and changed documents.
    If --task is repeated, the documents are stored once, with vectors for each task.

    Example:
        taskembed index corpus.jsonl --task retrieval
        taskembed index my-notes --task retrieval
        taskembed index . --task code
    """
    inputs = inputs or []
    is_of_view = of_views.check(inputs, model, recreate=run.recreate, dry_run=run.dry_run)
    of_bad.check(dry_run=run.dry_run)
    of_input.check()
    ray = workers.ray(is_of_view=is_of_view)
    settings = machine.settings(
        quiet=out.quiet, trust_remote_code=of_space.trust_remote_code, api_base=of_space.api_base
    )
    if is_of_view:
        return of_views.run(index_folder, of_space.request(model), settings, out, wait=run.wait)
    from taskembed.verbs.options import Watch
    from taskembed.verbs.update import find_update

    asked = replace(of_input.reading(run.on_duplicate), label_field=store.label_field)
    update = find_update(
        inputs,
        index_folder,
        asked,
        template=of_input.template,
        task=Task.CODE if Task.CODE in model.tasks else next(iter(model.tasks), None),
        recreate=run.recreate,
    )
    read = [index_folder, *update.corpus.paths]
    require_output("--rejects", of_bad.rejects, read, in_place=True)
    require_other_log(opt.LOG_FILE, out.log_file, read)
    for note in (*update.existing.notes, *([] if out.quiet else update.corpus.notes)):
        message(f"note: {note}")
    words = store.kept_words(update.existing.words)
    options = run.options(
        update.corpus.reading,
        words,
        chunk=store.chunk,
        fail_on_truncate=of_bad.fail_on_truncate,
    )
    bad, stopper = of_bad.reject_file(), Stopper()
    with rejects_reported(bad, rejects=of_bad.rejects, more_hint=REJECTS_HINT):
        updated = update.run(
            of_space.request(model),
            options,
            settings,
            watch=Watch(bad, stoppable=lambda: stopper, uninterrupted=stopper.uninterrupted),
            max_record_bytes=of_bad.max_record_bytes,
            dry_run=run.dry_run,
            ray=ray,
        )
    _print_summary(updated, index_folder, options, out)
    return ExitCode.PARTIAL if updated.summary.rejected else ExitCode.OK


def _print_summary(
    updated: Updated, folder: Path, options: IndexOptions, out: OutputOptions
) -> None:
    """Print the counts of a run, and notes on them.

    Args:
        updated: the result of the run.
        folder: the index's folder.
        options: how the run indexed.
        out: what is printed.
    """
    summary, space = updated.summary, updated.space
    if space is None:
        message("note: nothing was written; this is what the run would do")
    counts = counts_of(summary)
    log(counts)
    done = "the index is up to date" if space else "nothing was written"
    if out.as_json:
        seconds = round(updated.seconds, 3)
        value = {"index": str(folder), **summary.to_json(), "seconds": seconds}
        write_done(json_text(value) + "\n", done)
    elif not out.quiet:
        write_done(f"{counts}\n", done)
    if out.quiet:
        return
    for note in (*_notes(summary, space, options), *updated.notes):
        message(f"note: {note}")
    if space and not out.as_json and (summary.added or summary.updated or summary.deleted):
        message(next_step(summary.documents, folder, is_default=folder == opt.DEFAULT_INDEX))


def _notes(
    summary: IndexSummary, space: EmbeddingSpace | None, options: IndexOptions
) -> Iterator[str]:
    if summary.duplicates:
        kept = options.on_duplicate.value
        of_each = " of each" if summary.duplicates > 1 else ""
        rest = "" if kept == "error" else f"; the {kept} document{of_each} was kept"
        yield counted(summary.duplicates, "duplicate id") + " in the input" + rest
    if summary.empty:
        yield counted(summary.empty, "document has", "documents have") + " no text"
    if summary.without_id:
        yield (
            counted(summary.without_id, "record") + " had no id: the sha256 of the text is used; "
            "if the id is in another field, use --id-field NAME --recreate"
        )
    if not summary.pruned:
        yield "nothing was pruned: a rejected record may be a document of the index"
    seen = summary.added + summary.updated + summary.unchanged
    if space and (note := truncated(summary.truncated, seen, space)):
        # --chunk needs the model's tokenizer, which a hosted model does not have here
        yield note if space.hosted else f"{note}; to embed all of it, use --chunk auto --recreate"
