"""Training of LoRA adapters: from a recipe and examples to an adapter's folder.

Doors: recipe, job, trainer, distill.
"""
