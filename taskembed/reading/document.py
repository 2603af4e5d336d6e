"""The `Document` type, of indexed documents and of hits; the module is quick to import."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """A text to embed, with its id: Document("moon", "The Moon orbits the Earth.").

    Attributes:
        doc_id: the id, which is unique in an index.
        text: the text to embed.
        metadata: other fields, which hits return; values must be representable in JSON. Dates,
            UUIDs and enums are returned as strings, numpy's numbers as Python's, NaN as None.
        source: position in the input: "corpus.jsonl:17".
        id_is_made: whether the record had no id, so that `doc_id` is the sha256 of the text.

    Raises:
        TypeError: the id or the text is not a string, or the metadata not a mapping.
    """

    doc_id: str
    text: str
    metadata: Mapping[str, object] = field(default_factory=dict, hash=False)
    source: str = field(default="", compare=False)
    id_is_made: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        # Subtle: the contents of the texts are checked by `require_storable`, when a document is
        # added to an index; so a document of an index made elsewhere can always be shown.
        doc_id: object = self.doc_id
        text: object = self.text
        metadata: object = self.metadata
        if type(doc_id) is str and type(text) is str and type(metadata) is dict:
            return  # the usual case, which is quick to check
        if not isinstance(doc_id, str):
            shown = reprlib.repr(doc_id)
            raise TypeError(f"the id of a document is {shown}; it must be a text: {str(doc_id)!r}")
        if not isinstance(text, str):
            raise TypeError(
                f"the text of document {doc_id!r} is not a text but {type(text).__name__}"
            )
        if not isinstance(metadata, Mapping):
            kind = type(metadata).__name__
            raise TypeError(f"the metadata of document {doc_id!r} is not a mapping but {kind}")

    @property
    def where(self) -> str:
        """The name of the document in messages: its position, if known."""
        return self.source or f"document {self.doc_id!r}"
