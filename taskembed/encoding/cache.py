"""The cache of compiled models, so that later commands need neither torch nor compilation.

An entry is one file: a line of JSON (facts, and the sizes of the other parts), the tokenizer.json,
the engine's blob, and the CRC-32 of all of these. It is written atomically; an entry that fails a
check is built again.
"""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import time
import zlib
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from taskembed.encoding._chat import Chat
from taskembed.encoding.facts import Kind, ModelFacts, RerankerFacts
from taskembed.errors import NotFoundError, os_errors
from taskembed.files import read_trusted, write_atomically

LAYOUT = 7  # version of entries; raise it when their format or the conversion changes

SECONDS_A_DAY = 86_400
MOST_HEADER_BYTES = 2**20  # its largest part is a chat template


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """The origin of an entry, for `taskembed cache list` and to check the entry.

    Attributes:
        model: the name of the model as the user gave it.
        revision: the commit of its repository; "" for a folder.
        adapter: the name of the adapter in its weights; "" for none.
        kind: "encoder" or "reranker".
        digest: sha256 of everything that the compiled model depends on, except the engine.
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
    """A model that an engine can run without conversion; `blob` is empty for the torch engine."""

    facts: ModelFacts | RerankerFacts
    tokenizer_json: str
    blob: memoryview

    @property
    def encoder_facts(self) -> ModelFacts:
        """The facts of an encoder."""
        assert isinstance(self.facts, ModelFacts)  # noqa: S101  # as it was compiled
        return self.facts

    @property
    def reranker_facts(self) -> RerankerFacts:
        """The facts of a reranker."""
        assert isinstance(self.facts, RerankerFacts)  # noqa: S101  # as it was compiled
        return self.facts


def entry_path(cache: Path, digest: str, engine: str) -> Path:
    """Return the path of the compiled form of a model.

    Args:
        cache: the cache folder.
        digest: `ModelSource.digest` of the model.
        engine: the engine and its version, on which the blob depends.
    """
    key = hashlib.sha256(f"{LAYOUT} {digest} {engine}".encode()).hexdigest()
    return cache / "compiled" / f"{key}.model"


def checked_path(cache: Path, digest: str, engine: str, path_of_texts: str) -> Path:
    """Return the path of the file that exists if a model was compared with its reference.

    Args:
        cache: the cache folder.
        digest: `ModelSource.digest` of the model.
        engine: the engine and its version.
        path_of_texts: all other settings that change a vector: prompt, limit, dimension.
    """
    parts = f"{LAYOUT} {digest} {engine} {path_of_texts}"
    return cache / "checked" / hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An entry of the cache, as `taskembed cache list` shows it.

    Attributes:
        path: its file.
        size: its size in bytes.
        compiled: time of compilation, in seconds since 1970.
        used: time of the last use, in seconds since 1970, with a precision of an hour.
        made_from: the origin of the entry; None if it cannot be read and will be built again.
    """

    path: Path
    size: int
    compiled: float
    used: float
    made_from: MadeFrom | None


def read_entry(path: Path, digest: str, engine: str) -> CompiledModel | None:
    """Return an entry of the cache; None if it is missing or damaged.

    Args:
        path: the path of the entry.
        digest: the digest that the entry must have.
        engine: the engine and version that the entry must have.

    Raises:
        StorageError: no more files can be opened.
    """
    data = read_trusted(path)
    try:
        if data is None or zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
            return None
        header_end = 4 + struct.unpack("<I", data[:4])[0]
        header = json.loads(bytes(data[4:header_end]))
        made_from = MadeFrom(**header["made_from"])
        if (made_from.digest, made_from.engine) != (digest, engine):
            return None
        is_reranker = made_from.kind == Kind.RERANKER.value
        facts = (_reranker_facts if is_reranker else _encoder_facts)(header["facts"])
        tokenizer_end = header_end + int(header["tokenizer_bytes"])
        blob = data[tokenizer_end:-4]
        if not header_end <= tokenizer_end <= len(data) - 4 or (blob and facts.fallback):
            return None
        tokenizer_json = bytes(data[header_end:tokenizer_end]).decode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error):
        return None
    return CompiledModel(facts, tokenizer_json, blob)


_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "tuple[str, ...]": (tuple,),
    "Chat | None": (Chat, type(None)),
}


def _encoder_facts(saved: dict[str, Any]) -> ModelFacts:
    """Return the facts of an entry of an encoder.

    Raises:
        ValueError: a fact has an impossible value.
    """
    chats = {key: _chat(saved[key]) for key in ("query_chat", "document_chat")}
    facts = ModelFacts(**{**saved, **chats})
    _require_kinds(facts)
    if min(facts.dim, facts.max_length, facts.query_length + 1, facts.document_length + 1) < 1:
        raise ValueError("a number is out of range")
    return facts


def _reranker_facts(saved: dict[str, Any]) -> RerankerFacts:
    """Return the facts of an entry of a reranker.

    Raises:
        ValueError: a fact has an impossible value.
    """
    facts = RerankerFacts(**{**saved, "pair": tuple(saved["pair"])})
    _require_kinds(facts)
    if facts.max_length < 1:
        raise ValueError("a number is out of range")
    if not all(isinstance(text, str) for text in facts.pair):
        raise ValueError(f"pair is {facts.pair!r}")
    return facts


def _require_kinds(facts: ModelFacts | RerankerFacts) -> None:
    for field in fields(facts):
        value = getattr(facts, field.name)
        if type(value) not in _KINDS[str(field.type)]:
            raise ValueError(f"{field.name} is {value!r}")


def _chat(saved: dict[str, Any] | None) -> Chat | None:
    if saved is None:
        return None
    before, after = saved["alone"]
    chat = Chat(**{**saved, "alone": (before, after), "prompted": tuple(saved["prompted"])})
    texts, flags = (*chat.alone, *chat.prompted), (chat.strips_prompt, chat.strips_text)
    if not all(isinstance(text, str) for text in texts) or len(chat.prompted) not in {0, 3}:
        raise ValueError(f"chat is {chat!r}")
    if not all(isinstance(flag, bool) for flag in flags):
        raise ValueError(f"chat is {chat!r}")
    return chat


def write_entry(path: Path, model: CompiledModel, made_from: MadeFrom) -> bool:
    """Write an entry; return False if the cache cannot be written."""
    tokenizer = model.tokenizer_json.encode()
    header = json.dumps(
        {
            "made_from": asdict(made_from),
            "compiled_at": time.time(),
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
        except OSError:  # another process deleted it
            continue
        if stat.S_ISREG(status.st_mode):
            compiled, made_from = _read_header(path) or (status.st_mtime, None)
            entries.append(CacheEntry(path, status.st_size, compiled, status.st_mtime, made_from))
    return sorted(entries, key=lambda entry: entry.compiled, reverse=True)


def delete_entries(
    cache: Path, *, model: str | None = None, unused_days: int | None = None
) -> list[CacheEntry]:
    """Delete compiled models; without options, also the cached digests of files.

    Args:
        cache: the cache folder.
        model: only entries of that model.
        unused_days: only entries that were last used at least this many days ago.

    Raises:
        NotFoundError: the cache has no entry of that model.
        StorageError: a file cannot be deleted.
        AccessDeniedError: a file must not be deleted.
    """
    chosen = [
        entry
        for entry in list_entries(cache)
        if model is None or (entry.made_from and entry.made_from.model == model)
    ]
    if model is not None and not chosen:
        raise NotFoundError(
            f"there is no compiled model of {model!r}", hint="`taskembed cache list` lists them"
        )
    if unused_days is not None:
        last = datetime.now(UTC).timestamp() - unused_days * SECONDS_A_DAY
        chosen = [entry for entry in chosen if entry.used <= last]
    paths = [entry.path for entry in chosen]
    if model is None and unused_days is None:
        paths += _leftovers(cache)
    for path in paths:
        with os_errors(path):
            path.unlink(missing_ok=True)
    return chosen


def _leftovers(cache: Path) -> list[Path]:
    """Return the cache's other files: digests, results of comparisons, leftovers of killed runs."""
    remembered = [path for name in ("checked", "digests") for path in (cache / name).glob("*")]
    return sorted([*remembered, *cache.glob("*/.tmp-*")])


def size_of(cache: Path) -> int:
    """Return the size in bytes of the compiled models in a cache folder."""
    return sum(entry.size for entry in list_entries(cache))


def _read_header(path: Path) -> tuple[float, MadeFrom] | None:
    """Return the time of compilation and the origin of an entry; None if it cannot be read.

    Only the header of the entry is read.
    """
    try:
        with path.open("rb") as stream:
            size = struct.unpack("<I", stream.read(4))[0]
            header = json.loads(stream.read(min(size, MOST_HEADER_BYTES)))
        compiled, made_from = float(header["compiled_at"]), MadeFrom(**header["made_from"])
        datetime.fromtimestamp(compiled, UTC)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError, struct.error):
        return None
    texts = (getattr(made_from, field.name) for field in fields(MadeFrom))
    return (compiled, made_from) if all(isinstance(text, str) for text in texts) else None
