"""Compiled models in the user's cache, so that a second command needs neither torch nor a wait.

An entry is one file: a line of JSON (facts, and the sizes of what follows), the tokenizer.json, the
engine's blob, and the crc32 of it all. It is written whole or not at all; whatever does not check
out is made again, never trusted.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from taskembed.cachefiles import write_atomically
from taskembed.space import PromptType

LAYOUT = 3  # of an entry; also counts what the conversion does: raise it when that changes


@dataclass(frozen=True, slots=True)
class Facts:
    """What the loaded model said of itself.

    Attributes:
        dim: numbers in its vector.
        max_length: tokens that it reads, special tokens included.
        pooling: "mean", "cls", "lasttoken", ...
        prompt_in_pooling: whether the prompt's tokens are pooled.
        fallback: why this model runs on torch; "" when it does not have to.
        fp16_overflows: whether fp16 cannot hold its activations.
        pair: of a reranker that reads one text: what stands before the query, between query and
            document, and after the document; empty when its tokenizer puts a pair together.
        query_length: tokens that are read of a query; 0 for max_length.
        document_length: tokens that are read of a document; 0 for max_length.
        special_tokens: whether the tokenizer's special tokens stand around a text.
        cut_left: whether a long text loses its beginning, and not its end.
    """

    dim: int
    max_length: int
    pooling: str
    prompt_in_pooling: bool
    fallback: str = ""
    fp16_overflows: bool = False
    pair: tuple[str, ...] = ()
    query_length: int = 0
    document_length: int = 0
    special_tokens: bool = True
    cut_left: bool = False

    def length(self, prompt_type: PromptType) -> int:
        """Return the tokens that are read of a text of a side, special tokens included."""
        is_query = prompt_type is PromptType.QUERY
        return (self.query_length if is_query else self.document_length) or self.max_length


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """What an entry was made from, for `taskembed cache list` and to check the entry.

    Attributes:
        model: the name that it was asked for by.
        revision: the commit of its repository; "" for a folder.
        adapter: the name of the adapter in its weights; "" for none.
        kind: "encoder" or "reranker".
        digest: sha256 of everything that the compiled model depends on, but for the engine.
        engine: the engine and its version.
    """

    model: str
    revision: str
    adapter: str
    kind: str
    digest: str
    engine: str


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model that an engine can run at once. `blob` is empty for the torch engine."""

    facts: Facts
    tokenizer_json: str
    blob: memoryview


def entry_path(cache: Path, digest: str, engine: str) -> Path:
    """Return where the compiled form of a model is kept.

    Args:
        cache: the cache folder.
        digest: of the model's files.
        engine: the engine and its version, which must be able to read its own blob.
    """
    key = hashlib.sha256(f"{LAYOUT} {digest} {engine}".encode()).hexdigest()
    return cache / "compiled" / f"{key}.model"


def checked_path(cache: Path, digest: str, engine: str, path_of_texts: str) -> Path:
    """Return the file whose presence says that a model was compared with its reference.

    Args:
        cache: the cache folder.
        digest: of the model's files.
        engine: the engine and its version.
        path_of_texts: everything else between a text and its vector: prompt, limit, size.
    """
    parts = f"{LAYOUT} {digest} {engine} {path_of_texts}"
    return cache / "checked" / hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An entry as a person sees it.

    Attributes:
        path: its file.
        size: bytes.
        modified: seconds since 1970, when it was compiled.
        made_from: None when it cannot be read; it will be made again.
    """

    path: Path
    size: int
    modified: float
    made_from: MadeFrom | None


def read_entry(path: Path, digest: str) -> CompiledModel | None:
    """Return an entry of the cache; None when there is none, or it is not what was written.

    Args:
        path: where it is.
        digest: of what it must have been made from.
    """
    try:
        with path.open("rb") as stream:
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        if zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
            return None
        header_size = struct.unpack("<I", data[:4])[0]
        header = json.loads(bytes(data[4 : 4 + header_size]))
        if MadeFrom(**header["made_from"]).digest != digest:
            return None
        pair = tuple(header["facts"].pop("pair"))
        facts = Facts(**header["facts"], pair=pair)
        tokenizer_end = 4 + header_size + header["tokenizer_bytes"]
        tokenizer_json = bytes(data[4 + header_size : tokenizer_end]).decode()
    except (OSError, ValueError, TypeError, KeyError, struct.error):
        return None
    return CompiledModel(facts, tokenizer_json, data[tokenizer_end:-4])


def write_entry(path: Path, model: CompiledModel, made_from: MadeFrom) -> bool:
    """Write an entry; return False when the cache cannot be written."""
    tokenizer = model.tokenizer_json.encode()
    header = json.dumps(
        {
            "made_from": asdict(made_from),
            "facts": asdict(model.facts),
            "tokenizer_bytes": len(tokenizer),
        }
    ).encode()
    parts: list[bytes | memoryview] = [
        struct.pack("<I", len(header)),
        header,
        tokenizer,
        model.blob,
    ]
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return write_atomically(path, [*parts, struct.pack("<I", checksum)])


def list_entries(cache: Path) -> list[CacheEntry]:
    """Return the compiled models of a cache folder, newest first."""
    entries = []
    for path in (cache / "compiled").glob("*.model"):
        try:
            status = path.stat()
        except OSError:  # another process cleared it
            continue
        entries.append(CacheEntry(path, status.st_size, status.st_mtime, _made_from(path)))
    return sorted(entries, key=lambda entry: entry.modified, reverse=True)


def _made_from(path: Path) -> MadeFrom | None:
    """Return what an entry says of itself, reading its first line only."""
    try:
        with path.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<I", stream.read(4))[0]))
        return MadeFrom(**header["made_from"])
    except (OSError, ValueError, TypeError, KeyError, struct.error):
        return None
