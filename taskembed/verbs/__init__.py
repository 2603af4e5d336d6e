"""The operations on an index, used by the command line, by Python programs and by the server.

Each verb is a module, such as `update`, `search`, `dedup` and `delete`. If a verb has several
parts, they are in a package named after it, in the form that ends in "-ing", such as `clustering`.
Shared by the verbs: `opening`, which chooses the encoder of an index, checks and wraps it;
`workers`, which encodes on a cluster; `searcher`, which keeps an index and its models open;
`corpus`, which finds and reads files for an index; `options` and `defaults`; and `protocols`, what
a verb needs of a model.
"""
