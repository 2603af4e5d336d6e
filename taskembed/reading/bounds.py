"""Limits on the memory and the bytes that reading may take: the same for every format."""

from __future__ import annotations

DEFAULT_MAX_RECORD_BYTES = 64 * 2**20
MAX_VALUES = 2_000_000  # values in a record; as Python objects they take up to 120 bytes each
BATCH_BYTES = 64 * 2**20  # bytes of values that are decoded together
SKIP_BYTES = 256 * 2**20  # bytes skipped of a record that is too large, to find the next one
BLANK_BYTES = 2 * 2**20  # bytes of blank lines in a row
MAX_METADATA_BYTES = 128 * 2**20  # bytes of metadata as JSON: up to six times those of the record
SPOOL_BYTES = 8 * 2**30  # bytes of Parquet from a pipe, which are copied into a file
SHOWN_BYTES = 200  # bytes shown of a record that is too large
