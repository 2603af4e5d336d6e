"""`taskembed index` and `taskembed delete`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli import options as opt
from taskembed.cli._groups import with_groups
from taskembed.cli.output import message, require_output, write
from taskembed.cli.progress import each_shown
from taskembed.cli.rejected import said_after
from taskembed.cli.stdin import read_stdin
from taskembed.cli.stopping import Stopper
from taskembed.cli.words import next_step, truncated
from taskembed.english import counted
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import id_of_line, json_text

if TYPE_CHECKING:
    from taskembed.reading.documents import Document
    from taskembed.reading.meter import Meter
    from taskembed.reading.rejects import RejectFile
    from taskembed.space import EmbeddingSpace
    from taskembed.verbs.options import IndexOptions, IndexSummary
    from taskembed.verbs.protocols import Encoder


class InputFormat(Enum):
    """What an input is, when its name does not say."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    CSV = "csv"
    TSV = "tsv"


class Duplicates(Enum):
    """Which of two documents with one id stays."""

    LAST = "last"
    FIRST = "first"
    ERROR = "error"


REJECTS_HINT = "; --rejects FILE keeps them all, with the reasons"
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=opt.Panel.INDEX,
        help="Say what would be done: nothing is written, no model loaded.",
    ),
]


@with_groups
def index(  # noqa: PLR0915  # words become values one after another
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
    no_adapter: opt.NoAdapter = False,
    dim: Annotated[
        int | None,
        typer.Option(
            "--dim",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.MODEL,
            help="Numbers in a vector: a size that the model was trained for.  [default: all]",
        ),
    ] = None,
    force_dim: Annotated[
        bool,
        typer.Option(
            "--force-dim",
            rich_help_panel=opt.Panel.MODEL,
            help="Shorten vectors also to a size that the model was not trained for.",
        ),
    ] = False,
    trust_remote_code: opt.TrustRemoteCode = False,
    api_base: opt.ApiBase = None,
    format_name: Annotated[
        InputFormat | None,
        typer.Option(
            "--format",
            rich_help_panel=opt.Panel.INPUT,
            help="What the inputs are, whatever their names.",
        ),
    ] = None,
    id_field: Annotated[
        str | None,
        typer.Option(
            "--id-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The field with the id.  [default: id, _id or doc_id]",
        ),
    ] = None,
    text_field: Annotated[
        str | None,
        typer.Option(
            "--text-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The field with the text.  [default: text, after title when there is one]",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            metavar="TEMPLATE",
            rich_help_panel=opt.Panel.INPUT,
            help="What is embedded: '{title}. {text}'; a field like {title?} may be missing.",
        ),
    ] = None,
    delimiter: opt.Delimiter = None,
    encoding: opt.Encoding = None,
    first_row: opt.FirstRow = None,
    columns: opt.ColumnNames = None,
    commit_every: Annotated[
        int,
        typer.Option(
            "--commit-every",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.INDEX,
            help="Documents between commits; a minute of work is committed in any case.",
        ),
    ] = 20_000,
    on_duplicate: Annotated[
        Duplicates | None,
        typer.Option(
            "--on-duplicate",
            rich_help_panel=opt.Panel.INDEX,
            help="Which of two documents with one id stays.  [default: last]",
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            rich_help_panel=opt.Panel.INDEX,
            help="Delete documents that the input does not have any more.",
        ),
    ] = False,
    prune_limit: Annotated[
        float,
        typer.Option(
            "--prune-limit",
            min=0,
            max=100,
            metavar="PERCENT",
            rich_help_panel=opt.Panel.INDEX,
            help="With --prune, stop when more of the documents would be deleted.",
        ),
    ] = 20,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            rich_help_panel=opt.Panel.INDEX,
            help="With --prune, delete however many they are.",
        ),
    ] = False,
    dry_run: DryRun = False,
    recreate: Annotated[
        bool,
        typer.Option(
            "--recreate",
            rich_help_panel=opt.Panel.INDEX,
            help="Build a new index in place of the one that is there.",
        ),
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="Go on without bad records, and exit with 1.",
        ),
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects",
            metavar="FILE",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="Write bad records there, as JSONL, with the reason of each.",
        ),
    ] = None,
    max_bad: Annotated[
        int | None,
        typer.Option(
            "--max-bad",
            min=0,
            metavar="N",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="With --skip-bad, stop after more bad records than that.",
        ),
    ] = None,
    max_record_bytes: Annotated[
        int,
        typer.Option(
            "--max-record-bytes",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="A larger record is a bad one.",
        ),
    ] = 64 * 2**20,
    fail_on_truncate: Annotated[
        bool,
        typer.Option(
            "--fail-on-truncate",
            rich_help_panel=opt.Panel.BAD_RECORDS,
            help="A document that the model cannot read whole is a bad record.",
        ),
    ] = False,
    wait: opt.Wait = 0,
    machine: opt.MachineOptions,
    out: opt.OutputOptions,
) -> int:
    """Encode documents into an index; run again to resume or update.

    The first run makes the index, with the task and everything else that its embedding space
    consists of. Later runs need no options: they take the index's own, and encode only what is new
    or has changed.

    Example:
        taskembed index corpus.jsonl --task retrieval
    """
    _check_words(rejects, max_bad, text_field, template, skip_bad=skip_bad, dry_run=dry_run)
    from taskembed.index.commit import require_writable
    from taskembed.index.remembered import Reading
    from taskembed.reading.documents import read_corpus
    from taskembed.reading.fields import RecordFields
    from taskembed.reading.inputs import find_inputs
    from taskembed.reading.meter import Meter
    from taskembed.reading.rejects import RejectFile
    from taskembed.reading.streams import Shape
    from taskembed.reading.template import DEFAULT_TEMPLATE, Template
    from taskembed.verbs.describe import read_existing
    from taskembed.verbs.encoders import check_request, encoder_for_update
    from taskembed.verbs.options import IndexOptions, OnDuplicate, SpaceRequest

    existing = read_existing(index_folder, recreate=recreate)
    for note in existing.notes:
        message(f"note: {note}")
    space = existing.space
    asked = Reading(
        id_field=id_field,
        text_field=text_field,
        format=format_name.value if format_name else None,
        on_duplicate=on_duplicate.value if on_duplicate else None,
        delimiter=delimiter,
        encoding=encoding,
        columns=_columns(columns, header=first_row),
    )
    reading = existing.reading(asked, recreate=recreate)
    shape = Shape.parse(reading.delimiter, reading.encoding, reading.columns or None)
    found = find_inputs(inputs, format_name=reading.format, shape=shape)
    meter = Meter.of(item.path for item in found)
    found = [replace(item, meter=meter) for item in found]
    read = [index_folder, *(item.path for item in found)]
    require_output("--rejects", rejects, read, in_place=True)
    stated = Template(space.template) if space else DEFAULT_TEMPLATE
    if template or text_field:
        stated = Template.parse(template or f"{{{text_field}}}")

    settings = machine.settings(
        quiet=out.quiet, trust_remote_code=trust_remote_code, api_base=api_base
    )
    request = SpaceRequest(
        model.model,
        model.task,
        model.revision,
        model.stated(no_adapter=no_adapter),
        dim,
        force_dim,
        str(stated),
    )
    # what needs neither a model nor the documents is checked first
    check_request(space, request, settings, recreate=recreate)
    encoder = None
    if not dry_run:
        with Stopper():
            require_writable(index_folder, wait_seconds=wait)
        encoder = encoder_for_update(space, request, settings, recreate=recreate)
    options = IndexOptions(
        commit_every=commit_every,
        on_duplicate=OnDuplicate(reading.on_duplicate or "last"),
        prune=prune,
        prune_limit=100 if yes else prune_limit,
        recreate=recreate,
        fail_on_truncate=fail_on_truncate,
        wait_seconds=wait,
        reading=reading,
    )
    fields = RecordFields(
        id_field=reading.id_field, text_field=reading.text_field or "text", template=stated
    )
    started = time.monotonic()
    with (
        RejectFile(rejects, stop=not skip_bad, max_bad=max_bad) as bad,
        said_after(bad, rejects=rejects, more_hint=REJECTS_HINT),
    ):
        documents = read_corpus(found, fields, on_bad=bad, max_record_bytes=max_record_bytes)
        if encoder:
            summary = _indexed(documents, encoder, index_folder, options, bad, meter)
        else:
            watched = each_shown(documents, meter.share)
            summary = _planned(watched, index_folder if existing.part else None, options, bad)
    seconds, done = time.monotonic() - started, encoder.space if encoder else None
    _print_summary(summary, seconds, index_folder, done, as_json=out.as_json, quiet=out.quiet)
    return ExitCode.PARTIAL if summary.rejected else ExitCode.OK


def _check_words(
    rejects: Path | None,
    max_bad: int | None,
    text_field: str | None,
    template: str | None,
    *,
    skip_bad: bool,
    dry_run: bool,
) -> None:
    if (rejects or max_bad is not None) and not skip_bad:
        raise UsageError("--rejects and --max-bad go with --skip-bad")
    if rejects and dry_run:
        raise UsageError("--dry-run writes nothing, so there are no --rejects")
    if text_field and template:
        raise UsageError("--text-field and --template exclude each other")


def _columns(names: str | None, *, header: bool | None) -> str | None:
    """Return how the columns of CSV and TSV are named: see `Reading`.

    Raises:
        UsageError: the names are to be taken from the first row, and were said.
    """
    if names is None and header is False:
        raise UsageError("--no-header needs the names of the columns", hint="--columns id,text")
    if names is not None and header is not False:
        raise UsageError(
            "--columns goes with --no-header",
            hint="where the first row has the names, --id-field and --text-field say which is what",
        )
    return "" if header else names


def _indexed(
    documents: Iterable[Document],
    encoder: Encoder,
    folder: Path,
    options: IndexOptions,
    bad: RejectFile,
    meter: Meter,
) -> IndexSummary:
    from taskembed.verbs.index import index_corpus
    from taskembed.verbs.options import Watch

    with Stopper() as stopper:
        watch = Watch(bad=bad, read_share=meter.share, uninterrupted=stopper.uninterrupted)
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


@with_groups
def delete(
    doc_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...",
            help="Document ids; - reads them from stdin, as search --format ids prints them.",
        ),
    ],
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    dry_run: DryRun = False,
    wait: opt.Wait = 0,
    *,
    out: opt.OutputOptions,
) -> int:
    """Delete documents from an index by id.

    Ids that are not in the index are named, and the exit code is 1.

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
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""  # noqa: PLR2004  # a line
        message(f"not in the index: {', '.join(map(repr, missing[:5]))}{more}")
    return ExitCode.PARTIAL if missing else ExitCode.OK


def _print_summary(
    summary: IndexSummary,
    seconds: float,
    folder: Path,
    space: EmbeddingSpace | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the counts, and what there is to say of them; `space` is None when nothing was done."""
    if as_json:
        value = {"index": str(folder), **summary.to_json(), "seconds": round(seconds, 3)}
        write(json_text(value) + "\n")
    elif not quiet:
        write(
            f"{summary.added:,} added, {summary.updated:,} updated, {summary.deleted:,} deleted, "
            f"{summary.unchanged:,} unchanged, {summary.rejected:,} rejected, "
            f"{summary.truncated:,} truncated\n"
        )
    if quiet:
        return
    for note in _notes(summary, space):
        message(f"note: {note}")
    if space and not as_json and (summary.added or summary.updated or summary.deleted):
        message(next_step(summary.documents, folder))


def _notes(summary: IndexSummary, space: EmbeddingSpace | None) -> Iterator[str]:
    if summary.duplicates:
        yield counted(summary.duplicates, "record") + " had an id that came before in the input"
    if summary.empty:
        yield counted(summary.empty, "document has", "documents have") + " no text"
    if summary.without_id:
        yield (
            counted(summary.without_id, "record") + " had no id: the sha256 of the text is used; "
            "if another field is the id: --id-field NAME --recreate"
        )
    if not summary.pruned:
        yield "nothing was pruned, since records were rejected: one of them may be there"
    seen = summary.added + summary.updated + summary.unchanged
    if space and (note := truncated(summary.truncated, seen, space)):
        yield note
