"""Texts become vectors, and pairs scores: here, or behind a server.

Doors: `load` (a model's name to an encoder), `reranker`, `runtime` (settings and engines), `cache`
(compiled models), `tokens`, `vendors` (servers), `compile.encoders` and `compile.rerankers`.
"""
