"""The words of a segment: the documents in which each occurs, how often, and BM25 over segments.

    data = b"".join(build(tokenizer.words(text) for text in texts))
    postings = Postings(read, size)               # reads and checks only the dictionary
    scores = Bm25([postings, ...]).scores(words)  # float32[rows] for each segment

A file has three parts: the postings of each word; the dictionary; and a foot. The dictionary has
the length of each document, and for each word a 64-bit hash, the position of its postings, and the
number of documents in which it occurs. The dictionary and the postings of each word have their own
checksums, so everything that is read is checked.

BM25 as in Robertson and Zaragoza (2009), with Lucene's idf, which is never negative:
ln(1 + (N - df + 0.5) / (df + 0.5)) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean)).
N, df and the mean length are those of the whole index, so that the scores of two segments can be
compared. They include deleted documents that are still in a segment.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import merge as merged
from itertools import count, groupby, repeat

import numpy as np
import numpy.typing as npt

from taskembed.index.word_tokens import WordTokenizer
from taskembed.vectors import Rows

K1, B = 1.2, 0.75
LARGEST_COUNT = 255  # the highest count of a word in one document

_MAGIC = b"TEwords1"
_FOOT = struct.Struct("<8sQQQI")  # magic, documents, total of words, entries, CRC-32
_ENTRY = np.dtype([("hash", "<u8"), ("at", "<u8"), ("documents", "<u4"), ("size", "<u4")])
_PACKED = struct.Struct("<QQII")  # the same layout as _ENTRY
_POSTING = struct.Struct("<IH")  # CRC-32 of the rest, length of the word in bytes

Entries = npt.NDArray[np.void]
_Key = tuple[int, bytes]  # hash and word: the order of the words in a file
Scores = npt.NDArray[np.float32]
Lengths = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Posting:
    """The documents in which a word occurs.

    Attributes:
        word: in UTF-8.
        rows: int64[n]: the rows of the documents, ascending.
        counts: uint8[n]: the number of occurrences in each, at most LARGEST_COUNT.
    """

    word: bytes
    rows: Rows
    counts: npt.NDArray[np.uint8]

    def encoded(self) -> bytes:
        """Return the bytes that a file stores."""
        body = b"".join(
            [self.word, self.rows.astype("<u4").tobytes(), self.counts.astype("u1").tobytes()]
        )
        return _POSTING.pack(zlib.crc32(body), len(self.word)) + body


class Postings:
    """The words of one segment. Safe to use from several threads.

    Args:
        read: returns the bytes of the file at (position, count); fewer at the end of the file.
        size: bytes of the file, from the manifest.
        damaged: returns the error to raise for a reason.

    Raises:
        Exception: the error of `damaged`: the dictionary is damaged.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes | memoryview],
        size: int,
        damaged: Callable[[str], Exception] = ValueError,
    ) -> None:
        self._from_file = read
        self._size = size
        self._damaged = damaged
        foot = self._read(max(size - _FOOT.size, 0), _FOOT.size)
        magic, self.documents, self.total, count, crc = _FOOT.unpack(foot)
        length = 4 * self.documents + _ENTRY.itemsize * count
        if magic != _MAGIC or length > size - _FOOT.size:
            raise self._damaged("its end is damaged")
        tail = self._read(size - _FOOT.size - length, length)
        if zlib.crc32(foot[:-4], zlib.crc32(tail)) != crc:
            raise self._damaged("the checksum of its dictionary does not match")
        lengths = tail[: self.documents * 4]
        self.lengths: Lengths = np.frombuffer(lengths, "<u4")
        self._entries: Entries = np.frombuffer(tail, _ENTRY, offset=len(lengths))

    def find(self, word: str) -> Posting | None:
        """Return the postings of a word; None if it occurs nowhere.

        Raises:
            Exception: the error of `damaged`: the postings are damaged.
        """
        data = word.encode()
        hashes, hashed = self._entries["hash"], np.uint64(_hash(data))
        first, last = (int(np.searchsorted(hashes, hashed, side)) for side in ("left", "right"))
        postings = map(self._posting, self._entries[first:last])
        return next((posting for posting in postings if posting.word == data), None)

    def __iter__(self) -> Iterator[Posting]:
        """Yield the postings of every word, ordered by hash; the whole file is read and checked."""
        return map(self._posting, self._entries)

    def _posting(self, entry: np.void) -> Posting:
        place, count, size = (int(entry[name]) for name in ("at", "documents", "size"))
        if size < _POSTING.size or place + size > self._size:  # before memory is allocated
            raise self._damaged("the postings of a word lie outside the file")
        data = self._read(place, size)
        crc, length = _POSTING.unpack_from(data)
        body = data[_POSTING.size :]
        if zlib.crc32(body) != crc or len(body) != length + 5 * count:
            raise self._damaged("the checksum of a word's postings does not match")
        rows = np.frombuffer(body, "<u4", count, length).astype(np.int64)
        if rows.max(initial=-1) >= self.documents:
            raise self._damaged(f"there is no row {rows.max()}")
        counts = np.frombuffer(body, "u1", count, length + 4 * count)
        return Posting(bytes(body[:length]), rows, counts)

    def _read(self, at: int, size: int) -> memoryview:
        data = memoryview(self._from_file(at, size))
        if len(data) != size:
            raise self._damaged("it is shorter than when it was opened")
        return data


def build(documents: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """Yield the bytes of a segment's file, from the words of each document, ordered by row."""
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    words, counts, lengths, distinct = array("I"), array("B"), array("I"), array("I")
    for document in documents:
        found = Counter(document)
        lengths.append(len(document))
        distinct.append(len(found))
        words.extend(map(numbers.__getitem__, found))
        counts.extend(map(min, found.values(), repeat(LARGEST_COUNT)))
    word_numbers = np.array(words, np.int64)
    by_word = np.argsort(word_numbers, kind="stable")
    all_rows = np.repeat(np.arange(len(lengths)), np.array(distinct, np.int64))[by_word]
    all_counts = np.array(counts, np.uint8)[by_word]
    ends = np.cumsum(np.bincount(word_numbers, minlength=len(numbers))).tolist()
    keys = sorted((*_key(word.encode()), number) for word, number in numbers.items())
    postings = (
        Posting(name, all_rows[begin:end], all_counts[begin:end])
        for _, name, i in keys
        for begin, end in [(ends[i - 1] if i else 0, ends[i])]
    )
    return _file(postings, np.array(lengths, np.uint32))


def by_row(
    texts: Iterable[tuple[int, str]], rows: int, tokenizer: WordTokenizer
) -> Iterator[list[str]]:
    """Yield the words of each row, from (row, text) ordered by row; none for a row without text."""
    done = 0
    for row, text in texts:
        yield from ([] for _ in range(row - done))
        yield tokenizer.words(text)
        done = row + 1
    yield from ([] for _ in range(rows - done))


def require_words(postings: Postings, documents: Iterable[Sequence[str]]) -> None:
    """Read the whole file of a segment's words, and check that they are those of its documents.

    Subtle: comparing the postings themselves would need all of them in memory. Instead a sum over
    the hashes of each row's words is compared, which does not depend on their order.

    Args:
        postings: the words of the segment.
        documents: the words of each row, ordered by row.

    Raises:
        ValueError: the words differ.
    """
    sums = np.zeros(postings.documents, np.uint64)
    last: _Key = (-1, b"")
    for posting in postings:
        key = _hash(posting.word), posting.word
        if key <= last or (np.diff(posting.rows, prepend=-1) < 1).any():
            raise ValueError("the words are not in order")
        last = key
        with np.errstate(over="ignore"):
            sums[posting.rows] += np.uint64(key[0]) * posting.counts
    row = -1
    for row, words in enumerate(documents):
        counts = Counter(words)
        expected = sum(_hash(word.encode()) * min(n, LARGEST_COUNT) for word, n in counts.items())
        if row >= len(sums) or expected % 2**64 != int(sums[row]):
            raise ValueError(f"the words of row {row} are not those of its text")
        if len(words) != int(postings.lengths[row]):
            raise ValueError(f"the text of row {row} has another length")
    if row + 1 != len(sums) or int(postings.lengths.sum()) != postings.total:
        raise ValueError("it does not fit its segment")


def merge(segments: Sequence[tuple[Postings, Rows]]) -> Iterator[bytes]:
    """Yield the bytes of a merged segment's file; the postings of one word are in memory at a time.

    Args:
        segments: the words of each segment, with int64[documents]: the new row of each document, -1
            for a document that is left out.
    """
    new_rows = [kept for _, kept in segments]
    total = sum(int((kept >= 0).sum()) for kept in new_rows)
    lengths = np.zeros(total, np.uint32)
    for postings, kept in segments:
        lengths[kept[kept >= 0]] = postings.lengths[kept >= 0]

    def moved(postings: Postings, kept: Rows) -> Iterator[tuple[_Key, Posting]]:
        for posting in postings:
            rows = kept[posting.rows]
            stay = rows >= 0
            if stay.any():
                moved_posting = Posting(posting.word, rows[stay], posting.counts[stay])
                yield (_hash(posting.word), posting.word), moved_posting

    streams = [moved(postings, kept) for postings, kept in segments]
    in_order = merged(*streams, key=lambda item: item[0])
    return _file((_joined(group) for _, group in groupby(in_order, lambda it: it[0])), lengths)


def _joined(group: Iterable[tuple[_Key, Posting]]) -> Posting:
    parts = [posting for _, posting in group]
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.rows for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    order = np.argsort(rows, kind="stable")
    return Posting(parts[0].word, rows[order], counts[order])


def _file(postings: Iterable[Posting], lengths: Lengths) -> Iterator[bytes]:
    """Yield the bytes of a file: the postings (already in order), the dictionary and the foot."""
    entries = bytearray()
    at = 0
    for posting in postings:
        data = posting.encoded()
        entries += _PACKED.pack(_hash(posting.word), at, len(posting.rows), len(data))
        at += len(data)
        yield data
    tail = lengths.astype("<u4").tobytes() + entries
    words = len(entries) // _ENTRY.itemsize
    foot = _FOOT.pack(_MAGIC, len(lengths), int(lengths.sum()), words, 0)[:-4]
    yield tail
    yield foot + struct.pack("<I", zlib.crc32(foot, zlib.crc32(tail)))


def _key(word: bytes) -> _Key:
    return _hash(word), word


def _hash(word: bytes) -> int:
    return int.from_bytes(blake2b(word, digest_size=8).digest(), "little")


class Bm25:
    """Scores documents by the words of queries; values shared by all queries are computed once.

    Args:
        segments: the words of every segment of the index, over which the statistics are computed.
    """

    def __init__(self, segments: Sequence[Postings]) -> None:
        self._segments = segments
        self._count = sum(segment.documents for segment in segments)
        mean = sum(segment.total for segment in segments) / max(self._count, 1)
        self._norms = [
            (K1 * (1 - B + B * segment.lengths / max(mean, 1e-9))).astype(np.float32)
            for segment in segments
        ]

    def scores(self, words: Iterable[str]) -> list[Scores]:
        """Return float32[documents] for each segment: the BM25 scores, 0 without any of the words.

        Args:
            words: the words of a query; a word that occurs twice counts twice.
        """
        scores = [np.zeros(segment.documents, np.float32) for segment in self._segments]
        for word, times in Counter(words).items():
            found = [segment.find(word) for segment in self._segments]
            frequency = sum(len(posting.rows) for posting in found if posting)
            idf = times * np.log1p((self._count - frequency + 0.5) / (frequency + 0.5))
            for score, norm, posting in zip(scores, self._norms, found, strict=True):
                if posting:
                    counts = posting.counts.astype(np.float32)
                    part = counts * np.float32(idf * (K1 + 1)) / (counts + norm[posting.rows])
                    score[posting.rows] += part
        return scores
