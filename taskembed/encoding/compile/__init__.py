"""Loads models with their libraries and converts them for the engines. Imports torch.

Public modules: `encoders` and `rerankers` (loading), `convert` (for the CPU engine), `quiet`
(suppresses output of libraries), `reference` (the comparison with sentence-transformers).
"""
