"""What is said of records that were bad when a run went on without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.cli._output import message

if TYPE_CHECKING:
    from taskembed.reading.rejects import RejectFile


@contextmanager
def said_after(
    bad: RejectFile, *, rejects: Path | None = None, more_hint: str = ""
) -> Iterator[None]:
    """Say at the end, however it comes, which records were bad, when no file has them.

    Args:
        bad: what takes them.
        rejects: the file that has them.
        more_hint: what to do to see all of them.
    """
    try:
        yield
    finally:
        if not rejects:
            for error in bad.first:
                message(f"rejected: {error.message}{f' ({error.hint})' if error.hint else ''}")
            if more := bad.count - len(bad.first):
                message(f"rejected: {more:,} more{more_hint}")
