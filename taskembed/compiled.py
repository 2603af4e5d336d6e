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

LAYOUT = 1  # of an entry; also counts what the conversion does: raise it when that changes


@dataclass(frozen=True, slots=True)
class Facts:
    """What the loaded model said of itself.

    Attributes:
        dim: numbers in its vector.
        max_length: tokens that it reads, special tokens included.
        pooling: "mean", "cls", "lasttoken", ...
        prompt_in_pooling: whether the prompt's tokens are pooled.
        fallback: why this model runs on torch; "" when it does not have to.
    """

    dim: int
    max_length: int
    pooling: str
    prompt_in_pooling: bool
    fallback: str = ""


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


def read_entry(path: Path) -> CompiledModel | None:
    """Return an entry of the cache; None when there is none, or it is not what was written."""
    try:
        with path.open("rb") as stream:
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        if zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
            return None
        header_size = struct.unpack("<I", data[:4])[0]
        header = json.loads(bytes(data[4 : 4 + header_size]))
        facts = Facts(**header["facts"])
        tokenizer_end = 4 + header_size + header["tokenizer_bytes"]
        tokenizer_json = bytes(data[4 + header_size : tokenizer_end]).decode()
    except (OSError, ValueError, TypeError, KeyError, struct.error):
        return None
    return CompiledModel(facts, tokenizer_json, data[tokenizer_end:-4])


def write_entry(path: Path, model: CompiledModel) -> bool:
    """Write an entry; return False when the cache cannot be written."""
    tokenizer = model.tokenizer_json.encode()
    header = json.dumps({"facts": asdict(model.facts), "tokenizer_bytes": len(tokenizer)}).encode()
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
