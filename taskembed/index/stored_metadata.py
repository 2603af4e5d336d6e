"""The metadata of documents as a JSON string, in the one form in which an index stores it."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from taskembed.index.documents import StoredDocument
from taskembed.reading.bounds import MAX_METADATA_BYTES

_AS_STORED = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY


def metadata_json(metadata: Mapping[str, object]) -> str:
    """Return metadata as a JSON string; equal fields and values always give the same string.

    Raises:
        ValueError: JSON cannot hold a value (the message names its field), or the string is longer
            than MAX_METADATA_BYTES.
    """
    try:
        data = orjson.dumps(dict(metadata), option=_AS_STORED)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"the metadata{_bad_field(metadata)} cannot be JSON: {error}") from error
    if len(data) > MAX_METADATA_BYTES:
        raise ValueError(
            f"the metadata has {len(data):,} bytes as JSON, more than {MAX_METADATA_BYTES:,}"
        )
    return data.decode()


def read_metadata(document: StoredDocument) -> dict[str, object]:
    """Return the metadata of a document, parsed from what `metadata_json` returned.

    Raises:
        ValueError: the string is not a JSON object as `metadata_json` writes it.
    """
    try:
        metadata = orjson.loads(document.metadata)
        if isinstance(metadata, dict):
            metadata_json(metadata)
            return metadata
    except ValueError as error:
        raise ValueError(f"the metadata of document {document.doc_id!r}: {error}") from error
    raise ValueError(f"the metadata of document {document.doc_id!r} is not an object")


def _bad_field(metadata: Mapping[str, object]) -> str:
    for name, value in metadata.items():
        try:
            orjson.dumps({name: value}, option=_AS_STORED)
        except orjson.JSONEncodeError:
            return f" field {name!r}"
    return ""
