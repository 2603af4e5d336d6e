"""Texts become vectors, and pairs scores: here, or behind a server.

Doors: `load` (a model's name to an encoder), `reranker`, `settings`, `cache` and `facts` (compiled
models), `tokens`, `vendors` (servers), and those of `compile`.
"""
