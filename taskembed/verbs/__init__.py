"""The operations on an index, used by the command line, by Python programs and by the server.

Doors: one module a verb, such as `update`, `index`, `search`, `similar`, `dedup` and `delete`;
`corpus`, which finds and reads files for an index; `encoders`, which chooses its encoder;
`searcher`, which keeps an index and its models open; `counting`, an encoder that counts truncated
texts; `options` and `defaults`; and `protocols`, what a verb needs of a model.
"""
