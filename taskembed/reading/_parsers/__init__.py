"""A parser for each format of input files: JSONL, CSV and TSV, Parquet, text and HTML."""
