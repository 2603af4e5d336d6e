"""Files of vectors, Parquet or .npy: written by `encode` and `export`, read by `import`."""
