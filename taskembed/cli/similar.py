"""`taskembed similar`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.cli._inputs.ids import ids_in
from taskembed.cli._process.stdin import read_text
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import MachineOptions, OutputOptions
from taskembed.cli.options.search import HitOptions
from taskembed.cli.printing.output import STDOUT, message, require_output, results
from taskembed.cli.printing.sentences import not_in_the_index, truncation_notes
from taskembed.errors import BadInputError, ExitCode, NotFoundError, UsageError
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.cli.printing.hits import HitPrinter
    from taskembed.encoding.settings import EngineSettings
    from taskembed.index.ranking.hits import Hit
    from taskembed.index.reader import Index
    from taskembed.verbs.opening.counting import CountingEncoder

IDS_AT_ONCE = 512  # documents that are searched for together


@dataclass(frozen=True, slots=True)
class AskedOptions:
    """The texts or documents to search with, if there is no argument."""

    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="TEXT",
            rich_help_panel=opt.Panel.INPUT,
            help="Find documents similar to this text.",
        ),
    ] = None
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            rich_help_panel=opt.Panel.INPUT,
            help="Find documents similar to the text in this file; - is stdin.",
        ),
    ] = None
    ids: Annotated[
        Path | None,
        typer.Option(
            "--ids",
            metavar="FILE",
            rich_help_panel=opt.Panel.INPUT,
            help="Find documents similar to each of these ids, one per line; - is stdin.",
        ),
    ] = None

    def check(self, doc_id: str | None) -> None:
        """Check that exactly one of the argument and the options is given.

        Args:
            doc_id: the argument.

        Raises:
            UsageError: none is given, or more than one.
        """
        if sum(given is not None for given in (doc_id, self.text, self.file, self.ids)) != 1:
            raise UsageError(
                "give exactly one of: an id, --text, --file, --ids",
                hint="see taskembed similar --help",
            )

    def read(self) -> str | None:
        """Return the given text; None if an id or a file of ids is given.

        Raises:
            BadInputError: the text is empty, or not UTF-8.
            NotFoundError: there is no such file.
        """
        text = self.text if self.file is None else read_text(self.file, "the text is")
        if text is not None and not text.strip():
            raise BadInputError("the text is empty")
        return text and text.strip()


@dataclass(frozen=True, slots=True)
class _Asking:
    """An open index, and the options of the search."""

    index: Index
    of_hits: HitOptions
    where: str | None
    encoder: CountingEncoder | None

    def like_documents(self, doc_ids: list[str]) -> dict[str, list[Hit]]:
        from taskembed.verbs.similar import similar_documents

        return similar_documents(
            doc_ids,
            self.index,
            encoder=self.encoder,
            k=self.of_hits.k,
            min_score=self.of_hits.min_score,
            exact=self.of_hits.exact,
            where=self.where,
        )

    def like_text(self, text: str) -> list[Hit]:
        from taskembed.verbs.similar import similar_texts

        assert self.encoder is not None  # noqa: S101  # a text was given
        return similar_texts(
            [text],
            self.encoder,
            self.index,
            k=self.of_hits.k,
            min_score=self.of_hits.min_score,
            exact=self.of_hits.exact,
            where=self.where,
        )[0]


@with_groups
def similar_command(
    doc_id: Annotated[
        str | None,
        typer.Argument(metavar="[DOC_ID]", help="The id of a document of the index."),
    ] = None,
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    where: opt.Where = None,
    *,
    asked: AskedOptions,
    of_hits: HitOptions,
    model: opt.PlaceOfModel = None,
    adapter: opt.PlaceOfAdapter = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    api_base: opt.ApiBase = None,
    machine: MachineOptions,
    out: OutputOptions,
) -> int:
    """Find documents similar to one in the index, or to a text.

    The index must be for the task similarity. A document is never among its own hits. No model runs
    for a document, since its stored vector is the query. Documents that are cut into chunks are
    compared as a whole, by the mean of their chunks' vectors. Ids of --ids that are not in the
    index are listed; the exit code is then 1.

    Example:
        taskembed similar astro-001 -k 3
        taskembed similar --text "The moon orbits the earth." -k 3
    """
    asked.check(doc_id)
    printer = of_hits.printer(as_json=out.as_json, many=asked.ids is not None, many_option="--ids")
    if str(of_hits.output) not in STDOUT:
        require_output("--output", of_hits.output, [index_folder, asked.file, asked.ids])
    text = asked.read()
    settings = machine.settings(
        quiet=out.quiet, one_query=True, trust_remote_code=trust_remote_code, api_base=api_base
    )
    from taskembed.index.reader import Index
    from taskembed.verbs.similar import require_similarity

    with Index.open(index_folder, task=Task.SIMILARITY) as index:
        require_similarity(index)
        if where is not None:  # refuse a wrong filter before an encoder is loaded
            index.select(where)
        encoder = _encoder(index, text, settings, model, adapter)
        asking = _Asking(index, of_hits, where, encoder)
        with results(of_hits.output) as stream:
            printer.print_header(stream, many=asked.ids is not None, reranked=False)
            missing = _print(asking, doc_id, text, asked.ids, printer, stream)
        if where is not None and not index.count(where) and not out.quiet:
            message(f"note: {opt.NOTHING_PASSES}")
    notes = [*(truncation_notes(encoder) if encoder else ()), *printer.notes()]
    for note in () if out.quiet else notes:
        message(f"note: {note}")
    if missing:
        message(not_in_the_index(missing))
    return ExitCode.PARTIAL if missing else ExitCode.OK


def _encoder(
    index: Index,
    text: str | None,
    settings: EngineSettings,
    model: str | None,
    adapter: str | None,
) -> CountingEncoder | None:
    """Return the encoder of the index if it is needed: for a text, or if queries differ."""
    from taskembed.verbs.similar import has_same_sides

    if text is None and has_same_sides(index.space):
        return None
    from taskembed.verbs.opening.counting import CountingEncoder
    from taskembed.verbs.opening.encoders import encoder_for_search

    return CountingEncoder(encoder_for_search(index, settings, model=model, adapter=adapter))


def _print(
    asking: _Asking,
    doc_id: str | None,
    text: str | None,
    ids: Path | None,
    printer: HitPrinter,
    stream: TextIO,
) -> list[str]:
    """Print the hits; return the ids that are not in the index."""
    if ids is not None:
        return _print_many(asking, ids, printer, stream)
    if text is not None:
        printer.print_hits({"query": text}, asking.like_text(text), asking.index, stream)
    else:
        _print_one(asking, doc_id or "", printer, stream)
    return []


def _print_one(asking: _Asking, doc_id: str, printer: HitPrinter, stream: TextIO) -> None:
    found = asking.like_documents([doc_id])
    if doc_id not in found:
        raise NotFoundError(
            f"no document {doc_id!r} in {asking.index.folder}",
            hint="for a text that is not in the index: taskembed similar --text TEXT",
        )
    printer.print_hits({"doc_id": doc_id}, found[doc_id], asking.index, stream)


def _print_many(asking: _Asking, path: Path, printer: HitPrinter, stream: TextIO) -> list[str]:
    """Print the hits of each document; return the ids that are not in the index."""
    from taskembed.reading.queries import Query

    missing: list[str] = []
    with doing("", unit="documents") as step:
        for some in batched(dict.fromkeys(ids_in(read_text(path, "the ids are"))), IDS_AT_ONCE):
            found = asking.like_documents(some)
            missing += [doc_id for doc_id in some if doc_id not in found]
            printer.print_batch(
                [(Query(doc_id, ""), hits) for doc_id, hits in found.items()], stream
            )
            step.done += len(some)
    return missing
