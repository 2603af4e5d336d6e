"""Collections of a Milvus server: `export --to milvus` writes them, and `search` reads them."""
