"""Encodes documents or queries into a file of vectors, without an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from taskembed.activity import Step, doing
from taskembed.errors import TextTooLongError
from taskembed.guard import NO_VECTOR, each_once
from taskembed.index.chunking import ChunkRequest
from taskembed.reading.document import Document
from taskembed.reading.vectors.files import vector_writer
from taskembed.reading.vectors.rows import NumberType, VectorHeader, VectorRows
from taskembed.space import PromptType
from taskembed.vectors import Encoded, Rows
from taskembed.verbs._indexing.cutting import Cutter
from taskembed.verbs._indexing.intake import (
    WINDOW_DOCUMENTS,
    Pending,
    batches,
    reject,
    reject_truncated,
    storable,
)
from taskembed.verbs._indexing.window import Window
from taskembed.verbs.options import Watch
from taskembed.verbs.protocols import Encoder, require_encoder

WINDOW_CUT = 128  # documents that are cut into chunks and encoded together


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How texts are encoded.

    Attributes:
        side: whether the texts are documents or queries.
        dtype: the type of the numbers in the file.
        chunk: how documents are cut into chunks: "auto", "128", "128:25"; "off" for no chunks.
        fail_on_truncate: a text that the model cannot read whole is a bad record.

    Raises:
        ValueError: there is no such side or type.
        UsageError: `chunk` is none of these.
    """

    side: PromptType = PromptType.DOCUMENT
    dtype: NumberType = NumberType.FLOAT32
    chunk: str = "off"
    fail_on_truncate: bool = False

    def __post_init__(self) -> None:
        # a name, such as "query", is accepted too
        object.__setattr__(self, "side", PromptType(self.side))
        object.__setattr__(self, "dtype", NumberType(self.dtype))
        ChunkRequest.parse(self.chunk)


@dataclass
class EncodeSummary:
    """The counts of a run."""

    documents: int = 0  # written
    vectors: int = 0  # written: one for each document, or for each chunk
    rejected: int = 0  # documents that were not written: bad records and encoding failures
    truncated: int = 0  # documents that the model did not read whole
    empty: int = 0  # documents without any text
    without_id: int = 0  # records whose id is the sha256 of their text

    def to_json(self) -> dict[str, int]:
        """Return the summary as a JSON object."""
        return asdict(self)


def encode_documents(
    documents: Iterable[Document],
    encoder: Encoder,
    output: str | Path | BinaryIO,
    *,
    options: EncodeOptions | None = None,
    watch: Watch | None = None,
) -> EncodeSummary:
    """Encode texts into a file of vectors, in order; a few thousand are in memory at a time.

    The vectors are those that `index_corpus` would store. Duplicate ids are not detected: each text
    becomes a row.

    Args:
        documents: any iterable; it is read once.
        encoder: from `load_encoder`.
        output: the path of a .parquet or .npy file, which gets its name once it is complete; or a
            stream, for Parquet.
        options: how to encode.
        watch: how the run is watched, and what happens to bad records.

    Raises:
        TypeError: an item is not a `Document`, or the encoder is not an `Encoder`.
        UsageError: the file name has another ending, or documents cannot be cut as requested.
        BadRecordError: a record is bad, and `watch.bad` stops there; no file is written.
        BadVectorError: the model returned a vector that cannot be compared.
        StorageError: the disk is full or fails.
    """
    require_encoder(encoder)
    options, watch = options or EncodeOptions(), watch or Watch()
    run = _Run(encoder, options, watch)
    header = VectorHeader(
        encoder.space, options.side, options.dtype, is_chunked=run.cutter is not None
    )
    place = Path(output) if isinstance(output, str) else output
    with vector_writer(place, header) as writer, doing("", unit="documents") as run.step:
        for window in run.windows(documents):
            for rows in run.encoded(window):
                writer.write(rows)
                run.count(rows)
    run.summary.rejected = watch.bad.count
    return run.summary


class _Run:
    """One run: groups documents into windows, and encodes the texts of each window."""

    def __init__(self, encoder: Encoder, options: EncodeOptions, watch: Watch) -> None:
        self._encoder = encoder
        self._options = options
        self._watch = watch
        rule = ChunkRequest.parse(options.chunk).rule(encoder.space.max_length)
        self.cutter = Cutter.of(rule, encoder)
        self.summary = EncodeSummary()
        self.step = Step("")

    def windows(self, documents: Iterable[Document]) -> Iterator[Window]:
        """Yield documents that are encoded together; those that cannot be cut are rejected."""
        size = WINDOW_CUT if self.cutter else WINDOW_DOCUMENTS
        for batch in batches(storable(documents, self._watch.bad), size):
            items: list[Pending] = []
            cuts: list[Rows] = []
            for document, metadata in batch:
                item = Pending(document, metadata, None)
                if self.cutter is not None:
                    try:
                        cuts.append(self.cutter.cut(item.text, metadata))
                    except ValueError as error:
                        self._reject(item, str(error))
                        continue
                items.append(item)
                self.summary.empty += not item.text
                self.summary.without_id += document.id_is_made
            yield Window(items, self._encoder.space.dim, cuts if self.cutter else None)

    def encoded(self, window: Window) -> Iterator[VectorRows]:
        """Encode the texts of a window, and yield its documents in their order, if any."""
        rows = window.to_encode
        while len(rows):
            rows = self._encode(window, rows)
        ready = window.take_ready()
        if self._options.fail_on_truncate:
            long = [window.items[row].document for row in ready[window.truncated[ready]]]
            reject_truncated(long, self._encoder.space.max_length, self._watch.bad)
            ready = ready[~window.truncated[ready]]
        if len(ready):
            items = [window.items[row] for row in ready]
            vectors, cuts = window.vectors_of(ready)
            yield VectorRows(
                [item.doc_id for item in items],
                [item.text for item in items],
                [item.metadata for item in items],
                window.truncated[ready],
                vectors,
                cuts,
            )

    def count(self, rows: VectorRows) -> None:
        """Count documents that were written."""
        self.summary.documents += len(rows.doc_ids)
        self.summary.vectors += len(rows.vectors)
        self.summary.truncated += int(rows.truncated.sum())

    def _encode(self, window: Window, rows: Rows) -> Rows:
        """Encode texts of a window; return those still to encode after a text was rejected."""
        left = np.ones(len(rows), dtype=np.bool_)
        sources = [str(window.item(row)) for row in rows]
        try:
            slices = self._encoder.encode_slices(
                [window.text(row) for row in rows], self._options.side
            )
            for some, encoded in each_once(slices, sources):
                left[some] = False
                self._fill(window, rows[some], encoded)
        except TextTooLongError as error:
            refused, others = window.refuse(rows, error.reasons)
            for item, reason in refused:
                self._reject(item, reason)
            return rows[left & others]
        return rows[:0]

    def _fill(self, window: Window, rows: Rows, encoded: Encoded) -> None:
        """Store the vectors of some texts; reject documents that have no vector."""
        has, encoded, empty = window.usable(rows, encoded, [self._encoder.space])
        done = window.fill(has, encoded)
        left_out, without = window.leave_out(empty)
        done += self.step.done + left_out
        self._watch.report_progress(self.step, done=done, ahead=window.unfilled)
        for item in without:
            self._reject(item, NO_VECTOR)

    def _reject(self, item: Pending, reason: str) -> None:
        reject(item.document, reason, self._watch.bad)
