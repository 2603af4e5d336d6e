"""Reads new records that are compared with an index but not added to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskembed.cli.options import common as opt
from taskembed.cli.options.input import InputOptions

if TYPE_CHECKING:
    from taskembed.index.reader import Index
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.corpus import Corpus


@dataclass(frozen=True, slots=True)
class BadOptions:
    """What happens to a record that cannot be used."""

    skip_bad: opt.SkipBad = False

    def rejects(self) -> RejectFile:
        """Return the handler of bad records."""
        from taskembed.reading.rejects import RejectFile

        return RejectFile(stop=not self.skip_bad)


def find_records(inputs: Sequence[str], index: Index, of_input: InputOptions) -> Corpus:
    """Find files of records, which are read as the index remembers unless options say otherwise.

    Args:
        inputs: files, folders, or "-" for stdin.
        index: the open index.
        of_input: how the files are read.

    Raises:
        NotFoundError: there is no such file or folder.
        UsageError: the format of a file cannot be told from its name, or options conflict.
    """
    from taskembed.verbs.corpus import find_corpus
    from taskembed.verbs.describe import Existing

    of_input.check()
    # the records are not added to the index, so their ids may come from another field
    return find_corpus(
        inputs,
        Existing(index.contents.live),
        of_input.reading(None),
        template=of_input.template,
        recreate=True,
    )
