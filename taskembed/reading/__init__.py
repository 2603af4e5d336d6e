"""Reading files into documents, queries, examples and judgements, each with its position.

Doors: `inputs` (files to records), `formats`, `rows` (a record), `documents`, `queries`,
`examples`, `sentences`, `trec` (judgements and runs), `fields` (which field is what), `template`
(fields to the text that is embedded), `rejects` (bad records), `streams`, `meter`, `bounds`.
"""
