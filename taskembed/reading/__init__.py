"""Reading files into documents, queries, examples and judgements, each with its position.

Public modules: `inputs` (files to records), `formats`, `rows` (a record), `documents`, `queries`,
`examples`, `sentences`, `trec` (judgements and runs), `fields` (the fields of the id and the text),
`template` (builds the embedded text from fields), `rejects` (bad records), `corpus_files`,
`chunks`, `streams`, `meter`, `bounds`; and the package `vectors` (files of vectors).
"""
