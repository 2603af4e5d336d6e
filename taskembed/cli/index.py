"""`taskembed index`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli import _options as opt
from taskembed.cli._groups import with_groups
from taskembed.cli._index_options import (
    BadRecordOptions,
    InputOptions,
    RunOptions,
    SpaceOptions,
    StoreOptions,
)
from taskembed.cli._output import message, require_output, write
from taskembed.cli._progress import each_shown
from taskembed.cli._rejected import rejects_reported
from taskembed.cli._stopping import Stopper
from taskembed.cli._words import next_step, truncated
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.reading.documents import Document
    from taskembed.reading.rejects import RejectFile
    from taskembed.space import EmbeddingSpace
    from taskembed.verbs.describe import Existing
    from taskembed.verbs.options import IndexOptions, IndexSummary, SpaceRequest
    from taskembed.verbs.protocols import Encoder

REJECTS_HINT = "; --rejects FILE keeps them all, with the reasons"


@with_groups
def index_command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="JSONL, Parquet, CSV, TSV (also .gz, .zst), folders, or - for stdin.",
        ),
    ],
    *,
    model: opt.ModelOptions,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    of_space: SpaceOptions,
    of_input: InputOptions,
    run: RunOptions,
    store: StoreOptions,
    of_bad: BadRecordOptions,
    machine: opt.MachineOptions,
    out: opt.OutputOptions,
) -> int:
    """Encode documents into an index; run again to resume or update.

    The first run makes the index and saves its embedding space: the model, the task, the prompts.
    Later runs need no options: they use the index's own, and encode only what is new or has
    changed.

    Example:
        taskembed index corpus.jsonl --task retrieval
    """
    of_bad.check(dry_run=run.dry_run)
    of_input.check()
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.corpus import find_corpus
    from taskembed.verbs.describe import read_existing

    existing = read_existing(index_folder, recreate=run.recreate)
    for note in existing.notes:
        message(f"note: {note}")
    asked = of_input.reading(run.on_duplicate)
    corpus = find_corpus(inputs, existing, asked, template=of_input.template, recreate=run.recreate)
    require_output("--rejects", of_bad.rejects, [index_folder, *corpus.paths], in_place=True)
    settings = machine.settings(
        quiet=out.quiet, trust_remote_code=of_space.trust_remote_code, api_base=of_space.api_base
    )
    request = of_space.request(model, str(corpus.template))
    encoder = _encoder(existing, request, settings, index_folder, run)
    words = store.kept_words(existing.part.storage.words if existing.part else "")
    options = run.options(corpus.reading, words, fail_on_truncate=of_bad.fail_on_truncate)
    started = time.monotonic()
    with (
        RejectFile(of_bad.rejects, stop=not of_bad.skip_bad, max_bad=of_bad.max_bad) as bad,
        rejects_reported(bad, rejects=of_bad.rejects, more_hint=REJECTS_HINT),
    ):
        documents = corpus.documents(bad, max_record_bytes=of_bad.max_record_bytes)
        if encoder:
            share = corpus.meter.share
            summary = _indexed(documents, encoder, index_folder, options, bad, share)
        else:
            shown = each_shown(documents, corpus.meter.share)
            summary = _planned(shown, index_folder if existing.part else None, options, bad)
    seconds = time.monotonic() - started
    space = encoder.space if encoder else None
    _print_summary(summary, seconds, index_folder, space, options, out)
    return ExitCode.PARTIAL if summary.rejected else ExitCode.OK


def _encoder(
    existing: Existing,
    request: SpaceRequest,
    settings: EngineSettings,
    folder: Path,
    run: RunOptions,
) -> Encoder | None:
    """Return the encoder of a run; None for a dry run, whose words are checked all the same.

    What needs neither a model nor the documents is checked first.
    """
    from taskembed.index.commit import require_writable
    from taskembed.verbs.encoders import check_request, encoder_for_update

    check_request(existing.space, request, settings, recreate=run.recreate)
    if run.dry_run:
        return None
    with Stopper():
        require_writable(folder, wait_seconds=run.wait)
    return encoder_for_update(existing.space, request, settings, recreate=run.recreate)


def _indexed(
    documents: Iterable[Document],
    encoder: Encoder,
    folder: Path,
    options: IndexOptions,
    bad: RejectFile,
    read_share: Callable[[], float | None],
) -> IndexSummary:
    from taskembed.verbs.index import index_corpus
    from taskembed.verbs.options import Watch

    with Stopper() as stopper:
        watch = Watch(bad=bad, read_share=read_share, uninterrupted=stopper.uninterrupted)
        return index_corpus(documents, encoder, folder, options=options, watch=watch)


def _planned(
    documents: Iterable[Document], folder: Path | None, options: IndexOptions, bad: RejectFile
) -> IndexSummary:
    from taskembed.verbs.options import Watch
    from taskembed.verbs.plan import plan_index

    with Stopper():
        summary = plan_index(documents, folder, options=options, watch=Watch(bad=bad))
    message("note: nothing was written; this is what the run would do")
    return summary


def _print_summary(
    summary: IndexSummary,
    seconds: float,
    folder: Path,
    space: EmbeddingSpace | None,
    options: IndexOptions,
    out: opt.OutputOptions,
) -> None:
    """Print the counts, and notes on them.

    Args:
        summary: what the run did, or would do.
        seconds: how long it took.
        folder: of the index.
        space: of the index; None after a dry run.
        options: of the run.
        out: what is printed.
    """
    if out.as_json:
        value = {"index": str(folder), **summary.to_json(), "seconds": round(seconds, 3)}
        write(json_text(value) + "\n")
    elif not out.quiet:
        write(
            f"{summary.added:,} added, {summary.updated:,} updated, {summary.deleted:,} deleted, "
            f"{summary.unchanged:,} unchanged, {summary.rejected:,} rejected, "
            f"{summary.truncated:,} truncated\n"
        )
    if out.quiet:
        return
    for note in _notes(summary, space, options):
        message(f"note: {note}")
    if space and not out.as_json and (summary.added or summary.updated or summary.deleted):
        message(next_step(summary.documents, folder))


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
            "if another field is the id: --id-field NAME --recreate"
        )
    if not summary.pruned:
        yield "nothing was pruned: a rejected record may be a document of the index"
    seen = summary.added + summary.updated + summary.unchanged
    if space and (note := truncated(summary.truncated, seen, space)):
        yield note
