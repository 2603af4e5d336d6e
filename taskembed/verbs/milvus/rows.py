"""The rows of a collection: one for each document, or one for each of its chunks.

key         the primary key: of the document and the part
document    the key of the document, which all its rows share
part, parts   which row of the document it is, from 0, and how many rows the document has
doc_id, metadata, truncated   as in the index
text        the text; of a chunk also what is between it and the next chunk, so that the rows of
            a document have its whole text
start, end    where the chunk is in the text of the document, in characters
version     a digest of all that is stored about the document: equal digests need no update
space       a digest of the embedding space
vector
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from taskembed.errors import BadInputError
from taskembed.reading.vectors.rows import VectorRows
from taskembed.vectors import Flags, FloatRows, Rows

MOST_BYTES = 65_535  # of a text, an id or metadata: the limit of Milvus
DIGEST_DIGITS = 32  # hexadecimal digits of keys and digests: 128 bits
_ROW_BYTES = 200  # of the fields that are neither text nor vector, about
FIELDS: dict[str, tuple[str, dict[str, int]]] = {  # all but "vector"; the first is the primary key
    "key": ("VARCHAR", {"max_length": DIGEST_DIGITS}),
    "document": ("VARCHAR", {"max_length": DIGEST_DIGITS}),
    "part": ("INT64", {}),
    "parts": ("INT64", {}),
    "doc_id": ("VARCHAR", {"max_length": MOST_BYTES}),
    "text": ("VARCHAR", {"max_length": MOST_BYTES}),
    "metadata": ("JSON", {}),
    "truncated": ("BOOL", {}),
    "start": ("INT64", {}),
    "end": ("INT64", {}),
    "version": ("VARCHAR", {"max_length": DIGEST_DIGITS}),
    "space": ("VARCHAR", {"max_length": DIGEST_DIGITS}),
}


def digest(*parts: bytes) -> str:
    """Return the first 128 bits of the SHA-256 over some byte strings and their lengths, as hex."""
    found = sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()[:DIGEST_DIGITS]


@dataclass(frozen=True, slots=True)
class DocumentRows:
    """The rows of one document.

    Attributes:
        keys: their primary keys.
        version: a digest of all that is stored about the document.
        size: the bytes of the rows, about.
    """

    keys: Sequence[str]
    version: str
    size: int
    _doc_id: str
    _pieces: Sequence[str]
    _metadata: str
    _truncated: bool
    _places: Rows
    _vectors: FloatRows

    def for_space(self, space: str) -> list[dict[str, Any]]:
        """Return the rows as Milvus takes them; `space` is the digest of their space.

        Raises:
            BadInputError: the document has more than Milvus can hold.
        """
        self._require_sizes()
        document, metadata = digest(self._doc_id.encode()), orjson.loads(self._metadata)
        return [
            {
                "key": key,
                "document": document,
                "part": part,
                "parts": len(self.keys),
                "doc_id": self._doc_id,
                "text": self._pieces[part],
                "metadata": metadata,
                "truncated": self._truncated,
                "start": int(self._places[part, 0]),
                "end": int(self._places[part, 1]),
                "version": self.version,
                "space": space,
                "vector": self._vectors[part],
            }
            for part, key in enumerate(self.keys)
        ]

    def _require_sizes(self) -> None:
        sizes = {
            "id": len(self._doc_id.encode()),
            "text": max(len(piece.encode()) for piece in self._pieces),
            "metadata": len(self._metadata.encode()),
        }
        for name, size in sizes.items():
            if size > MOST_BYTES:
                shorter = "index it again with --chunk auto" if name == "text" else "shorten it"
                raise BadInputError(
                    f"its {name} has {size:,} bytes, and Milvus holds {MOST_BYTES:,}",
                    what=f"document {self._doc_id[:100]!r}",
                    hint=f"{shorter}; or leave it out with --where",
                )


def rows_of(batch: VectorRows) -> Iterator[DocumentRows]:
    """Yield the rows of each document of a batch."""
    first = 0
    for number, (doc_id, text, metadata) in enumerate(
        zip(batch.doc_ids, batch.texts, batch.metadata, strict=True)
    ):
        whole = np.array([[0, len(text)]], np.int64)
        places = whole if batch.cuts is None else batch.cuts[number]
        vectors = batch.vectors[first : first + len(places)]
        first += len(places)
        truncated = bool(batch.truncated[number])
        yield DocumentRows(
            [key_of(doc_id, part) for part in range(len(places))],
            digest(
                *(doc_id.encode(), text.encode(), metadata.encode(), b"%d" % truncated),
                *(places.astype("<i8").tobytes(), vectors.astype("<f4").tobytes()),
            ),
            sum(map(len, (text, metadata))) + len(places) * (4 * vectors.shape[1] + _ROW_BYTES),
            doc_id,
            _pieces(text, places),
            metadata,
            truncated,
            places,
            vectors,
        )


def _pieces(text: str, places: Rows) -> list[str]:
    """Return the text of each row: a chunk, and what is between it and the next one."""
    begins = [0, *places[1:, 0].tolist()]
    ends = [*map(max, places[:-1, 1].tolist(), begins[1:]), len(text)]
    return [text[begin:end] for begin, end in zip(begins, ends, strict=True)]


def key_of(doc_id: str, part: int) -> str:
    """Return the primary key of a row of a document."""
    return digest(doc_id.encode(), b"%d" % part)


def whole_text(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the text of a document from its rows; None if some of them are missing.

    Args:
        rows: rows of one version of the document, in any order, with the fields "part", "parts",
            "start" and "text".
    """
    ordered = sorted(rows, key=lambda row: int(row["part"]))
    if [row["part"] for row in ordered] != list(range(ordered[0]["parts"])):
        return None
    text = ""
    for row in ordered:
        begin = row["start"] if row["part"] else 0
        text += row["text"][len(text) - begin :]
    return text


class StoredRows:
    """The keys and versions of the rows of a collection; 33 bytes of memory for each row.

    Args:
        pages: rows with the fields "key" and "version".
    """

    def __init__(self, pages: Iterable[Sequence[dict[str, Any]]]) -> None:
        parts: list[tuple[npt.NDArray[np.bytes_], npt.NDArray[np.bytes_]]] = [
            (_packed([]), _packed([])),
            *(
                (_packed([row["key"] for row in page]), _packed([row["version"] for row in page]))
                for page in pages
            ),
        ]
        keys = np.concatenate([some for some, _ in parts])
        order = np.argsort(keys)
        self._keys = keys[order]
        self._versions = np.concatenate([some for _, some in parts])[order]
        self._met = np.zeros(len(keys), np.bool_)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._keys)

    def are_current(self, documents: Sequence[DocumentRows]) -> Flags:
        """Return bool[n]: whether all rows of each document are stored in its present version.

        These rows, current or not, are left out of `unmet` from now on.
        """
        counts = [len(document.keys) for document in documents]
        keys = _packed([key for document in documents for key in document.keys])
        versions = np.repeat(_packed([document.version for document in documents]), counts)
        if not len(self):
            return np.zeros(len(documents), np.bool_)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self) - 1)
        found = self._keys[at] == keys
        self._met[at[found]] = True
        same = found & (self._versions[at] == versions)
        return np.logical_and.reduceat(same, np.cumsum([0, *counts[:-1]]))

    def unmet(self) -> list[str]:
        """Return the keys of the rows that belong to none of the documents."""
        return [key.ljust(DIGEST_DIGITS // 2, b"\0").hex() for key in self._keys[~self._met]]


def _packed(digests: Sequence[str]) -> npt.NDArray[np.bytes_]:
    """Return digests as S16[n]; numpy drops zeros at the end, which does not change the order."""
    return np.array([bytes.fromhex(text) for text in digests], f"S{DIGEST_DIGITS // 2}")
