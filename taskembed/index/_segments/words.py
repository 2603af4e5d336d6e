"""The words of a segment's texts, for BM25; their file is opened once and read by position."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np

from taskembed.errors import IndexDamagedError, os_errors
from taskembed.index._segments.files import SegmentFiles
from taskembed.index._segments.info import SegmentInfo
from taskembed.index._segments.words_file import Postings, by_row, require_words
from taskembed.index.disk.files import read_at
from taskembed.index.word_tokens import WordTokenizer


class SegmentWords:
    """The words of a segment, if its index keeps words.

    Its methods raise IndexDamagedError if the file is damaged, and ValueError if the index is
    closed.
    """

    def __init__(self, files: SegmentFiles, info: SegmentInfo) -> None:
        self._files = files
        self._info = info
        self._lock = threading.Lock()
        self._postings: Postings | None = None

    def postings(self) -> Postings:
        """Return the postings; the dictionary is checked now, each posting when it is read.

        Raises:
            ValueError: the segment stores no words.
        """
        if not self._info.words:
            raise ValueError("the words of the texts are not stored")
        with self._lock:
            if self._postings is None:
                size = self._files[self._info.words_file].size
                self._postings = Postings(self._read, size, self._damaged)
            return self._postings

    def check(self, texts: Iterable[tuple[int, str]]) -> None:
        """Compare every word with the texts, given as (row, text); do nothing without words.

        Raises:
            IndexDamagedError: the words are not those of the texts.
        """
        if not self._info.words:
            return
        postings = self.postings()
        try:
            tokenizer = WordTokenizer.of(self._info.words)
            require_words(postings, by_row(texts, self._info.rows, tokenizer))
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _read(self, place: int, size: int) -> memoryview:
        self._files.require_open()
        name = self._info.words_file
        data = np.empty(size, np.uint8).data  # not filled with zeros first, as a bytearray is
        with os_errors(self._files.path(name)):
            count = read_at(self._files.descriptor(name), data, place)
        return data[:count]

    def _damaged(self, reason: str) -> IndexDamagedError:
        return self._files.damaged(self._info.words_file, reason)
