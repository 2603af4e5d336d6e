"""A model as its library saves it becomes one that the engines run. Imports torch.

Doors: `encoders`, `rerankers`, `reference` (the comparison with sentence-transformers).
"""
