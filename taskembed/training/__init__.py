"""Adapters of one's own: recipes, examples, training."""
