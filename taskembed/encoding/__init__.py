"""Encoders of texts and rerankers of pairs, whose models run on this machine or behind a server.

Public modules: `load` (opens an encoder by the name of its model), `reranker`, `settings`, `cache`
and `facts` (compiled models), `tokens`, `vendors` (servers), and those of `compile`.
"""
