"""The `Row` type: a record with its position, the same for every format of files."""

from __future__ import annotations

from typing import NamedTuple

Record = dict[str, object]


class WideRecord(dict[str, object]):
    """A record that may contain whole numbers of more than 64 bits."""


class Row(NamedTuple):
    """A record with its position.

    Attributes:
        source: its position: "corpus.jsonl:17", "corpus.parquet:row 17".
        record: its fields.
        line: its bytes in the file; None for formats in which a record is not a line.
    """

    source: str
    record: Record
    line: bytes | None
