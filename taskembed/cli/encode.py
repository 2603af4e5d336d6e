"""`taskembed encode`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._process.stopping import NOTHING_WRITTEN, Stopper
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
from taskembed.cli.options.input import BadRecordOptions, InputOptions
from taskembed.cli.options.vectors import Numbers, NumbersOption, VectorFile
from taskembed.cli.printing.output import (
    STDOUT,
    log,
    message,
    require_other_log,
    require_output,
    write,
)
from taskembed.cli.printing.rejected import rejects_reported
from taskembed.cli.printing.sentences import truncated
from taskembed.cli.printing.vectors import require_vector_output, vector_output
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text

if TYPE_CHECKING:
    from taskembed.space import EmbeddingSpace
    from taskembed.verbs.encode import EncodeOptions, EncodeSummary


class Side(Enum):
    """Whether texts are queries or documents."""

    QUERY = "query"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class TextOptions:
    """Options of encoding texts into a file."""

    side: Annotated[
        Side,
        typer.Option(
            "--side",
            rich_help_panel=opt.Panel.MODEL,
            help="Whether the texts are queries or documents, which determines the prompt.",
        ),
    ] = Side.DOCUMENT
    chunk: Annotated[
        str,
        typer.Option(
            "--chunk",
            metavar="auto|TOKENS[:OVERLAP]|off",
            rich_help_panel=opt.Panel.INPUT,
            help="Cut documents into chunks of this many tokens, and write a row for each chunk.",
        ),
    ] = "off"
    dtype: NumbersOption = Numbers.FLOAT32

    def options(self, *, fail_on_truncate: bool) -> EncodeOptions:
        """Return how to encode.

        Args:
            fail_on_truncate: a text that the model cannot read whole is a bad record.

        Raises:
            UsageError: the chunk option is invalid.
        """
        from taskembed.space import PromptType
        from taskembed.verbs.encode import EncodeOptions

        return EncodeOptions(
            PromptType(self.side.value),
            self.dtype.dtype,
            self.chunk,
            fail_on_truncate=fail_on_truncate,
        )


@with_groups
def encode_command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="The texts, as for `taskembed index`: JSONL, Parquet, CSV, TSV, text (also .gz, "
            ".zst), folders, addresses, or - for stdin.",
        ),
    ],
    output: VectorFile,
    *,
    of_texts: TextOptions,
    model: ModelOptions,
    of_space: SpaceOptions,
    of_input: InputOptions,
    of_bad: BadRecordOptions,
    machine: MachineOptions,
    out: LongOutputOptions,
) -> int:
    """Encode texts into a file of vectors, without an index.

    The vectors are those that `taskembed index` would store, with ids, texts and metadata, in the
    order of the input. The file records their embedding space.

    Example:
        taskembed encode corpus.jsonl --task retrieval -o vectors.parquet
        taskembed encode queries.jsonl --task code --side query -o queries.npy
    """
    of_bad.check(dry_run=False)
    of_input.check()
    task = model.required_task()
    from taskembed.verbs.corpus import find_corpus
    from taskembed.verbs.describe import Existing
    from taskembed.verbs.encode import encode_documents
    from taskembed.verbs.opening.encoders import encoder_for_update
    from taskembed.verbs.options import Watch

    corpus = find_corpus(
        inputs, Existing(), of_input.reading(None), template=of_input.template, task=task
    )
    require_vector_output(output, corpus.paths)
    require_output("--rejects", of_bad.rejects, corpus.paths, in_place=True)
    require_other_log(opt.LOG_FILE, out.log_file, [*corpus.paths, output])
    options = of_texts.options(fail_on_truncate=of_bad.fail_on_truncate)
    for note in [] if out.quiet else corpus.notes:
        message(f"note: {note}")
    settings = machine.settings(
        quiet=out.quiet, trust_remote_code=of_space.trust_remote_code, api_base=of_space.api_base
    )
    request = replace(of_space.request(model), template=str(corpus.template))
    encoder = encoder_for_update(None, request, settings)
    bad = of_bad.reject_file()
    with (
        rejects_reported(bad, rejects=of_bad.rejects, more_hint=REJECTS_HINT),
        bad,
        Stopper(NOTHING_WRITTEN),
        vector_output(output) as place,
    ):
        summary = encode_documents(
            corpus.documents(bad, max_record_bytes=of_bad.max_record_bytes),
            encoder,
            place,
            options=options,
            watch=Watch(bad, read_share=corpus.meter.share),
        )
    _print_summary(summary, output, encoder.space, out)
    return ExitCode.PARTIAL if summary.rejected else ExitCode.OK


def _print_summary(
    summary: EncodeSummary, output: object, space: EmbeddingSpace, out: OutputOptions
) -> None:
    counts = (
        f"{counted(summary.documents, 'document')}, "
        f"{counted(summary.vectors, 'vector')} of {space.dim:,} numbers, "
        f"{summary.rejected:,} rejected, {summary.truncated:,} truncated"
    )
    log(counts)
    if str(output) in STDOUT:  # the vectors are written to stdout
        if not out.quiet:
            message(counts)
    elif out.as_json:
        write(json_text({"output": str(output), **summary.to_json(), "dim": space.dim}) + "\n")
    elif not out.quiet:
        write(f"{counts}\n")
    for note in [] if out.quiet else _notes(summary, space):
        message(f"note: {note}")


def _notes(summary: EncodeSummary, space: EmbeddingSpace) -> Iterator[str]:
    if summary.empty:
        yield counted(summary.empty, "document has", "documents have") + " no text"
    if summary.without_id:
        yield (
            counted(summary.without_id, "record") + " had no id: the sha256 of the text is used; "
            "if the id is in another field, use --id-field NAME"
        )
    if note := truncated(summary.truncated, summary.documents, space):
        yield note
