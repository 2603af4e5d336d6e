"""How much of an input is held, or passed over, at once: the same for every format."""

from __future__ import annotations

DEFAULT_MAX_RECORD_BYTES = 64 * 2**20
MAX_VALUES = 2_000_000  # in a record: as Python's objects they take up to 120 bytes each
BATCH_BYTES = 64 * 2**20  # of values that are decoded together
SKIP_BYTES = 256 * 2**20  # of one record that is too large, to find the next one
BLANK_BYTES = 2 * 2**20  # of blank lines, one after another
MAX_METADATA_BYTES = 128 * 2**20  # as JSON, which may take six times what the record takes
SPOOL_BYTES = 8 * 2**30  # of Parquet from a pipe, which has to be a file
SHOWN_BYTES = 200  # of a record that is too large
