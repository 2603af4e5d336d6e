"""`taskembed dedup INPUT --against INDEX`: finds new records that an index already contains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.cli.printing.duplicates import duplicate_json, print_list
from taskembed.cli.printing.output import message, results, write
from taskembed.cli.printing.rejected import rejects_reported
from taskembed.escaping import json_text

if TYPE_CHECKING:
    from taskembed.cli.options.groups import OutputOptions
    from taskembed.index.reader import Index
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.corpus import Corpus
    from taskembed.verbs.deduplicating.duplicates import Duplicate
    from taskembed.verbs.protocols import Encoder


@dataclass(slots=True)
class Matching:
    """New records that are compared with an index, and their counts.

    Attributes:
        index: the open index.
        corpus: the new records.
        encoder: an encoder of the index's space.
        threshold: the lowest cosine of near duplicates.
        bad: receives bad records.
        records: the number of records read.
        exact: the number of records with the same text as a document of the index.
        near: the number of records that are near duplicates of a document of the index.
    """

    index: Index
    corpus: Corpus
    encoder: Encoder
    threshold: float
    bad: RejectFile
    records: int = 0
    exact: int = 0
    near: int = 0

    def duplicates(self, output: Path | None) -> Iterator[Duplicate]:
        """Yield the records that the index contains, and write the others to a file.

        Args:
            output: the path of the file, written once it is complete; None for no file.
        """
        from taskembed.verbs.deduplicating.match import match_documents
        from taskembed.verbs.deduplicating.records import record_of

        reading, template = self.corpus.reading, str(self.corpus.template)
        documents = self.corpus.documents(self.bad)
        matches = match_documents(documents, self.encoder, self.index, threshold=self.threshold)
        with ExitStack() as stack:
            stream = stack.enter_context(results(output)) if output else None
            for document, match in matches:
                self.records += 1
                if match is not None:
                    self.exact += match.exact
                    self.near += not match.exact
                    yield match
                elif stream is not None:
                    write(json_text(record_of(document, reading, template)) + "\n", stream)


def print_matches(matching: Matching, output: Path | None, out: OutputOptions) -> None:
    """Print the records that the index already contains, and their number.

    Args:
        matching: the records and the index.
        output: the file for the other records; None for no file.
        out: the output options.
    """
    with rejects_reported(matching.bad):
        if out.as_json:
            found = [duplicate_json(item) for item in matching.duplicates(output)]
            counts = {
                "records": matching.records,
                "exact": matching.exact,
                "near": matching.near,
                "threshold": matching.threshold,
            }
            value = {"index": str(matching.index.folder), **counts, "duplicates": found}
            write(json_text(value) + "\n")
        else:
            print_list(matching.duplicates(output))
    if not out.quiet and not out.as_json:
        message(
            f"{matching.exact + matching.near:,} of {matching.records:,} records are already in "
            f"{matching.index.folder}: {matching.exact:,} exactly, {matching.near:,} nearly"
        )
