"""A record with its position: what files of every format are read into."""

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
        line: its bytes as they are in the file; None where a record is not one line.
    """

    source: str
    record: Record
    line: bytes | None
