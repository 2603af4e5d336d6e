"""The formats of input files, and how they follow from a name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class InputFormat(StrEnum):
    """The format of an input."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    CSV = "csv"
    TSV = "tsv"


ENDINGS = {
    ".jsonl": InputFormat.JSONL,
    ".ndjson": InputFormat.JSONL,
    ".json": InputFormat.JSONL,
    ".parquet": InputFormat.PARQUET,
    ".csv": InputFormat.CSV,
    ".tsv": InputFormat.TSV,
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def split_name(path: Path) -> tuple[InputFormat | None, str | None]:
    """Return the format and the compression that follow from a name; None where unknown.

    split_name(Path("corpus.jsonl.gz")) is ("jsonl", "gzip").
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    return (ENDINGS.get(suffixes[-1]) if suffixes else None), compression
