"""`taskembed import`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._process.stopping import Stopper
from taskembed.cli.index import REJECTS_HINT
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import (
    LongOutputOptions,
    MachineOptions,
    ModelOptions,
    OutputOptions,
)
from taskembed.cli.options.index import SpaceOptions
from taskembed.cli.options.input import RejectOptions
from taskembed.cli.printing.output import (
    log,
    message,
    require_other_log,
    require_output,
    write_done,
)
from taskembed.cli.printing.rejected import rejects_reported
from taskembed.cli.printing.sentences import counts_of, next_step
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import json_text
from taskembed.space import TITLE_AND_TEXT

if TYPE_CHECKING:
    from taskembed.reading.vectors.input import VectorSource
    from taskembed.space import EmbeddingSpace
    from taskembed.verbs.importing import ImportOptions
    from taskembed.verbs.options import IndexSummary
    from taskembed.verbs.protocols import Encoder


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How the file of vectors is read, and how the index is changed."""

    id_field: Annotated[
        str | None,
        typer.Option(
            "--id-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The column of the ids.  [default: id, _id or doc_id]",
        ),
    ] = None
    text_field: Annotated[
        str | None,
        typer.Option(
            "--text-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The column of the texts.  [default: text]",
        ),
    ] = None
    vector_field: Annotated[
        str | None,
        typer.Option(
            "--vector-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.INPUT,
            help="The column of the vectors.  [default: vector, embedding or embeddings]",
        ),
    ] = None
    normalize: Annotated[
        bool,
        typer.Option(
            "--normalize",
            rich_help_panel=opt.Panel.INPUT,
            help="Divide each vector by its length.",
        ),
    ] = False
    declare: Annotated[
        bool,
        typer.Option(
            "--declare",
            rich_help_panel=opt.Panel.MODEL,
            help="Trust that the vectors were made with --model and --task, without comparing.",
        ),
    ] = False
    recreate: opt.Recreate = False
    wait: opt.Wait = 0

    def options(self) -> ImportOptions:
        """Return how to import."""
        from taskembed.verbs.importing import ImportOptions

        return ImportOptions(
            id_field=self.id_field,
            text_field=self.text_field,
            vector_field=self.vector_field,
            normalize=self.normalize,
            recreate=self.recreate,
            wait_seconds=self.wait,
        )


@with_groups
def import_command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="A .parquet file (or its address: s3://, gs://, az://, https://), or .npy with "
            ".ids.txt, or - for Parquet on stdin; for an index with several views, one for each.",
        ),
    ],
    *,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    of_file: FileOptions,
    model: ModelOptions,
    of_space: SpaceOptions,
    of_bad: RejectOptions,
    machine: MachineOptions,
    out: LongOutputOptions,
) -> int:
    """Build an index from a file of vectors, without encoding texts.

    A file from `taskembed export` or `encode` contains its embedding space. For any other file,
    name the model and the task that its vectors were made with: 20 texts are encoded to compare.
    Several files with the same documents, each for a different task, become one index with
    several views.

    Example:
        taskembed import vectors.parquet --index copy-index
        taskembed import embeddings.parquet --task retrieval --model minilm
    """
    of_bad.check()
    first, further = files[0], files[1:]
    if "-" in further:
        raise UsageError("- for stdin must be the first file", hint=f"taskembed import - {first}")
    from taskembed.verbs.importing import import_vectors
    from taskembed.verbs.options import Watch

    read: list[Path | str] = [index_folder, *(file for file in files if file != "-")]
    require_output("--rejects", of_bad.rejects, read, in_place=True)
    require_other_log(opt.LOG_FILE, out.log_file, read)
    bad, stopper = of_bad.reject_file(), Stopper()
    with _found(first, of_file.vector_field) as source:
        encoder = _declared(source, index_folder, of_file, model, of_space, machine, out)
        with rejects_reported(bad, rejects=of_bad.rejects, more_hint=REJECTS_HINT), bad, stopper:
            summary = import_vectors(
                source,
                index_folder,
                further=further,
                declared=encoder,
                options=of_file.options(),
                watch=Watch(bad, uninterrupted=stopper.uninterrupted),
            )
    _print_summary(summary, index_folder, out)
    return ExitCode.PARTIAL if summary.rejected else ExitCode.OK


_DONE = "the index is up to date"


def _print_summary(summary: IndexSummary, index_folder: Path, out: OutputOptions) -> None:
    counts = counts_of(summary)
    log(counts)
    if out.as_json:
        value = {"index": str(index_folder), **summary.to_json()}
        write_done(json_text(value) + "\n", _DONE)
    elif not out.quiet:
        write_done(f"{counts}\n", _DONE)
        message(
            next_step(summary.documents, index_folder, is_default=index_folder == opt.DEFAULT_INDEX)
        )


@contextmanager
def _found(file: str, vector_field: str | None) -> Iterator[VectorSource]:
    """Yield a file of vectors; stdin is copied to a temporary file, which is removed at the end.

    Raises:
        UsageError: stdin is a terminal.
    """
    from taskembed.reading.vectors.input import find_vectors
    from taskembed.reading.vectors.places import spooled, vectors_at

    if file != "-":
        with vectors_at(file, vector_field) as source:
            yield source
        return
    if sys.stdin.isatty():
        raise UsageError(
            "vectors are binary and cannot be read from a terminal",
            hint="taskembed export -o - --index ONE | taskembed import - --index OTHER",
        )
    with spooled(sys.stdin.buffer) as path:
        yield find_vectors(path, vector_field, name="stdin")


def _declared(
    source: VectorSource,
    index_folder: Path,
    of_file: FileOptions,
    model: ModelOptions,
    of_space: SpaceOptions,
    machine: MachineOptions,
    out: OutputOptions,
) -> Encoder | EmbeddingSpace | None:
    """Return the encoder that the options name; None if the file contains its space.

    With --declare, the result is a space, and no model is opened.

    Raises:
        SpaceMismatchError: the file, or the index, has another space than the options name.
        UsageError: neither the file nor an option names the task.
        ModelUnavailableError: the model cannot be loaded.
    """
    from taskembed.verbs.describe import read_existing
    from taskembed.verbs.importing import declared_space
    from taskembed.verbs.opening.encoders import check_request, encoder_for_update

    settings = machine.settings(
        quiet=out.quiet, trust_remote_code=of_space.trust_remote_code, api_base=of_space.api_base
    )
    request = of_space.request(model)
    if source.space is not None:
        check_request(source.space, request, settings)
        return None
    if of_file.text_field:
        request = replace(request, template=f"{{{of_file.text_field}}}")
    if of_file.declare:
        if model.model is None:
            raise UsageError("--declare needs the name of the model", hint="--model NAME")
        return declared_space(
            model.model,
            model.required_task(),
            source.dim,
            revision=model.revision or "",
            stated=request.stated,
            template=request.template or TITLE_AND_TEXT,
        )
    existing = read_existing(index_folder, recreate=of_file.recreate)
    return encoder_for_update(
        existing.space, request, settings, recreate=of_file.recreate, made_by=existing.made_by
    )
