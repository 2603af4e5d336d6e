"""Your files become documents, queries, examples and judgements, each with its position.

Doors: `inputs` (files to records), `documents` (records to documents and queries), `examples`,
`trec` (judgements and runs), `template` (fields to the text that is embedded), `streams`, `meter`,
`bounds`.
"""
