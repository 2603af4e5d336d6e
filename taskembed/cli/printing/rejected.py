"""Prints messages about the bad records that a run left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.cli.printing.output import message

if TYPE_CHECKING:
    from taskembed.reading.rejects import RejectFile


@contextmanager
def rejects_reported(
    bad: RejectFile, *, rejects: Path | None = None, more_hint: str = ""
) -> Iterator[None]:
    """Print the first bad records at the end of a context, unless they are written to a file.

    Args:
        bad: receives the bad records.
        rejects: the file that all bad records are written to; None for no file.
        more_hint: how to see all bad records, added to the message.
    """
    try:
        yield
    finally:
        if not rejects:
            for error in bad.first:
                message(f"rejected: {error.message}{f' ({error.hint})' if error.hint else ''}")
            if more := bad.count - len(bad.first):
                message(f"rejected: {more:,} more{more_hint}")
