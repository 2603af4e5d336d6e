"""`taskembed dedup`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._inputs.dedup_input import Matching, print_matches
from taskembed.cli._inputs.new_records import BadOptions, find_records
from taskembed.cli._process.stdin import confirmed
from taskembed.cli._process.stopping import Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.dedup import (
    SAMPLED_PAIRS,
    ActionOptions,
    DuplicateOptions,
    chosen_threshold,
)
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import MachineOptions, OutputOptions
from taskembed.cli.options.input import InputOptions
from taskembed.cli.printing.duplicates import (
    duplicates_json,
    print_bands,
    print_duplicates,
    summary,
)
from taskembed.cli.printing.output import message, require_output, results, write
from taskembed.english import counted
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import json_text
from taskembed.space import Task
from taskembed.verbs.defaults import DEDUP_THRESHOLD

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.index.reader import Index
    from taskembed.verbs.dedup import Duplicates
    from taskembed.verbs.protocols import Encoder


@with_groups
def dedup_command(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT...]",
            help="New records to search for in the index of --against: files, folders, or - for "
            "stdin.",
        ),
    ] = None,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="DIR",
            rich_help_panel=opt.Panel.INPUT,
            help="The index that may already contain records of INPUT.",
        ),
    ] = None,
    *,
    duplicates: DuplicateOptions,
    action: ActionOptions,
    of_input: InputOptions,
    of_bad: BadOptions,
    model: opt.PlaceOfModel = None,
    adapter: opt.PlaceOfAdapter = None,
    machine: MachineOptions,
    out: OutputOptions,
) -> int:
    """Find duplicates in an index, or new records that it already has.

    The index must be for the task similarity. Documents with equal texts are exact duplicates;
    documents whose cosine reaches --threshold are near duplicates. Documents that are cut into
    chunks are compared as a whole, by the mean of their chunks' vectors. Nothing is deleted
    without --apply. On a terminal and without --threshold, sample pairs are shown instead.

    Example:
        taskembed dedup --threshold 0.95 --output clean.jsonl
        taskembed dedup test.jsonl --against train-index
    """
    if bool(inputs) != (against is not None):
        raise UsageError(
            "INPUT and --against must be used together", hint="see taskembed dedup --help"
        )
    of_input.check()
    action.check()
    threshold = chosen_threshold(duplicates, action, new=bool(inputs))
    folder = against or index_folder
    if str(action.output) == "-":
        raise UsageError("--output needs a file, since the duplicates are printed to stdout")
    require_output("--output", action.output, [folder, *(inputs or ())])
    if threshold is not None and duplicates.threshold is None and not out.quiet:
        message(f"note: --threshold {threshold:g} is used; --sample 5 shows pairs to choose one by")
    if inputs:
        settings = machine.settings(quiet=out.quiet)
        with _opened(folder) as index:
            corpus = find_records(inputs, index, of_input)
            encoder = _encoder(index, settings, model, adapter)
            bad = of_bad.rejects()
            matching = Matching(index, corpus, encoder, threshold or DEDUP_THRESHOLD, bad)
            print_matches(matching, action.output, out)
        return ExitCode.PARTIAL if bad.count else ExitCode.OK
    if threshold is None:
        _print_sample(folder, duplicates.sample or SAMPLED_PAIRS, as_json=out.as_json)
        return ExitCode.OK
    return _deduplicated(folder, threshold, duplicates, action, out)


def _opened(folder: Path) -> Index:
    """Open an index, and check its task before anything else is opened."""
    from taskembed.index.reader import Index
    from taskembed.verbs.deduplicating.duplicates import require_dedup_index

    index = Index.open(folder, task=Task.SIMILARITY)
    try:
        require_dedup_index(index)
    except BaseException:
        index.close()
        raise
    return index


def _encoder(
    index: Index, settings: EngineSettings, model: str | None, adapter: str | None
) -> Encoder:
    from taskembed.verbs.opening.encoders import encoder_for_search

    return encoder_for_search(index, settings, model=model, adapter=adapter)


def _print_sample(folder: Path, per_band: int, *, as_json: bool) -> None:
    from taskembed.verbs.deduplicating.pairs import sample_pairs

    with _opened(folder) as index:
        print_bands(sample_pairs(index, per_band=per_band), as_json=as_json)
    if sys.stdout.isatty() and not as_json:
        message("choose the lowest cosine that means a duplicate: taskembed dedup --threshold")


def _deduplicated(
    folder: Path,
    threshold: float,
    duplicates: DuplicateOptions,
    action: ActionOptions,
    out: OutputOptions,
) -> int:
    """Print the duplicates of an index; write the other documents, or delete the duplicates."""
    from taskembed.verbs.dedup import find_duplicates, kept_documents
    from taskembed.verbs.deduplicating.records import record_of

    keep = duplicates.which()
    with _opened(folder) as index:
        found = find_duplicates(index, threshold=threshold, keep=keep, groups=duplicates.groups)
        if action.output is not None:
            part = index.contents.live
            with results(action.output) as stream:
                for document in kept_documents(index, found):
                    record = record_of(document, part.reading, part.space.template)
                    write(json_text(record) + "\n", stream)
    if not out.as_json:
        print_duplicates(found, groups=duplicates.groups)
        if not out.quiet:
            message(summary(found))
    deleted = _delete(folder, found, action) if action.apply else None
    if out.as_json:
        value = {"index": str(folder), **duplicates_json(found, groups=duplicates.groups)}
        write(json_text({**value, "deleted": deleted or 0}) + "\n")
    if not action.apply:
        return ExitCode.OK
    if not out.quiet and not out.as_json:
        message("nothing was deleted" if deleted is None else f"{deleted:,} deleted")
    return ExitCode.PARTIAL if deleted is None else ExitCode.OK


def _delete(folder: Path, found: Duplicates, action: ActionOptions) -> int | None:
    """Delete the duplicates; return their number, or None if the user does not confirm."""
    from taskembed.verbs.dedup import delete_duplicates

    question = f"delete {len(found.dropped):,} of {counted(found.documents, 'document')}?"
    if found.dropped and not action.yes and not confirmed(question):
        return None
    with Stopper() as stopper:
        return delete_duplicates(
            folder, found, wait_seconds=action.wait, uninterrupted=stopper.uninterrupted
        )
