"""Limits on the memory and the bytes that reading may use, the same for every format."""

from __future__ import annotations

DEFAULT_MAX_RECORD_BYTES = 64 * 2**20
MAX_VALUES = 2_000_000  # values in a record; a value takes up to 120 bytes as a Python object
BATCH_BYTES = 64 * 2**20  # bytes of values that are decoded together
SKIP_BYTES = 256 * 2**20  # bytes skipped to find the end of a record that is too large
BLANK_BYTES = 2 * 2**20  # bytes of blank lines in a row
# bytes of metadata as JSON, which may be six times those of the record
MAX_METADATA_BYTES = 128 * 2**20
SPOOL_BYTES = 8 * 2**30  # bytes of Parquet from a pipe, which are copied to a temporary file
SHOWN_BYTES = 200  # bytes shown of a record that is too large
