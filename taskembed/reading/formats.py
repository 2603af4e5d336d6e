"""The formats of input files, and how they are recognised by the names of files."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskembed.reading.places import Place


class InputFormat(StrEnum):
    """The format of an input."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    CSV = "csv"
    TSV = "tsv"
    TEXT = "text"
    CODE = "code"


ENDINGS = {
    ".jsonl": InputFormat.JSONL,
    ".ndjson": InputFormat.JSONL,
    ".json": InputFormat.JSONL,
    ".parquet": InputFormat.PARQUET,
    ".csv": InputFormat.CSV,
    ".tsv": InputFormat.TSV,
}
TEXTS = {InputFormat.TEXT, InputFormat.CODE}  # formats in which each file is one document
TEXT_ENDINGS = (".txt", ".md", ".markdown", ".rst", ".html", ".htm")
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def split_name(path: Place) -> tuple[InputFormat | None, str | None]:
    """Return the format and the compression of a file of records, by its name; None if unknown.

    split_name(Path("corpus.jsonl.gz")) is ("jsonl", "gzip").
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    return (ENDINGS.get(suffixes[-1]) if suffixes else None), compression


def text_format_of(path: Place) -> InputFormat | None:
    """Return TEXT or CODE if a file has the name of a text or of source code, else None.

    text_format_of(Path("notes.md")) is TEXT, and so is text_format_of(Path("notes.md.gz")).
    """
    if split_name(path)[0]:
        return None
    from taskembed.reading.languages import language_of  # pygments: 0.03 s

    if language_of(path):  # before the endings of texts: CMakeLists.txt is source code
        return InputFormat.CODE
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return InputFormat.TEXT if suffixes and suffixes[-1] in TEXT_ENDINGS else None
