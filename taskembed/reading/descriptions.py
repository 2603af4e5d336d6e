"""Reads descriptions of labels, which replace examples: records with a label and a text."""

from __future__ import annotations

from taskembed.errors import BadInputError, BadRecordError
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.inputs import find_inputs, read_records
from taskembed.reading.rows import Record
from taskembed.reading.streams import stop_at_first

_TEXTS = ("text", "description")


def read_descriptions(argument: str) -> dict[str, str]:
    """Return the text that describes each label, in the order of the file.

    Args:
        argument: the file: JSONL, Parquet, CSV or TSV with the fields label and text (or
            description); "-" is stdin.

    Raises:
        BadRecordError: a record has no label or no text, or repeats a label.
        BadInputError: the file has a format other than its name says, or no records.
        NotFoundError: there is no such file.
        UsageError: the name of the file does not tell its format.
    """
    descriptions: dict[str, str] = {}
    for item in find_inputs([argument]):
        for source, record, _ in read_records(item, stop_at_first, DEFAULT_MAX_RECORD_BYTES):
            label, text = _text(record, "label"), _text(record, *_TEXTS)
            if not label or not text:
                raise BadRecordError(source, "it needs a label and a text that describes it")
            if label in descriptions:
                raise BadRecordError(source, f"duplicate label {label!r}")
            descriptions[label] = text
    if not descriptions:
        raise BadInputError("there is no label", what=argument)
    return descriptions


def _text(record: Record, *names: str) -> str:
    """Return the first of some fields that is a text; "" if none is."""
    values = (record.get(name) for name in names)
    return next((value.strip() for value in values if isinstance(value, str)), "")
