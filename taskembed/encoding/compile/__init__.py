"""A model as its library saves it becomes one that the engines run. Imports torch.

Doors: `encoders` and `rerankers` (loading), `convert` (for the CPU engine), `quiet` (what libraries
print), `reference` (the comparison with sentence-transformers).
"""
