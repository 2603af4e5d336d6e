"""The metadata of documents as JSON text, in the one form in which an index stores it."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from taskembed.index.documents import StoredDocument
from taskembed.reading.bounds import MAX_METADATA_BYTES

_AS_STORED = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY


def metadata_json(metadata: Mapping[str, object]) -> str:
    """Return metadata as JSON text; equal fields and values always give the same text.

    Raises:
        ValueError: JSON cannot hold a value (the message names the field), or the text is too long.
    """
    try:
        data = orjson.dumps(dict(metadata), option=_AS_STORED)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"the metadata{_bad_field(metadata)} cannot be JSON: {error}") from error
    if len(data) > MAX_METADATA_BYTES:
        raise ValueError(
            f"the metadata takes {len(data):,} bytes as JSON, and {MAX_METADATA_BYTES:,} are stored"
        )
    return data.decode()


def read_metadata(document: StoredDocument) -> dict[str, object]:
    """Return the metadata of a document from the text that `metadata_json` returned.

    Raises:
        ValueError: the text is not a JSON object as `metadata_json` writes it.
    """
    try:
        metadata = orjson.loads(document.metadata)
        if isinstance(metadata, dict):
            metadata_json(metadata)
            return metadata
    except ValueError as error:
        raise ValueError(f"the metadata of document {document.doc_id!r}: {error}") from error
    raise ValueError(f"the metadata of document {document.doc_id!r} is no object")


def _bad_field(metadata: Mapping[str, object]) -> str:
    for name, value in metadata.items():
        try:
            orjson.dumps({name: value}, option=_AS_STORED)
        except orjson.JSONEncodeError:
            return f" field {name!r}"
    return ""
