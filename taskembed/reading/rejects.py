"""Handles bad records: stops at the first, or counts them and writes them to a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

from taskembed.errors import BadInputError, BadRecordError, os_errors

SHOWN_BAD = 5  # bad records kept for the message at the end of a run


class RejectFile:
    """A handler of bad records: stop at the first, or count each and write it to a file.

    Example:
        with RejectFile(Path("bad.jsonl"), stop=False, max_bad=100) as bad:
            for document in read_corpus(inputs, fields, on_bad=bad):
                ...
    """

    def __init__(
        self, path: Path | None = None, *, stop: bool = True, max_bad: int | None = None
    ) -> None:
        """Create a handler.

        Args:
            path: the file to write bad records to, as JSONL; None for no file.
            stop: whether to stop at the first bad record.
            max_bad: number of bad records above which the run stops; None for no limit.
        """
        self.count = 0
        self.first: list[BadRecordError] = []  # the first SHOWN_BAD
        self._path = path
        self._stop = stop
        self._max_bad = max_bad
        self._stream: BinaryIO | None = None

    def __enter__(self) -> RejectFile:
        if self._path:
            with os_errors(self._path):
                # created even if nothing is rejected; the file is then empty
                self._stream = self._path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream:
            self._stream.close()

    def __call__(self, error: BadRecordError) -> None:
        """Handle a bad record.

        Raises:
            BadRecordError: the run stops at the first bad record.
            BadInputError: there are more than `max_bad`.
        """
        if self._stop:
            raise error
        self.count += 1
        if len(self.first) < SHOWN_BAD:
            # without the record itself, which may be large
            self.first.append(BadRecordError(error.source, error.reason, hint=error.hint))
        if self._stream:
            value = {"source": error.source, "reason": error.reason, "record": error.raw}
            with os_errors(self._path):
                self._stream.write(json.dumps(value).encode() + b"\n")
                self._stream.flush()
        if self._max_bad is not None and self.count > self._max_bad:
            raise BadInputError(
                f"more than {self._max_bad:,} bad records; the last is {error.message}",
                hint="look at the input, or raise --max-bad",
            )
